"""Tests of the file system that forgets (unsync_fs.cc). Run by tests/test_chaos.py.

    unsync_check.py ARIMA      tests the unsync_fs beside that program, in a sandbox of its own;
                               exit code 3: cannot be done here, and why
"""

import os
import random
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import disks  # noqa: E402
import sandbox  # noqa: E402

PROGRAM = None
FOLDER = None
CANNOT = 3
PAGE = 4096
SECTOR = 512


class Forgets(unittest.TestCase):
    count = 0

    def setUp(self):
        Forgets.count += 1
        self.disk = disks.PoweredDisk(FOLDER, f"d{Forgets.count}", PROGRAM)
        self.addCleanup(self.disk.stop)
        os.mkdir(self.disk.volume)
        self.root = os.path.dirname(self.disk.volume)
        self.sync(self.root)

    def path(self, name):
        return os.path.join(self.disk.volume, name)

    def sync(self, path):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    def write(self, name, data, offset=0, sync=False):
        fd = os.open(self.path(name), os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, data, offset)
        if sync:
            os.fsync(fd)
        os.close(fd)

    def durable(self, name, data):
        self.write(name, data, sync=True)
        self.sync(self.disk.volume)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def names(self):
        return sorted(os.listdir(self.disk.volume))

    def test_what_is_written_is_read_before_and_after_a_sync(self):
        data = os.urandom(300_000)
        self.write("a", data)
        self.assertEqual(self.read("a"), data)
        self.write("a", data, sync=True)
        self.assertEqual(self.read("a"), data)

    def test_a_file_that_was_synced_and_whose_name_was_synced_stays(self):
        data = os.urandom(100_000)
        self.durable("a", data)
        self.disk.lose_power()
        self.assertEqual(self.read("a"), data)

    def test_a_name_that_was_not_synced_is_gone(self):
        self.write("a", b"x", sync=True)
        self.assertEqual(self.disk.lose_power(), "0 files, 1 names")
        self.assertEqual(self.names(), [])

    def test_content_that_was_not_synced_is_gone_and_the_older_one_back(self):
        old = os.urandom(3 * PAGE + 100)
        self.durable("a", old)
        self.write("a", b"new", 10)
        self.write("a", b"new", PAGE - 1)
        self.write("a", b"longer" * 5000, len(old))
        self.disk.lose_power()
        self.assertEqual(self.read("a"), old)

    def test_content_of_a_synced_name_without_a_sync_of_the_file_is_nothing(self):
        self.write("a", b"x")
        self.sync(self.disk.volume)
        self.disk.lose_power()
        self.assertEqual(self.read("a"), b"")

    def test_a_truncated_file_has_its_tail_again(self):
        old = os.urandom(5 * PAGE + 1)
        self.durable("a", old)
        os.truncate(self.path("a"), PAGE + 7)
        self.write("a", b"other", 2 * PAGE)
        self.disk.lose_power()
        self.assertEqual(self.read("a"), old)

    def test_opening_with_truncation_is_taken_back(self):
        self.durable("a", b"old")
        with open(self.path("a"), "wb") as file:
            file.write(b"newer")
        self.disk.lose_power()
        self.assertEqual(self.read("a"), b"old")

    def test_room_that_was_allocated_and_not_synced_is_gone(self):
        self.durable("a", b"old")
        fd = os.open(self.path("a"), os.O_RDWR)
        os.posix_fallocate(fd, 0, 1 << 20)
        self.assertEqual(os.fstat(fd).st_size, 1 << 20)
        os.close(fd)
        self.disk.lose_power()
        self.assertEqual(self.read("a"), b"old")

    def test_a_removed_file_comes_back_until_its_folder_is_synced(self):
        self.durable("a", b"old")
        os.unlink(self.path("a"))
        self.assertEqual(self.names(), [])
        self.disk.lose_power()
        self.assertEqual(self.read("a"), b"old")
        os.unlink(self.path("a"))
        self.sync(self.disk.volume)
        self.disk.lose_power()
        self.assertEqual(self.names(), [])

    def test_a_rename_over_a_file_is_taken_back_whole(self):
        self.durable("a", b"old")
        self.write("b", b"new", sync=True)
        self.sync(self.disk.volume)
        os.rename(self.path("b"), self.path("a"))
        self.assertEqual((self.names(), self.read("a")), (["a"], b"new"))
        self.disk.lose_power()
        self.assertEqual((self.read("a"), self.read("b")), (b"old", b"new"))
        os.rename(self.path("b"), self.path("a"))
        self.sync(self.disk.volume)
        self.disk.lose_power()
        self.assertEqual((self.names(), self.read("a")), (["a"], b"new"))

    def test_a_folder_that_was_not_synced_above_goes_with_all_in_it(self):
        os.mkdir(self.path("d"))
        self.write("d/a", b"x", sync=True)
        self.sync(self.path("d"))
        self.disk.lose_power()
        self.assertEqual(self.names(), [])

    def test_names_in_a_folder_that_was_renamed_are_taken_back_where_they_are(self):
        os.mkdir(self.path("d"))
        self.sync(self.disk.volume)
        self.write("d/a", b"x", sync=True)
        os.rename(self.path("d"), self.path("e"))
        self.sync(self.disk.volume)
        self.disk.lose_power()
        self.assertEqual((self.names(), os.listdir(self.path("e"))), (["e"], []))

    def test_a_removed_folder_comes_back(self):
        os.mkdir(self.path("d"))
        self.sync(self.disk.volume)
        os.rmdir(self.path("d"))
        self.disk.lose_power()
        self.assertEqual(self.names(), ["d"])

    def test_a_removed_folder_takes_what_was_removed_in_it_along(self):
        os.mkdir(self.path("d"))
        self.write("d/a", b"x", sync=True)
        self.sync(self.path("d"))
        self.sync(self.disk.volume)
        os.unlink(self.path("d/a"))
        os.rmdir(self.path("d"))
        self.sync(self.disk.volume)
        self.assertEqual(self.disk.lose_power(), "0 files, 0 names")
        self.assertEqual(self.names(), [])

    def test_a_link_is_a_name_like_others(self):
        self.durable("a", b"x")
        os.link(self.path("a"), self.path("b"))
        self.disk.lose_power()
        self.assertEqual(self.names(), ["a"])
        os.link(self.path("a"), self.path("b"))
        self.sync(self.disk.volume)
        os.unlink(self.path("a"))
        self.sync(self.disk.volume)
        self.disk.lose_power()
        self.assertEqual((self.names(), self.read("b")), (["b"], b"x"))

    def test_an_open_file_without_a_name_is_read_and_written(self):
        self.durable("a", b"old")
        with open(self.path("a"), "r+b", buffering=0) as file:
            os.unlink(self.path("a"))
            file.write(b"new")
            file.seek(0)
            self.assertEqual(file.read(), b"new")
            self.sync(self.disk.volume)
        self.disk.lose_power()
        self.assertEqual(self.names(), [])

    def test_syncs_that_lie_keep_nothing(self):
        self.durable("a", b"old")
        self.disk.lie(True)
        self.write("a", b"new", sync=True)
        self.durable("b", b"x")
        self.disk.lose_power()
        self.assertEqual((self.names(), self.read("a")), (["a"], b"old"))
        self.disk.lie(False)
        self.durable("b", b"x")
        self.disk.lose_power()
        self.assertEqual(self.names(), ["a", "b"])

    def test_on_a_full_disk_what_was_removed_gives_its_room_back(self):
        self.write("a", b"x" * (4 << 20), sync=True)
        self.disk.fill_to(0)
        os.unlink(self.path("a"))
        self.write("b", b"y" * (1 << 20))
        self.assertEqual(self.read("b"), b"y" * (1 << 20))
        self.assertGreater(os.statvfs(self.root).f_bavail, 0)
        self.disk.give_back()

    def test_a_journal_of_names_makes_all_durable_with_any_sync(self):
        self.disk.journal_names()
        self.write("a", b"x")
        self.write("b", b"x", sync=True)
        self.write("c", b"x")
        self.disk.lose_power()
        self.assertEqual((self.names(), self.read("a"), self.read("b")), (["a", "b"], b"", b"x"))

    def test_of_a_partial_loss_every_sector_is_old_or_new_or_never_written(self):
        kept = 0
        for seed in range(20):
            name = f"f{seed}"
            old, new = b"o" * 3 * PAGE, b"n" * 5 * PAGE
            self.durable(name, old)
            self.write(name, new)
            self.disk.lose_power(seed)
            found = self.read(name)
            self.assertGreaterEqual(len(found), len(old), f"seed {seed}")
            for at in range(0, len(found), SECTOR):
                part = found[at:at + SECTOR]
                possible = (b"n", b"o" if at < len(old) else b"\0")
                self.assertIn(part, [byte * len(part) for byte in possible], f"seed {seed} {at}")
            kept += found.count(b"n")
        self.assertGreater(kept, 0)
        self.assertLess(kept, 20 * 5 * PAGE)

    def test_of_a_partial_loss_the_first_changes_to_names_survive(self):
        counts = set()
        for seed in range(20):
            for number in range(5):
                self.write(f"{seed}-{number}", b"", sync=True)
            self.disk.lose_power(seed)
            found = [name for name in self.names() if name.startswith(f"{seed}-")]
            self.assertEqual(found, [f"{seed}-{number}" for number in range(len(found))])
            counts.add(len(found))
        self.assertGreater(len(counts), 2)

    def test_random_work_leaves_what_was_synced(self):
        """A model in memory beside it; the seed is printed when it fails."""
        seed = random.SystemRandom().getrandbits(32)
        chance = random.Random(seed)
        shown, disk = {}, {}  # name: bytes
        on_disk_names = {}  # name: file number, of names that are durable
        numbers = {}
        for step in range(400):
            name = chance.choice("abcd")
            what = chance.choice(("write", "write", "sync", "sync names", "remove", "rename",
                                  "truncate", "drop"))
            self.one_step(chance, what, name, step, shown, disk, numbers, on_disk_names)
            self.assertEqual({n: self.read(n) for n in self.names()},
                             {n: bytes(shown[numbers[n]]) for n in numbers},
                             f"seed {seed}, step {step}: {what} {name}")

    def one_step(self, chance, what, name, step, shown, disk, numbers, on_disk_names):
        """`shown` and `disk` hold content by file number, the two others names."""
        if what == "write":
            if name not in numbers:
                numbers[name] = step
                shown[step], disk[step] = bytearray(), b""
            content = shown[numbers[name]]
            offset = chance.randrange(len(content) + 1)
            data = chance.randbytes(chance.choice((1, 100, 5000)))
            content[offset:offset + len(data)] = data
            self.write(name, data, offset)
        elif what == "sync names":
            self.sync(self.disk.volume)
            on_disk_names.clear()
            on_disk_names.update(numbers)
        elif what == "drop":
            self.disk.lose_power()
            numbers.clear()
            numbers.update(on_disk_names)
            for number in disk:
                shown[number] = bytearray(disk[number])
        elif name not in numbers:
            return
        elif what == "sync":
            self.sync(self.path(name))
            disk[numbers[name]] = bytes(shown[numbers[name]])
        elif what == "remove":
            os.unlink(self.path(name))
            del numbers[name]
        elif what == "rename":
            other = chance.choice("abcd")
            os.rename(self.path(name), self.path(other))
            numbers[other] = numbers.pop(name)
        elif what == "truncate":
            content = shown[numbers[name]]
            size = chance.randrange(len(content) + 1)
            del content[size:]
            os.truncate(self.path(name), size)


def main():
    global PROGRAM, FOLDER
    if not sandbox.inside():
        code = sandbox.enter([os.path.abspath(__file__), *sys.argv[1:]])
        if code is not None:
            return code
        print("no namespaces can be made here")
        return CANNOT
    PROGRAM = disks.unsync_program(os.path.abspath(sys.argv[1]))
    if why_not := disks.why_no_power_loss(PROGRAM):
        print(why_not)
        return CANNOT
    FOLDER = sandbox.settle_in()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Forgets)
    return 0 if unittest.TextTestRunner(verbosity=1).run(suite).wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
