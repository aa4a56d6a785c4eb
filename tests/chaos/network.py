"""The network of the nodes, and what goes wrong in it.

NamespaceNetwork: each node in a network namespace with an address of its own, all on one bridge.
The clients live beside the bridge and reach every node at any time. Packets between nodes are
dropped by nftables rules in the namespaces of the nodes.

LoopbackNetwork: 127.x addresses, where namespaces are not allowed; no packet can be dropped.

With proxies, the address that a node announces belongs to its proxy (proxy.py), which passes
everything on to the node.
"""

import shutil

import harness
from sandbox import run

RAFT_PORT = 7000
HTTP_PORT = 8000
HUB = "10.77.0.254"
RULES = f"""
table inet chaos {{
  set from {{ type ipv4_addr; }}
  set to {{ type ipv4_addr; }}
  chain lose {{ }}
  chain input {{
    type filter hook input priority 0;
    ip saddr @from drop
    tcp dport {RAFT_PORT} jump lose
    tcp sport {RAFT_PORT} jump lose
  }}
  chain output {{
    type filter hook output priority 0;
    ip daddr @to drop
  }}
}}
"""


def can_drop_packets():
    """Why it cannot be done, or None."""
    for tool, package in (("nft", "nftables"), ("ip", "iproute2"), ("nsenter", "util-linux")):
        if shutil.which(tool) is None:
            return f"no program {tool} (package {package})"
    try:
        run(["nft", "-f", "-"], input=RULES)
        run(["nft", "delete", "table", "inet", "chaos"])
    except AssertionError as error:
        return f"nftables do not work in a namespace here: {error}"
    return None


class LoopbackNetwork:
    drops_packets = False

    def __init__(self, names, proxied):
        self.names = list(names)
        self.http = {name: ("127.0.0.1", harness.free_port()) for name in self.names}
        self.raft = {name: (f"127.0.0.{number}", harness.free_port())
                     for number, name in enumerate(self.names, 1)}
        self.announced = {name: (f"127.0.0.{100 + number}", harness.free_port())
                          for number, name in enumerate(self.names, 1)} if proxied else self.raft
        self.sources = {}  # nobody can tell by the address who connects

    def prefix(self, _name):
        return []


class NamespaceNetwork:
    drops_packets = True

    def __init__(self, names, proxied):
        self.names = list(names)
        self.proxied = proxied
        number = {name: i for i, name in enumerate(self.names, 1)}
        self.raft = {name: (f"10.77.0.{number[name]}", RAFT_PORT) for name in self.names}
        self.http = {name: (f"10.77.0.{number[name]}", HTTP_PORT) for name in self.names}
        self.announced = {name: (f"10.77.0.{100 + number[name]}", RAFT_PORT)
                          for name in self.names} if proxied else self.raft
        self.sources = {self.raft[name][0]: name for name in self.names}
        self.build(number)

    def build(self, number):
        run(["ip", "link", "set", "lo", "up"])
        run(["ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0"])
        run(["ip", "address", "add", f"{HUB}/24", "dev", "br0"])
        run(["ip", "link", "set", "br0", "up"])
        for name in self.names:
            if self.proxied:
                run(["ip", "address", "add", f"{self.announced[name][0]}/24", "dev", "br0"])
            outer = f"v{number[name]}"
            run(["ip", "netns", "add", name])
            run(["ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name])
            run(["ip", "link", "set", outer, "master", "br0", "up"])
            run(["ip", "-n", name, "address", "add", f"{self.raft[name][0]}/24", "dev", "eth0"])
            run(["ip", "-n", name, "link", "set", "eth0", "up"])
            run(["ip", "-n", name, "link", "set", "lo", "up"])
            self.rules(name, RULES)

    def prefix(self, name):
        """Put before a command, it runs at that node's place in the network."""
        return ["nsenter", f"--net=/run/netns/{name}"]

    def rules(self, name, text):
        run([*self.prefix(name), "nft", "-f", "-"], input=text)

    def cut(self, one, other):
        """Nothing gets from one to the other any more; the other way stays open."""
        source, target = self.announced[one][0], self.announced[other][0]
        if self.proxied:  # on connections that `one` made, and on those that it accepted
            self.add(one, "to", target)
        self.add(other, "from", source)

    def add(self, name, which, address):
        self.rules(name, f"add element inet chaos {which} {{ {address} }}\n")

    def separate(self, one, other):
        self.cut(one, other)
        self.cut(other, one)

    def join_all(self):
        for name in self.names:
            self.rules(name, "flush set inet chaos from\nflush set inet chaos to\n")

    def lose(self, name, percent):
        """Of the packets between this node and the others, at the node; 0: none."""
        text = "flush chain inet chaos lose\n"
        if percent:
            text += f"add rule inet chaos lose numgen random mod 100 < {percent} drop\n"
        self.rules(name, text)
