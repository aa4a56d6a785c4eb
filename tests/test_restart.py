"""Restarts: of one node, of all, of any subset, with what was acknowledged always there."""

import contextlib
import itertools
import os
import subprocess

from harness import ClusterTest, NodeTest, rounds, short, wait_until
from load import Load


class LoneNode(NodeTest):
    @short
    def test_everything_is_back_after_kill_9(self):
        node = self.new_node()
        for round_number in range(rounds(5, 2)):
            with Load([node], prefix=f"round{round_number}") as load:
                load.wait_more(200)
                node.kill()
            node.start()
            self.assertEqual(load.verify([node]), [])

    def test_everything_is_back_after_sigterm(self):
        node = self.new_node()
        for number in range(3):
            self.assert_status(node.put(f"k{number}", "v"), 200)
            self.assertEqual(node.stop(), 0)
            node.start()
            for earlier in range(number + 1):
                self.assert_value(node.get(f"k{earlier}"), f"k{earlier}", "v")

    def test_revisions_and_identity_survive(self):
        node = self.new_node()
        revision = int(node.put("k", "v").headers["x-arima-revision"])
        cluster_id = node.stats()["cluster_id"]
        node.kill()
        node.start()
        self.assertEqual(node.stats()["cluster_id"], cluster_id)
        self.assertEqual(int(node.put("k", "w").headers["x-arima-revision"]), revision + 1)

    def test_a_directory_killed_while_new_starts_again(self):
        """kill -9 at any moment of the very first start leaves a directory that starts."""
        for pause_ms in range(0, rounds(60, 20), 4):
            node = self.new_node(f"k{pause_ms}", start=False)
            node.start(wait=False)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.fail(f"ended: {node.process.wait(pause_ms / 1000)}")
            node.kill()
            node.start()
            self.assert_status(node.put("k", "v"), 200)
            node.kill()


class Subsets(ClusterTest):
    timeout_s = 400

    def stop_all(self):
        for node in self.running():
            node.kill()

    @short
    def test_any_subset_may_be_down_at_restart(self):
        self.assert_status(self.leader().put("k", "0"), 200)
        value = 0
        pairs = list(itertools.combinations(self.nodes, 2))
        for pair in pairs[:rounds(3, 1)]:
            self.stop_all()
            for node in pair:
                node.start()
            self.assert_writes_go_on()
            value += 1
            self.assert_status(pair[0].put("k", str(value)), 200)
            late = next(node for node in self.nodes if node not in pair)
            late.start()
            self.wait_caught_up()
            self.assert_value(late.get("k"), "k", str(value))
        for alone in self.nodes[:rounds(3, 1)]:
            self.stop_all()
            alone.start()
            # Alone it must not lead, whatever it led before; it answers what needs no leader.
            self.assert_error(alone.put("k", "alone", "?timeout=1500ms"), 503)
            self.assertNotEqual(alone.stats()["state"], "Leader")
            self.assert_value(alone.get("k", "?consistency=stale"), "k", str(value))
            for node in self.nodes:
                if node is not alone:
                    node.start()
            self.assert_writes_go_on()
            self.assert_value(alone.get("k"), "k", str(value))

    def test_all_stopped_in_any_order_and_started_in_any_other(self):
        self.assert_status(self.leader().put("k", "v"), 200)
        for order in list(itertools.permutations(self.nodes))[:rounds(4, 1)]:
            for node in order:
                self.assertEqual(node.stop(), 0)
            for node in reversed(order):
                node.start()
            wait_until(lambda: self.nodes[0].get("k").status == 200, "a leader serves")
            self.assert_value(self.nodes[0].get("k"), "k", "v")

    def test_members_are_not_joined_again_and_keep_their_addresses(self):
        before = self.leader().stats()
        self.stop_all()
        for node in self.nodes:
            node.start()
        after = self.leader().stats()
        self.assertEqual(after["latest_configuration"], before["latest_configuration"])
        self.assertEqual(after["cluster_id"], before["cluster_id"])
        self.assertIn("127.0.0.2:", after["latest_configuration"])

    def test_a_follower_restarted_many_times_under_load(self):
        with Load(self.nodes) as load:
            for _ in range(rounds(8, 2)):
                node = self.followers()[0]
                node.kill()
                load.wait_more(20)
                node.start()
                self.leader(self.nodes)
        self.wait_caught_up()
        for node in self.nodes:
            self.assertEqual(load.verify([node], "?consistency=stale"), [])

    def test_disk_use_is_in_the_volume_directory_only(self):
        node = self.nodes[0]
        targets = set()
        folder = f"/proc/{node.process.pid}/fd"
        for name in os.listdir(folder):
            target = os.readlink(f"{folder}/{name}")
            if target.startswith("/") and not target.startswith(("/dev/", "/proc/", "/sys/")):
                targets.add(target)
        outside = {t for t in targets if not t.startswith(node.volume + "/")} - {node.log_path}
        self.assertEqual(outside, set())
