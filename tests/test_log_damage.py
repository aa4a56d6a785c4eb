"""A damaged raft log: the others replace it, or a clear word; never a wrong value or a vote."""

import glob
import os
import re
import shutil
import subprocess

import harness
from harness import ClusterTest, NodeTest, Settings, seconds, short, wait_until
from load import Load

BLOCK = 4096
FIRST_FRAME = 2 * BLOCK
OPTIONS = ("--wal-segment-bytes", "1MiB")


def segments(node):
    """Segment files with an active header of this use of theirs, oldest first."""
    found = []
    for path in sorted(glob.glob(os.path.join(node.volume, "wal", "*.seg"))):
        salt = read(path, 56, 8)
        if read(path, BLOCK, 8) == b"ARIMAWAL" and read(path, BLOCK + 56, 9) == salt + b"\x02":
            found.append(path)
    return found


def read(path, offset, size):
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x20]))


def find(node, text):
    """Path and offset of the newest place of `text` in the log."""
    place = None
    for path in segments(node):
        with open(path, "rb") as file:
            at = file.read().rfind(text.encode())
        if at >= 0:
            place = path, at
    assert place, f"{text} is not in the log of {node.name}"
    return place


def metric(node, name):
    text = node.request("GET", "/metrics").body.decode()
    return float(re.search(rf"^{name} (\S+)$", text, re.M).group(1))


def value(i):
    return f"value-{i}-" + "x" * 8000


class LogDamage(ClusterTest):
    timeout_s = 240
    count = 200  # more than one segment of 1 MiB

    def new_node(self, name="n1", start=True, **more):
        return super().new_node(name, start, extra=OPTIONS, **more)

    def fill(self):
        leader = self.leader()
        for i in range(self.count):
            self.assert_status(leader.put(f"k{i}", value(i)), 200)
        self.wait_caught_up()

    def wait_healed(self, node, before):
        """It is a voter again, under a new member id, and everybody knows."""
        def healed():
            stats = node.try_stats()
            others = [n.try_stats() for n in self.nodes]
            return stats.get("member_id", before) != before and \
                stats.get("state") in ("Follower", "Leader") and \
                all(o.get("num_peers") == "2" for o in others)
        wait_until(healed, f"{node.name} is replaced under a new id", 60)
        self.assertNotIn("damage", node.stats())
        self.assertEqual(metric(node, "arima_raft_damaged"), 0)

    def assert_all_there(self, node):
        for i in range(self.count):
            self.assert_value(node.get(f"k{i}"), f"k{i}", value(i))

    def damage_and_heal(self, victim, damage):
        """`damage` while it is down, killed without warning; the others are let on meanwhile."""
        before = victim.stats()["member_id"]
        with Load([n for n in self.nodes if n is not victim], workers=1) as load:
            victim.kill()
            damage(victim)
            load.wait_more(20)
            victim.start()
            self.wait_healed(victim, before)
            load.wait_more(20)
        self.assert_all_there(victim)
        self.wait_caught_up()
        self.assertEqual(load.verify([victim], "?consistency=stale"), [], load.summary())
        self.assertIn("log_damaged", victim.log(1 << 20))
        self.assertGreaterEqual(metric(self.leader(), "arima_raft_damage_alarms_total"), 1)
        self.assertTrue(glob.glob(os.path.join(victim.volume, "wal.bad-*")))
        # And it goes on as such.
        victim.kill()
        victim.start()
        self.wait_caught_up()
        self.assert_all_there(victim)
        self.assert_writes_go_on()

    @short
    def test_a_flipped_bit_in_a_sealed_segment_of_a_follower(self):
        self.fill()
        victim = self.followers()[0]

        def damage(node):
            path, at = find(node, "value-3-")
            self.assertNotEqual(path, segments(node)[-1], "it is a sealed one")
            flip(path, at)
        self.damage_and_heal(victim, damage)

    def test_a_flipped_bit_in_the_active_segment_of_the_leader(self):
        self.fill()
        self.damage_and_heal(self.leader(),
                             lambda node: flip(*find(node, f"value-{self.count - 5}-")))

    def test_a_header_and_then_a_truncation_of_two_nodes_in_turn(self):
        self.fill()
        first, second = self.followers()

        def header(node):
            path = segments(node)[-1]
            flip(path, 30)
            flip(path, BLOCK + 30)
        self.damage_and_heal(first, header)
        self.damage_and_heal(second, lambda node: os.truncate(segments(node)[-1], FIRST_FRAME + 9))

    def test_until_it_is_replaced_it_serves_nothing_and_says_why(self):
        self.fill()
        victim, other = self.followers()
        leader = self.leader()
        victim.kill()
        path, at = find(victim, "value-7-")
        flip(path, at)
        # One of the others is down as well: nobody can replace it, nothing can be decided, and the
        # damaged one may not make up the majority.
        other.kill()
        victim.start()
        wait_until(lambda: leader.try_stats().get("state") != "Leader", "no majority is left")
        for target in ("/store/k0", "/store/k0?consistency=stale"):
            body = self.assert_error(victim.request("GET", target), 503)
            self.assertIn(path, body["error"])
            self.assertIn("new member id", body["error"])
        self.assert_error(victim.put("new", "1"), 503)
        self.assert_status(victim.request("GET", "/livez"), 200)
        ready = victim.request("GET", "/readyz?verbose")
        self.assertEqual(ready.status, 503, ready)
        self.assertIn(os.path.basename(path), ready.body.decode())
        stats = victim.stats()
        self.assertEqual(stats["state"], "Shutdown")
        self.assertIn(f"{path} at byte ", stats["damage"])
        self.assertEqual(metric(victim, "arima_raft_damaged"), 1)
        term = int(leader.stats()["term"])
        other.start()
        self.wait_healed(victim, stats["member_id"])
        self.assert_all_there(victim)
        self.assertGreaterEqual(int(leader.stats()["term"]), term)

    @short
    def test_an_old_copy_of_the_volume_is_found_out_and_replaced(self):
        self.fill()
        victim = self.followers()[0]
        others = [node for node in self.nodes if node is not victim]
        leader = self.leader()
        self.assertEqual(victim.stop(), 0)
        old = os.path.join(self.directory, "old")
        shutil.copytree(victim.volume, old)
        victim.start()
        with Load(others, workers=1) as load:
            load.wait_more(50)
            wait_until(lambda: leader.try_stats().get("state") == "Leader", "it still leads")
            self.wait_caught_up_with(leader, victim)
            before = victim.stats()["member_id"]
            victim.kill()
            shutil.rmtree(victim.volume)
            shutil.copytree(old, victim.volume)
            victim.start()
            self.wait_healed(victim, before)
            load.wait_more(20)
        self.wait_caught_up()
        self.assert_all_there(victim)
        self.assertEqual(load.verify([victim], "?consistency=stale"), [], load.summary())
        self.assertIn("log_damaged", victim.log(1 << 20))

    def wait_caught_up_with(self, leader, node):
        commit = int(leader.stats()["commit_index"])
        wait_until(lambda: int(node.try_stats().get("applied_index", 0)) >= commit,
                   f"{node.name} has caught up", 30)


class LogDamageOfASingleNode(NodeTest):
    count = 150

    def setUp(self):
        super().setUp()
        self.node = self.new_node("n1", extra=OPTIONS)
        for i in range(self.count):
            self.assert_status(self.node.put(f"k{i}", value(i)), 200)

    def start_fails(self, *flags):
        """Its one line of complaint; it must end by itself."""
        self.node.extra = list(OPTIONS)
        done = subprocess.run([*self.node.command, *flags], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=seconds(60), check=False,
                              env=harness.clean_environment())
        self.assertNotEqual(done.returncode, 0)
        return done.stderr.strip().splitlines()[-1]

    def restart(self, *flags):
        self.node.extra = [*OPTIONS, *flags]
        self.node.start()
        wait_until(lambda: self.node.try_stats().get("state") == "Leader", "n1 leads itself")

    @short
    def test_says_file_position_range_and_next_step_and_loses_what_it_is_told_to(self):
        self.node.kill()
        path, at = find(self.node, "value-100-")
        flip(path, at)
        for _ in range(2):
            line = self.start_fails()
            self.assertRegex(line, rf"{re.escape(path)} at byte \d+: .*; entries from \d+ .*may be "
                             r"lost; nothing was changed.*--accept-data-loss")
        self.restart("--accept-data-loss")
        for i in range(100):
            self.assert_value(self.node.get(f"k{i}"), f"k{i}", value(i))
        for i in range(100, self.count):
            self.assert_error(self.node.get(f"k{i}"), 404)
        self.assertIn("data_loss_accepted", self.node.log(1 << 20))
        self.assertTrue(glob.glob(os.path.join(self.node.volume, "wal.bad-1", "*.seg")))
        self.assert_status(self.node.put("k100", "again"), 200)
        self.node.kill()
        self.restart()
        self.assert_value(self.node.get("k100"), "k100", "again")
        self.assert_value(self.node.get("k99"), "k99", value(99))

    def test_a_damaged_header_or_a_cut_file_is_told_and_the_database_survives(self):
        self.assertEqual(self.node.stop(), 0)  # the database holds everything
        newest = segments(self.node)[-1]
        flip(newest, 30)
        flip(newest, BLOCK + 30)
        self.assertIn(newest, self.start_fails())
        self.restart("--accept-data-loss")
        for i in range(self.count):
            self.assert_value(self.node.get(f"k{i}"), f"k{i}", value(i))
        self.assertEqual(self.node.stop(), 0)
        newest = segments(self.node)[-1]
        os.truncate(newest, FIRST_FRAME + 1)
        self.assertIn(newest, self.start_fails())
        self.restart("--accept-data-loss")
        for i in range(self.count):
            self.assert_value(self.node.get(f"k{i}"), f"k{i}", value(i))

    def test_damage_that_costs_nothing_is_mended_and_said(self):
        self.assertEqual(self.node.stop(), 0)
        path, at = find(self.node, "value-3-")
        self.assertNotEqual(path, segments(self.node)[-1])
        flip(path, at)
        self.restart()
        for i in range(self.count):
            self.assert_value(self.node.get(f"k{i}"), f"k{i}", value(i))
        log = self.node.log(1 << 20)
        self.assertIn("log_restarted", log)
        self.assertIn(path, log)
        self.assertEqual(metric(self.node, "arima_log_restarts_total"), 1)
        self.node.kill()
        self.restart()
        self.assert_value(self.node.get("k3"), "k3", value(3))
        self.assertEqual(metric(self.node, "arima_log_restarts_total"), 0)

    def test_settings_name_the_flag(self):
        helped = subprocess.run([Settings.binary, "run", "--help"], capture_output=True, text=True,
                                timeout=seconds(30), check=False)
        self.assertIn("--accept-data-loss", helped.stdout)
