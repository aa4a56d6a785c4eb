"""The nodes of a run, of either store, and where they keep their data."""

import os
import shutil

import harness
from harness import Node, fetch, wait_until

MIB = 1 << 20
DISK_BYTES = 384 * MIB


class PlainDisk:
    """A folder."""

    can_be_full = False
    can_lose_power = False

    def __init__(self, folder, name):
        self.path = os.path.join(folder, f"{name}-disk")
        os.makedirs(self.path)
        self.volume = os.path.join(self.path, "volume")

    def wipe(self):
        shutil.rmtree(self.volume, ignore_errors=True)

    def stop(self):
        pass


class ChaosNode(Node):
    """What the faults need to know of a node of either store."""

    def __init__(self, name, folder, network, disk):
        super().__init__(name, folder)
        self.network = network
        self.disk = disk
        self.volume = disk.volume
        self.http_host, self.http_port = network.http[name]
        self.raft_host, self.raft_port = network.raft[name]
        self.announced = network.announced[name]
        self.prefix = network.prefix(name)
        # Clients use it. A node that starts with nothing is a store of its own until it joins, and
        # whoever wrote to it then would have written to another store: so a new life has a new
        # port, and a client that knows the older one reaches nobody.
        self.in_service = False
        self.life = 1
        self.surprises = []  # ends that nobody asked for

    @property
    def raft_address(self):
        """What other nodes are told."""
        return f"{self.announced[0]}:{self.announced[1]}"

    def kill(self):
        if not self.is_running():
            self.note_end()
            return
        super().kill()
        self.paused = False

    def note_end(self):
        if self.process is not None and not self.is_running() and not self.expected_end:
            self.surprises.append(f"{self.name} ended by itself: exit code {self.exit_code()}")
            self.expected_end = True

    def move_out(self):
        """Stops, loses everything, and will have another port; out of service until it joined."""
        self.in_service = False
        self.kill()
        self.life += 1
        self.http_port = self.http_port + 1 if self.prefix else harness.free_port()
        self.disk.wipe()


class ArimaNode(ChaosNode):
    alive_path = "/livez"
    FLAGS = ("--disk-reserve", "12MiB", "--wal-segment-bytes", "1MiB", "--flush-bytes",
             "2MiB", "--log-retain-bytes", "4MiB", "--history-max-age", "5s",
             "--history-min-revisions", "100", "--recent-keys-bytes", "4MiB",
             "--block-cache-bytes", "8MiB")

    @property
    def command(self):
        host, port = self.announced
        return [harness.Settings.binary, "run", "--node-id", self.name, "--volume-dir",
                self.volume, "--server-port", str(self.http_port), "--server-address",
                self.http_host, "--raft-port", str(self.raft_port), "--raft-listen",
                self.raft_host, "--raft-advertise", f"{host}:{port}", *self.FLAGS]

    def is_leader(self):
        return self.try_stats().get("state") == "Leader"

    def progress(self):
        """Equal on all nodes once they have all of the same; None while unknown."""
        stats = self.try_stats()
        if stats.get("state") not in ("Leader", "Follower"):
            return None
        if stats["applied_index"] != stats["last_log_index"]:
            return None
        return stats["revision"], stats["applied_index"]

    def is_well(self):
        return self.try_stats().get("state") in ("Leader", "Follower") and self.is_voter()

    def is_voter(self):
        """By its own word."""
        stats = self.try_stats()
        return stats.get("state") in ("Leader", "Follower") and \
            f"Voter ID:{self.name} " in stats["latest_configuration"]


class Cluster:
    """Starts the nodes, finds the leader, and judges the end."""

    survives_full_disks = True

    def __init__(self, nodes):
        self.nodes = nodes

    def form(self):
        raise NotImplementedError

    def leader(self):
        """A node that says that it leads, or None; during faults there may be several."""
        leaders = [node for node in self.nodes
                   if node.is_running() and not node.paused and node.in_service
                   and node.is_leader()]
        return leaders[0] if leaders else None

    def wait_level(self, within_s=90):
        """All nodes run and have the same of everything."""
        def level():
            states = [node.progress() for node in self.nodes]
            return None not in states and len(set(states)) == 1 and self.leader() is not None
        try:
            wait_until(level, "all nodes have the same", within_s, poll_s=0.2)
        except AssertionError as error:
            states = "; ".join(f"{node.name}: {node.progress()}" for node in self.nodes)
            raise AssertionError(f"{error}: {states}") from None

    def contents(self, node, protocol, keys):
        """Of this node alone, by key."""
        raise NotImplementedError

    def differences(self, protocol, keys):
        """Keys that are not the same on all nodes, in words."""
        found = [self.contents(node, protocol, keys) for node in self.nodes]
        return [f"{key} differs: " + ", ".join(
            f"{node.name} {content.get(key)}" for node, content in zip(self.nodes, found))
            for key in sorted(set().union(*found))
            if len({content.get(key) for content in found}) > 1]

    def wait_writes_go_on(self, protocol, within_s=60):
        """Every node takes a write, outside of the history."""
        for node in self.nodes:
            method, target, body, headers = protocol.ask_put(f"alive-{node.name}", "x")
            wait_until(lambda n=node, m=method, t=target, b=body, h=headers:
                       n.request(m, t, b, h).status == 200, f"{node.name} takes a write", within_s)

    def note_ends(self):
        for node in self.nodes:
            node.note_end()

    def surprises(self):
        return [text for node in self.nodes for text in (*node.surprises, *node.alarms())]

    def end_well(self):
        """What is wrong with how the nodes end when they are asked to."""
        return []

    def stop(self):
        for node in self.nodes:
            if node.is_running():
                node.kill()


class ArimaCluster(Cluster):
    def form(self):
        for node in self.nodes:
            node.start()
        first = self.nodes[0]
        wait_until(first.is_leader, f"{first.name} leads itself")
        for node in self.nodes[1:]:
            self.join(node, [first])
        for node in self.nodes:
            node.in_service = True

    def join(self, node, via=None, within_s=90):
        """Asks until it votes, over whatever goes wrong meanwhile."""
        turn = iter(range(1 << 30))
        answers = []

        def joined():
            others = via or [n for n in self.nodes if n is not node and n.in_service]
            response = others[next(turn) % len(others)].join(node)
            answers.append(f"{response.status} {response.body[:150]!r}")
            assert response.status in (200, 202, 409, 502, 503, 504), response
            return response.status == 200 and node.is_voter()
        try:
            wait_until(joined, f"{node.name} joins", within_s, poll_s=0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}\nlast answers: {answers[-4:]}") from None

    def remove(self, node, within_s=90):
        turn = iter(range(1 << 30))

        def removed():
            others = [n for n in self.nodes if n is not node and n.in_service]
            response = others[next(turn) % len(others)].remove(node.name)
            assert response.status in (200, 404, 409, 503, 504), response
            return response.status in (200, 404)
        wait_until(removed, f"{node.name} is removed", within_s, poll_s=0.2)

    def end_well(self):
        for node in self.nodes:
            node.terminate()
        codes = {node.name: node.wait_exit() for node in self.nodes}
        return [f"{name}: exit code {code} on SIGTERM" for name, code in codes.items() if code]

    def contents(self, node, protocol, keys):
        found = {}
        connection = node.connect()
        try:
            for key in keys:
                method, target, body, headers = protocol.ask_read(key, stale=True)
                response = fetch(connection, method, target, body, headers)
                assert response.status in (200, 404), response
                if response.status == 200:
                    found[key] = (response.json()["data"]["value"], response.headers["ETag"])
        finally:
            connection.close()
        return found
