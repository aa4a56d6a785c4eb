"""What a failing node costs: never an acknowledged write, never a stale read, a moment of time."""

import signal
import statistics
import threading
import time

from harness import (ClusterTest, RawConnection, key_target, rounds, seconds, short, wait_until)
from load import Load

DOCUMENTED_WAIT_S = 5  # ?timeout= and its default: no request without a leader waits longer


class KilledNodes(ClusterTest):
    timeout_s = 400

    @short
    def test_the_leader_killed_under_load_again_and_again(self):
        gaps = []
        with Load(self.nodes) as load:
            for _ in range(rounds(20, 3)):
                load.wait_more(30)
                leader = self.leader()
                killed_at = time.monotonic()
                leader.kill()
                load.wait_more(30)
                gaps.append(load.gap_after(killed_at))
                self.assertIsNot(self.leader(), leader)
                leader.start()
                self.leader(self.nodes)
        self.assert_writes_go_on()
        self.assertEqual(load.verify(self.nodes), [])
        self.wait_caught_up()
        for node in self.nodes:
            self.assertEqual(load.verify([node], "?consistency=stale"), [])
        self.remark = (f"  [{load.summary()}; write gap median {statistics.median(gaps):.2f} s, "
                       f"most {max(gaps):.2f} s]")

    @short
    def test_all_three_killed_at_once_under_load(self):
        for round_number in range(rounds(3, 1)):
            with Load(self.nodes, prefix=f"round{round_number}") as load:
                load.wait_more(200)
                for node in self.nodes:
                    node.kill()
            for node in self.nodes:
                node.start()
            self.assert_writes_go_on()
            self.assertEqual(load.verify(self.nodes), [])

    def test_a_follower_killed_under_load_costs_nobody_an_error(self):
        follower = self.followers()[0]
        others = [node for node in self.nodes if node is not follower]
        with Load(others) as load:
            for _ in range(rounds(3, 1)):
                load.wait_more(50)
                follower.kill()
                load.wait_more(50)
                follower.start()
                self.leader(self.nodes)
        self.assertEqual((len(load.unknown), len(load.refused)), (0, 0))
        self.assertEqual(load.verify(self.nodes), [])

    def test_a_node_that_was_down_catches_up(self):
        away = self.followers()[0]
        away.kill()
        with Load(self.running()) as load:
            load.wait_more(500)
        away.start()
        self.wait_caught_up()
        self.assertEqual(load.verify([away], "?consistency=stale"), [])
        # And it counts again: with another one down, writes still succeed.
        other = next(node for node in self.followers() if node is not away)
        other.kill()
        self.assert_writes_go_on()


class PausedNodes(ClusterTest):
    timeout_s = 300

    @short
    def test_a_paused_leader_never_serves_a_stale_linearizable_read(self):
        for number in range(rounds(8, 2)):
            old = self.leader(self.nodes)
            others = [node for node in self.nodes if node is not old]
            self.assert_status(old.put("x", f"old {number}"), 200)
            early = [RawConnection(old.http_port, 30) for _ in range(4)]
            for connection in early:  # warm: the leader has served reads on them
                connection.send("GET /store/x HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assert_value(connection.read_response(), "x", f"old {number}")
            old.pause()
            new = self.leader(others)
            self.assert_status(new.put("x", f"new {number}"), 200)
            # The write is acknowledged. Whatever is asked from here on must reflect it: requests
            # that wait in the paused node's sockets, and requests sent the moment it wakes.
            for connection in early:
                connection.send("GET /store/x HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
            old.resume()
            answers = [old.get("x") for _ in range(5)]
            answers += [connection.read_response() for connection in early for _ in range(3)]
            for answer in answers:
                if answer is not None and answer.status == 200:
                    self.assert_value(answer, "x", f"new {number}")
                elif answer is not None:
                    self.assert_error(answer, 503)
            for connection in early:
                connection.close()
            wait_until(lambda n=number, o=old: o.get("x").body.count(f"new {n}".encode()),
                       "the old leader serves again")

    def test_a_write_at_a_paused_leader_is_not_lost_when_acknowledged(self):
        """Writes that arrive while it sleeps: acknowledged ones are in the new leader's history."""
        for number in range(rounds(5, 2)):
            old = self.leader(self.nodes)
            others = [node for node in self.nodes if node is not old]
            old.pause()
            answers = {}

            def write(i, node=old, base=number, answers=answers):
                answers[i] = node.put(f"paused/{base}/{i}", "v", timeout_s=60)

            threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
            for thread in threads:
                thread.start()
            self.leader(others)
            self.assert_writes_go_on()
            old.resume()
            for thread in threads:
                thread.join(seconds(60))
            self.assertEqual(len(answers), 8)
            for i, answer in answers.items():
                found = self.leader(self.nodes).get(f"paused/{number}/{i}").status
                if answer.status == 200:
                    self.assertEqual(found, 200, "acknowledged and lost")
                elif answer.status == 503:
                    self.assertEqual(found, 404, "refused and yet applied")
                else:
                    self.assert_error(answer, 504)

    def test_a_paused_follower_is_passed_by(self):
        follower = self.followers()[0]
        follower.pause()
        others = [node for node in self.nodes if node is not follower]
        with Load(others) as load:
            load.wait_more(300)
        follower.resume()
        self.assertEqual((len(load.unknown), len(load.refused)), (0, 0))
        self.wait_caught_up()
        self.assertEqual(load.verify([follower]), [])


class NoLeader(ClusterTest):
    def answers_in_time(self, node, method, target, body=None):
        started = time.monotonic()
        response = node.request(method, target, body, timeout_s=60)
        self.assertLess(time.monotonic() - started, seconds(DOCUMENTED_WAIT_S + 2), response)
        return response

    @short
    def test_two_of_three_killed_is_503_in_time_and_says_when_to_retry(self):
        survivor = self.nodes[2]
        self.assert_status(survivor.put("k", "v"), 200)
        self.nodes[0].kill()
        self.nodes[1].kill()
        wait_until(lambda: survivor.stats()["state"] != "Leader", "nobody leads")
        for method, target, body in [("POST", "/store/", {"key": "new", "value": "w"}),
                                     ("GET", "/store/k", None), ("DELETE", "/store/k", None)]:
            response = self.answers_in_time(survivor, method, target, body)
            self.assert_error(response, 503)
            self.assertRegex(response.headers["retry-after"], r"^[0-9]+$")
        # What needs no leader goes on.
        self.assert_value(survivor.get("k", "?consistency=stale"), "k", "v")
        self.assert_status(survivor.request("GET", "/livez"), 200)
        response = survivor.request("GET", "/readyz")
        self.assertEqual(response.status, 503, response)
        self.assertIn(survivor.stats()["state"], ("Follower", "Candidate"))
        # Refused means not applied: the key is not there when the others are back.
        self.nodes[0].start()
        self.assert_writes_go_on()
        self.assert_error(survivor.get("new"), 404)
        self.assert_value(survivor.get("k"), "k", "v")

    def test_the_client_chooses_how_long_to_wait(self):
        survivor = self.nodes[2]
        self.nodes[0].kill()
        self.nodes[1].kill()
        wait_until(lambda: survivor.stats()["state"] != "Leader", "nobody leads")
        started = time.monotonic()
        self.assert_error(survivor.put("k", "v", "?timeout=300ms"), 503)
        self.assertLess(time.monotonic() - started, seconds(2))
        self.assert_error(survivor.put("k", "v", "?timeout=soon"), 400)

    def test_requests_that_wait_are_served_when_a_leader_comes_in_time(self):
        leader = self.leader()
        follower = next(node for node in self.nodes if node is not leader)
        leader.kill()
        self.assert_status(follower.put("k", "v", "?timeout=20s", timeout_s=60), 200)

    @short
    def test_an_outcome_that_is_unknown_is_504_and_says_so(self):
        """The leader takes writes that its followers, both gone, can never confirm."""
        leader = self.leader()
        for node in self.followers():
            node.kill()
        answers = []
        threads = [threading.Thread(target=lambda i=i: answers.append(
            (i, self.answers_in_time(leader, "POST", "/store/", {"key": f"k{i}", "value": "v"}))))
            for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds(30))
        self.assertEqual(len(answers), 8)
        unknown = 0
        for _, answer in answers:
            if answer.status == 504:
                unknown += 1
                self.assertEqual(self.assert_error(answer, 504)["outcome"], "unknown")
            else:
                self.assert_error(answer, 503)
        self.assertGreater(unknown, 0, "all were refused: nothing was tried")
        for node in self.nodes:
            if not node.is_running():
                node.start()
        self.assert_writes_go_on()
        for i, answer in answers:
            if answer.status == 503:
                self.assert_error(self.nodes[0].get(f"k{i}"), 404)


class Shutdown(ClusterTest):
    timeout_s = 240

    @short
    def test_sigterm_under_load_exits_0_hands_over_and_loses_nothing(self):
        gaps = []
        with Load(self.nodes) as load:
            for _ in range(rounds(5, 2)):
                load.wait_more(50)
                leader = self.leader()
                term = int(leader.stats()["term"])
                stopped_at = time.monotonic()
                leader.terminate()
                load.wait_more(50)
                gaps.append(load.gap_after(stopped_at))
                self.assertEqual(leader.wait_exit(), 0)
                successor = self.leader()
                self.assertLessEqual(int(successor.stats()["term"]), term + 2)
                leader.start()
                self.leader(self.nodes)
        self.assertEqual(load.verify(self.nodes), [])
        self.remark = f"  [{load.summary()}; write gap most {max(gaps):.2f} s]"

    def test_leadership_is_handed_over_before_the_election_timeout(self):
        leader = self.leader()
        leader.terminate()
        self.assertEqual(leader.wait_exit(), 0)
        # Handed over: by the time the old one is gone, another one leads already.
        others = [node for node in self.nodes if node is not leader]
        self.assertTrue(any(node.stats()["state"] == "Leader" for node in others),
                        [node.stats() for node in others])

    def test_sigint_is_the_same(self):
        node = self.followers()[0]
        node.expected_end = True
        node.process.send_signal(signal.SIGINT)
        self.assertEqual(node.wait_exit(), 0)

    def test_requests_in_flight_are_answered(self):
        node = self.leader()
        with RawConnection(node.http_port, 30) as connection:
            connection.send("".join(f"GET {key_target('k')} HTTP/1.1\r\nHost: x\r\n\r\n"
                                    for _ in range(20)))
            node.terminate()
            response = connection.read_response()
            self.assertIsNotNone(response, "cut without an answer")
            self.assertIn(response.status, (404, 503))
        self.assertEqual(node.wait_exit(), 0)

    def test_a_lone_node_stops_with_idle_clients_connected(self):
        node = self.new_node("lone")
        idle = [RawConnection(node.http_port) for _ in range(10)]
        idle[0].send("GET /sto")
        node.terminate()
        self.assertEqual(node.wait_exit(), 0)
        for connection in idle:
            connection.close()
