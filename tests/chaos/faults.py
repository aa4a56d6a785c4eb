"""What can be done to a running cluster. Each fault begins, holds for a while, and ends.

begin() says what it did, or None when there was nothing to do; end() leaves the cluster able to
recover. All of it in the main thread, which alone may start processes.
"""

import itertools
import threading
import time

from harness import wait_until


class Fault:
    kind = ""
    hard = False  # needs all other nodes up and connected

    def __init__(self, world, chance):
        self.world = world
        self.nodes = world.cluster.nodes
        self.chance = chance

    @classmethod
    def why_not(cls, _world):
        """Why it cannot be done on this machine or store, or None."""
        return None

    def running(self):
        return [n for n in self.nodes if n.is_running() and not n.paused and n.in_service]

    def victims(self):
        """Mostly one node, and mostly the leader; sometimes several, or all."""
        nodes = self.running()
        leader = self.world.cluster.leader()
        if not nodes:
            return []
        count = self.chance.choice((1, 1, 1, 1, len(self.nodes) // 2, len(nodes)))
        chosen = self.chance.sample(nodes, min(count, len(nodes)))
        if leader in nodes and leader not in chosen and self.chance.random() < 0.5:
            chosen[0] = leader
        return chosen

    def begin(self):
        raise NotImplementedError

    def end(self):
        raise NotImplementedError


class Background:
    """A call that goes on beside what the main thread does."""

    def __init__(self, call):
        self.call = call
        self.error = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            self.call()
        except Exception as error:
            self.error = error

    def wait(self):
        self.thread.join()
        if self.error is not None:
            raise self.error


def names(nodes):
    return ", ".join(node.name for node in nodes)


class Kill(Fault):
    kind = "kill"

    def begin(self):
        self.killed = self.victims()
        for node in self.killed:
            node.kill()
        return f"kill -9 {names(self.killed)}" if self.killed else None

    def end(self):
        for node in self.killed:
            if not node.is_running() and node.in_service:
                node.start(wait=False)


class Pause(Fault):
    kind = "pause"

    def begin(self):
        self.paused = self.victims()
        for node in self.paused:
            node.pause()
        return f"SIGSTOP {names(self.paused)}" if self.paused else None

    def end(self):
        for node in self.paused:
            if node.is_running() and node.paused:
                node.resume()


class Partition(Fault):
    kind = "partition"

    @classmethod
    def why_not(cls, world):
        return None if world.network.drops_packets else world.no_namespaces

    def begin(self):
        order = [node.name for node in self.nodes]
        self.chance.shuffle(order)
        leader = self.world.cluster.leader()
        if leader is not None:  # the first is the one on the small side
            order.remove(leader.name)
            order.insert(0 if self.chance.random() < 0.7 else 1, leader.name)
        shape = self.chance.choice((self.halves, self.isolated, self.one_way, self.bridge,
                                    self.deaf, self.mute))
        return shape(order)

    def halves(self, order):
        small, large = order[:len(order) // 2], order[len(order) // 2:]
        for one, other in itertools.product(small, large):
            self.world.network.separate(one, other)
        return f"partition {'+'.join(small)} from {'+'.join(large)}"

    def isolated(self, order):
        for other in order[1:]:
            self.world.network.separate(order[0], other)
        return f"partition {order[0]} from all"

    def one_way(self, order):
        self.world.network.cut(order[0], order[1])
        return f"nothing gets from {order[0]} to {order[1]}"

    def bridge(self, order):
        """Two sides that see each other only through one node in the middle."""
        sides = order[:-1]
        half = len(sides) // 2
        for one, other in itertools.product(sides[:half], sides[half:]):
            self.world.network.separate(one, other)
        return f"{'+'.join(sides[:half])} and {'+'.join(sides[half:])} meet at {order[-1]} only"

    def deaf(self, order):
        for other in order[1:]:
            self.world.network.cut(other, order[0])
        return f"{order[0]} hears nobody"

    def mute(self, order):
        for other in order[1:]:
            self.world.network.cut(order[0], other)
        return f"nobody hears {order[0]}"

    def end(self):
        self.world.network.join_all()


class Loss(Fault):
    kind = "loss"

    @classmethod
    def why_not(cls, world):
        return None if world.network.drops_packets else world.no_namespaces

    def begin(self):
        percent = self.chance.choice((2, 10, 30, 60))
        self.lossy = self.chance.sample(self.nodes, self.chance.randint(1, len(self.nodes)))
        for node in self.lossy:
            self.world.network.lose(node.name, percent)
        return f"{percent} % of the packets to {names(self.lossy)} are lost"

    def end(self):
        for node in self.lossy:
            self.world.network.lose(node.name, 0)


class Proxy(Fault):
    kind = "proxy"

    @classmethod
    def why_not(cls, world):
        return None if world.proxies else "the proxy is for stores whose nodes announce addresses"

    def ends(self):
        """One pair of nodes, one node in or out, or all."""
        one, other = self.chance.sample([node.name for node in self.nodes], 2)
        pairs = [(None, one), (None, None)]
        if self.world.network.sources:
            pairs += [(one, other), (one, None)]
        return self.chance.choice(pairs)

    def begin(self):
        source, target = self.ends()
        what = self.chance.choice(("delay", "stall", "cut", "reset"))
        more = {"delay": {"ms": self.chance.choice((5, 30, 150, 600))},
                "cut": {"bytes": self.chance.randrange(1, 100_000)}}.get(what, {})
        self.world.proxies.do(what, source, target, **more)
        figures = "".join(f" {number} {unit}" for unit, number in more.items())
        return f"{what}{figures} from {source or 'any'} to {target or 'any'}"

    def end(self):
        self.world.proxies.do("pass")


class DiskFull(Fault):
    kind = "disk"

    @classmethod
    def why_not(cls, world):
        if not world.cluster.survives_full_disks:
            return "this store's nodes end when their disk is full"
        return world.why_no_full_disks

    def begin(self):
        # Not in the middle of a start: that ends with a message then, and the next one has the room
        # of the ballast.
        self.full = [node for node in self.victims() if node.try_stats()]
        if not self.full:
            return None
        left = self.chance.choice((0, 1 << 20, 6 << 20))
        for node in self.full:
            node.disk.fill_to(left)
        return f"disk full but for {left >> 20} MiB: {names(self.full)}"

    def end(self):
        for node in self.full:
            node.disk.give_back()


class PowerLoss(Fault):
    kind = "unsync"

    @classmethod
    def why_not(cls, world):
        return world.why_no_power_loss

    def begin(self):
        self.dark = self.victims()
        if not self.dark:
            return None
        some = self.chance.choice((None, self.chance.getrandbits(32)))
        for node in self.dark:
            node.kill()
        lost = [node.disk.lose_power(some) for node in self.dark]
        how = "all" if some is None else "some"
        return f"power loss at {names(self.dark)}, {how} of what was not synced is gone " \
               f"({'; '.join(lost)})"

    def end(self):
        for node in self.dark:
            if not node.is_running() and node.in_service:
                node.start(wait=False)


class Members(Fault):
    """A change of the membership, done when end() returns."""

    kind = "members"
    hard = True

    @classmethod
    def why_not(cls, world):
        return None if hasattr(world.cluster, "join") else "this store's members stay as they are"

    def begin(self):
        cluster = self.world.cluster
        leader = cluster.leader()
        node = self.chance.choice(self.nodes)
        if leader is not None and self.chance.random() < 0.4:
            node = leader
        self.back = lambda: None
        return self.chance.choice((self.transfer, self.replace, self.come_again, self.lose_disk))(
            node)

    def transfer(self, node):
        others = [n for n in self.nodes if n is not node]
        response = self.chance.choice(others).transfer(node.name, "?timeout=2s")
        assert response.status in (200, 404, 409, 503, 504), response
        return f"leadership to {node.name}: {response.status}"

    def replace(self, node):
        """Out, and in again with a new disk."""
        node.in_service = False
        self.world.cluster.remove(node)
        node.move_out()
        self.back = lambda: self.bring_in(node)
        return f"{node.name} removed; joins with a new volume"

    def come_again(self, node):
        """Out, and in again as it is."""
        node.in_service = False
        self.world.cluster.remove(node)
        self.back = lambda: self.bring_in(node)
        return f"{node.name} removed; joins again as it is"

    def lose_disk(self, node):
        """Its vote is replaced by that of a node of the same name that has nothing."""
        node.move_out()
        self.back = lambda: self.bring_in(node)
        return f"{node.name} lost its disk; joins under its old name"

    def bring_in(self, node):
        """Sometimes with a crash of the node or of the leader in the middle."""
        if not node.is_running():
            node.start()
        joining = Background(lambda: self.world.cluster.join(node))
        if self.chance.random() < 0.5:
            time.sleep(self.chance.choice((0, 0.05, 0.1, 0.2, 0.4, 2.2)))
            victim = self.chance.choice((node, self.world.cluster.leader()))
            if victim is not None and victim.is_running():
                victim.kill()
                self.world.say(f"kill -9 {victim.name} while {node.name} joins")
                victim.start(wait=False)
        joining.wait()
        node.in_service = True

    def end(self):
        self.back()


KINDS = {fault.kind: fault for fault in (Kill, Pause, Partition, Loss, Proxy, DiskFull, PowerLoss,
                                         Members)}


class Nemesis:
    """Chooses faults by the seed, one or two at a time, until the time is over."""

    def __init__(self, world, kinds, chance, say):
        self.world = world
        self.kinds = kinds
        self.chance = chance
        self.say = say
        self.counts = {kind: 0 for kind in kinds}

    def run(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.one_round()
            self.hold(self.chance.choice((0, 0.3, 1.5)))

    def hold(self, seconds):
        """Not a wait for a fact: how long a fault lasts is part of it."""
        time.sleep(seconds)
        self.world.check()

    def begin(self, kind):
        fault = KINDS[kind](self.world, self.chance)
        did = fault.begin()
        if did is None:
            return None
        self.counts[kind] += 1
        self.say(did)
        return fault

    def one_round(self):
        kind = self.chance.choice(self.kinds)
        if KINDS[kind].hard:
            self.world.wait_healthy()
        active = [self.begin(kind)]
        self.hold(self.chance.choice((0.2, 0.7, 1.5, 3)))
        soft = [other for other in self.kinds if not KINDS[other].hard]
        if soft and not KINDS[kind].hard and self.chance.random() < 0.4:
            active.append(self.begin(self.chance.choice(soft)))
            self.hold(self.chance.choice((0.2, 0.7, 1.5)))
        self.chance.shuffle(active)
        for fault in active:
            if fault is not None:
                fault.end()

    def heal(self):
        """Everything that can be wrong is put right, whatever was begun."""
        for node in self.world.cluster.nodes:
            if node.is_running() and node.paused:
                node.resume()
            if node.disk.can_be_full:
                node.disk.give_back()
            if not node.is_running():
                node.start(wait=False)
        if self.world.network.drops_packets:
            self.world.network.join_all()
            for name in self.world.network.names:
                self.world.network.lose(name, 0)
        if self.world.proxies:
            self.world.proxies.do("pass")
        for node in self.world.cluster.nodes:
            wait_until(lambda n=node: n.request("GET", n.alive_path).status == 200,
                       f"{node.name} answers", 30)
