"""The command line: help to the letter, aliases, defaults, and one clear line when start fails."""

import ctypes
import os
import re
import socket
import subprocess

import harness
from harness import Node, NodeTest, clean_environment, free_port, seconds, short, wait_until

SYS_PIDFD_GETFD = 438

HELP = """NAME:
   arima - A simple fault tolerant key-value store

USAGE:
   arima [global options] command [command options] [arguments...]

DESCRIPTION:
   A distributed fault-tolerant key-value store which uses Raft for consensus.

COMMANDS:
   run, r   Run the server
   help, h  Shows a list of commands or help for one command

GLOBAL OPTIONS:
   --help, -h  show help (default: false)
"""


def arima(*arguments, env=None, cwd=None):
    """Runs the program to its end."""
    return subprocess.run([harness.Settings.binary, *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=seconds(20), cwd=cwd,
                          env={**clean_environment(), **(env or {})}, check=False)


def without_further_commands(text):
    """Commands beside the published two may be listed, under COMMANDS only."""
    head, _, rest = text.partition("COMMANDS:\n")
    commands, _, tail = rest.partition("\n\n")
    kept = [line for line in commands.split("\n") if re.match(r"   (run, r|help, h) ", line)]
    return f"{head}COMMANDS:\n" + "\n".join(kept) + f"\n\n{tail}"


class Help(NodeTest):
    @short
    def test_help_is_the_published_text(self):
        for arguments in (["--help"], ["-h"], ["help"], ["h"]):
            with self.subTest(arguments):
                result = arima(*arguments)
                self.assertEqual(result.returncode, 0)
                self.assertEqual(result.stderr, "")
                self.assertEqual(without_further_commands(result.stdout), HELP)

    def test_run_lists_its_flags_with_defaults(self):
        for arguments in (["run", "--help"], ["help", "run"], ["r", "-h"]):
            with self.subTest(arguments):
                result = arima(*arguments)
                self.assertEqual(result.returncode, 0)
                for flag, default in [("--server-port", "2221"), ("--node-id", "n1"),
                                      ("--raft-port", "1111"), ("--volume-dir", "./arima-data")]:
                    lines = [line for line in result.stdout.split("\n") if flag in line]
                    self.assertTrue(lines, flag)
                    self.assertTrue(any(default in line for line in lines), lines)


class ShortFlagsNode(Node):
    @property
    def command(self):
        return [harness.Settings.binary, "r", "-s", str(self.http_port), "-i", self.name, "-r",
                str(self.raft_port), "-v", self.volume]


class Start(NodeTest):
    def run_arguments(self, **changed):
        """Arguments for a start on free ports, some of them changed."""
        values = {"server-port": free_port(), "node-id": "n1", "raft-port": free_port(),
                  "volume-dir": os.path.join(self.directory, "volume"), **changed}
        arguments = ["run"]
        for name, value in values.items():
            arguments += [f"--{name}", str(value)]
        return arguments

    def assert_refused(self, result, *mentions):
        """One clear line on stderr, exit code not 0."""
        self.assertNotEqual(result.returncode, 0, result)
        self.assertGreater(result.returncode, 0, f"ended by a signal: {result}")
        self.assertEqual(len(result.stderr.strip().split("\n")), 1, result.stderr)
        self.assertGreater(len(result.stderr.strip()), 10)
        for mention in mentions:
            self.assertIn(mention, result.stderr)

    @short
    def test_short_flags_and_the_alias_r(self):
        node = ShortFlagsNode("short", self.directory)
        self.nodes.append(node)
        node.start()
        stats = node.stats()
        self.assertEqual(stats["node_id"], "short")
        self.assertIn(f"Address:127.0.0.1:{node.raft_port}", stats["latest_configuration"])

    def test_without_flags_it_runs_on_the_defaults(self):
        """Where somebody holds a default port, the refusal names that port."""
        with subprocess.Popen([harness.Settings.binary, "run"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              cwd=self.directory, env=clean_environment()) as process:
            node = self.new_node(start=False)
            node.http_port = 2221
            try:
                wait_until(lambda: process.poll() is not None or node.stats()["node_id"] == "n1",
                           "arima run answers on 2221")
                if process.poll() is None:
                    stats = node.stats()
                    self.assertIn("Address:127.0.0.1:1111", stats["latest_configuration"])
                    self.assertTrue(os.path.isdir(os.path.join(self.directory, "arima-data")))
                    process.terminate()
                    process.communicate(timeout=seconds(20))
                    self.assertEqual(process.returncode, 0)
                else:
                    error = process.communicate()[1]
                    self.assertNotEqual(process.returncode, 0)
                    self.assertRegex(error, "2221|1111")
            finally:
                if process.poll() is None:
                    process.kill()

    @short
    def test_a_port_that_is_no_port_is_refused(self):
        for flag in ("server-port", "raft-port"):
            for value in ("http", "", "-1", "65536", "22x", "2221.0", "99999999999999999999"):
                with self.subTest(flag=flag, value=value):
                    result = arima(*self.run_arguments(**{flag: value}))
                    self.assert_refused(result, flag)

    def test_a_port_in_use_is_refused(self):
        for flag in ("server-port", "raft-port"):
            with self.subTest(flag), socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                taken.listen()
                port = taken.getsockname()[1]
                self.assert_refused(arima(*self.run_arguments(**{flag: port})), str(port))

    def test_a_directory_that_cannot_be_written_is_refused(self):
        file = os.path.join(self.directory, "file")
        with open(file, "w", encoding="ascii"):
            pass
        for path in (file, os.path.join(file, "below"), "/proc/arima-volume"):
            with self.subTest(path):
                self.assert_refused(arima(*self.run_arguments(**{"volume-dir": path})), path)

    def test_a_directory_in_use_is_refused_and_its_owner_unharmed(self):
        node = self.new_node()
        self.assert_status(node.put("a", "1"), 200)
        result = arima(*self.run_arguments(**{"volume-dir": node.volume}))
        self.assert_refused(result, node.volume)
        self.assert_value(node.get("a"), "a", "1")

    def test_another_name_for_a_used_directory_is_refused(self):
        node = self.new_node()
        self.assertEqual(node.stop(), 0)
        result = arima(*self.run_arguments(**{"volume-dir": node.volume, "node-id": "n2"}))
        self.assert_refused(result, "n1", "n2")
        node.start()
        self.assertEqual(node.stats()["node_id"], "n1")

    def test_an_unknown_command_or_flag_is_refused(self):
        for arguments in (["frobnicate"], ["run", "--no-such-flag"], ["--no-such-flag"]):
            with self.subTest(arguments):
                result = arima(*arguments)
                self.assertGreater(result.returncode, 0)
                self.assertIn(arguments[-1].strip("-"), result.stderr + result.stdout)

    def test_environment_sets_what_flags_do_not(self):
        """Flag > environment > file > default (docs/design/http-api.md 2.8)."""
        result = arima(*self.run_arguments(**{"server-port": "wrong"}),
                       env={"ARIMA_SERVER_PORT": str(free_port())})
        self.assert_refused(result, "--server-port", "wrong")
        arguments = self.run_arguments()
        position = arguments.index("--server-port")
        del arguments[position:position + 2]
        self.assert_refused(arima(*arguments, env={"ARIMA_SERVER_PORT": "environment"}),
                            "ARIMA_SERVER_PORT")

    @short
    def test_nothing_listens_beyond_loopback_by_default(self):
        """Raft on the whole loopback network, HTTP on 127.0.0.1 and ::1, nothing elsewhere."""
        node = self.new_node()
        for host in ("127.0.0.1", "127.0.0.2", "127.9.8.7"):
            socket.create_connection((host, node.raft_port), seconds(5)).close()
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.2", node.http_port), seconds(5))
        seen = set()
        for listener in listeners_of(node.process.pid):
            host, port = listener.getsockname()[:2]
            device = listener.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
            seen.add(port)
            self.assertTrue(host == "::1" or host.startswith("127.")
                            or device.rstrip(b"\0") == b"lo", f"{host}:{port} on {device}")
            listener.close()
        self.assertEqual(seen, {node.http_port, node.raft_port})

    def test_http_answers_on_ipv6_loopback_too(self):
        node = self.new_node()
        try:
            connection = socket.create_connection(("::1", node.http_port), seconds(5))
        except OSError as error:
            with socket.socket(socket.AF_INET6) as probe:
                try:
                    probe.bind(("::1", 0))
                except OSError:
                    self.skipTest("no IPv6 on this machine")
            raise error
        with connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertIn(b" 200 ", connection.recv(100))


def listeners_of(pid):
    """Copies of the listening sockets of a process: the only way to see their device."""
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                continue
        except FileNotFoundError:
            continue
        copy = libc.syscall(SYS_PIDFD_GETFD, process, int(name), 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        candidate = socket.socket(fileno=copy)
        if candidate.family in (socket.AF_INET, socket.AF_INET6) and candidate.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            found.append(candidate)
        else:
            candidate.close()
    os.close(process)
    return found
