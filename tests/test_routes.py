"""Every route and every documented answer of one node, and what a key and a value may hold."""

import base64
import http.client
import json

from harness import NodeTest, fetch, key_target, short

CONTROL_CHARACTERS = "".join(map(chr, range(32))) + "\x7f\x80\u2028\u2029"
ODD_KEYS = [
    "with space", " leading and trailing ", "100%", "%41", "%2F", "a/b/c", "/", "//", "a//b", ".",
    "..", "../../etc/passwd", "trailing/", '"quoted"', "back\\slash", "plus+sign", "q?a=b&c#d",
    "semi;colon", "ünïcödé", "日本語", "\U0001F600", "e\u0301", "\u00e9", "nul\x00inside",
    "\x01", "line\nfeed", "\r\n", "a" * 4096, "ü" * 2048, "{}", "[]", "<script>", "'", "`", "$(x)",
]
ODD_VALUES = ["", " ", "\"", "\\", "null", "0", "{\"a\":1}", CONTROL_CHARACTERS, "\x00", "ünï",
              "\U0001F600", "a" * 100_000, "line\r\nfeed", "%41", "+"]


class Data(NodeTest):
    def setUp(self):
        super().setUp()
        self.node = self.new_node()

    def revision(self, response):
        return int(response.headers["x-arima-revision"])

    @short
    def test_write_read_overwrite_remove(self):
        self.assert_error(self.node.get("k"), 404)
        self.assert_value(self.node.put("k", "v"), "k", "v")
        self.assert_value(self.node.get("k"), "k", "v")
        self.assert_value(self.node.put("k", "w"), "k", "w")
        self.assert_value(self.node.get("k"), "k", "w")
        removed = {"data": {"key": "k", "value": None}, "message": "success removing data"}
        self.assert_answer(self.node.delete("k"), removed)
        self.assert_error(self.node.get("k"), 404)

    def test_post_takes_both_spellings_of_the_route(self):
        for target in ("/store", "/store/"):
            response = self.node.request("POST", target, {"key": target, "value": "v"})
            self.assert_value(response, target, "v")
            self.assert_value(self.node.get(target), target, "v")

    def test_removing_a_missing_key_changes_nothing(self):
        before = self.revision(self.node.put("other", "1"))
        response = self.node.delete("missing")
        self.assert_answer(response, {"data": {"key": "missing", "value": None},
                                      "message": "success removing data"})
        self.assertEqual(response.headers["x-arima-deleted"], "0")
        self.assertEqual(self.revision(response), before)
        self.assertEqual(self.revision(self.node.put("other", "2")), before + 1)

    def test_revisions_grow_by_one_per_change(self):
        first = self.revision(self.node.put("a", "1"))
        self.assertEqual(self.revision(self.node.put("a", "1")), first + 1)
        removed = self.node.delete("a")
        self.assertNotEqual(removed.headers.get("x-arima-deleted"), "0")
        self.assertEqual(self.revision(removed), first + 2)
        self.assertEqual(self.revision(self.node.put("b", "1")), first + 3)

    def test_bodies_hold_exactly_the_published_members(self):
        self.assertEqual(self.node.put("k", "v").body,
                         b'{"data":{"key":"k","value":"v"},"message":"success fetching data"}')
        self.assertEqual(self.node.get("k").body,
                         b'{"data":{"key":"k","value":"v"},"message":"success fetching data"}')
        self.assertEqual(self.node.delete("k").body,
                         b'{"data":{"key":"k","value":null},"message":"success removing data"}')

    @short
    def test_keys_of_any_kind(self):
        for number, key in enumerate(ODD_KEYS):
            with self.subTest(key[:40]):
                self.assert_value(self.node.put(key, f"value {number}"), key, f"value {number}")
        for number, key in enumerate(ODD_KEYS):
            with self.subTest(key[:40]):
                self.assert_value(self.node.get(key), key, f"value {number}")
        for key in ODD_KEYS:
            with self.subTest(key[:40]):
                self.assert_status(self.node.delete(key), 200)
                self.assert_error(self.node.get(key), 404)

    def test_targets_that_are_not_encoded_mean_their_bytes(self):
        """No normalisation: //, ., .., a trailing slash and + are bytes of the key."""
        for target, key in [("/store/a//b", "a//b"), ("/store/../x", "../x"), ("/store/./y", "./y"),
                            ("/store/a+b", "a+b"), ("/store/dir/", "dir/"), ("/store//", "/"),
                            ("/store/%61%2f%62", "a/b"), ("/store/a:b@c!$&'()*,;=~", None)]:
            key = key or target.removeprefix("/store/")
            with self.subTest(target):
                self.assert_status(self.node.put(key, target), 200)
                self.assert_value(self.node.request("GET", target), key, target)

    def test_keys_that_are_not_utf8(self):
        raw = b"\xff\xfe/\x80"
        encoded = base64.b64encode(raw).decode()
        response = self.node.request("POST", "/store/", {"key_base64": encoded, "value": "v"})
        expected = {"data": {"key": None, "key_base64": encoded, "value": "v"},
                    "message": "success fetching data"}
        self.assert_answer(response, expected)
        self.assert_answer(self.node.get(raw), expected)
        self.assertEqual(self.node.get(b"\xff\xfe/\x81").status, 404)

    @short
    def test_values_of_any_kind(self):
        for value in ODD_VALUES:
            with self.subTest(value[:40]):
                self.assert_value(self.node.put("k", value), "k", value)
                self.assert_value(self.node.get("k"), "k", value)

    def test_values_that_are_not_utf8(self):
        raw = bytes(range(256))
        encoded = base64.b64encode(raw).decode()
        self.assert_status(self.node.request("POST", "/store/",
                                             {"key": "k", "value_base64": encoded}), 200)
        self.assert_answer(self.node.get("k"),
                           {"data": {"key": "k", "value": None, "value_base64": encoded},
                            "message": "success fetching data"})

    def test_a_value_up_to_the_limit(self):
        limit = 1536 << 10
        value = "x" * limit
        self.assert_status(self.node.put("big", value), 200)
        self.assertEqual(self.node.get("big").json()["data"]["value"], value)
        body = self.assert_error(self.node.put("big", value + "x"), 413)
        self.assertIn("max-value-bytes", body["error"])
        self.assertEqual(self.node.get("big").json()["data"]["value"], value)

    def test_put_takes_the_body_as_the_value(self):
        raw = bytes(range(256))
        response = self.node.request("PUT", "/store/raw", raw)
        self.assert_status(response, 200)
        encoded = base64.b64encode(raw).decode()
        expected = {"data": {"key": "raw", "value": None, "value_base64": encoded},
                    "message": "success fetching data"}
        self.assert_answer(response, expected)
        self.assert_answer(self.node.get("raw"), expected)
        response = self.node.get("raw", headers={"Accept": "application/octet-stream"})
        self.assert_status(response, 200)
        self.assertEqual(response.body, raw)
        self.assertEqual(response.headers["content-type"], "application/octet-stream")
        self.assert_value(self.node.request("PUT", "/store/empty", b""), "empty", "")
        self.assert_error(self.node.request("PUT", "/store/k", b"x" * ((1536 << 10) + 1)), 413)

    def test_head_is_get_without_the_body(self):
        self.assert_status(self.node.put("k", "v"), 200)
        got = self.node.get("k")
        response = self.node.request("HEAD", "/store/k")
        self.assertEqual((response.status, response.body), (200, b""))
        for name in ("content-length", "content-type", "etag", "x-arima-revision"):
            self.assertEqual(response.headers[name], got.headers[name], name)
        self.assertEqual(self.node.request("HEAD", "/store/missing").status, 404)

    def test_reads_carry_an_etag_that_conditions_understand(self):
        etag = self.node.put("k", "v").headers["etag"]
        self.assertRegex(etag, '^"[0-9]+"$')
        self.assertEqual(self.node.get("k").headers["etag"], etag)
        response = self.node.get("k", headers={"If-None-Match": etag})
        self.assertEqual((response.status, response.body), (304, b""))
        self.assert_error(self.node.get("k", headers={"If-Match": '"1"'}), 412)
        self.assertNotEqual(self.node.put("k", "v").headers["etag"], etag)

    def test_what_is_not_offered_yet_is_refused_and_never_ignored(self):
        """A client that relies on a condition must not be told "ok" without it."""
        self.assert_status(self.node.put("k", "v"), 200)
        for headers in ({"If-Match": '"1"'}, {"If-None-Match": "*"}, {"Idempotency-Key": "a"}):
            with self.subTest(headers):
                self.assert_error(self.node.put("k", "w", headers={
                    **headers, "Content-Type": "application/json"}), 501)
        self.assert_error(self.node.get("k", "?revision=1"), 400)
        self.assert_error(self.node.put("k", "w", "?ttl=1s"), 400)
        self.assert_error(self.node.request("GET", "/store/"), 501)
        self.assert_value(self.node.get("k"), "k", "v")

    def test_stale_reads_answer_from_this_node(self):
        self.assert_status(self.node.put("k", "v"), 200)
        self.assert_value(self.node.get("k", "?consistency=stale"), "k", "v")
        self.assert_value(self.node.get("k", "?consistency=linearizable"), "k", "v")
        self.assert_error(self.node.get("k", "?consistency=psychic"), 400)
        self.assert_error(self.node.get("missing", "?consistency=stale"), 404)

    def test_answers_name_who_served_them(self):
        response = self.node.put("k", "v")
        self.assertEqual(response.headers["x-arima-served-by"], "n1")
        self.assertEqual(response.headers["x-arima-leader"], "n1")
        self.assertIn(str(self.node.http_port), response.headers["x-arima-leader-address"])


class RoutesAndErrors(NodeTest):
    def setUp(self):
        super().setUp()
        self.node = self.new_node()

    def test_unknown_routes_are_404(self):
        for target in ("/", "/nothing", "/storex", "/raft", "/raft/", "/raft/nothing", "/STORE/a",
                       "/livez/x"):
            with self.subTest(target):
                self.assert_error(self.node.request("GET", target), 404)

    @short
    def test_wrong_methods_are_405_and_name_the_right_ones(self):
        for target, allowed in [("/raft/join", {"POST"}), ("/raft/remove", {"POST"}),
                                ("/raft/transfer", {"POST"}), ("/raft/members", {"GET"}),
                                ("/raft/stats", {"GET"}), ("/livez", {"GET"}),
                                ("/readyz", {"GET"}), ("/store/k", {"GET", "DELETE"})]:
            with self.subTest(target):
                response = self.node.request("PATCH", target, "{}",
                                             {"Content-Type": "application/json"})
                self.assert_error(response, 405)
                named = {m.strip() for m in response.headers["allow"].split(",")}
                self.assertLessEqual(allowed, named)
                self.assertNotIn("PATCH", named)

    @short
    def test_bodies_that_are_not_what_post_takes_are_400(self):
        bodies = [
            b"", b" ", b"{", b"}", b"null", b"1", b'"text"', b"[]", b"{}", b'{"key":"k"}',
            b'{"value":"v"}', b'{"key":1,"value":"v"}', b'{"key":"k","value":1}',
            b'{"key":null,"value":"v"}', b'{"key":"k","value":null}', b'{"key":"","value":"v"}',
            b'{"key":["k"],"value":"v"}', b'{"key":"k","value":{"a":1}}',
            b'{"key":"k","value":"v","ttl":1}', b'{"key":"k","value":"v"}x',
            b'{"key":"k","value":"v"}{}', b'{"key":"k" "value":"v"}', b"{'key':'k','value':'v'}",
            b'{"key":"k","value":"v",}', b'{"key":"k","value":"\xff"}', b'{"Key":"k","Value":"v"}',
            b'{"key":"k","value":"a\nb"}', b'{"key":"k","value":"\\ud800"}',
            b'{"key":"k","key_base64":"aw==","value":"v"}', b'{"key_base64":"*","value":"v"}',
            b"[" * 100_000, b'{"a":' * 5_000, b"\xef\xbb\xbf{}", b"\x00", b"\xff" * 100,
        ]
        for body in bodies:
            with self.subTest(body[:60]):
                response = self.node.request("POST", "/store/", body,
                                             {"Content-Type": "application/json"})
                self.assert_error(response, 400)
        self.assert_error(self.node.get("k"), 404)

    def test_other_content_types_are_415_and_the_error_names_the_header(self):
        good = b'{"key":"k","value":"v"}'
        for content_type in (None, "text/plain", "application/x-www-form-urlencoded",
                             "multipart/form-data; boundary=x", "application/jsonp", "json", ""):
            for target in ("/store/", "/raft/join", "/raft/remove", "/raft/transfer"):
                with self.subTest(content_type=content_type, target=target):
                    headers = {} if content_type is None else {"Content-Type": content_type}
                    body = self.assert_error(self.node.request("POST", target, good, headers), 415)
                    self.assertIn("application/json", body["error"])
        for content_type in ("application/json", "APPLICATION/JSON",
                             "application/json; charset=utf-8", "application/vnd.x+json"):
            with self.subTest(content_type):
                self.assert_value(self.node.request("POST", "/store/", good,
                                                    {"Content-Type": content_type}), "k", "v")

    def test_keys_over_the_limit_are_refused(self):
        key = "k" * 4097
        self.assertIn("4096", self.assert_error(self.node.put(key, "v"), 413)["error"])
        for method in ("GET", "DELETE"):  # here the key is part of the target
            response = self.node.request(method, key_target(key))
            self.assertIn("4096", self.assert_error(response, 414)["error"])

    def test_broken_percent_encodings_are_400(self):
        for target in ("/store/%", "/store/a%4", "/store/%zz", "/store/%%41"):
            with self.subTest(target):
                self.assert_error(self.node.request("GET", target), 400)

    def test_membership_requests_are_checked(self):
        json_header = {"Content-Type": "application/json"}
        for body in (b"", b"{}", b"[]", b'{"node_id":"n2"}', b'{"raft_address":"127.0.0.1:1"}',
                     b'{"node_id":2,"raft_address":"127.0.0.1:1"}',
                     b'{"node_id":"","raft_address":"127.0.0.1:1"}',
                     b'{"node_id":"n2","raft_address":"nonsense"}',
                     b'{"node_id":"n2","raft_address":"127.0.0.1:99999"}',
                     b'{"node_id":"n2","raft_address":"127.0.0.1:"}',
                     b'{"node_id":"n2","raft_address":"127.0.0.1:1","more":1}'):
            with self.subTest(body):
                response = self.node.request("POST", "/raft/join", body, json_header)
                self.assert_error(response, 400)
        for body in (b"", b"{}", b'{"node_id":7}', b'{"node_id":"n2","more":1}'):
            with self.subTest(body):
                response = self.node.request("POST", "/raft/remove", body, json_header)
                self.assert_error(response, 400)
        self.assert_error(self.node.remove(""), 400)
        for body in (b"", b"[]", b'{"node_id":7}', b'{"node_id":""}', b'{"node_id":"n2","more":1}'):
            with self.subTest(body):
                response = self.node.request("POST", "/raft/transfer", body, json_header)
                self.assert_error(response, 400)
        self.assertEqual(self.node.stats()["num_peers"], "0")

    def test_a_node_that_is_alone_lists_itself_and_hands_over_to_nobody(self):
        self.assert_answer(self.node.request("GET", "/raft/members"), {
            "message": "Here are the members",
            "data": [{"id": "1", "name": "n1", "raft_address": self.node.raft_address,
                      "http_address": f"127.0.0.1:{self.node.http_port}", "role": "voter",
                      "is_leader": True}]})
        self.assert_error(self.node.transfer("n2"), 404)
        self.assert_error(self.node.transfer(), 409)
        response = self.assert_status(self.node.transfer("n1"), 200)
        self.assertEqual(response.json()["message"], "node n1 leads already")

    def test_version(self):
        response = self.assert_status(self.node.request("GET", "/version"), 200)
        self.assertEqual(response.json()["name"], "arima")
        self.assertRegex(response.json()["version"], r"^[0-9]+\.[0-9]+\.[0-9]+")

    def test_health_routes(self):
        self.assert_status(self.node.request("GET", "/livez"), 200)
        self.assert_status(self.node.request("GET", "/readyz"), 200)
        self.assert_status(self.node.request("GET", "/readyz?verbose"), 200)

    def test_metrics_are_prometheus_text(self):
        response = self.assert_status(self.node.request("GET", "/metrics"), 200)
        self.assertTrue(response.headers["content-type"].startswith("text/plain"))
        text = response.body.decode()
        self.assertIn("# TYPE arima_", text)
        for line in text.strip().split("\n"):
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                self.assertRegex(name, r"^arima_[a-z0-9_]+(\{.*\})?$")
                float(value)

    def test_errors_leave_the_connection_usable(self):
        connection = self.node.connect()
        for _ in range(3):
            self.assertEqual(fetch(connection, "GET", "/store/missing").status, 404)
            self.assertEqual(fetch(connection, "POST", "/store/", "{",
                                   {"Content-Type": "application/json"}).status, 400)
            self.assertEqual(fetch(connection, "POST", "/store/",
                                   {"key": "k", "value": "v"}).status, 200)
        connection.close()

    def test_every_answer_is_json_with_its_length(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.node.http_port)
        for method, target in [("GET", "/store/missing"), ("GET", "/raft/stats"),
                               ("PATCH", "/store/k"), ("GET", "/nothing")]:
            response = fetch(connection, method, target)
            json.loads(response.body)
            self.assertEqual(int(response.headers["content-length"]), len(response.body))
        connection.close()
