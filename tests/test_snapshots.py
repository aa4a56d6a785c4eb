"""Nodes that missed more than the log holds come back by a snapshot, however often they die on the
way: nothing acknowledged is missing, and nothing is on one node that is not on the others."""

import random
import time

from harness import NodeTest, rounds, short, wait_until
from load import Filler, Load

# Little log, flushed often, and slow enough a transfer that it can be hit in the middle. The log
# kept for a transfer must last for as long as one takes, on a fast machine too: each batch takes
# 4 KiB.
LIMITS = ("--flush-bytes", "64KiB", "--wal-segment-bytes", "1MiB", "--log-retain-bytes", "1MiB",
          "--log-retain-max", "1GiB", "--snapshot-rate", "2MiB")
VALUE_BYTES = 20000


class Cluster(NodeTest):
    timeout_s = 400
    limits = LIMITS

    def setUp(self):
        super().setUp()
        for number in range(1, 4):
            self.new_node(f"n{number}", extra=self.limits)
        for node in self.nodes[1:]:
            self.join(self.nodes[0], node)

    def leader(self):
        def leads():
            return next((node for node in self.nodes if node.is_running() and
                         node.try_stats().get("state") == "Leader"), None)
        return wait_until(leads, "somebody leads", 20)

    def fill(self, prefix, count):
        """Values that do not compress, on the nodes that run."""
        expected = {}
        node = self.leader()
        for i in range(count):
            value = f"{random.getrandbits(VALUE_BYTES * 4):x}"
            self.assert_status(node.put(f"{prefix}/{i}", value), 200)
            expected[f"{prefix}/{i}"] = value
        return expected

    def wait_log_is_cut(self, node, above):
        wait_until(lambda: int(node.stats()["first_log_index"]) > above, "the log is cut", 30)

    def assert_has(self, node, expected):
        for key, value in expected.items():
            self.assert_value(node.get(key), key, value)

    def leave_behind(self, prefix, count=400):
        """n3 is killed, then the others write and forget what n3 misses."""
        node = self.nodes[2]
        last = int(node.stats()["last_log_index"])
        node.kill()
        expected = self.fill(prefix, count)
        self.wait_log_is_cut(self.leader(), last)
        return expected

    def metric(self, node, name):
        for line in node.request("GET", "/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        return 0.0

    def wait_level(self, node):
        """`node` has applied what the leader has committed by now."""
        goal = int(self.leader().stats()["commit_index"])
        wait_until(lambda: int(node.try_stats().get("applied_index", 0)) >= goal,
                   f"{node.name} has caught up", 60)


class Snapshots(Cluster):
    @short
    def test_a_node_that_missed_too_much_comes_back_during_writes(self):
        expected = self.leave_behind("old")
        with Load(self.nodes[:2]) as load:
            load.wait_more(50)
            self.nodes[2].start()
            self.wait_level(self.nodes[2])
            load.wait_more(50)
        self.wait_level(self.nodes[2])
        self.assertGreaterEqual(self.metric(self.nodes[2], "arima_snapshot_installs_total"), 1)
        self.assert_has(self.nodes[2], expected)
        self.assertEqual(load.verify(self.nodes), [])
        self.assertEqual(load.verify([self.nodes[2]], "?consistency=stale"), [])

    def test_the_receiver_killed_at_random_moments(self):
        node = self.nodes[2]
        for number in range(rounds(3, 1)):
            expected = self.leave_behind(f"round{number}")
            with Load(self.nodes[:2], prefix=f"load{number}") as load:
                for _ in range(rounds(6, 3)):
                    node.start()
                    time.sleep(random.uniform(0, 2.5))
                    node.kill()
                load.wait_more(20)
                node.start()
                self.wait_level(node)
            self.wait_level(node)
            self.assert_has(node, expected)
            self.assertEqual(load.verify([node], "?consistency=stale"), [])
            self.assertEqual(load.verify(self.nodes), [])

    def test_the_sender_killed_in_the_middle(self):
        expected = self.leave_behind("old")
        with Load(self.nodes[:2]) as load:
            load.wait_more(20)
            self.nodes[2].start()
            for _ in range(rounds(3, 1)):
                time.sleep(random.uniform(0.5, 2))
                sender = self.leader()
                sender.kill()
                sender.start()
            self.wait_level(self.nodes[2])
        self.wait_level(self.nodes[2])
        self.assert_has(self.nodes[2], expected)
        self.assertEqual(load.verify(self.nodes), [])

    def test_a_new_node_joins_when_the_log_is_cut(self):
        first = int(self.nodes[0].stats()["first_log_index"])
        expected = self.fill("old", 300)
        self.wait_log_is_cut(self.leader(), first)
        node = self.new_node("n4", extra=LIMITS)
        self.join(self.leader(), node)
        self.assertGreaterEqual(self.metric(node, "arima_snapshot_installs_total"), 1)
        self.assert_has(node, expected)


class Rounds(Cluster):
    # Faster than the log grows, or the log kept for a transfer would reach its limit.
    limits = (*LIMITS[:-1], "64MiB")

    def test_ten_rounds_of_log_cut_and_snapshot_on_all_nodes_under_load(self):
        """In turn each node, whoever leads, misses what the others then cut from their logs."""
        with Load(self.nodes, workers=2) as load, Filler(self.nodes):
            for turn in range(rounds(10, 3)):
                node = self.nodes[turn % 3]
                others = [other for other in self.nodes if other is not node]
                missed = int(node.stats()["last_log_index"])
                node.kill()
                for other in others:
                    self.wait_log_is_cut(other, missed + 1)
                load.wait_more(20)
                node.start()
                wait_until(lambda n=node: self.metric(n, "arima_snapshot_installs_total") >= 1,
                           f"{node.name} gets a snapshot in round {turn}", 60)
                self.wait_level(node)
                load.wait_more(20)
        for node in self.nodes:
            self.wait_level(node)
        for node in self.nodes:
            self.assertEqual(load.verify([node], "?consistency=stale"), [], load.summary())
        self.assertEqual(load.verify(self.nodes), [], load.summary())
