"""The published commands, verbatim: what Arima's users already have in their scripts.

Only the ports and the directory are exchanged for free ones, in the commands and in the expected
answers alike (docs/design/http-api.md 1.2 and 1.3).
"""

import json
import os
import re
import shlex
import subprocess
import unittest

import harness
from harness import Node, NodeTest, short, wait_until
from test_cli import HELP

RUN = [
    "arima run --server-port 2221 --node-id n1 --raft-port 1111 --volume-dir /tmp/arima/n1",
    "arima run --server-port 2222 --node-id n2 --raft-port 1112 --volume-dir /tmp/arima/n2",
    "arima run --server-port 2223 --node-id n3 --raft-port 1113 --volume-dir /tmp/arima/n3",
]
JOIN_N2 = """curl --location --request POST 'localhost:2221/raft/join' \\
--header 'Content-Type: application/json' \\
--data-raw '{
    "node_id": "n2",
    "raft_address": "127.0.0.1:1112"
}'"""
JOIN_N3 = """curl --location --request POST 'localhost:2221/raft/join' \\
--header 'Content-Type: application/json' \\
--data-raw '{
    "node_id": "n3",
    "raft_address": "127.0.0.2:1113"
}'"""
STATS = "curl --location --request GET 'localhost:2221/raft/stats'"
POST = """curl --location --request POST 'localhost:2221/store/' \\
--header 'Content-Type: application/json' \\
--data-raw '{
    "key": "hello",
    "value": "world"
}'"""
GET = "curl --location --request GET 'localhost:2221/store/hello'"
DELETE = "curl --location --request DELETE 'localhost:2221/store/hello'"
REMOVE = """curl --location --request POST 'localhost:2221/raft/remove' \\
--header 'Content-Type: application/json' \\
--data-raw '{
    "node_id": "n2"
}'"""

STATS_NAMES = {
    "state", "term", "last_log_index", "last_log_term", "commit_index", "applied_index",
    "fsm_pending", "last_snapshot_index", "last_snapshot_term", "num_peers", "last_contact",
    "latest_configuration", "latest_configuration_index", "protocol_version", "node_id",
    "leader_id", "cluster_id"}
NUMBERS = {
    "term", "last_log_index", "last_log_term", "commit_index", "applied_index", "fsm_pending",
    "last_snapshot_index", "last_snapshot_term", "num_peers", "latest_configuration_index",
    "protocol_version"}
DURATION = re.compile(r"^(0|never|([0-9.]+h)?([0-9.]+m)?[0-9.]+(s|ms|µs|ns))$")


class PublishedNode(Node):
    """A node started by the published command line."""

    def __init__(self, number, directory):
        super().__init__(f"n{number}", directory, "127.0.0.2" if number == 3 else "127.0.0.1")
        self.number = number

    @property
    def command(self):
        line = RUN[self.number - 1].replace("/tmp/arima/n", os.path.dirname(self.volume) + "/n")
        line = line.replace(f"222{self.number}", str(self.http_port))
        line = line.replace(f"111{self.number}", str(self.raft_port))
        program, *arguments = shlex.split(line)
        assert program == "arima"
        return [harness.Settings.binary, *arguments]


class PublishedCommands(NodeTest):
    def setUp(self):
        super().setUp()
        for number in (1, 2, 3):
            node = PublishedNode(number, self.directory)
            self.nodes.append(node)
            node.start()
        self.n1, self.n2, self.n3 = self.nodes

    def at_free_ports(self, text):
        for number, node in enumerate(self.nodes, 1):
            text = text.replace(f"222{number}", str(node.http_port))
            text = text.replace(f"111{number}", str(node.raft_port))
        return text

    def curl(self, command):
        """Runs the command in a shell and returns the answer as JSON."""
        command = self.at_free_ports(command).replace("curl ", "curl --silent --show-error ", 1)
        result = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, check=False,
                                capture_output=True, timeout=harness.seconds(60), text=True)
        self.assertEqual(result.returncode, 0, f"{command}\n{result.stderr}")
        return json.loads(result.stdout)

    def assert_stats(self, data, **expected):
        """All published names, strings all of them, in the forms users know."""
        self.assertLessEqual(STATS_NAMES, set(data))
        for name, value in data.items():
            self.assertIsInstance(value, str, name)
        for name in NUMBERS:
            self.assertRegex(data[name], r"^[0-9]+$", name)
        self.assertIn(data["state"], ("Leader", "Follower", "Candidate", "Shutdown"))
        self.assertRegex(data["last_contact"], DURATION)
        for name, value in expected.items():
            self.assertEqual(data[name], value, name)

    def configuration(self, *numbers):
        members = []
        for number in numbers:
            node = self.nodes[number - 1]
            members.append(f"{{Suffrage:Voter ID:{node.name} Address:{node.raft_address}}}")
        return "[" + " ".join(members) + "]"

    def join(self, command, node):
        """200 "joined successfully"; a 202 meanwhile is repeated, as the contract says."""
        def joined():
            answer = self.curl(command)
            self.assertEqual(set(answer), {"message", "data"}, answer)
            if answer["message"].endswith("is catching up"):
                return None
            return answer
        answer = wait_until(joined, f"{node.name} joins", 60)
        self.assertEqual(answer["message"],
                         f"node {node.name} at {node.raft_address} joined successfully")
        return answer["data"]

    @short
    def test_form_a_cluster_write_read_and_remove(self):
        # Each fresh node leads a cluster of its own and takes writes at once.
        answer = self.curl(STATS)
        self.assertEqual(answer["message"], "Here is the raft status")
        self.assertEqual(set(answer), {"message", "data"})
        self.assert_stats(answer["data"], state="Leader", num_peers="0", node_id="n1",
                          leader_id="n1", last_contact="0",
                          latest_configuration=self.configuration(1))

        stats = self.join(JOIN_N2, self.n2)
        self.assert_stats(stats, state="Leader", num_peers="1",
                          latest_configuration=self.configuration(1, 2))
        stats = self.join(JOIN_N3, self.n3)
        self.assert_stats(stats, state="Leader", num_peers="2",
                          latest_configuration=self.configuration(1, 2, 3))

        cluster_id = self.curl(STATS)["data"]["cluster_id"]
        for number, state in [(1, "Leader"), (2, "Follower"), (3, "Follower")]:
            stats_command = STATS.replace("2221", f"222{number}")
            wait_until(lambda c=stats_command: self.curl(c)["data"]["num_peers"] == "2",
                       f"n{number} knows the three", 15)
            answer = self.curl(stats_command)
            self.assertEqual(answer["message"], "Here is the raft status")
            self.assert_stats(answer["data"], state=state, num_peers="2", node_id=f"n{number}",
                              leader_id="n1", cluster_id=cluster_id,
                              latest_configuration=self.configuration(1, 2, 3))

        # Data: write to one, read from any.
        stored = {"data": {"key": "hello", "value": "world"}, "message": "success fetching data"}
        self.assertEqual(self.curl(POST), stored)
        for port in ("2221", "2222", "2223"):
            self.assertEqual(self.curl(GET.replace("2221", port)), stored)
        # Writes at a follower are forwarded to the leader.
        self.assertEqual(self.curl(POST.replace("2221", "2222").replace("world", "again")),
                         {"data": {"key": "hello", "value": "again"},
                          "message": "success fetching data"})
        self.assertEqual(self.curl(GET)["data"]["value"], "again")
        self.assertEqual(self.curl(DELETE.replace("2221", "2223")),
                         {"data": {"key": "hello", "value": None},
                          "message": "success removing data"})
        self.assert_error(self.n2.get("hello"), 404)

        answer = self.curl(REMOVE)
        self.assertEqual(set(answer), {"message", "data"})
        self.assertEqual(answer["message"], "node n2 removed successfully")
        self.assert_stats(answer["data"], num_peers="1",
                          latest_configuration=self.configuration(1, 3))

    def test_a_fresh_node_takes_writes_at_once(self):
        for node in self.nodes:
            stored = {"data": {"key": "hello", "value": "world"},
                      "message": "success fetching data"}
            port = str(node.http_port)
            self.assertEqual(self.curl(POST.replace("2221", port)), stored)
            self.assertEqual(self.curl(GET.replace("2221", port)), stored)

    def test_post_without_the_slash_is_the_same(self):
        self.assertEqual(self.curl(POST.replace("/store/", "/store")),
                         {"data": {"key": "hello", "value": "world"},
                          "message": "success fetching data"})
        self.assertEqual(self.curl(GET)["data"]["value"], "world")


class Readme(unittest.TestCase):
    def test_the_readme_shows_the_commands_that_are_tested(self):
        with open(os.path.join(harness.REPOSITORY, "README.md"), encoding="utf-8") as file:
            text = file.read()
        for command in (*RUN, JOIN_N2, JOIN_N3, STATS, POST, GET, DELETE, REMOVE, HELP):
            with self.subTest(command):
                self.assertIn(command, text)
