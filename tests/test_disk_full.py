"""Disks that fill up: on a follower, on the leader, on all; by others, and by the store itself.

Each node has a small file system of its own (tmpfs), which needs root; without it the tests are
skipped.
"""

import contextlib
import os
import subprocess
import time
import unittest

import harness
from harness import ClusterTest, rounds, wait_until
from load import Load
from small_disk import SmallDisk

KIB = 1 << 10
MIB = 1 << 20
VOLUME_BYTES = 160 * MIB
RESERVE_BYTES = 12 * MIB
FLAGS = ("--disk-reserve", "12MiB", "--wal-segment-bytes", "1MiB", "--flush-bytes", "4MiB",
         "--log-retain-bytes", "16MiB")
VALUE_BYTES = 64 * KIB


def mount_tmpfs(path):
    """Why it could not be done, or None."""
    if os.geteuid() != 0:
        return "mounting a small file system needs root"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={VOLUME_BYTES}", "arima", path],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"a tmpfs cannot be mounted: {done.stderr.strip()}"


class DiskFullTest(ClusterTest):
    timeout_s = 240

    def setUp(self):
        self.mounted = []
        self.disks = {}
        super().setUp()

    def new_node(self, name="n1", start=True, **more):
        path = os.path.join(self.directory, f"{name}-disk")
        os.mkdir(path)
        why_not = mount_tmpfs(path)
        if why_not:
            raise unittest.SkipTest(why_not)
        self.mounted.append(path)
        node = super().new_node(name, start=False, extra=FLAGS, **more)
        node.volume = os.path.join(path, "volume")
        self.disks[node] = SmallDisk(path)
        if start:
            node.start()
            wait_until(lambda: node.try_stats().get("state") == "Leader", f"{name} leads itself")
        return node

    def end_nodes(self):
        try:
            super().end_nodes()
        finally:
            for path in self.mounted:
                # Lazily: whoever looks at it from outside must not fail the test.
                subprocess.run(["umount", "-l", path], stdin=subprocess.DEVNULL, check=True)
            self.mounted = []

    def describe_nodes(self):
        parts = [super().describe_nodes()]
        for node, disk in self.disks.items():
            parts.append(f"----- disk of {node.name}: {disk.free_bytes()} bytes free")
            for folder, _, names in os.walk(disk.path):
                for name in names:
                    path = os.path.join(folder, name)
                    with contextlib.suppress(FileNotFoundError):  # the node goes on meanwhile
                        parts.append(f"{os.stat(path).st_blocks * 512:>12} {path}")
        return "\n".join(parts)

    def disk_state(self, node):
        return node.try_stats().get("disk_state")

    def wait_state(self, node, *states, within_s=15):
        wait_until(lambda: self.disk_state(node) in states,
                   f"the disk of {node.name} is {' or '.join(states)}", within_s)

    def metric(self, node, name):
        text = node.request("GET", "/metrics").body.decode()
        for line in text.splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        raise AssertionError(f"no metric {name}")

    def ready_segments(self, node):
        """Those that are free, and the one prepared to be the next."""
        names = os.listdir(os.path.join(node.volume, "wal"))
        return sum(name.endswith(".free") for name in names) + 1

    def make_low(self, node):
        self.disks[node].fill_to(RESERVE_BYTES // 2)
        self.wait_state(node, "low")

    def take_everything(self, node):
        """Fills the disk until nothing is left, the ballast neither."""
        def all_gone():
            self.disks[node].fill_to(0)
            return self.metric(node, "arima_disk_ballast_bytes") == 0 and \
                self.disks[node].free_bytes() < 64 * KIB
        wait_until(all_gone, f"the disk of {node.name} is full to the last byte", 30)
        self.disks[node].fill_to(0)

    def assert_refused(self, node, key="refused"):
        body = self.assert_error(node.put(key, "v" * KIB), 507)
        self.assertEqual(body["code"], "disk_full")
        self.assertEqual(body["outcome"], "not_applied")
        self.assertIn("--disk-reserve", body["error"])
        return body["error"]

    def wait_refused(self, node):
        wait_until(lambda: node.put("probe", "v").status == 507, f"{node.name} answers 507")

    def assert_all_there(self, load):
        load.stop()
        self.wait_caught_up()
        for node in self.nodes:
            self.assertEqual(load.verify([node], "?consistency=stale"), [], load.summary())

    def write_value(self, node, key):
        return node.put(key, key.ljust(VALUE_BYTES, "."))


class DiskFull(DiskFullTest):
    def test_full_follower_is_left_behind_and_comes_back(self):
        leader = self.leader()
        victim = self.followers()[0]
        with Load(self.nodes, workers=2) as load:
            load.wait_more(20)
            self.take_everything(victim)
            self.wait_state(victim, "low", "stuck", "full")
            # More than the segments that stood ready: it stops acknowledging.
            for i in range(rounds(100, 70)):
                self.assert_status(self.write_value(leader, f"big{i}"), 200)
            self.wait_state(victim, "stuck", "full")
            load.wait_more(20)
            self.assertEqual(self.leader().name, leader.name)
            self.assert_status(victim.request("GET", "/livez"), 200)
            self.disks[victim].give_back()
            self.wait_state(victim, "ok", within_s=30)
            load.wait_more(20)
            self.assert_all_there(load)

    def test_leader_on_a_low_disk_hands_over_and_writes_go_on(self):
        old = self.leader()
        with Load(self.nodes, workers=2) as load:
            load.wait_more(20)
            self.make_low(old)
            wait_until(lambda: self.leader() is not old, "another node leads")
            self.assertEqual(self.metric(old, "arima_disk_hand_overs_total"), 1)
            load.wait_more(50)
            self.assert_writes_go_on()
            self.disks[old].give_back()
            self.wait_state(old, "ok")
            self.assert_all_there(load)

    def test_all_low_refuses_growth_and_goes_on_by_itself(self):
        with Load(self.nodes, workers=2) as load:
            load.wait_more(50)
            for node in self.nodes:
                self.make_low(node)
            self.wait_refused(self.leader())
            for node in self.nodes:
                self.assert_refused(node)
                self.assert_status(node.get("refused"), 404)
                self.assert_status(node.get("load/0/0"), 200)
            text = self.assert_refused(self.leader())
            self.assertIn(self.leader().volume, text)
            self.assertIn("12 MiB", text)
            # From the reserve: deletes, and members that come and go.
            for node in self.nodes:
                self.assert_status(node.delete("probe"), 200)
            extra = self.new_node("n4")

            # The only node with space leads as soon as it may, in the middle of its own join.
            def joined():
                self.nodes[1].join(extra)
                return "Voter ID:n4" in self.nodes[1].stats()["latest_configuration"]
            wait_until(joined, "n4 is a voter", 60)
            wait_until(lambda: self.nodes[1].remove("n4").status in (200, 404), "n4 is removed", 60)
            self.nodes.remove(extra)
            extra.stop()
            for node in self.nodes:
                self.disks[node].give_back()
            for node in self.nodes:
                self.wait_state(node, "ok")
            self.assert_writes_go_on()
            load.wait_more(20)
            self.assert_all_there(load)

    def test_full_to_the_last_byte_votes_deletes_and_comes_back(self):
        with Load(self.nodes, workers=2) as load:
            load.wait_more(50)
            for node in self.nodes:
                self.make_low(node)
            # What is under way uses up segments; two stand ready again once it has ended.
            self.wait_refused(self.leader())
            for node in self.nodes:
                wait_until(lambda: self.ready_segments(node) >= 2, f"{node.name} has two segments")
            for node in self.nodes:
                self.take_everything(node)
            self.wait_refused(self.leader())
            for node in self.nodes:
                self.assert_refused(node)
                self.assert_status(node.get("load/0/0"), 200)
                self.assert_status(node.delete("load/0/1"), 200)
                load.forget("load/0/1")
            # A vote needs room in the log.
            old = self.leader()
            old.pause()
            new = self.leader(within_s=30)
            self.assertNotEqual(new.name, old.name)
            self.assert_status(new.delete("load/1/1"), 200)
            load.forget("load/1/1")
            old.resume()
            for node in self.nodes:
                self.disks[node].give_back()
            for node in self.nodes:
                self.wait_state(node, "ok", within_s=30)
            self.assert_writes_go_on()
            load.wait_more(20)
            self.assert_all_there(load)

    def test_a_store_that_fills_its_disk_refuses_growth_and_goes_on_after_deletes(self):
        leader = self.leader()
        keys = self.write_until_refused(leader)
        self.assertGreater(len(keys) * VALUE_BYTES, VOLUME_BYTES // 4)
        for node in self.nodes:
            self.done_in_the_end(lambda: node.get(keys[0]))
        for key in keys:
            self.done_in_the_end(lambda: leader.delete(key))
        for node in self.nodes:
            self.wait_state(node, "ok", within_s=90)
        self.assert_writes_go_on()
        for node in self.nodes:
            self.assert_status(node.get(keys[-1]), 404)

    def done_in_the_end(self, ask):
        """While the databases rewrite what is left of their disks, even the reserve may be used up
        for a moment. The answer is 507, or 503 from a node that cannot apply: clients repeat."""
        def done():
            response = ask()
            self.assertIn(response.status, (200, 503, 507), response)
            return response.status == 200
        wait_until(done, "the node has space for it", 90)

    def write_until_refused(self, node):
        """The keys that were taken."""
        keys = []
        deadline = time.monotonic() + harness.seconds(120)
        while time.monotonic() < deadline:
            key = f"fill{len(keys)}"
            response = self.write_value(node, key)
            if response.status == 507:
                return keys
            self.assert_status(response, 200)
            keys.append(key)
        raise AssertionError(f"the disk does not fill: {len(keys)} values were taken")
