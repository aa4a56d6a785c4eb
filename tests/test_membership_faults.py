"""Joins and removals while processes are killed and clients write: nothing promised is lost, and
what was begun is finished or leaves no trace."""

import http.client
import shutil
import threading
import time

from harness import ClusterTest, NodeTest, rounds, seconds, short, wait_until
from load import Load


class Background:
    """One request whose answer, or end, comes when it comes."""

    def __init__(self, call):
        self.response = None
        self.thread = threading.Thread(target=self.run, args=(call,), daemon=True)
        self.thread.start()

    def run(self, call):
        try:
            self.response = call()
        except (OSError, http.client.HTTPException) as error:  # killed before it answered
            self.response = error

    def wait(self):
        self.thread.join(seconds(70))
        assert not self.thread.is_alive(), "a request was never answered"
        return self.response


class Faults:
    """For tests of nodes that come and go."""

    def voters(self, node):
        return sorted(name for name, member in node.members().items() if member["role"] == "voter")

    def assert_settled(self, nodes, asked):
        """All of them vote, nobody else is a member, and everybody knows it."""
        names = sorted(node.name for node in nodes)
        for node in nodes:
            wait_until(lambda n=node: self.voters(n) == names, f"{node.name} sees {names}", 30)
            listed = node.request("GET", "/raft/members").json()["data"]
            self.assertEqual(sorted(member["name"] for member in listed), names)
            ids = [member["id"] for member in listed]
            self.assertEqual(len(set(ids)), len(ids))
        clusters = {node.stats()["cluster_id"] for node in nodes}
        self.assertEqual(len(clusters), 1)
        self.assertEqual(asked.stats()["num_peers"], str(len(nodes) - 1))

    def assert_all_there(self, load, nodes):
        """Every acknowledged write, on every member."""
        for node in nodes:
            self.assertEqual(load.verify([node]), [], load.summary())


class Killed(Faults, ClusterTest):
    """kill -9 in the middle of a join, at a moment that differs from round to round."""

    timeout_s = 300
    # After the join was asked for. It takes about 300 ms.
    moments_ms = (0, 50, 100, 160, 250, 400)

    def setUp(self):
        super().setUp()
        self.spare = self.new_node("n4")

    def in_rounds(self, one_round):
        for number, ms in enumerate(self.moments_ms[::rounds(1, 3)]):
            with self.subTest(moment_ms=ms):
                if number % 3 != 2:  # else it joins as the removed member it is
                    self.spare.kill()
                    shutil.rmtree(self.spare.volume)
                    self.spare.start()
                one_round(ms / 1000)
                # Out again, so that the next round has a join to disturb.
                leader = self.leader(self.nodes[:3])
                if "n4" in leader.members():
                    self.assert_status(leader.remove("n4"), 200)
                wait_until(lambda: self.spare.try_stats().get("state") in ("Leader", "Shutdown"),
                           "n4 is out")

    @short
    def test_the_leader_is_killed(self):
        members = self.nodes[:3]
        with Load(members, workers=3) as load:
            def one_round(pause_s):
                load.wait_more(20)
                leader = self.leader(members)
                asked = next(node for node in members if node is not leader)
                join = Background(lambda: asked.join(self.spare))
                self.let_pass(pause_s)
                leader.kill()
                load.wait_more(20, within_s=30)
                leader.start()
                join.wait()
                # Whatever the answer was: asking again is safe, and joins.
                self.join(asked, self.spare)
                self.assert_settled([*members, self.spare], asked)
            self.in_rounds(one_round)
        self.assert_all_there(load, members)

    def test_the_target_is_killed(self):
        members = self.nodes[:3]
        with Load(members, workers=3) as load:
            def one_round(pause_s):
                load.wait_more(20)
                leader = self.leader(members)
                join = Background(lambda: leader.join(self.spare))
                self.let_pass(pause_s)
                self.spare.kill()
                load.wait_more(20, within_s=30)
                self.spare.start()
                join.wait()
                self.join(leader, self.spare)
                self.assert_settled([*members, self.spare], leader)
            self.in_rounds(one_round)
        self.assert_all_there(load, members)
        # Nobody but the one that was killed cost a client anything.
        self.assertEqual((load.refused, load.unknown), ({}, {}), load.summary())

    def test_a_lone_leader_is_killed_while_its_second_node_joins(self):
        """From one to two: afterwards neither can go on without the other."""
        for ms in self.moments_ms[::rounds(2, 4)]:
            with self.subTest(moment_ms=ms):
                one = self.new_node(f"a{ms}")
                two = self.new_node(f"b{ms}")
                with Load([one], workers=2) as load:
                    load.wait_more(20)
                    join = Background(lambda o=one, t=two: o.join(t))
                    self.let_pass(ms / 1000)
                    one.kill()
                    join.wait()
                    one.start()
                    wait_until(lambda o=one, t=two: o.join(t).status == 200, "joined", 60)
                    load.wait_more(20)
                self.assert_settled([one, two], one)
                self.assert_all_there(load, [one, two])

    def let_pass(self, pause_s):
        """Not a wait for a fact: the moment of the kill is what is varied."""
        time.sleep(pause_s)


class Churn(Faults, NodeTest):
    timeout_s = 300

    def test_one_two_three_five_three_one_under_load(self):
        """No client is refused or left in doubt for a membership change alone."""
        nodes = [self.new_node(f"n{number}") for number in range(1, 6)]
        n1 = nodes[0]
        with Load([n1], workers=3) as load:
            load.wait_more(50)
            for count in (2, 3):
                self.join(n1, nodes[count - 1])
                self.assert_settled(nodes[:count], n1)
                load.wait_more(50)
            both = [Background(lambda a=asked, n=node: a.join(n))
                    for asked, node in zip(nodes[1:3], nodes[3:5])]
            for request in both:
                self.assert_status(request.wait(), 200)
            self.assert_settled(nodes, n1)
            load.wait_more(50)
            self.assert_all_there(load, nodes)
            for gone, left in ((nodes[4], nodes[:4]), (nodes[3], nodes[:3]), (nodes[2], nodes[:2]),
                               (nodes[1], nodes[:1])):
                self.assert_status(n1.remove(gone.name), 200)
                wait_until(lambda g=gone: g.get("k").status == 410, f"{gone.name} knows")
                self.assert_settled(left, n1)
                load.wait_more(50)
        self.assertEqual((load.refused, load.unknown), ({}, {}), load.summary())
        self.assert_all_there(load, [n1])

    def test_the_leader_leaves_again_and_again_under_load(self):
        """Whoever leads is taken out and another node comes in; clients of the others only wait."""
        inside = [self.new_node(f"n{number}") for number in range(1, 4)]
        for node in inside[1:]:
            self.join(inside[0], node)
        outside = self.new_node("n4")
        removed = set()
        with Load(inside, workers=3, removals=True) as load:
            for _ in range(rounds(5, 2)):
                load.wait_more(30)
                leader = wait_until(lambda: next((node for node in inside if node.try_stats().get(
                    "state") == "Leader"), None), "somebody leads")
                others = [node for node in inside if node is not leader]
                self.join(others[0], outside)
                load.nodes = [*others, outside]
                self.assert_status(others[1].remove(leader.name), 200)
                removed.add(leader.name)
                wait_until(lambda n=leader: n.stats()["state"] == "Shutdown", "it knows")
                inside, outside = [*others, outside], leader
                self.assert_settled(inside, others[0])
                load.wait_more(30)
        doubtful = {key: load.asked[key] for key in [*load.unknown, *load.refused]}
        self.assertLessEqual(set(doubtful.values()), removed, doubtful)
        self.assert_all_there(load, inside)
