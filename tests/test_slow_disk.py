"""A disk that hangs: the leader hands over in time, and nobody else notices."""

import fcntl
import os
import subprocess
import time
import unittest

import harness
from harness import ClusterTest, wait_until
from load import Load

STALL_S = 1


def library():
    return os.path.join(os.path.dirname(harness.Settings.binary), "tests", "slow_sync.so")


class SlowDisk(ClusterTest):
    """Syncs of a node's raft log wait while a file is locked (tests/preload/slow_sync.cc)."""

    def setUp(self):
        self.assertTrue(os.path.exists(library()), f"{library()} is not built")
        works = subprocess.run([harness.Settings.binary, "--help"], check=False,
                               stdin=subprocess.DEVNULL, capture_output=True,
                               env={**os.environ, "LD_PRELOAD": library()})
        if works.returncode != 0:
            raise unittest.SkipTest("nothing can be preloaded into this build (sanitizer)")
        self.locks = {}  # node -> the file whose lock its syncs wait for
        super().setUp()

    def new_node(self, name="n1", start=True, **more):
        node = super().new_node(name, start=False, extra=("--disk-stall-timeout", f"{STALL_S}s"),
                                **more)
        path = os.path.join(self.directory, f"{node.name}-hangs")
        self.locks[node] = open(path, "w", encoding="ascii")
        node.environment = {"LD_PRELOAD": library(), "TEST_HANG_SYNC": path}
        if start:
            node.start()
            wait_until(lambda: node.try_stats().get("state") == "Leader", f"{name} leads itself")
        return node

    def hang(self, node):
        fcntl.flock(self.locks[node], fcntl.LOCK_EX)

    def unhang(self, node):
        fcntl.flock(self.locks[node], fcntl.LOCK_UN)

    def end_nodes(self):
        for lock in self.locks.values():
            lock.close()  # which lets go of it
        super().end_nodes()

    def test_leader_whose_disk_hangs_hands_over_before_clients_give_up(self):
        old = self.leader()
        others = [node for node in self.nodes if node is not old]
        with Load(others, workers=2) as load:
            load.wait_more(20)
            self.hang(old)
            moment = time.monotonic()
            new = self.leader(among=others)
            self.assertIn(new, others)
            load.wait_more(20)
            self.assertLess(load.gap_after(moment), harness.seconds(STALL_S + 3))
            self.assertIn("disk_stalled", old.log())
            self.assertEqual(old.stats()["disk_state"], "ok, stalled")
            readiness = old.request("GET", "/readyz?verbose")
            self.assertIn("disk_speed", readiness.body.decode())
            self.assert_status(readiness, 503)
            self.unhang(old)
            wait_until(lambda: old.try_stats().get("disk_state") == "ok", "the disk is fast again")
            load.wait_more(20)
            load.stop()
            self.wait_caught_up()
            for node in self.nodes:
                self.assertEqual(load.verify([node], "?consistency=stale"), [], load.summary())

    def test_follower_whose_disk_hangs_stops_nobody(self):
        leader = self.leader()
        victim = self.followers()[0]
        others = [node for node in self.nodes if node is not victim]
        self.hang(victim)
        with Load(others, workers=2) as load:
            wait_until(lambda: victim.try_stats().get("disk_state") == "ok, stalled",
                       "the victim says that its disk stalls")
            load.wait_more(50)
            self.assertIs(self.leader(), leader)
            self.unhang(victim)
            load.wait_more(20)
            load.stop()
            self.wait_caught_up()
            self.assertEqual(load.verify([victim], "?consistency=stale"), [], load.summary())
