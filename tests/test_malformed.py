"""Broken and hostile requests: each gets its answer, costs nothing lasting, ends nothing."""

import os
import socket
import subprocess

from harness import (NodeTest, RawConnection, Settings, rounds, seconds, short, throw_garbage_at,
                     wait_until)

POST_HEAD = ("POST /store/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
GOOD_BODY = '{"key":"k","value":"v"}'


def post(length_headers, body=GOOD_BODY):
    return POST_HEAD + length_headers + "\r\n" + body


# name -> (what is sent, statuses one of which must come). None: a cut without an answer is fine
# too, where there is nothing that could be answered.
MALFORMED = {
    "random bytes": (b"\x00\xff\x13\x37" * 50 + b"\r\n\r\n", {400, None}),
    "a TLS hello": (bytes.fromhex("16030100c8010000c40303") + b"\x55" * 190, {400, None}),
    "an HTTP/2 preface": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505, None}),
    "empty lines only": ("\r\n" * 10, {400, None}),
    "no version": ("GET /store/k\r\n\r\n", {400, None}),
    "version 9.9": ("GET /store/k HTTP/9.9\r\nHost: x\r\n\r\n", {400, 505}),
    "version words": ("GET /store/k HTTP/one\r\nHost: x\r\n\r\n", {400, 505}),
    "method with bad letters": ("G@T /store/k HTTP/1.1\r\nHost: x\r\n\r\n", {400, None}),
    "unknown method": ("BREW /store/k HTTP/1.1\r\nHost: x\r\n\r\n", {400, 405, 501}),
    "space in the target": ("GET /store/a b HTTP/1.1\r\nHost: x\r\n\r\n", {400, 505}),
    "raw byte in the target": (b"GET /store/\xff\x01 HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
    "target without slash": ("GET store/k HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}),
    "header without colon": ("GET /store/k HTTP/1.1\r\nHost: x\r\nNonsense\r\n\r\n", {400}),
    "space before the colon": ("GET /store/k HTTP/1.1\r\nHost : x\r\n\r\n", {400}),
    "no Host": ("GET /store/k HTTP/1.1\r\n\r\n", {400}),
    "two Hosts": ("GET /store/k HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", {400}),
    "folded header": ("GET /store/k HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", {400, 404}),
    "NUL in a header": (b"GET /store/k HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", {400}),
    "length that is no number": (post("Content-Length: many\r\n"), {400}),
    "negative length": (post("Content-Length: -5\r\n"), {400}),
    "length beyond 64 bits": (post("Content-Length: 99999999999999999999999\r\n"), {400, 413}),
    "two different lengths": (post("Content-Length: 23\r\nContent-Length: 24\r\n"), {400}),
    "length and chunks": (post("Content-Length: 23\r\nTransfer-Encoding: chunked\r\n",
                               "17\r\n" + GOOD_BODY + "\r\n0\r\n\r\n"), {400}),
    "unknown transfer encoding": (post("Transfer-Encoding: gzip\r\n"), {400, 411, 501}),
    "chunk size that is no number": (post("Transfer-Encoding: chunked\r\n",
                                          "zz\r\nabc\r\n0\r\n\r\n"), {400}),
    "chunk size beyond 64 bits": (post("Transfer-Encoding: chunked\r\n",
                                       "f" * 20 + "\r\nabc\r\n"), {400, 413}),
    "no length at all": (POST_HEAD + "\r\n", {400, 411}),
    "target over 16 KiB": (f"GET /store/{'a' * 17_000} HTTP/1.1\r\nHost: x\r\n\r\n", {414}),
    "head over 32 KiB": ("GET /store/k HTTP/1.1\r\nHost: x\r\n"
                         + f"A: {'b' * 1000}\r\n" * 40 + "\r\n", {431}),
    "one header over 32 KiB": (f"GET /store/k HTTP/1.1\r\nA: {'b' * 40_000}\r\n\r\n", {431}),
    "body over 16 MiB announced": (post("Content-Length: 16777217\r\n", ""), {413}),
    "body over 16 MiB, asking first": (post("Content-Length: 33554432\r\n"
                                            "Expect: 100-continue\r\n", ""), {413}),
    "unknown expectation": (post("Content-Length: 23\r\nExpect: wonders\r\n"), {417}),
}


class Malformed(NodeTest):
    def setUp(self):
        super().setUp()
        self.node = self.new_node()
        self.assert_status(self.node.put("before", "1"), 200)

    def assert_unharmed(self):
        self.assertTrue(self.node.is_running())
        self.assert_value(self.node.get("before"), "before", "1")

    @short
    def test_each_malformed_request_gets_its_answer(self):
        self.assertGreaterEqual(len(MALFORMED), 20)
        for name, (data, statuses) in MALFORMED.items():
            with self.subTest(name), RawConnection(self.node.http_port) as connection:
                connection.send_lenient(data)
                if None in statuses:
                    connection.half_close()
                response = connection.read_response()
                if response is None:
                    self.assertIn(None, statuses, "closed without an answer")
                    continue
                self.assertIn(response.status, statuses, response)
                if response.status >= 400:
                    body = self.assert_error(response, response.status)
                    if response.status in (413, 414, 431):
                        self.assertRegex(body["error"], "[0-9]", "names the limit")
                self.assert_unharmed()
        self.assert_error(self.node.get("k"), 404)

    @short
    def test_a_body_of_32_mib_is_413_and_the_client_sees_it(self):
        size = 32 << 20
        with RawConnection(self.node.http_port, timeout_s=30) as connection:
            connection.send(post(f"Content-Length: {size}\r\n", ""))
            sent = 0
            try:
                while sent < size:
                    connection.send(b"x" * 65536)
                    sent += 65536
            except OSError:
                pass  # cut while sending, after the answer
            response = connection.read_response()
        self.assertIsNotNone(response, f"cut without an answer after {sent} bytes")
        body = self.assert_error(response, 413)
        self.assertIn("max-body-bytes", body["error"])
        self.assertLess(sent, size, "the server read it all before it said no")
        self.assert_unharmed()

    def test_curl_sees_the_413_too(self):
        path = os.path.join(self.directory, "body")
        with open(path, "wb") as file:
            file.truncate(32 << 20)
        for expect in (["--header", "Expect:"], []):
            result = subprocess.run(
                ["curl", "--silent", "--write-out", "%{http_code}", "--output", "/dev/null",
                 "--header", "Content-Type: application/json", *expect, "--data-binary",
                 f"@{path}", f"localhost:{self.node.http_port}/store/"],
                capture_output=True, text=True, timeout=seconds(60), check=False,
                stdin=subprocess.DEVNULL)
            self.assertEqual(result.stdout, "413", f"{expect} {result}")
        self.assert_unharmed()

    def test_clients_that_leave_in_the_middle(self):
        whole = post(f"Content-Length: {len(GOOD_BODY)}\r\n").replace("k", "gone")
        for cut in range(0, len(whole), rounds(3, 20)):
            with RawConnection(self.node.http_port) as connection:
                connection.send(whole[:cut])
        with RawConnection(self.node.http_port) as connection:
            connection.send(whole[:-1])
            connection.half_close()
            response = connection.read_response()
            self.assertIn(response and response.status, (None, 400))
        self.assert_unharmed()
        self.assertEqual(self.node.get("gone").status, 404)

    def test_a_body_in_chunks_is_taken(self):
        chunks = "".join(f"1\r\n{c}\r\n" for c in GOOD_BODY) + "0\r\n\r\n"
        with RawConnection(self.node.http_port) as connection:
            connection.send(post("Transfer-Encoding: chunked\r\n", chunks))
            self.assert_status(connection.read_response(), 200)
        self.assert_value(self.node.get("k"), "k", "v")

    def test_expect_100_continue_is_honoured(self):
        with RawConnection(self.node.http_port) as connection:
            connection.send(post(f"Content-Length: {len(GOOD_BODY)}\r\n"
                                 "Expect: 100-continue\r\n", ""))
            self.assertEqual(connection.read_response().status, 100)
            connection.send(GOOD_BODY)
            self.assert_status(connection.read_response(), 200)

    def test_garbage_on_the_raft_port_ends_nothing(self):
        throw_garbage_at(self.node.raft_port)
        self.assert_unharmed()
        self.assert_status(self.node.put("after", "1"), 200)

    def test_random_bytes_on_the_http_port_end_nothing(self):
        throw_garbage_at(self.node.http_port)
        self.assert_unharmed()


class SlowClients(NodeTest):
    """Slow clients cost a connection for a limited time, and nobody else anything."""

    timeout_s = 240

    def setUp(self):
        super().setUp()
        self.node = self.new_node()

    def assert_cut_while(self, first, within_s=45):
        """Sends `first`, then a byte now and then; the server must end it in time."""
        with RawConnection(self.node.http_port) as connection:
            connection.send(first)

            def is_cut():
                try:
                    connection.send("a")
                    connection.socket.settimeout(0.2)
                    return connection.socket.recv(65536) == b""
                except TimeoutError:
                    return False
                except OSError:
                    return True
            wait_until(is_cut, "the slow client is cut", within_s)
        self.assert_status(self.node.request("GET", "/livez"), 200)

    def test_a_head_that_never_ends_is_cut(self):
        self.assert_cut_while("GET /store/k HTTP/1.1\r\nHost: x\r\nA: ")

    def test_a_body_that_never_ends_is_cut(self):
        self.assert_cut_while(post("Content-Length: 1000000\r\n", "{"))

    def test_many_silent_connections_leave_room_for_others(self):
        silent = [RawConnection(self.node.http_port) for _ in range(rounds(300, 50))]
        for connection in silent[::2]:
            connection.send("GET /store/")
        self.assert_value(self.node.put("k", "v"), "k", "v")
        for connection in silent:
            connection.close()
        wait_until(lambda: self.open_sockets() < 30, "closed connections are given back", 20)

    def open_sockets(self):
        folder = f"/proc/{self.node.process.pid}/fd"
        return sum(os.readlink(f"{folder}/{name}").startswith("socket:")
                   for name in os.listdir(folder))

    def test_a_client_that_does_not_read_its_answers_is_bounded(self):
        """It asks for 1 MiB again and again without reading: memory must not grow with it."""
        self.assert_status(self.node.put("big", "x" * (1 << 20)), 200)
        with RawConnection(self.node.http_port) as connection:
            connection.socket.settimeout(seconds(2))
            try:
                for _ in range(500):
                    connection.send("GET /store/big HTTP/1.1\r\nHost: x\r\n\r\n")
            except TimeoutError:
                pass  # the server stopped reading, as it should
            self.assert_status(self.node.request("GET", "/livez"), 200)
            if Settings.slow == 1.0:  # sanitizers keep freed memory
                self.assertLess(self.resident_mib(), 300)

    def resident_mib(self):
        with open(f"/proc/{self.node.process.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) >> 10
        raise AssertionError("no VmRSS")


class KeepAliveAndPipelining(NodeTest):
    def setUp(self):
        super().setUp()
        self.node = self.new_node()

    def request(self, number, last=False):
        body = f'{{"key":"p{number}","value":"{number}"}}'
        close = "Connection: close\r\n" if last else ""
        return post(f"Content-Length: {len(body)}\r\n{close}", body)

    @short
    def test_one_connection_serves_many_requests(self):
        with RawConnection(self.node.http_port) as connection:
            for number in range(200):
                connection.send(self.request(number))
                response = connection.read_response()
                self.assert_value(response, f"p{number}", str(number))

    @short
    def test_pipelined_requests_are_answered_in_order(self):
        count = 300
        with RawConnection(self.node.http_port) as connection:
            data = []
            for number in range(count):
                data.append(self.request(number))
                data.append(f"GET /store/p{number} HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.send("".join(data))
            for number in range(count):
                for _ in ("POST", "GET"):
                    self.assert_value(connection.read_response(), f"p{number}", str(number))

    def test_an_error_in_the_middle_of_a_pipeline_keeps_the_order(self):
        with RawConnection(self.node.http_port) as connection:
            connection.send(self.request(1) + "GET /store/missing HTTP/1.1\r\nHost: x\r\n\r\n"
                            + post("Content-Length: 1\r\n", "{") + self.request(2))
            statuses = [connection.read_response().status for _ in range(4)]
        self.assertEqual(statuses, [200, 404, 400, 200])

    def test_connection_close_is_honoured(self):
        with RawConnection(self.node.http_port) as connection:
            connection.send(self.request(1, last=True))
            response = connection.read_response()
            self.assert_status(response, 200)
            self.assertEqual(response.headers["connection"].lower(), "close")
            self.assertTrue(connection.is_closed_within(10))

    def test_http_1_0_closes_after_the_answer(self):
        with RawConnection(self.node.http_port) as connection:
            connection.send("GET /livez HTTP/1.0\r\n\r\n")
            self.assert_status(connection.read_response(), 200)
            self.assertTrue(connection.is_closed_within(10))

    def test_requests_in_tiny_pieces(self):
        data = self.request(1) + self.request(2)
        with RawConnection(self.node.http_port) as connection:
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for character in data:
                connection.send(character)
            self.assert_value(connection.read_response(), "p1", "1")
            self.assert_value(connection.read_response(), "p2", "2")
