"""The harness of tests/chaos: it does what it says, finds what it is there to find, leaves nothing.

Long runs are script/chaos and a step of .ci/run; here are short ones, and planted faults.
"""

import os
import signal
import subprocess
import sys
import tempfile
import unittest
import uuid

import harness
from harness import REPOSITORY, Settings, seconds, short, wait_until

CHAOS = os.path.join(REPOSITORY, "tests", "chaos")
CANNOT = 3
RUN_MARK = "CHAOS_TEST_RUN"


def python(script, *arguments, **more):
    return subprocess.Popen([sys.executable, "-B", os.path.join(CHAOS, script), *arguments],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, start_new_session=True, **more)


def processes_of(run):
    """Those that were started by this run, however far down."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if run.encode() in file.read():
                    found.append(int(pid))
        except OSError:
            continue
    return found


class ChaosTest(unittest.TestCase):
    timeout_s = 180

    def start(self, *arguments):
        self.run_id = str(uuid.uuid4())
        process = python("chaos.py", "--binary", Settings.binary, "--slow", str(Settings.slow),
                         *arguments, env={**harness.clean_environment(), RUN_MARK: self.run_id})
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()

    def chaos(self, *arguments):
        """Exit code and what was printed."""
        process = self.start(*arguments)
        text = process.communicate(timeout=seconds(170))[0]
        return process.returncode, text

    def need_sandbox(self):
        done = subprocess.run([sys.executable, "-B", "-c", "import sandbox, sys; "
                               "sys.exit(sandbox.unshare_command() is None)"], cwd=CHAOS,
                              check=False)
        if done.returncode != 0:
            raise unittest.SkipTest("no namespaces can be made here")


class Unsync(ChaosTest):
    def test_the_file_system_that_forgets_does_so(self):
        process = python("unsync_check.py", Settings.binary)
        self.addCleanup(self.end, process)
        text = process.communicate(timeout=seconds(100))[0]
        if process.returncode == CANNOT:
            raise unittest.SkipTest(text.strip().splitlines()[-1])
        self.assertEqual(process.returncode, 0, text)


class Chaos(ChaosTest):
    @short
    def test_a_run_with_all_faults_of_this_machine(self):
        code, text = self.chaos("--seconds", str(harness.rounds(15, 8)))
        self.assertEqual(code, 0, text)
        self.assertIn("checker: linearizable", text)
        self.assertRegex(text, r"put: .*\d+ ok")

    def test_a_run_on_loopback_addresses_says_what_it_leaves_out(self):
        code, text = self.chaos("--seconds", "6", "--no-sandbox")
        self.assertEqual(code, 0, text)
        for kind in ("partition", "loss", "disk", "unsync"):
            self.assertRegex(text, f"skipped {kind}: .+")
        self.assertNotIn("skipped kill", text)

    def test_stale_reads_taken_for_linearizable_ones_are_found(self):
        self.need_sandbox()
        code, text = self.chaos("--plant", "stale-reads", "--seconds", "10")
        self.assertEqual(code, 0, text)
        self.assertIn("checker: VIOLATED", text)

    def test_writes_that_were_lost_with_lying_disks_are_found(self):
        self.need_sandbox()
        code, text = self.chaos("--plant", "lost-syncs")
        if "skipped unsync" in text:
            raise unittest.SkipTest("no unsync_fs, or no /dev/fuse, here")
        self.assertEqual(code, 0, text)
        self.assertIn("checker: VIOLATED", text)


class LeavesNothing(ChaosTest):
    def run_until_faults(self, *arguments):
        process = self.start("--seconds", "100", "--faults", "kill,pause,disk,unsync", *arguments)
        for line in process.stdout:
            if "faults:" in line:
                break
        self.assertGreater(len(processes_of(self.run_id)), 3)
        return process

    def assert_nothing_left(self):
        wait_until(lambda: not processes_of(self.run_id), "all its processes are gone", 20)
        with open("/proc/self/mounts", encoding="utf-8") as file:
            self.assertNotIn("arima-chaos", file.read())

    def test_when_it_is_killed(self):
        self.need_sandbox()
        process = self.run_until_faults()
        process.kill()
        self.assert_nothing_left()

    def test_when_it_is_asked_to_end(self):
        self.need_sandbox()
        process = self.run_until_faults()
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        self.assertNotEqual(process.wait(seconds(30)), 0)
        self.assert_nothing_left()

    def test_when_it_is_killed_on_loopback_addresses(self):
        process = self.run_until_faults("--no-sandbox")
        folders = self.folders_of(process.pid)
        self.assertEqual(len(folders), 1)
        process.kill()
        process.wait()
        self.assert_nothing_left()
        # The data is left, for the next start to remove.
        subprocess.run([sys.executable, "-B", "-c", "import sandbox; sandbox.remove_left_overs()"],
                       cwd=CHAOS, check=True)
        self.assertEqual(self.folders_of(process.pid), [])

    def folders_of(self, pid):
        return [name for name in os.listdir(tempfile.gettempdir())
                if name.startswith(f"arima-chaos-{pid}-")]
