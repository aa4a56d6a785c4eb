"""Real nodes, real faults, clients that remember, and a checker that judges what they heard.

    script/chaos --seconds 60 --faults kill,pause,partition --nodes 3 --seed 7

Makes a cluster in a sandbox of its own (sandbox.py), lets clients write and read at random, does
the faults in an order that the seed chooses, heals all, and checks: every node comes back and has
the same; no node ended by itself; and the history of the clients is linearizable. The seed chooses
faults and requests; what happens then is up to the machine, so a seed repeats a run only roughly.
Exit code: 0 as promised, 1 a promise was broken, 2 not judged.
docs/testing/chaos.md says more.
"""

import argparse
import os
import random
import shlex
import shutil
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import disks  # noqa: E402
import etcd  # noqa: E402
import faults  # noqa: E402
import harness  # noqa: E402
import history  # noqa: E402
import network  # noqa: E402
import nodes  # noqa: E402
import protocol  # noqa: E402
import proxy  # noqa: E402
import sandbox  # noqa: E402
from clients import Crowd  # noqa: E402

PLANTS = {
    "stale-reads": "reads of what one node has are taken for linearizable ones",
    "lost-syncs": "disks answer syncs without doing them, then the power fails everywhere",
}
FAULTS_OF_PLANT = {"stale-reads": "partition", "lost-syncs": "kill"}


def parse():
    parser = argparse.ArgumentParser(prog="script/chaos", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of faults (60)")
    parser.add_argument("--faults", help=f"of {','.join(faults.KINDS)} (all that can be done here)")
    parser.add_argument("--nodes", type=int, default=3, choices=(3, 5))
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--seed", type=int, help="any; printed, so that it can be given again")
    parser.add_argument("--binary", default=harness.Settings.binary, help="arima")
    parser.add_argument("--target", default="arima", choices=("arima", "etcd"))
    parser.add_argument("--etcd", default="etcd", help="etcd's program, for --target etcd")
    parser.add_argument("--plant", choices=tuple(PLANTS),
                        help="break a promise on purpose: exit code 0 if the checker finds it")
    parser.add_argument("--keep", metavar="DIR", default=None,
                        help="for history and logs of a failed run (build/chaos)")
    parser.add_argument("--keep-always", action="store_true")
    parser.add_argument("--no-sandbox", action="store_true", help="127.x addresses only")
    parser.add_argument("--slow", type=float, default=1.0, help="factor on every deadline")
    return parser.parse_args()


class World:
    """All of one run."""

    def __init__(self, args):
        self.args = args
        self.started = time.monotonic()
        self.folder = sandbox.settle_in()
        self.proxies = None
        self.crowd = None
        self.chance = random.Random(f"{args.seed}/faults")
        self.no_namespaces = "no namespaces here (root, or a kernel that lets users make them)"
        if sandbox.inside():
            self.no_namespaces = network.can_drop_packets()
        self.unsync = disks.unsync_program(args.binary)
        self.why_no_power_loss = disks.why_no_power_loss(self.unsync)
        self.why_no_full_disks = None
        if not sandbox.inside():
            self.why_no_full_disks = self.why_no_power_loss = self.no_namespaces
        self.wanted = args.faults.split(",") if args.faults else list(faults.KINDS)
        self.history = history.History(os.path.join(self.folder, "history.jsonl"))

    def say(self, text):
        print(f"[{time.monotonic() - self.started:6.1f} s] {text}", flush=True)

    def build(self):
        args = self.args
        names = [f"n{number}" for number in range(1, args.nodes + 1)]
        proxied = "proxy" in self.wanted and args.target == "arima"
        isolated = sandbox.inside() and self.no_namespaces is None
        self.network = (network.NamespaceNetwork if isolated else network.LoopbackNetwork)(
            names, proxied)
        if proxied:
            self.proxies = proxy.Proxies(self.network, os.path.join(self.folder, "proxy.log"))
        store = {"arima": (nodes.ArimaNode, nodes.ArimaCluster, protocol.ArimaProtocol),
                 "etcd": (etcd.EtcdNode, etcd.EtcdCluster, protocol.EtcdProtocol)}[args.target]
        members = [store[0](name, self.folder, self.network, self.disk(name)) for name in names]
        etcd.EtcdNode.program = args.etcd
        self.cluster = store[1](members)
        self.protocol = store[2]()

    def disk(self, name):
        if self.why_no_full_disks:
            return nodes.PlainDisk(self.folder, name)
        if self.why_no_power_loss or "unsync" not in self.wanted:
            return disks.SmallDisk(self.folder, name)
        return disks.PoweredDisk(self.folder, name, self.unsync)

    def chosen_faults(self):
        """Of those that are wanted the ones that can be; says which cannot and why."""
        possible = []
        for kind in self.wanted:
            why_not = faults.KINDS[kind].why_not(self)
            if why_not:
                self.say(f"skipped {kind}: {why_not}")
            else:
                possible.append(kind)
        return possible

    def check(self):
        """Between faults."""
        self.cluster.note_ends()
        ends = [text for node in self.cluster.nodes for text in node.surprises]
        assert not ends, "; ".join(ends)

    def wait_healthy(self):
        def healthy():
            return self.cluster.leader() is not None and all(
                node.in_service and node.is_well() for node in self.cluster.nodes)
        harness.wait_until(healthy, "all nodes are well", 60, poll_s=0.2)
        self.crowd.wait_acknowledged(5, 60)

    def run(self):
        args = self.args
        self.build()
        kinds = self.chosen_faults()
        if not kinds:
            self.say("nothing left to do")
            return 2
        self.say("disks and network are made")
        self.cluster.form()
        self.say(f"{args.nodes} nodes of {args.target}, {args.clients} clients, seed {args.seed}, "
                 f"faults: {', '.join(kinds)}")
        self.find_cas()
        self.crowd = Crowd(self.cluster.nodes, self.protocol, self.history, args.clients,
                           args.seed, args.plant == "stale-reads")
        self.crowd.start()
        self.crowd.wait_acknowledged(20, 30)
        self.nemesis = faults.Nemesis(self, kinds, self.chance, self.say)
        if args.plant == "lost-syncs":
            self.lose_syncs()
        else:
            self.nemesis.run(args.seconds)
        return self.judge()

    def find_cas(self):
        """Compare-and-set is part of the load where the store has it."""
        if self.protocol.has_cas:
            return
        method, target, body, headers = self.protocol.ask_cas("alive-cas", "x", None)
        status = self.cluster.nodes[0].request(method, target, body, headers).status
        self.protocol.has_cas = status == 200
        if not self.protocol.has_cas:
            self.say(f"no compare-and-set: the store answers {status} to If-None-Match on a write")

    def lose_syncs(self):
        """The plant: what is acknowledged from here on is on no disk."""
        for node in self.cluster.nodes:
            node.disk.lie(True)
        self.say("the disks of all nodes answer syncs without doing them")
        self.crowd.wait_acknowledged(300, 60)
        for node in self.cluster.nodes:
            node.kill()
        for node in self.cluster.nodes:
            self.say(f"power loss at {node.name}: {node.disk.lose_power()}")
            node.disk.lie(False)
            node.start(wait=False)
        self.nemesis.counts["lying disks"] = len(self.cluster.nodes)

    def judge(self):
        self.say("healing")
        self.nemesis.heal()
        self.crowd.wait_acknowledged(20, 60)
        self.crowd.stop()
        self.cluster.wait_writes_go_on(self.protocol)
        self.cluster.wait_level()
        self.say("all nodes have applied the same")
        problems = self.cluster.differences(self.protocol, sorted(self.history.keys))
        self.crowd.read_back(self.cluster.nodes)
        self.cluster.note_ends()
        problems += self.cluster.end_well()
        problems += self.crowd.problems + self.cluster.surprises()
        self.history.close()
        verdict = history.check(self.args.binary, self.history.path)
        return self.report(verdict, problems)

    def report(self, verdict, problems):
        print(f"seed {self.args.seed}: {self.history.summary()}")
        print("faults: " + ", ".join(f"{n} {kind}" for kind, n in self.nemesis.counts.items()))
        for problem in problems[:20]:
            print(f"PROBLEM {problem}")
        print(f"checker: {verdict.word}")
        if verdict.code != 0:
            print(verdict.text[:6000])
        if self.args.plant:
            found = verdict.code == 1
            print(f"planted ({PLANTS[self.args.plant]}): {'found' if found else 'NOT FOUND'}")
            return 0 if found else 1
        return 1 if problems or verdict.code == 1 else verdict.code

    def keep(self):
        """Where history and logs were put, with how to look at them."""
        folder = self.args.keep or os.path.join(harness.REPOSITORY, "build", "chaos")
        seed = str(self.args.seed)
        folder = os.path.join(os.path.abspath(folder), f"seed-{seed}")
        self.history.flush()
        logs = [os.path.join(self.folder, name) for name in sorted(os.listdir(self.folder))
                if name.endswith((".log", ".jsonl"))]
        disks.keep(logs, folder)
        print(f"kept in {folder}: history.jsonl, and the log of each node (n1.log, ...)\n"
              f"judge again: {self.args.binary} sim --check-history {folder}/history.jsonl\n"
              f"do again: script/chaos {shlex.join([*sys.argv[1:], '--seed', seed])}")

    def stop(self):
        if self.crowd:
            self.crowd.stopping.set()
        if hasattr(self, "cluster"):
            self.cluster.stop()
            for node in self.cluster.nodes:
                node.disk.stop()
        if self.proxies:
            self.proxies.stop()
        if not sandbox.inside():
            shutil.rmtree(self.folder, ignore_errors=True)


def main():
    args = parse()
    if args.seed is None:
        args.seed = random.SystemRandom().getrandbits(31)
    if not sandbox.inside():
        sandbox.remove_left_overs()  # inside, the processes of others are not seen
    if not sandbox.inside() and not args.no_sandbox:
        arguments = [os.path.abspath(__file__), *sys.argv[1:]]
        code = sandbox.enter([*arguments, "--seed", str(args.seed)])
        if code is not None:
            return code
    harness.Settings.binary = args.binary = os.path.abspath(args.binary)
    harness.Settings.slow = args.slow
    if args.plant:
        args.faults = args.faults or FAULTS_OF_PLANT[args.plant]
        args.faults += ",unsync" if args.plant == "lost-syncs" else ""
    unknown = set((args.faults or "").split(",")) - set(faults.KINDS) - {""}
    if unknown:
        print(f"script/chaos: no such fault: {', '.join(sorted(unknown))}; there are "
              f"{', '.join(faults.KINDS)}", file=sys.stderr)
        return 2
    world = World(args)
    code = 1
    try:
        code = world.run()
    except Exception:
        traceback.print_exc()
        print("FAILED: not all was as promised; see above")
    finally:
        if code != 0 or args.keep_always:
            world.keep()
        world.stop()
    return code


if __name__ == "__main__":
    sys.exit(main())
