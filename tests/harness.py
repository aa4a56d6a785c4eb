"""Real processes for tests: nodes in temporary directories on free loopback ports.

Rules: a test waits for facts with deadlines (wait_until), never for time to pass. Nodes end by
their own process id. A node that ends without being asked to, that does not exit 0 on SIGTERM, or
that prints a failed assertion or a sanitizer report fails the test. What the nodes logged is shown
when a test fails (run.py).
"""

import contextlib
import ctypes
import errno
import http.client
import json
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.parse

REPOSITORY = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
POLL_S = 0.02
LOG_TAIL_BYTES = 6000
PR_SET_PDEATHSIG = 1
# Below the range from which the kernel picks ports of outgoing connections.
PORTS = range(15000, 28000)
LOG_ALARMS = re.compile(rb"assertion failed|Sanitizer|runtime error:|terminate called")


class Settings:
    binary = os.path.join(REPOSITORY, "build", "release", "arima")
    slow = 1.0  # factor on every deadline, for sanitizer builds
    short = False  # fewer rounds


def rounds(normal, short):
    return short if Settings.short else normal


def short(test):
    """Marks a test for the list that also runs on the slow sanitizer builds."""
    test.is_short = True
    return test


def seconds(value):
    return value * Settings.slow


class Timeout(AssertionError):
    pass


def wait_until(fact, what, within_s=15, poll_s=POLL_S):
    """Polls until fact() is true and returns its value; network errors count as not yet."""
    deadline = time.monotonic() + seconds(within_s)
    last = None
    while True:
        try:
            last = fact()
            if last:
                return last
        except (OSError, http.client.HTTPException) as error:
            last = error
        if time.monotonic() > deadline:
            raise Timeout(f"not within {seconds(within_s):.0f} s: {what} (last seen: {last!r})")
        time.sleep(poll_s)


used_ports = set()


def free_port():
    """A port nobody listens on, on no address; not given out twice."""
    for _ in range(1000):
        port = random.choice(PORTS)
        if port in used_ports:
            continue
        try:
            with socket.socket() as v4:
                v4.bind(("0.0.0.0", port))
            if socket.has_ipv6:
                with socket.socket(socket.AF_INET6) as v6:
                    v6.bind(("::", port))
        except OSError as error:
            if error.errno != errno.EAFNOSUPPORT:  # without IPv6, the IPv4 check decides
                continue
        used_ports.add(port)
        return port
    raise AssertionError("no free port found")


def clean_environment():
    """Without ARIMA_... settings of the person who runs the tests."""
    return {k: v for k, v in os.environ.items() if not k.startswith("ARIMA_")}


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise AssertionError(f"not JSON: {self}") from None

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:400]!r}>"


def fetch(connection, method, target, body=None, headers=None):
    """One request on an open http.client connection. A dict as body is sent as JSON."""
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
        headers.setdefault("Content-Type", "application/json")
    if isinstance(body, str):
        body = body.encode()
    connection.request(method, target, body, headers)
    response = connection.getresponse()
    return Response(response.status, response.headers, response.read())


def key_target(key, query=""):
    """The request target of a key: every byte that is not plain is percent-encoded."""
    raw = key if isinstance(key, bytes) else key.encode()
    return "/store/" + urllib.parse.quote(raw, safe="") + query


class RawConnection:
    """A socket on which anything can be said, and from which HTTP answers can be read."""

    def __init__(self, port, timeout_s=10, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), seconds(timeout_s))
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def send_lenient(self, data):
        """Sends as much as the other side takes; a connection cut meanwhile is fine."""
        try:
            self.send(data)
        except OSError:
            pass

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def read_some(self):
        try:
            return self.socket.recv(65536)
        except ConnectionError:
            return b""

    def read_until(self, mark):
        while mark not in self.buffer:
            chunk = self.read_some()
            if not chunk:
                raise EOFError(f"closed after {self.buffer[:200]!r}")
            self.buffer += chunk
        head, _, self.buffer = self.buffer.partition(mark)
        return head

    def read_response(self):
        """The next answer, or None when the server closed without one."""
        try:
            head = self.read_until(b"\r\n\r\n").decode("latin-1")
        except EOFError:
            return None
        status_line, *lines = head.split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        while len(self.buffer) < length:
            chunk = self.read_some()
            if not chunk:
                raise AssertionError(f"answer cut short: {head!r} {self.buffer!r}")
            self.buffer += chunk
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Response(int(status_line.split()[1]), headers, body)

    def is_closed_within(self, within_s):
        """True when the server closes (whatever it still says) before the time is over."""
        self.socket.settimeout(seconds(within_s))
        try:
            while self.read_some():
                pass
            return True
        except socket.timeout:
            return False

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def throw_garbage_at(port):
    """Bytes that are no protocol, short and long, and connections that say nothing."""
    pieces = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"", b"\x00" * 4096, b"\xff" * 4096,
              bytes(range(256)) * 64, (0xFFFFFFFF).to_bytes(4, "little") * 8,
              (1 << 31).to_bytes(8, "little") * 64]
    pieces += [os.urandom(size) for size in (1, 7, 8, 16, 64, 1000, 100_000)]
    pieces += [os.urandom(random.randrange(200)) for _ in range(rounds(100, 20))]
    for piece in pieces:
        with RawConnection(port) as connection:
            connection.send_lenient(piece)
            with contextlib.suppress(OSError):
                connection.half_close()
    silent = [RawConnection(port) for _ in range(20)]
    for connection in silent:
        connection.close()


class Node:
    """One process. Ports and directory stay the same over restarts."""

    def __init__(self, name, directory, raft_host="127.0.0.1", extra=()):
        self.name = name
        self.http_port = free_port()
        self.raft_port = free_port()
        self.raft_host = raft_host
        self.volume = os.path.join(directory, name)
        self.log_path = os.path.join(directory, f"{name}.log")
        self.extra = list(extra)
        self.environment = {}  # besides what the tests run with
        self.http_host = "127.0.0.1"
        self.prefix = []  # a command that runs it somewhere else, e.g. in a network namespace
        self.process = None
        self.expected_end = False
        self.paused = False

    @property
    def raft_address(self):
        return f"{self.raft_host}:{self.raft_port}"

    @property
    def command(self):
        return [Settings.binary, "run", "--server-port", str(self.http_port), "--node-id",
                self.name, "--raft-port", str(self.raft_port), "--volume-dir", self.volume,
                *self.extra]

    # Start from the main thread only: the kernel ends the process with the thread that started it.
    def start(self, wait=True):
        assert not self.is_running(), f"{self.name} runs already"
        os.makedirs(self.volume, exist_ok=True)
        libc = ctypes.CDLL(None)
        with open(self.log_path, "ab") as log:
            log.write(f"--- {shlex.join(self.command)}\n".encode())
            log.flush()
            self.process = subprocess.Popen(
                [*self.prefix, *self.command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**clean_environment(), **self.environment}, start_new_session=True,
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        self.expected_end = False
        self.paused = False
        if wait:
            self.wait_answers()

    def wait_answers(self):
        def answers():
            if not self.is_running():
                raise AssertionError(
                    f"{self.name} ended at start: {self.exit_code()}\n{self.log()}")
            return self.request("GET", "/livez").status == 200
        wait_until(answers, f"{self.name} answers", 30)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def exit_code(self):
        return self.process.poll()

    def kill(self):
        """kill -9: nothing is flushed, nothing is said."""
        self.expected_end = True
        self.process.kill()
        self.process.wait(seconds(10))

    def terminate(self):
        """SIGTERM, without waiting."""
        self.expected_end = True
        self.process.send_signal(signal.SIGTERM)

    def wait_exit(self, within_s=20):
        try:
            return self.process.wait(seconds(within_s))
        except subprocess.TimeoutExpired:
            raise Timeout(
                f"{self.name} still runs {seconds(within_s):.0f} s after SIGTERM") from None

    def stop(self):
        self.terminate()
        return self.wait_exit()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        self.paused = True
        wait_until(lambda: self.run_state() == "T", f"{self.name} is stopped")

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def run_state(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0]

    def connect(self, timeout_s=20):
        return http.client.HTTPConnection(self.http_host, self.http_port,
                                          timeout=seconds(timeout_s))

    def request(self, method, target, body=None, headers=None, timeout_s=20):
        connection = self.connect(timeout_s)
        try:
            return fetch(connection, method, target, body, headers)
        finally:
            connection.close()

    def stats(self):
        response = self.request("GET", "/raft/stats")
        assert response.status == 200, response
        return response.json()["data"]

    def try_stats(self):
        """As stats(), {} when the node does not answer."""
        if not self.is_running() or self.paused:
            return {}
        try:
            return self.stats()
        except (OSError, http.client.HTTPException):
            return {}

    def put(self, key, value, query="", **more):
        return self.request("POST", "/store/" + query, {"key": key, "value": value}, **more)

    def get(self, key, query="", **more):
        return self.request("GET", key_target(key, query), **more)

    def delete(self, key, query="", **more):
        return self.request("DELETE", key_target(key, query), **more)

    def join(self, other, **more):
        return self.request("POST", "/raft/join", {"node_id": other.name,
                                                   "raft_address": other.raft_address},
                            timeout_s=60, **more)

    def remove(self, name, **more):
        return self.request("POST", "/raft/remove", {"node_id": name, **more}, timeout_s=60)

    def transfer(self, name=None, query=""):
        """Hands leadership to that node; without a name, to any."""
        body = {} if name is None else {"node_id": name}
        return self.request("POST", "/raft/transfer" + query, body, timeout_s=60)

    def members(self):
        """By name. Of two members of one name, the newer one."""
        response = self.request("GET", "/raft/members")
        assert response.status == 200, response
        return {member["name"]: member for member in response.json()["data"]}

    def log(self, tail_bytes=LOG_TAIL_BYTES):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, "rb") as file:
            data = file.read()
        return data[-tail_bytes:].decode(errors="replace")

    def alarms(self):
        """Lines of the log that no run may contain."""
        if not os.path.exists(self.log_path):
            return []
        with open(self.log_path, "rb") as file:
            return [line.decode(errors="replace").rstrip() for line in file
                    if LOG_ALARMS.search(line)]


class NodeTest(unittest.TestCase):
    """A test with nodes of its own. tearDown ends them and checks that they ended well."""

    timeout_s = 120  # of one test, before the factor for slow builds

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="arima-test-")
        self.addCleanup(folder.cleanup)
        self.directory = folder.name
        self.nodes = []
        self.addCleanup(self.end_nodes)

    def new_node(self, name="n1", start=True, **more):
        node = Node(name, self.directory, **more)
        self.nodes.append(node)
        if start:
            node.start()
            wait_until(lambda: node.try_stats().get("state") == "Leader", f"{name} leads itself")
        return node

    def end_nodes(self):
        problems = []
        for node in self.nodes:
            if node.process is None:
                continue
            if not node.is_running():
                if not node.expected_end:
                    problems.append(f"{node.name} ended by itself: {node.exit_code()}")
                continue
            if node.paused:
                node.resume()
            node.terminate()
        for node in self.nodes:
            if node.process is not None and node.process.returncode is None:
                try:
                    code = node.wait_exit()
                    if code != 0:
                        problems.append(f"{node.name}: exit code {code} on SIGTERM")
                except Timeout as error:
                    node.kill()
                    problems.append(str(error))
            problems += [f"{node.name}: {line}" for line in node.alarms()]
        if problems:
            raise AssertionError("\n".join(problems))

    def describe_nodes(self):
        """For the report of a failure."""
        parts = []
        for node in self.nodes:
            state = "running" if node.is_running() else f"ended ({node.exit_code()})" \
                if node.process else "never started"
            parts.append(f"----- {node.name} {state}, http {node.http_port}, raft "
                         f"{node.raft_address}\n{node.log()}")
        return "\n".join(parts)

    def join(self, via, node):
        """Joins; continues while the answer is 202."""
        def joined():
            response = via.join(node)
            if response.status != 202:
                self.assert_status(response, 200)
            return response.status == 200
        wait_until(joined, f"{node.name} joins", 60)

    # Assertions about answers.

    def assert_status(self, response, status):
        self.assertEqual(response.status, status, response)
        return response

    def assert_answer(self, response, expected):
        """200 with exactly this JSON."""
        self.assert_status(response, 200)
        self.assertEqual(response.json(), expected)
        self.assertEqual(response.headers["content-type"].split(";")[0], "application/json")

    def assert_value(self, response, key, value):
        self.assert_answer(response, {"data": {"key": key, "value": value},
                                      "message": "success fetching data"})

    def assert_error(self, response, status):
        """The error body of the contract; returns it."""
        self.assert_status(response, status)
        body = response.json()
        self.assertIsInstance(body.get("error"), str, body)
        self.assertNotIn("\n", body["error"])
        self.assertRegex(body.get("code", ""), r"^[a-z_]+$", body)
        return body


class ClusterTest(NodeTest):
    """Three nodes, n1 to n3, joined as published. Set `size` for another number."""

    size = 3

    def setUp(self):
        super().setUp()
        for number in range(1, self.size + 1):
            self.new_node(f"n{number}", raft_host="127.0.0.2" if number == 3 else "127.0.0.1")
        for node in self.nodes[1:]:
            self.join(self.nodes[0], node)

    def running(self):
        return [node for node in self.nodes if node.is_running() and not node.paused]

    def leader(self, among=None, within_s=15):
        """The one node that says Leader in the highest term, once it is known to the others."""
        def agreed():
            nodes = among or self.running()
            stats = {node: node.try_stats() for node in nodes}
            leaders = [node for node in nodes if stats[node].get("state") == "Leader"]
            if len(leaders) != 1:
                return None
            term = stats[leaders[0]]["term"]
            following = [node for node in nodes if stats[node].get("term") == term and
                         stats[node].get("leader_id") == leaders[0].name]
            return leaders[0] if len(following) > self.size // 2 else None
        return wait_until(agreed, "there is one leader", within_s)

    def followers(self):
        leader = self.leader()
        return [node for node in self.running() if node is not leader]

    def wait_caught_up(self, within_s=30):
        """All running nodes have applied the same, newest entry."""
        def level():
            stats = [node.try_stats() for node in self.running()]
            applied = {s.get("applied_index") for s in stats}
            last = {s.get("last_log_index") for s in stats}
            return len(applied) == 1 and applied == last and None not in applied
        wait_until(level, "all nodes have applied everything", within_s)

    def assert_writes_go_on(self, key="alive", within_s=15):
        """A write through every running node succeeds in the end."""
        for node in self.running():
            value = f"{node.name}-{random.getrandbits(32):x}"
            wait_until(lambda n=node, v=value: n.put(key, v).status == 200,
                       f"{node.name} takes a write", within_s)
            self.assert_value(node.get(key), key, value)
