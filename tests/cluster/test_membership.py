"""Who belongs to a cluster: first start, later nodes, restarts, and everything that must be refused."""
import os
import shutil
import subprocess
import tempfile
import unittest

from nodes import PATIENCE, QUIVERD, ClusterTest, free_ports


class Members(ClusterTest):
    def refused(self, command, *words):
        """The program ends by itself, with an error that says these words."""
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                timeout=PATIENCE, text=True)
        self.assertEqual(result.returncode, 1, result.stdout)
        for word in words:
            self.assertIn(word, result.stdout)

    def test_three_nodes_serve_everything(self):
        c = self.cluster(3)
        self.assertEqual(self.peers(c[0]), {"a": 1, "b": 2, "c": 3})
        self.create(c[1], "t", shards=6)
        self.known(c, "t")
        self.assertEqual({n for nodes in self.places(c[0], "t").values() for n in nodes}, {1, 2, 3})
        for i, node in enumerate(c.nodes):
            self.upsert(node, "t", range(i * 100, i * 100 + 100))
        for node in c.nodes:
            self.assertEqual(self.count(node, "t"), 300)
            self.assertEqual(self.top(node, "t", 5), [299, 298, 297, 296, 295])

    def test_restarts_with_and_without_the_flags(self):
        c = self.cluster(3)
        self.create(c[0], "t", shards=3)
        self.known(c, "t")
        self.upsert(c[0], "t", range(50))
        for node in c.nodes:
            self.assertEqual(node.stop(), 0)
        for node in c.nodes[1:]:
            node.flags = []
        for node in c.nodes:
            node.start()
        c.wait_ready()
        for node in c.nodes:
            self.assertEqual(self.count(node, "t"), 50)

    def test_a_node_joins(self):
        c = self.cluster(1)
        self.create(c[0], "t", shards=2)
        self.upsert(c[0], "t", range(20))
        d = c.new_node("d", "--join", c[0].address)
        d.start()
        c.wait_ready()
        self.known(c, "t")
        self.assertEqual(sorted(self.peers(d)), ["a", "d"])
        self.assertEqual(self.count(d, "t"), 20)
        # It comes back by what its folder says, at another address.
        self.assertEqual(d.stop(), 0)
        d.flags = []
        d.rpc = free_ports(1)[0]
        d.address = "127.0.0.1:%d" % d.rpc
        d.start()
        c.wait_ready()
        self.assertEqual(self.count(d, "t"), 20)
        self.create(d, "u")
        self.known(c, "u")

    def test_one_coordinator_grows_to_three(self):
        c = self.cluster(1)
        for name in "bc":
            c.new_node(name, "--join", c[0].address).start()
        c.wait_ready()
        c.wait(lambda: c[0].log().count("votes in the control plane") == 2, "two more voters")
        for node in c.nodes[1:]:
            c.wait(lambda: [n["votes"] for n in self.ok(node, "GET", "/v1/cluster")["nodes"]] == [True] * 3,
                   node.name + " knows that all vote")
        # Any of the three may now be lost.
        c[0].kill()
        c.wait(lambda: c[1].call("PUT", "/collections/t", {"vectors": {"size": 2, "distance": "Dot"}},
                                 timeout=PATIENCE)[0] in (200, 409), "a change without the first node")

    def test_a_dead_voter_is_replaced(self):
        c = self.cluster(3, "--heal-grace-s", "1")
        d = c.new_node("d", "--join", c[1].address)
        d.start()
        c.wait_ready()
        lost = c.leader()
        others = [node for node in c.nodes if node is not lost]
        lost.kill()

        def votes(node):
            status, answer = node.call("GET", "/v1/cluster")
            view = {n["name"]: n["votes"] for n in answer["result"]["nodes"]} if status == 200 else {}
            return view.get("d") and not view.get(lost.name)

        # On every node: what the leader alone has in its log may be lost with it.
        c.wait(lambda: all(votes(node) for node in others), "d votes, the lost one does not")
        # Of the three that vote now one more may be lost.
        c.leader().kill()
        left = next(node for node in others if node.runs())
        c.wait(lambda: left.call("PUT", "/collections/t", {"vectors": {"size": 2, "distance": "Dot"}})[0] in (200, 409),
               "a change without two of the first three")
        # It comes back as one that follows.
        lost.start()
        c.wait(lost.ready, "it is back")

    def test_five_coordinators_outlive_two(self):
        c = self.cluster(5)
        self.assertEqual([n["votes"] for n in self.ok(c[0], "GET", "/v1/cluster")["nodes"]], [True] * 5)
        for _ in range(2):
            c.leader().kill()
        left = next(node for node in c.nodes if node.runs())
        c.wait(lambda: left.call("PUT", "/collections/t?degraded=true", {"vectors": {"size": 2, "distance": "Dot"}})[0] in
               (200, 409), "a change without two of five")

    def test_joining_through_any_node(self):
        """Through one that does not lead, one that holds data only, and one that joined itself just now."""
        c = self.cluster(3)
        asked = next(node for node in c.nodes if node is not c.leader())
        for name, roles in (("d", "shard"), ("e", "shard"), ("f", "coordinator,shard")):
            node = c.new_node(name, "--roles", roles, "--join", asked.address)
            node.start()
            c.wait_ready()
            asked = node
        for node in c.nodes:
            c.wait(lambda: sorted(self.peers(node)) == list("abcdef"), node.name + " knows all")
        self.create(asked, "t", shards=6)
        self.known(c, "t")
        self.upsert(c[0], "t", range(60))
        self.assertEqual(self.count(asked, "t"), 60)

    def test_duplicate_names_are_refused(self):
        c = self.cluster(1)
        x = c.new_node("x", "--join", c[0].address)
        x.name = "a"
        self.refused(x.command(*x.flags), "a node named `a` is in the cluster already")
        self.refused(x.command("--bootstrap", "a@127.0.0.1:1,a@127.0.0.1:2,b@127.0.0.1:3"),
                     "names `a` twice")

    def test_dead_seed(self):
        c = self.cluster(1)
        x = c.new_node("x")
        dead = "127.0.0.1:%d" % free_ports(1)[0]
        self.refused(x.command("--join", dead), "nobody answers at " + dead)
        # The next one of the list is asked.
        x.flags = ["--join", dead + "," + c[0].address]
        x.start()
        c.wait_ready()

    def test_copied_folder_is_refused_while_the_node_runs(self):
        c = self.cluster(1)
        d = c.new_node("d", "--join", c[0].address)
        d.start()
        c.wait_ready()
        copy = c.new_node("copy")
        shutil.copytree(d.data, copy.data)
        self.refused(copy.command(), "is that of node `d`, not of `copy`")
        copy.name = "d"
        self.refused(copy.command(), "node `d` runs at " + d.address, "is a copy")
        # The same folder twice at once.
        self.refused([QUIVERD, "--data", d.data, "--node", "d"], "is held by process")
        self.assertTrue(d.ready())

    def test_a_copy_takes_over_and_the_original_ends(self):
        """The original could not be asked; when it comes back it learns of the other and ends."""
        c = self.cluster(3)
        shutil.copytree(c[2].data, os.path.join(c.folder, "copy"))
        c[2].send(19)  # SIGSTOP
        copy = c.new_node("copy")
        copy.name = "c"
        copy.start()
        c.wait(copy.ready, "the copy")
        c[2].send(18)
        c.wait(lambda: not c[2].runs(), "the original ends")
        self.assertEqual(c[2].process.returncode, 1)
        self.assertIn("was its data folder copied?", c[2].log())
        self.assertTrue(copy.ready())

    def test_a_voter_that_lost_its_disk(self):
        """It might vote a second time, so it is not let in as what it was; as a new node it is."""
        c = self.cluster(3)
        lost = next(node for node in c.nodes if node is not c.leader())
        others = [node for node in c.nodes if node is not lost]
        lost.kill()
        shutil.rmtree(lost.data)
        self.refused(lost.command(*lost.flags), "node `%s` was a member of this cluster before (start 1" % lost.name,
                     "--join")
        self.assertFalse(os.path.exists(os.path.join(lost.data, "node")))
        # Nor while the others cannot say.
        others[1].kill()
        lost.start()
        c.wait(lambda: "waits for the other nodes of --bootstrap" in lost.log(), "it waits")
        lost.send(15)
        self.assertEqual(lost.process.wait(timeout=PATIENCE), 1)
        self.assertIn("stopped while it waited", lost.log())
        others[1].start()
        c.wait_ready()
        status, answer = others[0].call("DELETE", "/v1/cluster/nodes/" + lost.name)
        self.assertEqual(status, 200, answer)
        self.refused(lost.command(*lost.flags), "runs, without node `%s`" % lost.name, "--join")
        lost.flags = ["--join", others[0].address]
        lost.start()
        c.wait_ready()
        self.assertGreaterEqual(self.peers(others[0])[lost.name], 16)
        c.wait(lambda: [n["votes"] for n in self.ok(others[0], "GET", "/v1/cluster")["nodes"]] == [True] * 3, "it votes")

    def test_a_majority_of_the_first_nodes_begins(self):
        c = self.cluster(3)
        for node in c.nodes:
            self.assertEqual(node.stop(), 0)
            shutil.rmtree(node.data)
        for node in c.nodes[:2]:
            node.start()
        c.wait_ready()
        self.create(c[0], "t")
        # One alone waits, and can be stopped; the third comes when it comes.
        c[1].kill()
        c[2].start()
        c.wait(lambda: "waits for the other nodes of --bootstrap" in c[2].log(), "it waits")
        c[1].start()
        c.wait_ready()
        self.known(c, "t")
        self.assertEqual(self.peers(c[2]), {"a": 1, "b": 2, "c": 3})

    def test_a_lone_first_node_that_lost_its_disk(self):
        """It begins another cluster: the nodes that joined it do not take it for the one that it was."""
        c = self.cluster(1)
        d = c.new_node("d", "--join", c[0].address)
        d.start()
        c.wait_ready()
        self.create(c[0], "t")
        self.known(c, "t")
        c[0].kill()
        shutil.rmtree(c[0].data)
        c[0].start()
        c.wait(c[0].ready, "the new one")
        c.wait(lambda: "belongs to cluster" in d.log(), "the other is told")
        self.assertEqual(self.ok(c[0], "GET", "/collections/t/exists"), {"exists": False})
        self.assertEqual(self.ok(d, "GET", "/collections/t/exists"), {"exists": True})
        # Its flag does no harm on later starts, and its folder fits no other list.
        self.assertEqual(c[0].stop(), 0)
        c[0].start()
        c.wait(c[0].ready, "again")

    def test_another_cluster(self):
        one, two = self.cluster(1), self.cluster(1)
        # A folder of one cluster with the list of the other.
        self.assertEqual(one[0].stop(), 0)
        self.refused(one[0].command("--bootstrap", two.bootstrap), "belongs to cluster")
        one[0].start()
        one.wait_ready()
        # A node of the first that now stands where one of the second was.
        d = two.new_node("d", "--join", two[0].address)
        d.start()
        two.wait_ready()
        self.assertEqual(d.stop(), 0)
        d.flags = []
        e = one.new_node("e", "--join", one[0].address)
        e.rpc, e.address = d.rpc, d.address
        e.start()
        one.wait_ready()
        two.wait(lambda: "belongs to cluster" in two[0].log(), "the stranger is turned away")
        self.assertEqual(sorted(self.peers(two[0])), ["a", "d"])
        self.assertEqual(sorted(self.peers(one[0])), ["a", "e"])

    def test_wrong_flags(self):
        folder = tempfile.mkdtemp(prefix="quiver-cluster-")
        self.addCleanup(shutil.rmtree, folder)
        start = [QUIVERD, "--data", os.path.join(folder, "x"), "--http", "127.0.0.1:0"]
        self.refused(start + ["--rpc", "127.0.0.1:7001"], "--bootstrap", "--join")
        self.refused(start + ["--bootstrap", "a@127.0.0.1:1"], "must be one of its names")
        self.refused(start + ["--node", "a", "--bootstrap", "a@127.0.0.1:1,b@127.0.0.1:2"],
                     "1, 3 or 5")
        self.refused(start + ["--node", "a", "--bootstrap", "a127.0.0.1:1"], "NAME@HOST:PORT")
        self.refused(start + ["--node", "a", "--join", "127.0.0.1:1"], "--rpc HOST:PORT")
        self.refused(start + ["--node", "a", "--rpc", "0.0.0.0:7001", "--join", "127.0.0.1:1"],
                     "--advertise")
        self.refused(start + ["--node", "a", "--roles", "boss", "--bootstrap", "a@127.0.0.1:1"],
                     "--roles boss")
        self.assertFalse(os.path.exists(os.path.join(folder, "x", "node")))

    def test_a_single_node_folder_is_not_taken(self):
        folder = tempfile.mkdtemp(prefix="quiver-cluster-")
        self.addCleanup(shutil.rmtree, folder)
        start = [QUIVERD, "--data", os.path.join(folder, "x"), "--http", "127.0.0.1:0"]
        process = subprocess.Popen(start, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if "serves http" in line:
                break
        process.terminate()
        process.communicate()
        self.assertEqual(process.returncode, 0)
        self.refused(start + ["--node", "a", "--bootstrap", "a@127.0.0.1:1"],
                     "holds a single-node system")


if __name__ == "__main__":
    unittest.main()
