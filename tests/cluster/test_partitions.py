"""The network between nodes fails: whole nodes are cut off, single pairs, single directions, for longer and shorter than anything
waits. What was acknowledged is found by whoever answers, nobody answers wrongly, nothing acknowledged is lost, and all goes on
when the network is whole again.

QUIVER_PARTITIONS (default 4) is the number of cuts of the test with all kinds of them, QUIVER_PARTITION_NODES (3) of the nodes in it;
QUIVER_SEED replays a run.
"""
import os
import random
import sys
import time

from load import DIM, Load
from nodes import ClusterTest

CUTS = int(os.environ.get("QUIVER_PARTITIONS", "4"))
NODES = int(os.environ.get("QUIVER_PARTITION_NODES", "3"))
SEED = int(os.environ.get("QUIVER_SEED", "0")) or int(time.time())
# The gap in the freshness of reads that docs/replication.md names: a lease, and the time until a map is read back.
GAP_S = 1.5
LENGTHS_S = (0.4, 1.5, 5)  # shorter than a lease; longer; longer than it takes to be dead


class Partitions(ClusterTest):
    def start(self, factor=2, shards=4, n=3):
        c = self.cluster(n, "--heal-grace-s", "60", linked=True)
        c.wait(lambda: len(self.peers(c[0])) == n, "all nodes are known")
        self.ok(c[0], "PUT", "/collections/t", {"vectors": {"size": DIM, "distance": "Euclid"}, "shard_number": shards,
                                                "replication_factor": factor})
        self.known(c, "t")
        load = Load(c.nodes, "t", writers=2, searchers=3, pause=0.005).start()
        self.addCleanup(load.stop)
        self.goes_on(c, load)
        return c, load

    def goes_on(self, c, load, n=40):
        acked, searches = load.acknowledged(), len(load.searches)
        c.wait(lambda: load.acknowledged() >= acked + n and len(load.searches) >= searches + n, "writes and searches go on")

    def primaries(self, node):
        """Names of the nodes by partition."""
        names = {i: name for name, i in self.peers(node).items()}
        return {partition: names[i] for partition, copies in self.replicas(node, "t").items()
                for i, copy in copies.items() if copy["primary"]}

    def end(self, c, load, factor=2):
        """The network is whole; so is everything else, soon."""
        c.links.heal()
        for node in c.nodes:
            node.usable = True
        self.goes_on(c, load)
        c.wait(lambda: all(len(copies) == factor for copies in self.places(c[0], "t").values()), "all copies in sync")
        load.stop()
        self.assertEqual(load.missed_longer_than(GAP_S), [])
        c.wait(lambda: self.whole(c[0], "t", factor), "copies alike")
        for node in c.nodes:
            self.assertEqual(load.missing(node), [], node.name)

    def test_a_node_that_is_cut_off_answers_nothing_old(self):
        """Each in turn, for longer than it takes to be dead. Who talks to the others notices nothing; a search at the node itself
        says that it cannot know, or is right."""
        c, load = self.start()
        for node in c.nodes:
            others = [other for other in c.nodes if other is not node]
            node.usable = False
            c.wait(lambda: load.left(node), "the clients leave it")
            c.links.isolate(node.name)
            c.wait(lambda: node.name not in self.primaries(others[0]).values(), "others are primaries")
            self.goes_on(c, load)
            latest = load.acked[-1]
            status, answer = node.call("POST", "/collections/t/points?timeout=2", {"ids": [latest]})
            self.assertTrue(status in (408, 500, 503) or (status == 200 and len(answer["result"]) == 1), (status, answer))
            status, answer = node.call("PUT", "/collections/t/points?wait=true&timeout=2", {
                "points": [{"id": 10**9 + i, "vector": [0.0] * DIM, "payload": {"n": 10**9 + i}} for i in range(40)]})
            self.assertIn(status, (408, 500, 503), answer)
            c.links.heal()
            c.wait(lambda: all(len(copies) == 2 for copies in self.places(others[0], "t").values()), "two copies again")
            node.usable = True
            self.goes_on(c, load)
        self.assertEqual(load.errors, [], c.logs())
        self.end(c, load)

    def a_cut(self, c, rng):
        """Cuts, and says what."""
        nodes = rng.sample(c.nodes, len(c.nodes))
        a, b, half = nodes[0], nodes[1], len(nodes) // 2
        kind = rng.choice(("whole", "deaf", "mute", "pair", "one way", "all", "slow") +
                          (("halves", "bridge", "ring") if len(nodes) > 3 else ()))
        if kind == "whole":
            c.links.isolate(a.name)
        elif kind in ("halves", "bridge"):  # a reaches both sides of a bridge
            for one in nodes[kind == "bridge":half + 1]:
                for other in nodes[half + 1:]:
                    self.cut_both(c, one, other)
        elif kind == "ring":  # each reaches its two neighbours only
            for i, one in enumerate(nodes):
                for j in range(i + 2, len(nodes) - (i == 0)):
                    self.cut_both(c, one, nodes[j])
        elif kind == "all":
            for node in c.nodes:
                c.links.isolate(node.name)
        elif kind == "slow":
            c.links.delay(a.name, rng.choice((0.05, 0.3)))
        else:
            others = nodes[1:] if kind in ("deaf", "mute") else (b,)
            for other in others:
                if kind != "mute":
                    c.links.cut(other.name, a.name)
                if kind in ("mute", "pair"):
                    c.links.cut(a.name, other.name)
        return "%s %s%s" % (kind, a.name, b.name if kind in ("pair", "one way") else "")

    def cut_both(self, c, one, other):
        c.links.cut(one.name, other.name)
        c.links.cut(other.name, one.name)

    def test_cuts_of_every_kind(self):
        rng = random.Random(SEED)
        c, load = self.start(factor=3 if SEED % 2 else 2, n=NODES)
        done = []
        for _ in range(CUTS):
            length = rng.choice(LENGTHS_S)
            done.append("%s for %g s" % (self.a_cut(c, rng), length))
            time.sleep(length)
            c.links.heal()
            if rng.random() < 0.7:  # or into the next one
                try:
                    self.goes_on(c, load)
                except AssertionError as e:
                    raise AssertionError("seed %d, after %s: %s" % (SEED, done, e)) from None
        self.end(c, load, 3 if SEED % 2 else 2)
        print("seed %d: %d cuts (%s), %d writes acknowledged, 0 lost, %d searches, %d failed, "
              "%d in the gap" % (SEED, CUTS, "; ".join(done), len(load.acked), len(load.searches),
                                 len(load.errors) - len(load.missed), len(load.missed)), file=sys.stderr)


if __name__ == "__main__":
    import unittest
    unittest.main()
