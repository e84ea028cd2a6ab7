"""What tests share that put a load on a cluster and then do something to it."""
from load import DIM, Load
from nodes import ClusterTest


class LoadedTest(ClusterTest):
    def start(self, n=3, shards=8, flags=(), **load):
        """A cluster with collection `t` and a load on it that has begun to write."""
        c = self.cluster(n, "--heal-grace-s", "2", *flags)
        self.make(c, shards)
        return c, self.put_load(c, **load)

    def make(self, c, shards, factor=2):
        c.wait(lambda: len(self.peers(c[0])) == len(c.nodes), "all nodes are known")
        self.ok(c[0], "PUT", "/collections/t",
                {"vectors": {"size": DIM, "distance": "Euclid"}, "shard_number": shards,
                 "replication_factor": factor})
        self.known(c, "t")

    def put_load(self, c, **options):
        load = Load(c.nodes, "t", **options).start()
        self.addCleanup(load.stop)
        self.goes_on(c, load)
        return load

    def goes_on(self, c, load, n=60):
        """Writes and searches go on."""
        acked, searches = load.acknowledged(), len(load.searches)
        c.wait(lambda: load.acknowledged() >= acked + n and len(load.searches) >= searches + n or
               load.errors, "writes go on")

    def check(self, c, load, nodes=None, factor=2):
        """Ends the load; nothing was wrong, nothing is lost, and the copies are whole and alike."""
        load.stop()
        self.assertEqual(load.errors, [], c.logs())
        self.assertEqual(load.refused, [], c.logs())
        self.assertGreater(len(load.searches), 50)
        alive = [node for node in c.nodes if node.runs()]
        c.wait(lambda: self.whole(alive[0], "t", factor, nodes), "whole again")
        for node in alive:
            self.assertEqual(load.missing(node), [], node.name)
            # Yellow also means that something is being indexed.
            c.wait(lambda: self.ok(node, "GET", "/collections/t")["status"] == "green", "green")

    def kill(self, c, node):
        node.usable = False
        node.kill()

    def revive(self, c, node):
        node.start()
        c.wait_ready()
        node.usable = True
