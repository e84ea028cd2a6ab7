"""Disks that are slow, or hang without an error: others take over what the node leads, nothing is lost, and it comes back when the disk does."""
import unittest

from faulty import needs_faults, order, prepare
from load import DIM
from loaded import LoadedTest


@needs_faults
class Disks(LoadedTest):
    def begin(self, shards=6):
        c = self.cluster(3, "--heal-grace-s", "60", prepare=prepare)
        self.make(c, shards)
        return c, self.put_load(c)

    def disk_hangs(self, node, part):
        self.addCleanup(order, node)  # it could not be stopped
        order(node, sync_s=-1, part=part)

    def led_by(self, c, asked, node):
        own = c.nodes.index(node) + 1
        return sum(copy["primary"] and i == own
                   for copies in self.replicas(asked, "t").values() for i, copy in copies.items())

    def hangs(self, c, load, node, part):
        others = [n for n in c.nodes if n is not node]
        self.assertGreater(self.led_by(c, others[0], node), 0)
        self.disk_hangs(node, part)
        c.wait(lambda: self.led_by(c, others[0], node) == 0, "others are primaries")
        # Clients of the others never notice but for the wait.
        self.goes_on(c, load)
        order(node)
        c.wait(lambda: all(len(copies) == 2 for copies in self.places(others[0], "t").values()), "two copies again")
        c.wait(node.ready, "ready again")

    def test_logs_that_hang(self):
        """The disk of the data hangs, that of the shard map does not: the node goes on hearing and answering for others."""
        c, load = self.begin()
        node = next(n for n in c.nodes if n is not c.leader())
        self.hangs(c, load, node, "/replicas/")
        self.assertIn("the disk has not answered", node.log())
        self.goes_on(c, load)
        self.check(c, load)

    def test_a_whole_disk_hangs(self):
        """That of the map's leader, so that it leads nothing any more."""
        c, load = self.begin()
        node = c.leader()
        node.usable = False
        others = [n for n in c.nodes if n is not node]
        self.hangs(c, load, node, "/")
        self.assertIn("node %s is dead" % node.name, others[0].log() + others[1].log())
        node.usable = True
        self.goes_on(c, load)
        self.check(c, load)

    def test_slow_disks_are_waited_for(self):
        """A third of a second for each sync, everywhere: all is slow, nobody is taken for dead and nothing fails."""
        c, load = self.begin(shards=2)
        for node in c.nodes:
            order(node, sync_s=0.3, part="/replicas/")
        self.goes_on(c, load, n=9)
        for node in c.nodes:
            order(node)
        self.goes_on(c, load)
        self.assertNotIn("the disk has not answered", c.logs())
        self.check(c, load)

    def test_a_write_ends_in_its_time(self):
        """Nobody could take over (one copy): the client is told after its own timeout that the outcome is unknown; the write may come true."""
        c, load = self.begin()
        load.stop()
        self.ok(c[0], "PUT", "/collections/one", {"vectors": {"size": DIM, "distance": "Dot"}, "replication_factor": 1})
        self.known(c, "one")
        node = c.nodes[next(iter(self.places(c[0], "one")[0])) - 1]
        self.disk_hangs(node, "/replicas/")
        point = {"points": [{"id": 7, "vector": [1.0] * DIM}]}
        for asked in c.nodes:  # the one that hangs, and others that ask it
            status, answer = asked.call("PUT", "/collections/one/points?wait=true&timeout=1", point)
            self.assertEqual(status, 408, answer)
            self.assertIn("the outcome is unknown", answer["status"]["error"])
        order(node)
        c.wait(lambda: self.count(c[0], "one") == 1, "it was carried out")


if __name__ == "__main__":
    unittest.main()
