"""Lost, paused and returning nodes."""
import signal
import threading
import unittest

from nodes import ClusterTest


class Searches:
    """Searches in the background until stopped; whatever is not right is kept."""

    def __init__(self, test, node, name, expect):
        self.errors, self.n, self.stopping = [], 0, False
        self.test, self.node, self.name, self.expect = test, node, name, expect
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping:
            try:
                found = self.test.top(self.node, self.name, len(self.expect))
                if found != self.expect:
                    self.errors.append(found)
            except Exception as error:
                self.errors.append(repr(error))
            self.n += 1

    def stop(self):
        self.stopping = True
        self.thread.join()


class Faults(ClusterTest):
    def elsewhere(self, c, node):
        """A collection of 20 points with its only partition on another node than this one."""
        own = self.peers(c[0])[node.name]
        for i in range(20):
            name = "t%d" % i
            self.create(c[0], name)
            self.known(c, name)
            if own not in self.places(c[0], name)[0]:
                self.upsert(c[0], name, range(20))
                return name
        self.fail("every collection is on " + node.name)

    def test_leader_killed(self):
        c = self.cluster(3)
        leader = c.leader()
        name = self.elsewhere(c, leader)
        others = [node for node in c.nodes if node is not leader]
        searches = [Searches(self, node, name, [19, 18, 17]) for node in others]
        leader.kill()
        self.upsert(others[0], name, [19])  # needs no leader
        # A change of the map needs a new leader.
        self.create(others[0], "after")
        self.assertIsNot(c.leader(), leader)
        c.wait(lambda: "node %s is dead" % leader.name in c.leader().log(), "noticed")
        self.upsert(others[1], name, [20, 21, 22])
        for s in searches:
            s.expect = None
            s.stop()
        for s in searches:
            self.assertGreater(s.n, 0)
            wrong = [e for e in s.errors if e not in ([19, 18, 17], [22, 21, 20]) and
                     "NoneType" not in str(e)]
            self.assertEqual(wrong, [])
        leader.start()
        c.wait_ready()
        self.known(c, "after")
        for node in c.nodes:
            self.assertEqual(self.count(node, name), 23)

    def test_quorum_lost_and_back(self):
        """Without a majority of the coordinators, what is there is served; changes of the map wait."""
        c = self.cluster(3)
        name = self.elsewhere(c, c[1])
        home = self.places(c[0], name)[0].pop()
        node = c[home - 1]
        for other in c.nodes:
            if other is not node:
                other.kill()
        self.assertEqual(self.top(node, name, 3), [19, 18, 17])
        self.upsert(node, name, [20])
        self.assertEqual(self.top(node, name, 3), [20, 19, 18])
        status, answer = node.call("PUT", "/collections/new",
                                   {"vectors": {"size": 2, "distance": "Dot"}})
        self.assertIn(status, (408, 500, 503), answer)
        for other in c.nodes:
            if other is not node:
                other.start()
        c.wait_ready()
        self.create(node, "later")
        self.assertEqual(self.count(node, name), 21)

    def test_paused_leader_returns(self):
        c = self.cluster(3)
        leader = c.leader()
        others = [node for node in c.nodes if node is not leader]
        leader.send(signal.SIGSTOP)
        # A partition may have been placed on the node that hangs, which nobody knows yet: the answer then says so.
        status, answer = others[0].call("PUT", "/collections/meanwhile", {"vectors": {"size": 2, "distance": "Dot"}})[:2]
        self.assertTrue(status == 200 or (status == 408 and "was created" in str(answer)), answer)
        c.wait(lambda: "node %s is dead" % leader.name in others[0].log() + others[1].log(),
               "noticed")
        leader.send(signal.SIGCONT)
        c.wait(lambda: "node %s is back" % leader.name in others[0].log() + others[1].log(),
               "welcomed")
        self.known(c, "meanwhile")
        self.assertTrue(leader.ready())
        self.create(leader, "by_the_old_leader")
        self.known(c, "by_the_old_leader")

    def test_nodes_stop_while_requests_wait_for_a_dead_one(self):
        """What waits to be tried again does not keep a node from stopping."""
        c = self.cluster(3)
        self.create(c[0], "t", shards=6)
        self.known(c, "t")
        stopping = threading.Event()

        def write(seed):
            n = 0
            while not stopping.is_set():
                points = [{"id": seed * 10**6 + n + i, "vector": [1.0, float(i)]} for i in range(6)]
                n += 6
                try:
                    c[seed % 3].call("PUT", "/collections/t/points?wait=true&timeout=3600", {"points": points})
                except OSError:
                    pass

        threads = [threading.Thread(target=write, args=(i,), daemon=True) for i in range(6)]
        for thread in threads:
            thread.start()
        try:
            c.wait(lambda: self.count(c[0], "t") > 100, "some load")
            c[2].kill()
            c.wait(lambda: "node c is dead" in c[0].log() + c[1].log(), "noticed")
            for node in c.nodes[:2]:
                node.send(signal.SIGTERM)
            for node in c.nodes[:2]:
                c.wait(lambda: not node.runs(), node.name + " ends")
                self.assertEqual(node.process.returncode, 0)
        finally:
            stopping.set()
            for thread in threads:
                thread.join()


if __name__ == "__main__":
    unittest.main()
