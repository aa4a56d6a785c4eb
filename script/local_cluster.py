#!/usr/bin/env python3
"""Three nodes on loopback, formed with the published commands; what script/server runs.

    script/local_cluster.py BINARY

CLUSTER_SERVER_PORTS, CLUSTER_RAFT_PORTS (three numbers each) and CLUSTER_DATA override the defaults
below. The data stays between runs; nodes that are members already are not joined again. Ctrl-C or
SIGTERM ends the three nodes and waits for them. Exit code 0: all three ended cleanly.
"""

import ctypes
import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time

NAMES = ["n1", "n2", "n3"]
RAFT_HOSTS = ["127.0.0.1", "127.0.0.1", "127.0.0.2"]  # as published
SERVER_PORTS = os.environ.get("CLUSTER_SERVER_PORTS", "2221 2222 2223").split()
RAFT_PORTS = os.environ.get("CLUSTER_RAFT_PORTS", "1111 1112 1113").split()
DATA = os.environ.get("CLUSTER_DATA", "./arima-data")

START_S_MAX = 60
STOP_S_MAX = 30
POLL_S = 0.1
PR_SET_PDEATHSIG = 1

print_lock = threading.Lock()


def say(line):
    with print_lock:
        print(line, flush=True)


class ClusterError(Exception):
    """What went wrong, in one line for the person at the terminal."""


class Stopped(Exception):
    """Ctrl-C or SIGTERM."""


class Node:
    def __init__(self, index, binary):
        self.name = NAMES[index]
        self.port = SERVER_PORTS[index]
        self.raft_port = RAFT_PORTS[index]
        self.raft_address = f"{RAFT_HOSTS[index]}:{self.raft_port}"
        self.volume = os.path.join(DATA, self.name)
        self.command = [binary, "run", "--server-port", self.port, "--node-id", self.name,
                        "--raft-port", self.raft_port, "--volume-dir", self.volume]
        self.process = None
        self.printer = None
        self.reported = False

    def start(self):
        os.makedirs(self.volume, exist_ok=True)
        say("$ " + shlex.join(self.command))
        # A session of its own: the terminal's Ctrl-C reaches this script only, which then ends the
        # nodes one way. Should this script be killed, the kernel ends the nodes.
        libc = ctypes.CDLL(None)
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM))
        self.printer = threading.Thread(target=self.print_log)
        self.printer.start()

    def print_log(self):
        for line in self.process.stdout:
            say(f"{self.name} | {line.decode(errors='replace').rstrip()}")

    def stats(self):
        """The answer of GET /raft/stats, or None while the node does not answer."""
        try:
            connection = http.client.HTTPConnection("localhost", int(self.port), timeout=5)
            try:
                connection.request("GET", "/raft/stats")
                response = connection.getresponse()
                body = response.read()
                return json.loads(body)["data"] if response.status == 200 else None
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return None

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def describe_end(self):
        code = self.process.returncode
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return f"node {self.name} ended ({how})"


def wait_until(nodes, what, fact):
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline:
        for node in nodes:
            if not node.is_running():
                raise ClusterError(f"{node.describe_end()} while waiting until {what}")
        if fact():
            return
        time.sleep(POLL_S)
    raise ClusterError(f"gave up after {START_S_MAX} s waiting until {what}")


def is_member(node, stats):
    return f"ID:{node.name} " in stats.get("latest_configuration", "")


def knows_leader(node):
    stats = node.stats()
    return stats is not None and (stats["state"] == "Leader" or bool(stats.get("leader_id")))


def join(first, node):
    body = json.dumps({"node_id": node.name, "raft_address": node.raft_address})
    command = ["curl", "--silent", "--show-error", "--location", "--request", "POST",
               f"localhost:{first.port}/raft/join", "--header", "Content-Type: application/json",
               "--data-raw", body]
    say("$ " + shlex.join(command))
    deadline = time.monotonic() + 3 * START_S_MAX
    while True:
        result = subprocess.run([*command, "--write-out", "\n%{http_code}"], text=True,
                                stdin=subprocess.DEVNULL, capture_output=True, check=False)
        answer, _, status = result.stdout.rpartition("\n")
        if status == "200":
            say(answer)
            return
        # 202: it goes on catching up, and the same request continues the join.
        if status != "202" or time.monotonic() > deadline:
            raise ClusterError(f"{node.name} could not join: {answer or result.stderr.strip()}\n"
                               f"(an unwanted old cluster? its data is in {DATA}/n1 to n3)")


def is_formed(nodes):
    """One Leader, two Followers of it, all three voters."""
    all_stats = [node.stats() for node in nodes]
    if None in all_stats:
        return False
    states = sorted(stats["state"] for stats in all_stats)
    return states == ["Follower", "Follower", "Leader"] and all(
        stats["num_peers"] == "2" for stats in all_stats)


def form(nodes):
    wait_until(nodes, "all three nodes answer", lambda: all(node.stats() for node in nodes))
    first = nodes[0]
    stats = first.stats() or {}
    if all(is_member(node, stats) for node in nodes):
        say("The three nodes are a cluster already; nothing to join.")
    else:
        wait_until(nodes, f"{first.name} has a leader", lambda: knows_leader(first))
        for node in nodes[1:]:
            if not is_member(node, first.stats() or {}):
                join(first, node)
    wait_until(nodes, "there is one leader with two followers", lambda: is_formed(nodes))


def print_usage(nodes):
    port = nodes[0].port
    last = nodes[2].port
    say("")
    say("Arima runs on three nodes:")
    for node in nodes:
        stats = node.stats() or {}
        say(f"  {node.name}  http://localhost:{node.port}  {stats.get('state', '?')}")
    say("Try:")
    say(f"  curl -X POST localhost:{port}/store/ -H 'Content-Type: application/json' "
        "-d '{\"key\":\"hello\",\"value\":\"world\"}'")
    say(f"  curl localhost:{last}/store/hello")
    say(f"  curl localhost:{port}/raft/stats")
    say(f"Data is kept in {DATA}. Ctrl-C ends the three nodes.")
    say("")


def watch(nodes):
    """Until a signal comes: reports each node that ends. Returns when none is left."""
    while any(node.is_running() for node in nodes):
        for node in nodes:
            if not node.is_running() and not node.reported:
                node.reported = True
                say(f"script/server: {node.describe_end()}; the others go on. Restart it with: "
                    + shlex.join(node.command))
        time.sleep(POLL_S)


def stop(nodes):
    """SIGTERM to each, by its own id. True when all of them ended with exit code 0."""
    started = [node for node in nodes if node.process is not None]
    for node in started:
        if node.is_running():
            node.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_S_MAX
    clean = True
    for node in started:
        try:
            node.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            say(f"script/server: node {node.name} still runs {STOP_S_MAX} s after SIGTERM: killed")
            node.process.kill()
            node.process.wait()
        node.printer.join()
        if node.process.returncode != 0:
            clean = False
            say(f"script/server: {node.describe_end()}")
    return clean


def on_signal(_number, _frame):
    # Once: a second Ctrl-C must not leave nodes behind.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    if len(SERVER_PORTS) != 3 or len(RAFT_PORTS) != 3:
        print("script/server: CLUSTER_SERVER_PORTS and CLUSTER_RAFT_PORTS take three numbers each",
              file=sys.stderr)
        return 2
    nodes = [Node(index, sys.argv[1]) for index in range(3)]
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    failed = False
    try:
        for node in nodes:
            node.start()
        form(nodes)
        print_usage(nodes)
        watch(nodes)
        failed = True
        say("script/server: no node is left")
    except Stopped:
        say("script/server: ending the three nodes")
    except ClusterError as error:
        failed = True
        say(f"script/server: {error}")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    clean = stop(nodes)
    if clean and not failed:
        say("script/server: all three nodes ended cleanly")
    return 0 if clean and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
