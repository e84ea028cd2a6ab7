"""Nodes that are neither well nor dead: a slow disk, a full one, a wall clock that is wrong.

QUIVER_GRAY_NODES (default 1) is the number of nodes that have a fault in turn.
"""
import os
import sys
import time
import unittest

from faulty import needs_faults, order, prepare
from load import DIM, Load
from nodes import ClusterTest

# The gap in the freshness of reads that docs/replication.md names: a lease, and the time until a map is read back.
GAP_S = 1.5
NODES = int(os.environ.get("QUIVER_GRAY_NODES", "1"))


@needs_faults
class Gray(ClusterTest):
    def start(self, shards=3):
        c = self.cluster(3, "--heal-grace-s", "60", prepare=prepare)
        c.wait(lambda: len(self.peers(c[0])) == 3, "all nodes are known")
        self.ok(c[0], "PUT", "/collections/t", {"vectors": {"size": DIM, "distance": "Euclid"}, "shard_number": shards,
                                                "replication_factor": 2})
        self.known(c, "t")
        load = Load(c.nodes, "t", writers=2, searchers=3, pause=0.005).start()
        self.addCleanup(load.stop)
        self.goes_on(c, load, 40)
        return c, load

    def goes_on(self, c, load, n):
        acked, searches = load.acknowledged(), len(load.searches)
        c.wait(lambda: load.acknowledged() >= acked + n and len(load.searches) >= searches + n, "writes and searches go on")

    def end(self, c, load):
        c.wait(lambda: all(len(copies) == 2 for copies in self.places(c[0], "t").values()), "all copies in sync")
        load.stop()
        self.assertEqual(load.missed_longer_than(GAP_S), [])
        self.assertEqual([e for e in load.errors if "the search found" not in e[1]], [], c.logs())
        print("%d searches, %d in the gap" % (len(load.searches), len(load.missed)), file=sys.stderr)
        c.wait(lambda: self.whole(c[0], "t", 2), "copies alike")
        for node in c.nodes:
            self.assertEqual(load.missing(node), [], node.name)

    def test_a_slow_disk(self):
        """Each in turn; so slow that writes hardly go on, then so slow that whoever waits for it gives it up."""
        c, load = self.start()
        for node in c.nodes[:NODES]:
            for sync_s in (0.1, 3):
                order(node, sync_s=sync_s)
                self.goes_on(c, load, 10)
            order(node)
            self.goes_on(c, load, 40)
        self.assertEqual(load.refused, [])
        self.end(c, load)

    def test_a_full_disk(self):
        """Writes that need it are refused as such, and go on once there is room; the others do not notice."""
        c, load = self.start()
        for node in c.nodes[:NODES]:
            refused, searches = len(load.refused), len(load.searches)
            order(node, full=True)
            time.sleep(2)
            self.assertGreater(len(load.searches), searches)
            order(node)
            freed = time.monotonic()
            self.goes_on(c, load, 40)
            for when, what in load.refused[refused:]:
                self.assertIn("507", what)
                self.assertLess(when, freed + 10)
        self.end(c, load)

    def test_a_wrong_clock(self):
        """An hour ahead, an hour back, while everything else is well: nobody notices."""
        c, load = self.start()
        for node in c.nodes[:NODES]:
            for wall_s in (3600, -3600, 86400 * 400):
                order(node, wall_s=wall_s)
                self.goes_on(c, load, 20)
        self.create(c[0], "after", shards=3, factor=3)
        self.known(c, "after")
        c[1].kill()
        self.goes_on(c, load, 20)
        c[1].start()
        c.wait_ready()
        self.assertEqual(load.refused, [])
        self.end(c, load)


if __name__ == "__main__":
    unittest.main()
