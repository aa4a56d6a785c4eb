"""script/server as a newcomer sees it (its build step aside): three nodes, URLs, Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

import harness
from harness import clean_environment, free_port, seconds, wait_until

SCRIPT = os.path.join(harness.REPOSITORY, "script", "local_cluster.py")


class LocalCluster:
    def __init__(self, environment):
        self.process = subprocess.Popen(
            [sys.executable, "-u", SCRIPT, harness.Settings.binary], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        self.lines = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def text(self):
        return "\n".join(self.lines)

    def wait_says(self, text, within_s=90):
        def says():
            if text in self.text():
                return True
            assert self.process.poll() is None, f"ended early:\n{self.text()}"
            return False
        wait_until(says, f"it says {text!r}", within_s)

    def end(self, number):
        self.process.send_signal(number)
        code = self.process.wait(seconds(60))
        self.reader.join()
        return code


class ScriptServer(unittest.TestCase):
    timeout_s = 240

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="arima-test-")
        self.addCleanup(folder.cleanup)
        self.ports = [str(free_port()) for _ in range(3)]
        self.environment = {
            **clean_environment(), "CLUSTER_DATA": folder.name,
            "CLUSTER_SERVER_PORTS": " ".join(self.ports),
            "CLUSTER_RAFT_PORTS": " ".join(str(free_port()) for _ in range(3))}
        self.cluster = None

    def start(self):
        self.cluster = LocalCluster(self.environment)
        self.addCleanup(self.end_if_running, self.cluster)
        self.cluster.wait_says("Ctrl-C ends the three nodes")

    def end_if_running(self, cluster):
        if cluster.process.poll() is None:
            cluster.end(signal.SIGTERM)
        cluster.process.stdout.close()

    def describe_nodes(self):
        return self.cluster.text() if self.cluster else ""

    def run_printed_curls(self):
        """The lines under "Try:", as they are."""
        commands = [line.strip() for line in self.cluster.lines
                    if line.startswith("  curl ")]
        self.assertEqual(len(commands), 3, commands)
        answers = []
        for command in commands:
            result = subprocess.run(["bash", "-c", command.replace("curl ", "curl -sS ", 1)],
                                    capture_output=True, text=True, check=True,
                                    stdin=subprocess.DEVNULL, timeout=seconds(30))
            answers.append(json.loads(result.stdout))
        return answers

    def test_forms_serves_ends_and_comes_back(self):
        self.start()
        for name, port in zip(("n1", "n2", "n3"), self.ports):
            self.assertIn(f"{name}  http://localhost:{port}", self.cluster.text())
            self.assertIn(f"\n{name} | ", self.cluster.text())
        stored = {"data": {"key": "hello", "value": "world"}, "message": "success fetching data"}
        written, read, stats = self.run_printed_curls()
        self.assertEqual((written, read), (stored, stored))
        self.assertEqual(stats["data"]["num_peers"], "2")
        joins = [line for line in self.cluster.lines if line.startswith("$ curl")]
        self.assertEqual(len(joins), 2)
        self.assertIn('"127.0.0.2:', joins[1])
        self.assertEqual(self.cluster.end(signal.SIGINT), 0, self.cluster.text())
        self.assertIn("all three nodes ended cleanly", self.cluster.text())

        # Again on the same directories: nothing to join, the data is there.
        self.start()
        self.assertIn("nothing to join", self.cluster.text())
        self.assertEqual([l for l in self.cluster.lines if l.startswith("$ curl")], [])
        self.assertEqual(self.run_printed_curls()[1], stored)
        self.assertEqual(self.cluster.end(signal.SIGTERM), 0, self.cluster.text())

    def test_a_node_that_dies_is_reported(self):
        self.start()
        victim = self.pid_of("n2")
        os.kill(victim, signal.SIGKILL)
        self.cluster.wait_says("node n2 ended (killed by signal 9); the others go on")
        self.assertEqual(self.run_printed_curls()[0]["data"]["value"], "world")
        self.assertEqual(self.cluster.end(signal.SIGINT), 1, self.cluster.text())

    def pid_of(self, name):
        """Of the child process that runs this node."""
        path = f"/proc/{self.cluster.process.pid}/task/{self.cluster.process.pid}/children"
        with open(path, encoding="ascii") as file:
            children = file.read().split()
        for child in children:
            with open(f"/proc/{child}/cmdline", "rb") as file:
                if re.search(rf"--node-id\x00{name}\x00".encode(), file.read()):
                    return int(child)
        raise AssertionError(f"no child runs {name}: {children}")
