"""Load that knows what it was promised.

Each write uses a key of its own, so that afterwards every key tells one story:
  acknowledged (200)               the value must be there, for ever
  refused (503, 429, 507, no TCP)  "not applied": the key must not exist
  unknown (504, cut connection)    either, but nothing else
  gone (410)                       the node was removed: "not applied" too, if `removals` says so
"""

import contextlib
import http.client
import itertools
import threading
import time

from harness import fetch, key_target, seconds, wait_until

FILL_BYTES = 64 << 10
FILL_PACE_S = 0.02  # between two large writes
PACE_S = 0.004  # between two writes of one worker: the nodes get most of the two cores
REQUEST_TIMEOUT_S = 20


class Load:
    def __init__(self, nodes, workers=4, prefix="load", removals=False):
        self.nodes = list(nodes)
        self.removals = removals  # nodes may be removed meanwhile and answer 410
        self.prefix = prefix
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.acknowledged = {}
        self.unknown = {}
        self.refused = {}
        self.gone = {}
        self.asked = {}  # key: the node, of writes that were not acknowledged
        self.problems = []
        self.acks = []  # (request began, answer came)
        self.threads = [threading.Thread(target=self.work, args=(number,), daemon=True)
                        for number in range(workers)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(seconds(2 * REQUEST_TIMEOUT_S))
            if thread.is_alive():
                self.problems.append("a load worker hangs")

    def count(self):
        with self.lock:
            return len(self.acknowledged)

    def wait_more(self, count=20, within_s=15):
        """Until `count` further writes were acknowledged."""
        goal = self.count() + count
        wait_until(lambda: self.count() >= goal, f"{count} more acknowledged writes", within_s)

    def gap_after(self, moment):
        """Seconds from `moment` to the first acknowledgement of a request that began after it."""
        with self.lock:
            return min(ended for began, ended in self.acks if began > moment) - moment

    def work(self, number):
        turn = number
        connection = None
        for i in itertools.count():
            if self.stopping.wait(PACE_S):
                break
            key = f"{self.prefix}/{number}/{i}"
            value = f"value of {key}"
            if connection is None:
                nodes = self.nodes  # a test may put another list here
                node = nodes[turn % len(nodes)]
                connection = node.connect(REQUEST_TIMEOUT_S)
                try:
                    connection.connect()
                except OSError:
                    connection = None
                    turn += 1
                    self.note(self.refused, key, value)
                    continue
            if not self.write(connection, key, value):
                with self.lock:
                    self.asked[key] = node.name
                connection.close()
                connection = None
                turn += 1
        if connection is not None:
            connection.close()

    def write(self, connection, key, value):
        """One write; False when the worker should go to another node."""
        started = time.monotonic()
        try:
            response = fetch(connection, "POST", "/store/", {"key": key, "value": value})
        except (OSError, http.client.HTTPException):
            self.note(self.unknown, key, value)
            return False
        if response.status == 200:
            if response.json() != {"data": {"key": key, "value": value},
                                   "message": "success fetching data"}:
                self.problems.append(f"{key}: {response}")
            with self.lock:
                self.acknowledged[key] = value
                self.acks.append((started, time.monotonic()))
            return True
        if response.status in (429, 503, 507):
            if response.status != 507 and "retry-after" not in response.headers:
                self.problems.append(f"{key}: no Retry-After: {response}")
            self.note(self.refused, key, value)
        elif response.status == 410 and self.removals:
            if response.json().get("outcome") != "not_applied":
                self.problems.append(f"{key}: no outcome in {response}")
            self.note(self.gone, key, value)
        elif response.status == 504:
            if response.json().get("outcome") != "unknown":
                self.problems.append(f"{key}: no outcome in {response}")
            self.note(self.unknown, key, value)
        else:
            self.problems.append(f"{key}: {response} after {time.monotonic() - started:.1f} s")
            self.note(self.unknown, key, value)
        return False

    def note(self, where, key, value):
        with self.lock:
            where[key] = value

    def forget(self, key):
        """Somebody else changes it from now on."""
        with self.lock:
            for known in (self.acknowledged, self.unknown, self.refused, self.gone):
                known.pop(key, None)

    def verify(self, nodes, query=""):
        """Reads every key back, spread over `nodes`; a list of what is not as promised."""
        problems = list(self.problems)
        parts = [[] for _ in nodes]
        keys = [*self.acknowledged, *self.unknown, *self.refused, *self.gone]
        for i, key in enumerate(keys):
            parts[i % len(nodes)].append(key)
        threads = [threading.Thread(target=self.verify_part, args=(node, part, query, problems))
                   for node, part in zip(nodes, parts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return problems

    def verify_part(self, node, keys, query, problems):
        connection = node.connect(REQUEST_TIMEOUT_S)
        try:
            for key in keys:
                response = fetch(connection, "GET", key_target(key, query))
                problem = self.judge(key, response)
                if problem:
                    problems.append(f"{problem} (asked {node.name})")
        except (OSError, http.client.HTTPException) as error:
            problems.append(f"{node.name} failed while keys were read back: {error!r}")
        finally:
            connection.close()

    def judge(self, key, response):
        """What is wrong with this answer, given what was promised; None when nothing."""
        if response.status not in (200, 404):
            return f"{key}: read back with {response}"
        value = response.json()["data"]["value"] if response.status == 200 else None
        if key in self.acknowledged:
            if value != self.acknowledged[key]:
                return f"LOST: {key} was acknowledged, now {response}"
        elif key in self.refused or key in self.gone:
            if value is not None:
                return f"{key} was refused as not applied, but exists: {response}"
        elif value not in (None, self.unknown[key]):
            return f"{key}: a value nobody wrote: {response}"
        return None

    def summary(self):
        return (f"{len(self.acknowledged)} acknowledged, {len(self.unknown)} unknown, "
                f"{len(self.refused)} refused, {len(self.gone)} at removed nodes")


class Filler:
    """Writes large values over and over, so that the log moves; nobody reads them back."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.stopping = threading.Event()
        self.going = threading.Event()
        self.going.set()
        self.thread = threading.Thread(target=self.work, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.going.set()
        self.thread.join()

    def work(self):
        value = "f" * FILL_BYTES
        turn = 0
        while not self.stopping.wait(FILL_PACE_S):
            self.going.wait()
            # The node may be down.
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.nodes[turn % len(self.nodes)].put(f"fill{turn % 50}", value)
            turn += 1
