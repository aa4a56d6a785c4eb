"""Damaged files, one at a time: in every file of a volume directory a bit is flipped, or the file
is cut short, while its node is down. Whatever was acknowledged is then answered rightly, or fetched
from the other nodes, or refused with an error that names file and next step; never answered
wrongly, and never does a node end without a word.

The list here is a choice of files and damages; script/damage runs all of them.
"""

import os
import random
import re
import shutil

from harness import NodeTest, fetch, key_target, short, wait_until

FULL = os.environ.get("ARIMA_TEST_DAMAGE") == "full"
LIMITS = ("--flush-bytes", "64KiB", "--wal-segment-bytes", "1MiB", "--log-retain-bytes", "1MiB",
          "--log-retain-max", "64MiB")
KEYS = 150
VALUE_BYTES = 30000

# What may come of damage to a file, by its kind: on a node among others, and on an only node.
#   right    it starts, and everything is answered rightly (perhaps after a snapshot)
#   replaced as right, but as another member: it lost log that it had acknowledged
#   refused  it ends at its start with an error
#   partly   it starts; what it cannot read is answered 500, and from then on so is everything
EXPECTED = {
    "identity": ({"right"}, {"right"}),
    "CURRENT_DB": ({"right"}, {"right"}),
    "LOCK": ({"right"}, {"right"}),
    "wal segment": ({"right", "replaced"}, {"right", "refused"}),
    "free segment": ({"right"}, {"right"}),
    "table": ({"right"}, {"right", "refused", "partly"}),
    "MANIFEST": ({"right"}, {"right", "refused"}),
    "CURRENT": ({"right"}, {"right", "refused"}),
    "OPTIONS": ({"right"}, {"right", "partly"}),
    "IDENTITY": ({"right"}, {"right"}),
}
KINDS = {
    "identity": r"identity(\.copy)?",
    "CURRENT_DB": r"CURRENT_DB(\.copy)?",
    "LOCK": r"LOCK",
    "wal segment": r"wal/.*\.seg",
    "free segment": r"wal/.*\.free",
    "table": r"db-\d+/.*\.sst",
    "MANIFEST": r"db-\d+/MANIFEST-\d+",
    "CURRENT": r"db-\d+/CURRENT",
    "OPTIONS": r"db-\d+/OPTIONS-\d+",
    "IDENTITY": r"db-\d+/IDENTITY",
}
NEXT_STEP = re.compile(r"restore|join it again|next step|start with|remove the node", re.I)


def flip(share):
    def damage(path):
        size = os.path.getsize(path)
        if size == 0:
            return False
        offset = min(size - 1, int(size * share))
        with open(path, "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 0x08]))
        return True
    damage.__name__ = f"a bit flipped at {share:.0%}"
    return damage


def cut(new_size, name):
    def damage(path):
        size = os.path.getsize(path)
        if new_size(size) >= size:
            return False
        os.truncate(path, new_size(size))
        return True
    damage.__name__ = name
    return damage


DAMAGES = [flip(0), flip(0.5), flip(1), cut(lambda size: 0, "cut to nothing"),
           cut(lambda size: size // 2, "cut in half"),
           cut(lambda size: max(0, size - 5), "the last 5 bytes cut off")]
CHOSEN = [flip(0.5), cut(lambda size: size // 2, "cut in half")]


def files_of(volume, kind):
    """Paths below the volume, in order."""
    found = []
    for folder, _, names in os.walk(volume):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), volume)
            if re.fullmatch(KINDS[kind], path) and ".bad/" not in path:
                found.append(path)
    return sorted(found)


class Damage(NodeTest):
    timeout_s = 3600 if FULL else 600

    def fill(self, node):
        self.values = {}
        chance = random.Random(7)
        for i in range(KEYS):
            self.values[f"k{i}"] = f"{chance.getrandbits(VALUE_BYTES * 4):x}"
            self.assert_status(node.put(f"k{i}", self.values[f"k{i}"]), 200)

    def wait_cut(self, node):
        wait_until(lambda: int(node.stats()["first_log_index"]) > 20, "the log is cut", 30)

    def cases(self, volume_of):
        """(kind, damage, path). A case may change what files there are: numbers count."""
        for kind in KINDS:
            if not FULL:
                for damage in CHOSEN:
                    files = files_of(volume_of(), kind)
                    if files:
                        yield kind, damage, files[len(files) // 2]
                continue
            number = 0
            while number < len(files_of(volume_of(), kind)):
                for damage in DAMAGES:
                    files = files_of(volume_of(), kind)
                    if number < len(files):
                        yield kind, damage, files[number]
                number += 1

    def read_all(self, node, within_s=60):
        """Every value is there in the end. On the way there may be errors, but no wrong value, and
        above all no 404; a 500 names a file."""
        connection = node.connect()
        keys = list(self.values)

        def all_read():
            while keys and self.reads(node, connection, keys[-1]):
                keys.pop()
            return not keys
        wait_until(all_read, f"{node.name} has all values", within_s)
        connection.close()

    def reads(self, node, connection, key):
        """Whether the key is answered now."""
        response = fetch(connection, "GET", key_target(key))
        if response.status == 200:
            self.assertEqual(response.json()["data"]["value"], self.values[key], f"{key} is wrong")
            return True
        if response.status == 500:
            self.assertIn(node.volume, self.assert_error(response, 500)["error"])
        else:
            self.assert_error(response, 503)
        return False

    def starts(self, node, path):
        """Starts the node on what was damaged. False: it ended, with a good last word."""
        begin = os.path.getsize(node.log_path)
        node.start(wait=False)

        def settled():
            return not node.is_running() or node.request("GET", "/livez").status == 200
        wait_until(settled, f"{node.name} answers, or ends with an error", 30)
        if node.is_running():
            return True
        node.expected_end = True
        with open(node.log_path, "rb") as log:
            log.seek(begin)
            said = log.read().decode(errors="replace")
        self.assertEqual(node.exit_code(), 1, said)
        self.assertIn(os.path.join(node.volume, os.path.dirname(path)), said)
        self.assertRegex(said, NEXT_STEP)
        return False

    def note(self, kind, outcome, where):
        allowed = EXPECTED[kind][where]
        self.assertIn(outcome, allowed)
        counts = self.counts.setdefault(kind, {})
        counts[outcome] = counts.get(outcome, 0) + 1

    def setUp(self):
        super().setUp()
        self.counts = {}

    def tell(self):
        self.remark = "".join(
            f"\n    {kind}: " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))
            for kind, counts in self.counts.items())


class OnlyNode(Damage):
    def outcome(self, node, path):
        if not self.starts(node, path):
            return "refused"
        wait_until(lambda: node.try_stats().get("state") == "Leader", "it leads itself")
        connection = node.connect()
        whole = all([self.reads(node, connection, key) for key in self.values])
        connection.close()
        if whole:
            return "right"

        def serves_nothing():
            return all(node.get(key).status == 500 for key in list(self.values)[:5])
        wait_until(serves_nothing, "a node that found damage serves nothing", 5)
        self.assertRegex(self.assert_error(node.get("k0"), 500)["error"], NEXT_STEP)
        self.assert_error(node.put("new", "x"), 500)
        self.assertEqual(node.request("GET", "/livez").status, 200)
        self.assertEqual(node.request("GET", "/readyz").status, 503)
        self.assertIn("damaged", node.stats()["database_state"])
        return "partly"

    def run_cases(self, node):
        kept = node.volume + ".kept"
        shutil.copytree(node.volume, kept)
        for kind, damage, path in self.cases(lambda: kept):
            with self.subTest(kind=kind, path=path, damage=damage.__name__):
                shutil.rmtree(node.volume)
                shutil.copytree(kept, node.volume)
                if not damage(os.path.join(node.volume, path)):
                    continue
                self.note(kind, self.outcome(node, path), 1)
            if node.is_running():
                node.stop()
        self.tell()

    @short
    def test_whose_log_was_cut_answers_rightly_or_refuses(self):
        node = self.new_node(extra=LIMITS)
        self.fill(node)
        self.wait_cut(node)
        node.stop()
        self.run_cases(node)

    def test_whose_log_holds_everything_replaces_its_database(self):
        node = self.new_node(extra=("--wal-segment-bytes", "1MiB"))
        self.fill(node)
        node.stop()
        kept = node.volume + ".kept"
        shutil.copytree(node.volume, kept)
        for kind in ("table", "MANIFEST", "CURRENT"):
            for damage in DAMAGES:
                path = files_of(kept, kind)[0]
                with self.subTest(path=path, damage=damage.__name__):
                    shutil.rmtree(node.volume)
                    shutil.copytree(kept, node.volume)
                    self.assertTrue(damage(os.path.join(node.volume, path)))
                    self.assertTrue(self.starts(node, path))
                    self.read_all(node)
                node.stop()


class Among(Damage):
    def setUp(self):
        super().setUp()
        for number in range(1, 4):
            self.new_node(f"n{number}", extra=LIMITS)
        for node in self.nodes[1:]:
            self.join(self.nodes[0], node)
        self.fill(self.nodes[0])
        for node in self.nodes:
            self.wait_cut(node)

    def leader(self):
        def leads():
            return next((node for node in self.nodes
                         if node.try_stats().get("state") == "Leader"), None)
        return wait_until(leads, "somebody leads", 20)

    def run_cases(self, choose):
        for kind, damage, path in self.cases(lambda: choose().volume):
            node = choose()
            with self.subTest(kind=kind, node=node.name, path=path, damage=damage.__name__):
                self.run_case(node, kind, damage, path)
            if not node.is_running():
                self.fail("the last case failed; the ones that follow would mean nothing")
        self.tell()
        for node in self.nodes:
            self.assert_status(node.put("alive", node.name), 200)
            self.assert_value(node.get("alive"), "alive", node.name)

    def run_case(self, node, kind, damage, path):
        member = node.stats()["member_id"]
        node.stop()
        target = os.path.join(node.volume, path)
        # On its way down the node may have written once more.
        if os.path.exists(target) and damage(target):
            self.assertTrue(self.starts(node, path), "it refuses to start")
            self.read_all(node)
            same = node.stats()["member_id"] == member
            self.note(kind, "right" if same else "replaced", 0)
        if not node.is_running():
            node.start()
        self.wait_healthy(node)

    def wait_healthy(self, node):
        def healthy():
            return node.request("GET", "/readyz").status == 200
        wait_until(healthy, f"{node.name} is ready", 60)

    @short
    def test_a_follower_gets_what_it_lacks_from_the_others(self):
        def follower():
            leader = self.leader()
            return next(node for node in reversed(self.nodes) if node is not leader)
        self.run_cases(follower)

    def test_a_leader_that_is_restarted_gets_what_it_lacks_from_the_others(self):
        self.run_cases(self.leader)
