"""Clients: threads that each hold one connection to one node, and write down what they heard.

Every written value is a new one. The keys of one generation are used by all clients together, then
those of the next: no key's history gets long, and old keys are read again now and then.
"""

import http.client
import random
import socket
import threading
import time

from harness import fetch, seconds, wait_until
from history import stored

KEYS_AT_ONCE = 6
OPERATIONS_PER_GENERATION = 1500
TIMEOUT_S = 4.0
PAUSE_MAX_S = 0.02  # between two operations of one client: the nodes need the processors too
MOVE_ON = 0.02  # chance to go to another node without need
PADDINGS = (0, 10, 100, 1000, 8000)
MIX = (("read", 42), ("stale", 12), ("put", 28), ("cas", 8), ("delete", 10))


class Keys:
    def __init__(self):
        self.lock = threading.Lock()
        self.asked = 0

    def choose(self, chance, may_be_old):
        with self.lock:
            self.asked += 1
            generation = self.asked // OPERATIONS_PER_GENERATION
        if may_be_old and generation > 0 and chance.random() < 0.15:
            generation = chance.randrange(generation)
        return f"g{generation}-{chance.randrange(KEYS_AT_ONCE)}"


class Client:
    def __init__(self, number, crowd, seed):
        self.number = number
        self.crowd = crowd
        self.chance = random.Random(f"{seed}/client {number}")
        self.count = 0
        self.connection = None
        self.node = None
        self.life = None
        self.seen = {}  # key: (value, revision) of the last read, for compare-and-set
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self):
        while not self.crowd.stopping.wait(self.chance.random() * PAUSE_MAX_S):
            try:
                if self.has_connection():
                    self.operate()
            except AssertionError as error:
                self.crowd.problem(f"client {self.number} at {self.node.name}: {error}")
                self.leave()
        self.leave()

    def has_connection(self):
        """False when the node that was chosen cannot be reached."""
        gone = self.node is not None and self.life != self.node.life
        if self.connection is not None and (gone or self.chance.random() < MOVE_ON):
            self.leave()
        if self.connection is not None:
            return True
        nodes = self.crowd.nodes_in_service()
        if not nodes:
            return False
        self.node = self.chance.choice(nodes)
        self.life = self.node.life
        self.connection = self.node.connect(TIMEOUT_S)
        try:
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            self.leave()
            return False
        # A node that starts afresh gets its new life before its new port: never write there.
        if self.life != self.node.life:
            self.leave()
            return False
        return True

    def leave(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def choose(self):
        kinds = [kind for kind, _ in MIX]
        kind = self.chance.choices(kinds, [weight for _, weight in MIX])[0]
        if kind == "cas" and not self.crowd.protocol.has_cas:
            kind = "put"
        key = self.crowd.keys.choose(self.chance, kind in ("read", "stale"))
        if kind == "cas" and key not in self.seen:
            kind = "read"
        return kind, key

    def operate(self):
        kind, key = self.choose()
        protocol = self.crowd.protocol
        line = {"client": self.number, "op": "read" if kind == "stale" else kind, "key": key}
        if kind in ("read", "stale"):
            request = protocol.ask_read(key, kind == "stale" or self.crowd.plant_stale_reads)
            if kind == "stale":
                line["consistency"] = "stale"
        elif kind == "delete":
            request = protocol.ask_delete(key)
        else:
            self.count += 1
            line["value"] = f"c{self.number}-{self.count}"
            value = stored(line["value"], self.chance.choice(PADDINGS))
            if kind == "put":
                request = protocol.ask_put(key, value)
            else:
                line["expected"], revision = self.seen.pop(key)
                request = protocol.ask_cas(key, value, revision)
        self.ask(line, request)

    def ask(self, line, request):
        method, target, body, headers = request
        line["start_ns"] = time.monotonic_ns()
        try:
            response = fetch(self.connection, method, target, body, headers)
            line["end_ns"] = time.monotonic_ns()
            line["outcome"], more = self.crowd.protocol.heard(line["op"], response)
            line["note"] = f"{self.node.name}: {response.status}"
        except (OSError, http.client.HTTPException) as error:
            line["end_ns"], line["outcome"], more = None, "unknown", {}
            line["note"] = f"{self.node.name}: {type(error).__name__}"
        if line["outcome"] == "unknown":
            line["end_ns"] = None
        line.update(more)
        if line["op"] == "read":
            if line["outcome"] != "ok":
                line.pop("value", None)
            elif "consistency" not in line:
                self.seen[line["key"]] = (line["value"], line.get("revision"))
        self.crowd.history.add(line)
        if line["outcome"] in ("unknown", "failed"):
            self.leave()
        return line["outcome"]


class Crowd:
    """All clients of a run."""

    def __init__(self, nodes, protocol, history, count, seed, plant_stale_reads=False):
        self.nodes = nodes
        self.protocol = protocol
        self.history = history
        self.plant_stale_reads = plant_stale_reads
        self.keys = Keys()
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.problems = []
        self.clients = [Client(number, self, seed) for number in range(1, count + 1)]

    def nodes_in_service(self):
        return [node for node in self.nodes if node.in_service]

    def problem(self, text):
        with self.lock:
            self.problems.append(text)

    def start(self):
        for client in self.clients:
            client.thread.start()

    def stop(self):
        self.stopping.set()
        for client in self.clients:
            client.thread.join(seconds(4 * TIMEOUT_S))
            if client.thread.is_alive():
                self.problem(f"client {client.number} hangs")

    def wait_acknowledged(self, count, within_s):
        """So many further writes."""
        goal = self.history.acknowledged() + count
        wait_until(lambda: self.history.acknowledged() >= goal, f"{count} writes acknowledged",
                   within_s)

    def read_back(self, nodes):
        """Once all is quiet: a linearizable read of each key, into the history."""
        reader = Client(0, self, "read back")
        for number, key in enumerate(sorted(self.history.keys)):
            node = reader.node = nodes[number % len(nodes)]

            def read(key=key, node=node):
                reader.leave()
                reader.connection = node.connect(TIMEOUT_S)
                stale = self.plant_stale_reads
                return reader.ask({"client": 0, "op": "read", "key": key},
                                  self.protocol.ask_read(key, stale)) == "ok"
            wait_until(read, f"{node.name} answers a read of {key} after the faults", 30)
        reader.leave()
