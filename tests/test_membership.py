"""Join and remove, with everything that must be refused and must then have changed nothing."""

import shutil

from harness import (ClusterTest, NodeTest, free_port, rounds, seconds, short, throw_garbage_at,
                     wait_until)
from load import Load


class Join(NodeTest):
    def setUp(self):
        super().setUp()
        self.n1 = self.new_node("n1")
        self.n2 = self.new_node("n2")

    def settled(self, node):
        """What must be the same after a refused join."""
        stats = node.stats()
        return {name: stats[name] for name in ("latest_configuration", "num_peers", "cluster_id",
                                               "state")}

    def assert_refused(self, response, status):
        body = self.assert_error(response, status)
        self.assertGreater(len(body["error"]), 10)
        return body

    @short
    def test_a_node_that_holds_data_is_refused_and_both_keep_theirs(self):
        self.assert_status(self.n1.put("mine", "1"), 200)
        self.assert_status(self.n2.put("theirs", "2"), 200)
        before = self.settled(self.n1), self.settled(self.n2)
        for _ in range(2):
            self.assert_refused(self.n1.join(self.n2), 409)
        self.assert_refused(self.n2.join(self.n1), 409)
        self.assert_value(self.n1.get("mine"), "mine", "1")
        self.assert_value(self.n2.get("theirs"), "theirs", "2")
        self.assert_error(self.n1.get("theirs"), 404)
        self.assertEqual((self.settled(self.n1), self.settled(self.n2)), before)
        self.assert_status(self.n2.put("theirs", "3"), 200)

        # It still holds after both came back from disk.
        for node in (self.n1, self.n2):
            node.kill()
            node.start()
        self.assert_value(self.n1.get("mine"), "mine", "1")
        self.assert_value(self.n2.get("theirs"), "theirs", "3")
        self.assertEqual((self.settled(self.n1), self.settled(self.n2)), before)

    def test_a_removed_key_counts_as_data_too(self):
        self.assert_status(self.n2.put("was", "here"), 200)
        self.assert_status(self.n2.delete("was"), 200)
        self.assert_refused(self.n1.join(self.n2), 409)

    @short
    def test_nobody_at_the_address_is_502_and_nothing_changed(self):
        before = self.settled(self.n1)
        response = self.n1.request("POST", "/raft/join", timeout_s=60, body={
            "node_id": "n2", "raft_address": f"127.0.0.1:{free_port()}"})
        self.assert_refused(response, 502)
        self.assertEqual(self.settled(self.n1), before)
        self.assert_status(self.n1.put("k", "v"), 200)

    def test_a_stranger_at_the_address_is_502_and_nothing_changed(self):
        """The HTTP port of a node speaks, but not raft."""
        before = self.settled(self.n1)
        response = self.n1.request("POST", "/raft/join", timeout_s=60, body={
            "node_id": "n2", "raft_address": f"127.0.0.1:{self.n2.http_port}"})
        self.assert_refused(response, 502)
        self.assertEqual(self.settled(self.n1), before)

    @short
    def test_another_name_at_the_address_is_409(self):
        before = self.settled(self.n1), self.settled(self.n2)
        response = self.n1.request("POST", "/raft/join", {"node_id": "n9",
                                                          "raft_address": self.n2.raft_address},
                                   timeout_s=60)
        body = self.assert_refused(response, 409)
        self.assertIn("n2", body["error"])
        self.assertEqual((self.settled(self.n1), self.settled(self.n2)), before)

    def test_a_node_does_not_join_itself(self):
        for name in ("n1", "n7"):
            response = self.n1.request("POST", "/raft/join", {
                "node_id": name, "raft_address": self.n1.raft_address}, timeout_s=60)
            self.assertIn(response.status, (200, 400, 409), response)
        self.assertEqual(self.n1.stats()["num_peers"], "0")
        self.assert_status(self.n1.put("k", "v"), 200)

    @short
    def test_joining_again_changes_nothing(self):
        self.join(self.n1, self.n2)
        before = self.settled(self.n1)
        for _ in range(3):
            response = self.n1.join(self.n2)
            self.assert_status(response, 200)
            self.assertEqual(response.json()["message"],
                             f"node n2 at {self.n2.raft_address} joined successfully")
        self.assertEqual(self.settled(self.n1), before)

    def test_a_member_of_another_cluster_is_409(self):
        self.join(self.n1, self.n2)
        n3 = self.new_node("n3")
        self.assert_refused(n3.join(self.n2), 409)
        self.assertEqual(n3.stats()["num_peers"], "0")
        self.assert_status(self.n1.put("k", "v"), 200)

    def test_a_used_name_at_another_address_does_not_replace_a_live_member(self):
        """A second, fresh node that calls itself n2, while the real n2 lives."""
        self.join(self.n1, self.n2)
        self.assert_status(self.n1.put("k", "v"), 200)
        other = self.new_node("other", start=False)
        other.name = "n2"
        other.start()
        response = self.n1.request("POST", "/raft/join", {
            "node_id": "n2", "raft_address": other.raft_address}, timeout_s=60)
        self.assertIn(response.status, (200, 202, 409), response)
        self.assert_value(self.n1.get("k"), "k", "v")
        self.assert_status(self.n1.put("k", "w"), 200)

    def test_data_written_before_the_join_reaches_the_new_node(self):
        for number in range(200):
            self.assert_status(self.n1.put(f"k{number}", str(number)), 200)
        self.join(self.n1, self.n2)
        wait_until(lambda: self.n2.get("k199", "?consistency=stale").status == 200,
                   "n2 has the data")
        for number in range(200):
            self.assert_value(self.n2.get(f"k{number}", "?consistency=stale"), f"k{number}",
                              str(number))

    def test_a_join_alarms_nobody(self):
        """A node that is joining would refuse its peers before it knows of them: none asks then."""
        n3 = self.new_node("n3")
        self.join(self.n1, self.n2)
        self.join(self.n2, n3)
        for node in (self.n1, self.n2, n3):
            wait_until(lambda n=node: n.request("GET", "/metrics").body.decode().count(
                "arima_peer_connected{") == 2, f"{node.name} knows both others")
            self.assertNotRegex(node.log(1 << 20), "wrong_cluster|refused_peer|peer_refused_us")

    def test_a_node_joins_while_the_cluster_is_written_to(self):
        with Load([self.n1]) as load:
            load.wait_more(100)
            self.join(self.n1, self.n2)
            load.wait_more(100)
        self.assertEqual(load.verify([self.n1, self.n2]), [])


class Cluster(ClusterTest):
    def test_a_join_at_a_follower_is_forwarded(self):
        follower = self.followers()[0]
        n4 = self.new_node("n4")
        self.join(follower, n4)
        wait_until(lambda: n4.stats()["num_peers"] == "3", "n4 is a voter")
        self.assert_status(n4.put("k", "v"), 200)
        self.assert_value(self.nodes[0].get("k"), "k", "v")

    @short
    def test_remove_and_everything_a_removed_node_still_says(self):
        leader = self.leader()
        gone = self.followers()[0]
        self.assert_status(leader.put("k", "v"), 200)
        response = leader.remove(gone.name)
        self.assert_status(response, 200)
        self.assertEqual(response.json()["message"], f"node {gone.name} removed successfully")
        self.assertEqual(leader.stats()["num_peers"], "1")
        self.assertNotIn(f"ID:{gone.name} ", leader.stats()["latest_configuration"])

        wait_until(lambda: gone.get("k").status == 410, "the removed node says 410")
        self.assert_error(gone.get("k"), 410)
        self.assert_error(gone.get("k", "?consistency=stale"), 410)
        self.assert_error(gone.put("k", "w"), 410)
        self.assert_error(gone.delete("k"), 410)
        self.assert_status(gone.request("GET", "/livez"), 200)
        self.assert_status(gone.request("GET", "/metrics"), 200)
        self.assertEqual(gone.stats()["state"], "Shutdown")
        self.assertNotEqual(gone.request("GET", "/readyz").status, 200)

        self.assert_value(leader.get("k"), "k", "v")
        self.assert_status(leader.put("k", "x"), 200)
        # It stays removed over a restart, and does not become a store of its own.
        self.assertEqual(gone.stop(), 0)
        gone.start()
        self.assert_error(gone.put("k", "w"), 410)
        self.assertEqual(gone.stats()["state"], "Shutdown")

    def test_remove_of_an_unknown_node_is_404(self):
        before = self.leader().stats()["latest_configuration"]
        for node in self.nodes:
            self.assert_error(node.remove("n9"), 404)
        self.assertEqual(self.leader().stats()["latest_configuration"], before)

    def test_remove_at_a_follower_is_forwarded(self):
        asked, gone = self.followers()
        response = asked.remove(gone.name)
        self.assert_status(response, 200)
        wait_until(lambda: gone.get("k").status == 410, "the removed node says 410")

    def test_the_leader_can_be_removed_under_load(self):
        leader = self.leader()
        others = [node for node in self.nodes if node is not leader]
        with Load(others) as load:
            load.wait_more(50)
            response = others[0].remove(leader.name)
            self.assert_status(response, 200)
            load.wait_more(50)
        wait_until(lambda: leader.stats()["state"] == "Shutdown", "the old leader knows")
        self.assertEqual(load.verify(others), [])

    @short
    def test_leadership_is_transferred_under_load(self):
        self.leader()
        with Load(self.nodes) as load:
            load.wait_more(50)
            for number in range(rounds(9, 3)):
                asked, target = self.nodes[number % 3], self.nodes[(number + 1) % 3]
                response = self.assert_status(asked.transfer(target.name), 200)
                self.assertIn(response.json()["message"],
                              (f"leadership transferred to {target.name}",
                               f"node {target.name} leads already"))
                wait_until(lambda t=target: t.stats()["state"] == "Leader", "the target leads")
                load.wait_more(30)
            response = self.assert_status(self.nodes[0].transfer(), 200)
            load.wait_more(30)
        self.assertEqual(load.verify(self.nodes), [])
        self.assertEqual((load.refused, load.unknown), ({}, {}), "writes wait for the next leader")

    def test_leadership_is_not_transferred_to_who_cannot_lead(self):
        leader = self.leader()
        asked, down = self.followers()
        self.assert_error(asked.transfer("n9"), 404)
        down.kill()
        body = wait_until(lambda: (lambda r: r.status == 409 and r.json())(
            asked.transfer(down.name)), "the dead node is refused")
        self.assertIn("not heard of", body["error"])
        self.assertEqual(self.leader(), leader)
        self.assert_writes_go_on()

    def test_every_node_lists_the_members(self):
        leader = self.leader()
        down = self.followers()[0]
        for node in self.nodes:
            wait_until(lambda n=node: n.members()["n3"]["role"] == "voter", "n3 is a voter")
            members = node.members()
            self.assertEqual(sorted(members), ["n1", "n2", "n3"])
            for other in self.nodes:
                member = members[other.name]
                self.assertEqual(member["raft_address"], other.raft_address)
                self.assertEqual(member["http_address"], f"127.0.0.1:{other.http_port}")
                self.assertEqual(member["is_leader"], other is leader)
                self.assertEqual("match" in member, node is leader and other is not leader)
        down.kill()
        wait_until(lambda: leader.members()[down.name]["reachable"] is False, "the leader knows")

    def test_a_member_that_moved_while_nobody_led_is_known_to_who_leads_next(self):
        """It says so once, to whoever is there."""
        leader = self.leader()
        stays, moves = self.followers()
        moves.kill()
        self.assert_status(leader.put("k", "v"), 200)  # so it cannot lead itself
        leader.kill()
        moves.raft_port = free_port()
        moves.extra += ["--raft-advertise", moves.raft_address]
        moves.start()
        wait_until(lambda: stays.stats()["state"] == "Leader", "the one that stayed leads")
        self.assert_value(moves.get("k"), "k", "v")
        self.assert_status(moves.put("k", "w"), 200)
        wait_until(lambda: stays.members()[moves.name]["raft_address"] == moves.raft_address,
                   "the configuration has its new address")

    def test_a_removed_node_joins_again_as_it_is(self):
        leader = self.leader()
        gone = self.followers()[0]
        self.assert_status(leader.remove(gone.name), 200)
        wait_until(lambda: gone.stats()["state"] == "Shutdown", "the removed node knows")
        self.assert_status(leader.put("k", "v"), 200)
        self.join(leader, gone)
        wait_until(lambda: gone.get("k").status == 200, "it serves again")
        self.assert_value(gone.get("k"), "k", "v")
        self.assertEqual(leader.stats()["num_peers"], "2")

    def test_a_member_whose_disk_was_wiped_joins_again(self):
        leader = self.leader()
        wiped, asked = self.followers()
        self.assert_status(leader.put("k", "v"), 200)
        wiped.kill()
        shutil.rmtree(wiped.volume)
        wiped.start()
        # Its old self still counts as a voter: one change takes that vote out and puts the new one
        # in, so the answer comes when the old one is silent for long enough.
        self.join(asked, wiped)
        wait_until(lambda: wiped.get("k").status == 200, "it serves again")
        self.assert_value(wiped.get("k"), "k", "v")
        self.assertEqual(leader.stats()["num_peers"], "2")
        self.assertEqual(leader.stats()["latest_configuration"].count(f"ID:{wiped.name} "), 1)
        self.assert_writes_go_on()

    def test_a_member_without_its_disk_is_not_replaced_while_its_vote_is_needed(self):
        leader, gone = self.leader(), self.followers()
        self.assert_status(leader.put("k", "v"), 200)
        for node in gone:
            node.kill()
        shutil.rmtree(gone[0].volume)
        gone[0].start()
        body = self.assert_error(leader.join(gone[0]), 503)
        self.assertIn("counts as a voter", body["error"])
        gone[1].start()
        self.join(gone[1], gone[0])
        self.assert_writes_go_on()
        self.assert_value(gone[0].get("k"), "k", "v")

    def test_requests_to_any_node_are_answered(self):
        """Writes are forwarded, reads are linearizable everywhere: read your write elsewhere."""
        for number in range(60):
            writer = self.nodes[number % 3]
            reader = self.nodes[(number + 1) % 3]
            remover = self.nodes[(number + 2) % 3]
            key = f"k{number}"
            self.assert_value(writer.put(key, str(number)), key, str(number))
            self.assert_value(reader.get(key), key, str(number))
            if number % 2:
                self.assert_status(remover.delete(key), 200)
                self.assert_error(writer.get(key), 404)

    def test_answers_name_the_leader(self):
        leader = self.leader()
        for node in self.nodes:
            response = node.get("missing")
            self.assertEqual(response.headers["x-arima-served-by"], node.name)
            self.assertEqual(response.headers["x-arima-leader"], leader.name)
            self.assertTrue(response.headers["x-arima-leader-address"].endswith(
                f":{leader.http_port}"), response)

    def test_garbage_on_the_raft_ports_does_not_disturb_the_cluster(self):
        with Load(self.nodes, workers=2) as load:
            for node in self.nodes:
                throw_garbage_at(node.raft_port)
            load.wait_more(50)
        self.assertEqual(load.verify(self.nodes), [])
        self.assertLess(int(self.leader().stats()["term"]), 50, "it cost elections")


class Unreachable(ClusterTest):
    size = 2

    def test_a_join_that_cannot_be_committed_is_refused_in_time(self):
        """One of two voters is down: no quorum, so no membership change either."""
        leader = self.leader()
        down = self.followers()[0]
        down.kill()
        n9 = self.new_node("n9")
        response = leader.request("POST", "/raft/join", {
            "node_id": "n9", "raft_address": n9.raft_address}, timeout_s=seconds(60))
        self.assertIn(response.status, (202, 503, 504), response)
        down.start()
        self.assert_writes_go_on()
