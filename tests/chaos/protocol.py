"""How the operations of the clients look on the wire, and what the answers mean.

ask_...() give (method, target, body) of a request; heard() makes of the answer what belongs into
the history. A conversation over HTTP, nothing of nodes.
"""

import base64

from harness import key_target
from history import name_of

NOT_APPLIED = {429, 502, 503, 507}


def revision_of(text):
    text = (text or "").strip('"')
    return int(text) if text.isdigit() else None


class ArimaProtocol:
    # If-Match and If-None-Match on writes: offered once a node answers them with other than 501.
    has_cas = False

    def __init__(self, timeout_s=3):
        self.query = f"?timeout={int(timeout_s * 1000)}ms"

    def target(self, key, more=""):
        return key_target(key, self.query + more)

    def ask_read(self, key, stale):
        return "GET", self.target(key, "&consistency=stale" if stale else ""), None, {}

    def ask_put(self, key, value):
        return "POST", f"/store/{self.query}", {"key": key, "value": value}, {}

    def ask_delete(self, key):
        return "DELETE", self.target(key), None, {}

    def ask_cas(self, key, value, seen):
        """`seen` is what a read gave besides the value: its ETag, or None."""
        headers = {"If-None-Match": "*"} if seen is None else {"If-Match": f'"{seen}"'}
        return "PUT", self.target(key), value, headers

    def heard(self, op, response):
        """Outcome, and the further members of the history's line. Raises on an answer that breaks
        the contract."""
        status = response.status
        store_revision = revision_of(response.headers.get("X-Arima-Revision"))
        if op == "read" and status in (200, 404):
            return "ok", self.seen_value(response, store_revision)
        if op == "cas" and status == 412:
            return "mismatch", {}
        if status == 200:
            more = {} if store_revision is None else {"revision": store_revision}
            if op == "delete" and response.headers.get("X-Arima-Deleted") == "0":
                more = {"deleted": False}
            return "ok", more
        outcome = response.json().get("outcome")
        if status in NOT_APPLIED or 400 <= status < 500:
            if op != "read" and outcome == "unknown":
                raise AssertionError(f"refused, but of unknown outcome: {response}")
            return "failed", {}
        if status not in (500, 504):
            raise AssertionError(f"no answer of the contract: {response}")
        return ("failed" if outcome == "not_applied" else "unknown"), {}

    def seen_value(self, response, store_revision):
        more = {"value": None}
        if store_revision is not None:
            more["store_revision"] = store_revision
        if response.status == 404:
            if response.json().get("code") != "key_not_found":
                raise AssertionError(f"404 of something else: {response}")
            return more
        more["value"] = name_of(response.json()["data"]["value"])
        revision = revision_of(response.headers.get("ETag"))
        if revision is not None:
            more["revision"] = revision
        return more


def in_base64(text):
    return base64.b64encode(text.encode()).decode()


class EtcdProtocol:
    """The JSON gateway of etcd 3.4: gRPC as POST, bytes as base64, numbers as strings."""

    has_cas = True

    def ask_read(self, key, stale):
        body = {"key": in_base64(key), "serializable": bool(stale)}
        return "POST", "/v3/kv/range", body, {}

    def ask_put(self, key, value):
        return "POST", "/v3/kv/put", {"key": in_base64(key), "value": in_base64(value)}, {}

    def ask_delete(self, key):
        return "POST", "/v3/kv/deleterange", {"key": in_base64(key)}, {}

    def ask_cas(self, key, value, seen):
        compare = {"key": in_base64(key), "target": "MOD", "result": "EQUAL",
                   "modRevision": str(seen or 0)}
        put = {"requestPut": {"key": in_base64(key), "value": in_base64(value)}}
        return "POST", "/v3/kv/txn", {"compare": [compare], "success": [put]}, {}

    def heard(self, op, response):
        body = response.json()
        if response.status != 200:
            # Also "no leader" may come after the request was handed on: never known.
            return "unknown", {}
        revision = int(body["header"].get("revision", 0))
        if op == "read":
            more = {"value": None, "store_revision": revision}
            if pairs := body.get("kvs"):
                text = base64.b64decode(pairs[0].get("value", "")).decode(errors="replace")
                more |= {"value": name_of(text), "revision": int(pairs[0]["mod_revision"])}
            return "ok", more
        if op == "cas" and not body.get("succeeded"):
            return "mismatch", {}
        if op == "delete":
            deleted = int(body.get("deleted", 0)) > 0
            return "ok", {"deleted": deleted, **({"revision": revision} if deleted else {})}
        return "ok", {"revision": revision}
