"""Collections with two copies under load: nodes are killed, paused, added and drained. No search may fail or miss what was
acknowledged before it, no acknowledged write may be lost, and in the end every partition has its copies again, all alike."""
import os
import shutil
import signal
import time
import unittest

from load import DIM
from loaded import LoadedTest


class Copies(LoadedTest):
    def test_each_node_is_killed_in_turn(self):
        """The small form of what scripts/failover measures."""
        c, load = self.start(writers=4, searchers=32, pause=0.1)
        for node in list(c.nodes):
            others = [other for other in c.nodes if other is not node]
            self.kill(c, node)
            self.goes_on(c, load)
            # Without it: the two that are left take over what it held.
            c.wait(lambda: all(len(copies) == 2 for copies in self.places(others[0], "t").values()),
                   "two copies again")
            self.goes_on(c, load)
            self.revive(c, node)
            self.goes_on(c, load)
        self.check(c, load)
        # What the map took away from a node while it was down does not stay there.
        for i, node in enumerate(c.nodes):
            c.wait(lambda: self.folders(node) == sum(
                i + 1 in copies for copies in self.replicas(node, "t").values()), "no folder is left")

    def folders(self, node):
        top = os.path.join(node.data, "replicas")
        return sum(len(os.listdir(os.path.join(top, name))) for name in os.listdir(top))

    def test_two_nodes_keep_writing_with_one_copy(self):
        """Nowhere to go: with one node left the set shrinks to it, answers say so, and the other one catches up when it returns."""
        c = self.cluster(3, "--heal-grace-s", "60")
        self.make(c, 2)
        load = self.put_load(c)
        lost = c[2] if c.leader() is not c[2] else c[1]
        self.kill(c, lost)
        self.goes_on(c, load)
        name = "/collections/t"
        c.wait(lambda: self.ok(c[0], "GET", name)["status"] == "yellow", "yellow")
        degraded = c[0].call("PUT", name + "/points?wait=true&receipt=true", {
            "points": [{"id": 10**9 + i, "vector": [0.0] * DIM, "payload": {"n": 10**9 + i}}
                       for i in range(32)]})[1]
        self.assertTrue(degraded["receipt"]["degraded"], degraded)
        self.revive(c, lost)
        self.check(c, load)
        answer = c[0].call("PUT", name + "/points?wait=true&receipt=true", {
            "points": [{"id": 10**9, "vector": [0.0] * DIM, "payload": {"n": 10**9}}]})[1]
        self.assertFalse(answer["receipt"]["degraded"], answer)

    def test_a_paused_primary_commits_nothing_and_loses_nothing(self):
        c, load = self.start(shards=3)
        for node in list(c.nodes):
            node.usable = False
            node.send(signal.SIGSTOP)
            others = [other for other in c.nodes if other is not node]
            own = c.nodes.index(node) + 1
            c.wait(lambda: not any(copy["primary"] and i == own
                                   for copies in self.replicas(others[0], "t").values()
                                   for i, copy in copies.items()), "others are primaries")
            self.goes_on(c, load)
            node.send(signal.SIGCONT)
            # It may be asked at once: what it does not know it must not answer.
            node.usable = True
            self.goes_on(c, load)
            c.wait(lambda: self.whole(others[0], "t", 2) or True, "asked")
            c.wait(lambda: all(len(copies) == 2 for copies in self.places(others[0], "t").values()),
                   "two copies again")
        self.check(c, load)

    def test_the_map_loses_its_quorum(self):
        """Two nodes that hold the copies and do not vote; two of three coordinators die."""
        c = self.cluster(3, "--heal-grace-s", "60", "--roles", "coordinator")
        for name in "de":
            node = c.new_node(name, "--join", c[0].address)
            node.flags = ["--heal-grace-s", "60", "--roles", "shard", "--join", c[0].address]
            node.start()
        c.wait_ready()
        self.make(c, 4)
        load = self.put_load(c)
        for node in c.nodes[:2]:
            self.kill(c, node)
        until = time.monotonic() + 3  # longer than any lease
        while time.monotonic() < until:
            self.goes_on(c, load)
        for node in c.nodes[:2]:
            self.revive(c, node)
        self.goes_on(c, load)
        self.check(c, load)

    def test_a_node_joins_and_another_is_drained(self):
        c, load = self.start()
        d = c.new_node("d", "--join", c[0].address)
        d.usable = False
        d.start()
        c.wait_ready()
        d.usable = True
        own = self.peers(c[0])["d"]
        # 16 copies on 4 nodes.
        c.wait(lambda: sum(own in nodes for nodes in self.places(c[0], "t").values()) == 4,
               "its share")
        self.goes_on(c, load)
        c.wait(lambda: self.ok(c[0], "GET", "/collections/t")["status"] == "green", "moved")
        leaves = c[1] if c.leader() is not c[1] else c[2]
        left = self.peers(c[0])[leaves.name]
        self.ok(c[0], "POST", "/v1/cluster/nodes/%s/drain" % leaves.name)
        c.wait(lambda: not any(left in copies for copies in self.replicas(c[0], "t").values()),
               "drained")
        self.goes_on(c, load)
        leaves.usable = False
        self.goes_on(c, load)  # no client is left there
        self.ok(c[0], "DELETE", "/cluster/peer/%d" % left)
        c.wait(lambda: not leaves.runs(), "the removed node ends")
        self.assertIn("was removed from the cluster", leaves.log())
        self.goes_on(c, load)
        self.check(c, load)

    def test_an_emptied_folder_is_no_copy(self):
        """A new collection, nothing about it has ever changed in the map; all nodes are killed at once, and one loses what it held. It must
        not pass for the new copy that it was."""
        c = self.cluster(3, "--heal-grace-s", "600")
        self.make(c, 3)
        self.upsert_some(c)
        for node in c.nodes:
            node.send(signal.SIGKILL)
        for node in c.nodes:
            node.process.wait()
        shutil.rmtree(os.path.join(c[1].data, "replicas"))
        for node in c.nodes:
            node.start()
        c.wait(lambda: c[0].ready() and c[2].ready(), "those that lost nothing")
        c.wait(lambda: self.whole(c[0], "t", 2), "whole again")
        self.assertIn("what it held was lost", c[1].log())
        for node in c.nodes:
            self.assertEqual(self.count(node, "t"), 90)

    def test_an_emptied_folder_of_the_only_copy_is_an_error(self):
        c = self.cluster(3)
        self.make(c, 1, factor=1)
        self.upsert_some(c)
        lost = c.nodes[next(iter(self.places(c[0], "t")[0])) - 1]
        other = next(node for node in c.nodes if node is not lost)
        self.assertEqual(lost.stop(), 0)
        shutil.rmtree(os.path.join(lost.data, "replicas"))
        lost.start()
        c.wait(lambda: "what it held was lost" in lost.log(), "it is noticed")
        c.wait(lambda: self.ok(other, "GET", "/collections/t")["status"] == "red", "red")
        for node in c.nodes:
            self.assertNotEqual(node.call("POST", "/collections/t/points/count?timeout=1", {"exact": True})[0], 200)

    def upsert_some(self, c):
        self.ok(c[0], "PUT", "/collections/t/points?wait=true", {"points": [
            {"id": i, "vector": [float(i)] * DIM, "payload": {"n": i}} for i in range(90)]})

    def test_a_copy_is_made_from_segments_when_the_log_is_gone(self):
        c = self.cluster(3, "--heal-grace-s", "600", "--log-keep-mb", "1", "--seal-rows", "100")
        self.make(c, 1)
        copies = sorted(self.places(c[0], "t")[0])
        lost = c.nodes[copies[0] - 1]
        asked = next(node for node in c.nodes if node is not lost)
        self.kill(c, lost)
        load = self.put_load(c, writers=1, searchers=2)
        # More than a log keeps for one that is away.
        filler = "x" * 20000
        for i in range(30):
            self.ok(asked, "PUT", "/collections/t/points?wait=true", {
                "points": [{"id": 10**9 + i * 30 + j, "vector": [0.0] * DIM,
                            "payload": {"n": 10**9 + i * 30 + j, "filler": filler}}
                           for j in range(30)]})
        self.revive(c, lost)
        c.wait(lambda: self.metric(lost, "quiver_shard_seeds_total") >= 1, "seeded")
        self.goes_on(c, load)
        self.check(c, load)
        self.assertEqual(self.count(lost, "t"), 900 + len(load.acked))


if __name__ == "__main__":
    unittest.main()
