"""The raft log is cut: disk use stays bounded under load, and nothing acknowledged is lost."""

import os
import subprocess

import harness
from harness import ClusterTest, rounds, wait_until
from load import Filler, Load

MIB = 1 << 20
SEGMENT_BYTES = MIB
RETAIN_BYTES = 4 * MIB
FLUSH_BYTES = MIB
LIMITS = ("--wal-segment-bytes", "1MiB", "--flush-bytes", "1MiB",
          "--log-retain-bytes", "4MiB", "--log-retain-max", "8MiB")
# What is retained, what a flush may lag behind under load, and the files that stand ready. Between
# two looks at it, a log may be larger for a moment.
WAL_BYTES_MAX = RETAIN_BYTES + 8 * FLUSH_BYTES + 6 * SEGMENT_BYTES


class LogCut(ClusterTest):
    timeout_s = 400

    def new_node(self, name="n1", start=True, **more):
        return super().new_node(name, start, extra=LIMITS, **more)

    def wal_bytes(self, node):
        folder = os.path.join(node.volume, "wal")
        total = 0
        for name in os.listdir(folder):
            try:
                total += os.path.getsize(os.path.join(folder, name))
            except FileNotFoundError:
                pass  # released meanwhile
        return total

    def verify_wal(self, node):
        return subprocess.run([harness.Settings.binary, "wal", "verify", node.volume],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=harness.seconds(60), check=False)

    def wait_no_lag(self, node):
        """It has applied what the leader had committed when this was called."""
        commit = int(self.leader().stats()["commit_index"])
        wait_until(lambda: int(node.try_stats().get("applied_index", 0)) >= commit,
                   f"{node.name} has caught up", 30)

    def first_index(self, node):
        return int(node.try_stats().get("first_log_index", 0))

    def wait_cut(self, nodes, within_s=60):
        """Each of them lets more of its log go than it had."""
        before = {node: self.first_index(node) for node in nodes}
        for node in nodes:
            wait_until(lambda n=node: self.first_index(n) > before[n], f"{node.name} cuts its log",
                       within_s)

    def test_ten_cuts_under_load_with_kill_9_lose_nothing(self):
        with Load(self.nodes, workers=2) as load, Filler(self.nodes) as filler:
            for turn in range(rounds(10, 2)):
                self.wait_cut(self.nodes)
                for node in self.nodes:
                    wait_until(lambda n=node: self.wal_bytes(n) < WAL_BYTES_MAX,
                               f"the log of {node.name} is small again, under load", 30)
                victim = self.nodes[turn % len(self.nodes)]
                victim.kill()
                # However slow this machine is, it misses no more than is retained.
                filler.going.clear()
                load.wait_more(20)
                victim.start()
                self.leader(self.nodes, within_s=30)
                self.wait_no_lag(victim)
                filler.going.set()
        self.wait_caught_up()
        for node in self.nodes:
            self.assertEqual(load.verify([node], "?consistency=stale"), [], load.summary())
        self.assertEqual(self.verify_wal(self.nodes[0]).returncode, 1, "it is in use")
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            verdict = self.verify_wal(node)
            self.assertEqual(verdict.returncode, 0, verdict)
            self.assertIn("\nsound: ", verdict.stdout)
            node.start()
        self.leader()
        self.assertEqual(load.verify(self.nodes), [], load.summary())

    def test_an_idle_cluster_keeps_what_is_documented(self):
        with Filler(self.nodes):
            self.wait_cut(self.nodes)
        self.wait_caught_up()
        for node in self.nodes:
            wait_until(lambda n=node: int(n.stats()["log_bytes"]) <= RETAIN_BYTES,
                       f"{node.name} keeps no more than it should")
            self.assertLess(self.wal_bytes(node), RETAIN_BYTES + 6 * SEGMENT_BYTES)
