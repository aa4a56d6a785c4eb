"""etcd as the store under test: the same faults and checks, to see that they judge rightly."""

import base64

from harness import wait_until
from nodes import ChaosNode, Cluster


class EtcdNode(ChaosNode):
    alive_path = "/version"
    program = "etcd"
    members = ""  # name=url of all, set by the cluster

    @property
    def command(self):
        client = f"http://{self.http_host}:{self.http_port}"
        peer = f"http://{self.raft_host}:{self.raft_port}"
        return [self.program, "--name", self.name, "--data-dir", self.volume,
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", self.members, "--initial-cluster-state", "new",
                "--heartbeat-interval", "100", "--election-timeout", "1000",
                "--snapshot-count", "2000", "--logger", "zap"]

    def wait_answers(self):
        wait_until(lambda: self.request("GET", self.alive_path).status == 200,
                   f"{self.name} answers", 30)

    def status(self):
        if not self.is_running() or self.paused:
            return {}
        try:
            response = self.request("POST", "/v3/maintenance/status", {}, timeout_s=3)
            return response.json() if response.status == 200 else {}
        except (OSError, AssertionError):
            return {}

    def is_leader(self):
        status = self.status()
        return "leader" in status and status["leader"] == status["header"]["member_id"]

    def is_well(self):
        return bool(self.status().get("leader"))

    def progress(self):
        status = self.status()
        if not status:
            return None
        return status["header"].get("revision"), status.get("raftAppliedIndex")


class EtcdCluster(Cluster):
    survives_full_disks = False

    def form(self):
        EtcdNode.members = ",".join(f"{node.name}=http://{node.raft_host}:{node.raft_port}"
                                    for node in self.nodes)
        for node in self.nodes:
            if node.disk.can_lose_power:
                # Where names are as durable as POSIX says and no more, etcd 3.4 comes back without
                # its log ("has already been bootstrapped"): that is not what is looked for here.
                node.disk.journal_names()
            node.start(wait=False)
        for node in self.nodes:
            node.wait_answers()
            node.in_service = True
        wait_until(self.leader, "etcd has a leader", 60)

    def contents(self, node, _protocol, _keys):
        end = base64.b64encode(b"h").decode()
        start = base64.b64encode(b"g").decode()
        response = node.request("POST", "/v3/kv/range", {"key": start, "range_end": end,
                                                         "serializable": True})
        return {pair["key"]: (pair["value"], pair["mod_revision"])
                for pair in response.json().get("kvs", [])}
