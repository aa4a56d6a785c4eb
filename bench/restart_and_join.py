#!/usr/bin/env python3
"""Restart and growth of a cluster that holds much data.

    bench/restart_and_join.py [--keys 10000000] [--value-bytes 250] [--rounds 5] [--joins 3]

Fills one node, has two more join it, and measures
  1. restart: all three killed (-9) and started together, to the first read and the first write that
     succeed; "cold" without any file in the page cache (as root only), and "warm";
  2. join: a fourth node joins while 64 clients write. The rate of acknowledged writes before and
     during its snapshot, and the snapshot's speed. What the machine allows beside that load is
     measured in the same round: a bare copy of a file through a TCP connection on loopback.
Prints each round and the median with the smallest and the largest. Needs wrk (script/setup --bench)
and some 10 GB of disk for 10 million keys.
"""

import argparse
import contextlib
import multiprocessing
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

BENCH = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(BENCH, "..", "tests"))
import harness  # noqa: E402
from harness import Node, wait_until  # noqa: E402

CLIENTS = 64
MIB = 1 << 20
# The first writes of a load are not typical.
WARM_WRITES = 10_000
CALM_WRITES = 60_000  # measured before the fourth node comes
COPY_S_MAX = 15
SELDOM_S = 0.25  # between two questions that are to take nothing from the load


def spread(values, form="{:.2f}"):
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{form} ({form} to {form})".format(middle, low, high)


def wrk(node, duration, order, args):
    return ["wrk", "-t", "1", "-c", str(CLIENTS), "-d", duration, "-s",
            os.path.join(BENCH, "store.lua"), f"http://127.0.0.1:{node.http_port}", "--", order,
            str(args.keys), str(args.value_bytes)]


@contextlib.contextmanager
def load(command):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
        if process.poll() is not None:
            raise AssertionError(f"the load ended by itself: {process.returncode}")
    finally:
        process.terminate()
        process.wait()


def leader_of(nodes):
    return wait_until(lambda: next((n for n in nodes if n.try_stats().get("state") == "Leader"),
                                   None), "somebody leads", 30)


def metric(node, name):
    for line in node.request("GET", "/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    raise AssertionError(f"{node.name} has no metric {name}")


def join(via, node):
    begun = time.monotonic()
    while True:
        answer = via.join(node)
        if answer.status == 200:
            return time.monotonic() - begun
        if answer.status != 202:
            raise AssertionError(answer)


def folder_bytes(path):
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.path.getsize(os.path.join(folder, name))
    return total


def bare_copy(source, target, seconds_max):
    """MiB/s of what any transfer has to do: read a file, send it over TCP, write it, sync it. The
    kernel does the reading and the sending; one thread copies at the other end."""
    size = os.path.getsize(source)
    with socket.create_server(("127.0.0.1", 0)) as server:
        def send():
            with socket.create_connection(server.getsockname()) as peer, open(source, "rb") as file:
                sent = 0
                while sent < size and time.monotonic() < begun + seconds_max:
                    sent += os.sendfile(peer.fileno(), file.fileno(), sent, MIB)
        sender = threading.Thread(target=send)
        begun = time.monotonic()
        sender.start()
        peer, _ = server.accept()
        buffer = memoryview(bytearray(MIB))
        copied = 0
        with peer, open(target, "wb", buffering=0) as file:
            while count := peer.recv_into(buffer):
                file.write(buffer[:count])
                copied += count
            os.fsync(file.fileno())
        sender.join()
        took = time.monotonic() - begun
    os.unlink(target)
    return copied / MIB / took


class Bench:
    def __init__(self, args, folder):
        self.args = args
        self.folder = folder
        self.nodes = []

    def new_node(self, name):
        return Node(name, self.folder, extra=self.args.option or ())

    def fill(self):
        node = self.new_node("n1")
        self.nodes.append(node)
        if self.args.filled:
            shutil.copytree(self.args.filled, node.volume)
        node.start()
        leader_of(self.nodes)
        begun = time.monotonic()
        with load(wrk(node, "2h", "each", self.args)):
            # One command a key; a volume that was filled before is through at once.
            wait_until(lambda: int(node.stats()["revision"]) > self.args.keys, "all is written",
                       3600)
        took = time.monotonic() - begun
        print(f"filled one node with {self.args.keys} keys in {took:.0f} s", flush=True)
        for name in ("n2", "n3"):
            other = self.new_node(name)
            self.nodes.append(other)
            other.start()
            took = join(leader_of(self.nodes[:1]), other)
            print(f"{name} joined in {took:.1f} s; its volume has "
                  f"{folder_bytes(other.volume) / 1e9:.2f} GB", flush=True)

    def restart_one(self):
        """A follower killed and started: until it has answered a read that had to be up to date."""
        leader = leader_of(self.nodes)
        node = next(n for n in self.nodes if n is not leader)
        node.kill()
        begun = time.monotonic()
        node.start(wait=False)
        wait_until(lambda: node.get("restarted").status == 200, "it serves", 120)
        return time.monotonic() - begun

    def restart_once(self, cold):
        for node in self.nodes:
            node.kill()
        os.sync()
        if cold:
            with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
                file.write("3")
        begun = time.monotonic()
        for node in self.nodes:
            node.start(wait=False)
        last = self.nodes[-1]

        def succeeds(ask, within_s=120):
            wait_until(lambda: ask().status == 200, "the cluster serves", within_s)
            return time.monotonic() - begun
        read = succeeds(lambda: last.get(f"k{self.args.keys // 2:09d}"))
        write = succeeds(lambda: last.put("restarted", "yes"))
        for node in self.nodes:
            succeeds(lambda n=node: n.get("restarted", "?consistency=stale"))
        return read, write, time.monotonic() - begun

    def restart(self):
        kinds = (["cold"] if os.geteuid() == 0 else []) + ["warm"]
        for kind in kinds:
            times = []
            for _ in range(self.args.rounds):
                # So that there is a log to be replayed.
                subprocess.run(wrk(leader_of(self.nodes), "5s", "any", self.args), check=True,
                               stdout=subprocess.DEVNULL)
                times.append(self.restart_once(kind == "cold"))
                print(f"restart, {kind}: first read {times[-1][0]:.2f} s, first write "
                      f"{times[-1][1]:.2f} s, all three level {times[-1][2]:.2f} s", flush=True)
            if kind == "warm":
                alone = [self.restart_one() for _ in range(self.args.rounds)]
                print(f"RESTART {kind}, one follower alone: {spread(alone)} s", flush=True)
            for place, what in enumerate(("first read", "first write", "all three level")):
                print(f"RESTART {kind}, {what}: {spread([t[place] for t in times])} s", flush=True)

    def join_once(self):
        """What one round of growth measured, as a dict."""
        leader = leader_of(self.nodes)
        node = self.new_node("n4")
        node.start()
        source = os.path.join(self.folder, "probe")
        with open(source, "wb") as file:
            for _ in range(1024):
                file.write(os.urandom(MIB))
            os.fsync(file.fileno())

        def now():
            return (time.monotonic(), int(leader.stats()["revision"]),
                    metric(leader, "arima_snapshot_sent_bytes_total"))

        def written(count):
            goal = int(leader.stats()["revision"]) + count
            wait_until(lambda: int(leader.stats()["revision"]) >= goal, f"{count} writes", 600,
                       SELDOM_S)

        def rate(begin, end):
            return (end[1] - begin[1]) / (end[0] - begin[0])
        found = {}
        with load(wrk(leader, "30m", "any", self.args)):
            written(WARM_WRITES)
            calm = now()
            written(CALM_WRITES)
            copying = now()
            with multiprocessing.Pool(1) as pool:
                found["copy"] = pool.apply(bare_copy, (source, source + ".copy", COPY_S_MAX))
            copied = now()
            written(WARM_WRITES)
            joining = threading.Thread(target=lambda: found.update(took=join(leader, node)))
            joining.start()
            wait_until(lambda: "sending" in leader.stats()["snapshot_state"], "it is sent", 60)
            sending = now()
            # First it reads and hashes all of it.
            state = wait_until(lambda: re.search(r"sending n4 ([1-9]\d*) %",
                                                 leader.stats()["snapshot_state"]),
                               "the first bytes are sent", 300, SELDOM_S)
            first = (time.monotonic(), int(state[1]) / 100)
            wait_until(lambda: "sending" not in leader.stats()["snapshot_state"], "all is sent",
                       900, SELDOM_S)
            sent = now()
            joining.join()
        os.unlink(source)
        found["size"] = (sent[2] - sending[2]) / MIB
        found["speed"] = found["size"] * (1 - first[1]) / (sent[0] - first[0])
        found["calm"] = rate(calm, copying)
        found["beside_copy"] = rate(copying, copied)
        found["beside_snapshot"] = rate(sending, sent)
        if leader.remove("n4").status != 200:
            raise AssertionError("n4 could not be removed")
        node.kill()
        shutil.rmtree(node.volume)
        return found

    def growth(self):
        rounds = []
        for _ in range(self.args.joins):
            rounds.append(self.join_once())
            print("join: {calm:.0f} writes/s before; {beside_copy:.0f} beside a bare copy at "
                  "{copy:.0f} MiB/s; {beside_snapshot:.0f} beside the snapshot of {size:.0f} MiB "
                  "at {speed:.0f} MiB/s; joined after {took:.1f} s".format(**rounds[-1]),
                  flush=True)
        for text, share in (
                ("write rate kept beside the snapshot", lambda r: r["beside_snapshot"] / r["calm"]),
                ("write rate kept beside a bare copy", lambda r: r["beside_copy"] / r["calm"]),
                ("snapshot's speed, of the bare copy's", lambda r: r["speed"] / r["copy"])):
            print(f"JOIN {text}: {spread([share(r) for r in rounds])}", flush=True)

    def end(self):
        for node in self.nodes:
            if node.is_running():
                node.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=harness.Settings.binary)
    parser.add_argument("--keys", type=int, default=10_000_000)
    parser.add_argument("--value-bytes", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=5, help="restarts of each kind")
    parser.add_argument("--joins", type=int, default=3)
    parser.add_argument("--directory", help="where the volumes go (a new folder in it)")
    parser.add_argument("--filled", help="the volume of a node n1, ended, that holds the keys; "
                        "a copy of it is used")
    parser.add_argument("--option", action="append", help="a further flag for the nodes")
    args = parser.parse_args()
    harness.Settings.binary = os.path.abspath(args.binary)
    with tempfile.TemporaryDirectory(prefix="arima-bench-", dir=args.directory) as folder:
        bench = Bench(args, folder)
        try:
            bench.fill()
            bench.restart()
            bench.growth()
        finally:
            bench.end()


if __name__ == "__main__":
    main()
