"""The end of history moves by itself, on all nodes alike, and outlives restarts."""

from harness import ClusterTest, NodeTest, short, wait_until

OPTIONS = ("--history-max-age", "1s", "--history-min-revisions", "10")


def compacted(node):
    return int(node.try_stats().get("compact_revision", 0))


def metric(node, name):
    lines = node.request("GET", "/metrics").body.decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name + " ")))


class Cluster(ClusterTest):
    def new_node(self, name="n1", start=True, **more):
        return super().new_node(name, start, extra=OPTIONS, **more)

    @short
    def test_it_moves_on_every_node_and_survives_a_restart(self):
        leader = self.leader()
        for number in range(200):
            self.assert_status(leader.put(f"k{number % 5}", str(number)), 200)
        self.assert_status(leader.delete("k0"), 200)
        for number in range(20):
            self.assert_status(leader.put("last", str(number)), 200)
        # 222 is the store's revision now; the newest ten stay.
        wait_until(lambda: all(compacted(node) == 212 for node in self.nodes),
                   "history ends at 212 everywhere")
        for node in self.nodes:
            self.assertEqual(int(node.stats()["revision"]), 222)
            wait_until(lambda n=node: metric(n, "arima_mvcc_cleaned_entries_total") > 0,
                       f"{node.name} has cleaned up after the deleted key")
        for node in self.nodes:
            node.kill()
            node.start()
        for node in self.nodes:
            wait_until(lambda n=node: compacted(n) == 212, f"{node.name} knows where history ends")
            for number in range(1, 5):
                self.assert_value(node.get(f"k{number}"), f"k{number}", str(195 + number))
            self.assert_status(node.get("k0"), 404)
        self.assert_writes_go_on()


class LoneNode(NodeTest):
    def test_a_joining_node_learns_where_history_ends(self):
        first, second = self.new_node("n1", extra=OPTIONS), self.new_node("n2", extra=OPTIONS)
        for number in range(30):
            self.assert_status(first.put("k", str(number)), 200)
        wait_until(lambda: compacted(first) == 21, "history moves")
        self.join(first, second)
        wait_until(lambda: compacted(second) == 21, "the new node follows")
