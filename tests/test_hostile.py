"""Crowds, bombs and forged peers: memory stays bounded, /livez answers, nothing is lost."""

import contextlib
import random
import resource
import socket
import threading

from harness import ClusterTest, NodeTest, RawConnection, Settings, rounds, seconds, wait_until

# What docs/http-limits.md says a connection costs, and what a node needs without any.
KIB_PER_IDLE_CONNECTION = 16
KIB_PER_BUSY_HEAD = 128


def resident_kib(node):
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise AssertionError("no VmRSS")


def raise_own_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Crowds(NodeTest):
    timeout_s = 240

    def assert_serves(self, node, text):
        self.assert_status(node.request("GET", "/livez"), 200)
        self.assert_status(node.put("k", text), 200)
        self.assert_value(node.get("k"), "k", text)

    def open_crowd(self, node, count, first=b""):
        crowd = []
        self.addCleanup(lambda: [connection.close() for connection in crowd])
        for number in range(count):
            connection = socket.create_connection(("127.0.0.1", node.http_port), seconds(10))
            connection.sendall(first)
            crowd.append(connection)
            if number % 1000 == 0:
                self.assertEqual(node.request("GET", "/livez").status, 200)
        return crowd

    def assert_memory(self, node, before, kib_max):
        if Settings.slow == 1.0:  # sanitizers keep freed memory
            self.assertLess(resident_kib(node) - before, kib_max)

    def test_ten_thousand_idle_connections_cost_little_and_nobody_else_anything(self):
        count = rounds(10_000, 500)
        if raise_own_file_limit() < count + 200:
            self.skipTest("this machine allows too few open files")
        node = self.new_node(extra=["--max-connections", str(count + 100)])
        self.assert_serves(node, "before")
        before = resident_kib(node)
        crowd = self.open_crowd(node, count)
        self.assert_serves(node, "among them")
        self.assert_memory(node, before, count * KIB_PER_IDLE_CONNECTION)
        for connection in crowd:
            connection.close()
        self.assert_serves(node, "after")

    def test_beyond_the_limit_connections_are_refused_and_say_why(self):
        node = self.new_node(extra=["--max-connections", "20"])
        crowd = self.open_crowd(node, 19)
        with RawConnection(node.http_port) as last:
            last.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assert_status(last.read_response(), 200)
            with RawConnection(node.http_port) as refused:
                body = self.assert_error(refused.read_response(), 503)
            self.assertIn("max-connections", body["error"])
        for connection in crowd:
            connection.close()
        wait_until(lambda: node.request("GET", "/livez").status == 200, "there is room again")

    def test_heads_and_targets_that_never_end_stay_within_their_limits(self):
        count = rounds(1000, 100)
        if raise_own_file_limit() < count + 200:
            self.skipTest("this machine allows too few open files")
        node = self.new_node()
        before = resident_kib(node)
        bombs = (b"GET /store/" + b"a" * 16_000,
                 b"GET /store/k HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 31_000,
                 b"GET /store/k HTTP/1.1\r\nHost: x\r\n" + b"C: d\r\n" * 5_000)
        crowd = [connection for bomb in bombs
                 for connection in self.open_crowd(node, count // 3, bomb)]
        self.assert_serves(node, "among them")
        self.assert_memory(node, before, len(crowd) * KIB_PER_BUSY_HEAD)
        wait_until(lambda: self.all_ended(crowd), "every bomb is cut off", 60)
        self.assert_serves(node, "after")

    @staticmethod
    def all_ended(crowd):
        for connection in list(crowd):
            connection.setblocking(False)
            try:
                while connection.recv(65536):
                    pass
            except BlockingIOError:
                continue
            except OSError:
                pass
            connection.close()
            crowd.remove(connection)
        return not crowd


class Recorder:
    """A TCP proxy that keeps what the connecting side said, a byte string for each connection."""

    def __init__(self, target_port):
        self.target_port = target_port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.streams = []
        self.sockets = [self.listener]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near = self.listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self.target_port))
                self.sockets += [near, far]
                stream = bytearray()
                self.streams.append(stream)
                threading.Thread(target=self.copy, args=(near, far, stream), daemon=True).start()
                threading.Thread(target=self.copy, args=(far, near, None), daemon=True).start()

    @staticmethod
    def copy(source, sink, stream):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if stream is not None:
                    stream += data
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        for end in self.sockets:
            with contextlib.suppress(OSError):
                end.close()


def say(port, data):
    """Sends it all and waits until the other side has had enough of it, or has answered."""
    with RawConnection(port, timeout_s=10) as connection:
        connection.send_lenient(data)
        with contextlib.suppress(OSError):
            connection.half_close()
            connection.read_some()


class ForgedPeers(ClusterTest):
    """What a leader said to n3 once is said again, in parts, changed, and to others."""

    size = 2
    timeout_s = 240

    def setUp(self):
        super().setUp()
        n3 = self.new_node("n3")
        self.recorder = Recorder(n3.raft_port)
        self.addCleanup(self.recorder.close)
        response = self.nodes[0].request(
            "POST", "/raft/join",
            {"node_id": "n3", "raft_address": f"127.0.0.1:{self.recorder.port}"}, timeout_s=60)
        self.assert_status(response, 200)
        self.size = 3
        for number in range(20):
            self.assert_status(self.nodes[0].put(f"k{number}", f"v{number}"), 200)
        self.wait_caught_up()
        self.recorded = [bytes(stream) for stream in self.recorder.streams if len(stream) > 8]

    def assert_unharmed(self):
        for node in self.nodes[:3]:
            self.assertTrue(node.is_running(), node.name)
            for number in (0, 7, 19):
                self.assert_value(node.get(f"k{number}"), f"k{number}", f"v{number}")
        self.assert_writes_go_on()
        names = {s["node_id"] for s in (node.stats() for node in self.nodes[:3])}
        self.assertEqual(names, {"n1", "n2", "n3"})
        self.assertEqual({node.stats()["num_peers"] for node in self.nodes[:3]}, {"2"})

    def test_something_was_recorded(self):
        purposes = {stream[7] for stream in self.recorded}
        self.assertEqual(purposes & {1, 2}, {1, 2}, "raft messages and control calls")

    def test_replayed_conversations_change_nothing(self):
        for _ in range(rounds(5, 1)):
            for stream in self.recorded:
                for node in self.nodes:
                    say(node.raft_port, stream)
        self.assert_unharmed()

    def test_a_replayed_order_to_join_does_not_take_a_node_of_another_cluster(self):
        stranger = self.new_node("n4")
        self.assert_status(stranger.put("own", "data"), 200)
        fresh = self.new_node("n5")
        clusters = [node.stats()["cluster_id"] for node in (stranger, fresh)]
        for stream in self.recorded:
            for node in (stranger, fresh):
                say(node.raft_port, stream)
        self.assertEqual([node.stats()["cluster_id"] for node in (stranger, fresh)], clusters)
        self.assertEqual({node.stats()["state"] for node in (stranger, fresh)}, {"Leader"})
        self.assert_value(stranger.get("own"), "own", "data")
        self.assert_unharmed()

    def test_half_frames_other_versions_and_flipped_bits_are_cut_off(self):
        seed = random.randrange(1 << 32)
        dice = random.Random(seed)
        with self.subTest(seed=seed):
            for _ in range(rounds(300, 50)):
                stream = bytearray(dice.choice(self.recorded)[:200_000])
                what = dice.randrange(4)
                if what == 0:  # the preamble's version, or that of the first frame
                    stream[dice.choice((6, 12))] ^= 1 << dice.randrange(8)
                elif what == 1:  # a length or checksum of the first frame
                    stream[8 + dice.randrange(8, 24)] ^= 1 << dice.randrange(8)
                elif what == 2:
                    stream[dice.randrange(len(stream))] ^= 1 << dice.randrange(8)
                say(self.nodes[2].raft_port, stream[:dice.randrange(1, len(stream) + 1)])
            self.assert_unharmed()

    def test_half_frames_left_open_are_given_up(self):
        started = [RawConnection(self.nodes[2].raft_port) for _ in range(rounds(40, 10))]
        for connection in started:
            connection.send(self.recorded[0][:20])
        self.assert_unharmed()
        for connection in started:
            self.assertTrue(connection.is_closed_within(20), "given up in time")
            connection.close()
