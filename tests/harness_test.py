#!/usr/bin/env python3
"""Tests of the harness itself, against a fake node: it must see what it is there to see."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from harness import Node, NodeTest, RawConnection, Settings, Timeout, wait_until  # noqa: E402
from load import Load  # noqa: E402

FAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fake", "fake_arima.py")


class Probe(NodeTest):
    """A NodeTest whose end_nodes() the tests below call themselves."""

    def runTest(self):
        pass

    def end_and_report(self):
        """What end_nodes() complains about; '' when nothing."""
        try:
            self.end_nodes()
        except AssertionError as error:
            return str(error)
        finally:
            self.nodes = []
        return ""


class HarnessTest(unittest.TestCase):
    def setUp(self):
        Settings.binary = FAKE
        self.probe = Probe()
        self.probe.setUp()
        self.addCleanup(self.probe.doCleanups)

    def start(self, fault=""):
        os.environ["FAKE_FAULT"] = fault
        self.addCleanup(os.environ.pop, "FAKE_FAULT")
        return self.probe.new_node()

    def run_load(self, node, until):
        with Load([node], workers=2) as load:
            wait_until(lambda: until(load), "the load has run")
        return load

    def test_a_good_run_has_no_complaints(self):
        node = self.start()
        self.probe.assert_value(node.put("a key/%", "v\n"), "a key/%", "v\n")
        self.probe.assert_value(node.get("a key/%"), "a key/%", "v\n")
        self.probe.assert_error(node.get("missing"), 404)
        load = self.run_load(node, lambda l: l.count() > 50)
        self.assertEqual(load.verify([node]), [])
        self.assertGreater(len(load.refused), 0)
        self.assertEqual(self.probe.end_and_report(), "")

    def test_a_lost_write_is_seen(self):
        node = self.start("lose")
        load = self.run_load(node, lambda l: l.count() > 50)
        problems = load.verify([node])
        self.assertGreater(len(problems), 3)
        self.assertTrue(all(p.startswith("LOST") for p in problems), problems)

    def test_a_refused_write_that_was_applied_is_seen(self):
        node = self.start("leak")
        load = self.run_load(node, lambda l: l.count() > 50)
        problems = load.verify([node])
        self.assertGreater(len(problems), 3)
        self.assertTrue(all("refused as not applied" in p for p in problems), problems)

    def test_a_node_that_ends_by_itself_is_reported(self):
        node = self.start("crash")
        self.run_load(node, lambda l: not node.is_running())
        self.assertIn("n1 ended by itself: 3", self.probe.end_and_report())

    def test_a_node_that_was_killed_by_the_test_is_not_reported(self):
        node = self.start()
        node.kill()
        self.assertFalse(node.is_running())
        node.start()
        self.assertTrue(node.is_running())
        node.kill()
        self.assertEqual(self.probe.end_and_report(), "")

    def test_a_node_deaf_to_sigterm_is_reported_and_ended(self):
        node = self.start("stubborn")
        self.addCleanup(setattr, Settings, "slow", Settings.slow)
        Settings.slow = 0.05
        self.assertIn("still runs", self.probe.end_and_report())
        self.assertFalse(node.is_running())

    def test_an_alarm_in_the_log_is_reported(self):
        node = self.start()
        with open(node.log_path, "a", encoding="utf-8") as log:
            log.write("assertion failed: a < b at x.cc:1\n")
        self.assertIn("assertion failed: a < b", self.probe.end_and_report())

    def test_a_paused_node_says_nothing_until_it_resumes(self):
        node = self.start()
        node.pause()
        with RawConnection(node.http_port) as connection:
            connection.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertFalse(connection.is_closed_within(0.2))
            node.resume()
            connection.socket.settimeout(10)
            self.assertEqual(connection.read_response().status, 200)

    def test_a_deadline_that_passes_says_what_was_awaited(self):
        self.addCleanup(setattr, Settings, "slow", Settings.slow)
        Settings.slow = 0.001
        with self.assertRaisesRegex(Timeout, "pigs fly .last seen: 0"):
            wait_until(lambda: 0, "pigs fly")

    def test_wrong_answers_are_seen(self):
        node = self.start()
        with self.assertRaises(AssertionError):
            self.probe.assert_value(node.put("a", "b"), "a", "c")
        with self.assertRaises(AssertionError):
            self.probe.assert_error(node.get("a"), 404)
        with self.assertRaises(AssertionError):
            self.probe.assert_error(harness.Response(404, {}, b'{"message":"x"}'), 404)

    def test_a_start_that_fails_shows_the_log(self):
        Settings.binary = "/bin/false"
        with self.assertRaisesRegex(AssertionError, "n1 ended at start: 1"):
            Node("n1", self.probe.directory).start()


if __name__ == "__main__":
    unittest.main(defaultTest="HarnessTest")
