"""What an operator does, with the program quiver: looking, moving, draining, removing, recovering what is lost; keys of the whole cluster."""
import json
import os
import subprocess
import unittest

from nodes import PATIENCE, ROOT, ClusterTest

QUIVER = os.environ.get("QUIVER", os.path.join(ROOT, "build", "quiver"))


class Operations(ClusterTest):
    def quiver(self, node, *words, code=0, key=None):
        """Standard output and error of a call that must end with this code."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("QUIVER_")}
        environment["QUIVER_URL"] = "http://127.0.0.1:%d" % node.http
        if key is not None:
            environment["QUIVER_API_KEY"] = key
        result = subprocess.run([QUIVER] + [str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=environment, timeout=2 * PATIENCE, text=True)
        self.assertEqual(result.returncode, code, "%s\n%s\n%s" % (words, result.stdout, result.stderr))
        return result.stdout + (result.stderr if code else "")

    def status(self, node, *words):
        return json.loads(self.quiver(node, "cluster", "status", "--json", *words))

    def partition(self, node, number=0):
        """The nodes of a partition of t by name: {name: in sync?}, and its primary's name."""
        view = self.status(node, "--all")
        names = {n["id"]: n["name"] for n in view["nodes"]}
        p = next(p for p in view["partitions"] if p["collection"] == "t" and p["partition"] == number)
        copies = {names[i]: True for i in p["in_sync"]}
        copies.update({names[i]: False for i in p["learners"]})
        return copies, names[p["primary"]]

    def is_green(self, c, node):
        c.wait(lambda: self.status(node)["status"] == "green", "green")

    def test_status_says_what_is(self):
        c = self.cluster(3, "--heal-grace-s", "600")
        self.create(c[0], "t", shards=4, factor=2)
        self.known(c, "t")
        self.is_green(c, c[0])
        out = self.quiver(c[1], "cluster", "status")
        for node in c.nodes:
            self.assertIn(node.address, out)
        self.assertIn("4 partitions: 4 active, 0 moving, 0 degraded, 0 offline", out)
        self.assertEqual(self.quiver(c[2], "cluster", "plan"), "nothing to do\n")
        c[2].kill()
        c.wait(lambda: [n["state"] for n in self.status(c[0])["nodes"]] == ["up", "up", "down"], "c is seen dead")
        c.wait(lambda: self.status(c[0])["counts"]["degraded"] > 0, "copies are missing")
        view = self.status(c[0])
        self.assertEqual(view["status"], "yellow")
        self.assertEqual(view["counts"]["offline"], 0)
        self.assertEqual(len(view["partitions"]), view["counts"]["degraded"])
        c[2].start()
        c.wait_ready()
        self.is_green(c, c[1])

    def test_a_replica_moves_where_it_is_sent(self):
        c = self.cluster(3)
        self.create(c[0], "t", factor=2)
        self.known(c, "t")
        self.upsert(c[0], "t", range(200))
        copies, primary = self.partition(c[0])
        free = next(node.name for node in c.nodes if node.name not in copies)
        self.assertIn("has a replica of it already",
                      self.quiver(c[0], "cluster", "move", "t", 0, "--from", primary,
                                  "--to", next(n for n in copies if n != primary), code=1))
        # The primary itself moves.
        out = self.quiver(c[0], "cluster", "move", "t", 0, "--from", primary, "--to", free)
        self.assertIn("moved partition 0 of t from %s to %s" % (primary, free), out)
        now, _ = self.partition(c[0])
        self.assertEqual(now, {name: True for name in set(copies) - {primary} | {free}})
        for node in c.nodes:
            c.wait(lambda: self.count(node, "t") == 200, "all points")
        self.upsert(c[0], "t", range(200, 300))
        self.assertEqual(self.count(c[1], "t"), 300)
        # One that is not waited for.
        self.quiver(c[0], "cluster", "move", "t", 0, "--from", free, "--to", primary, "--no-wait")
        c.wait(lambda: self.partition(c[0])[0] == copies, "moved back")
        self.is_green(c, c[0])

    def test_a_node_is_drained_and_removed(self):
        c = self.cluster(3)
        d = c.new_node("d", "--join", c[0].address)
        d.start()
        c.wait_ready()
        self.create(c[0], "t", shards=6, factor=2)
        self.known(c, "t")
        self.upsert(c[0], "t", range(300))
        plan = json.loads(self.quiver(c[0], "cluster", "plan", "--drain", "d", "--json"))
        ids = self.peers(c[0])
        leaving = [m for m in plan["moves"] if m["from"] == ids["d"]]
        self.assertEqual(len(leaving), 3)
        self.assertTrue(all(m["reason"] == "drain" and m["bytes"] > 0 and m["to"] != ids["d"] for m in leaving))
        self.assertIn("still has 3 replicas", self.quiver(c[0], "cluster", "remove", "d", code=1))
        out = self.quiver(c[0], "cluster", "drain", "d")
        self.assertIn("node d is empty", out)
        view = self.status(c[0], "--all")
        self.assertFalse(any(ids["d"] in p["in_sync"] + p["learners"] for p in view["partitions"]))
        self.assertEqual([n["state"] for n in view["nodes"] if n["name"] == "d"], ["draining"])
        # Nothing new goes there.
        self.create(c[0], "u", shards=8)
        self.assertEqual([n["replicas"] for n in self.status(c[0])["nodes"] if n["name"] == "d"], [0])
        # Taken back, it is given some again.
        self.quiver(c[1], "cluster", "undrain", "d")
        c.wait(lambda: [n["replicas"] for n in self.status(c[0])["nodes"] if n["name"] == "d"] != [0], "its share")
        self.quiver(c[0], "cluster", "drain", "d")
        self.assertIn("ask another one", self.quiver(d, "cluster", "remove", "d", code=1))
        self.quiver(c[0], "cluster", "remove", "d")
        c.wait(lambda: not d.runs(), "d ends")
        self.assertEqual(d.process.returncode, 1)
        self.assertIn("was removed from the cluster", d.log())
        self.quiver(c[0], "cluster", "remove", "d", code=4)
        self.is_green(c, c[0])
        self.assertEqual(self.count(c[2], "t"), 300)
        # With three nodes left, none of them may go as long as another one is down.
        self.assertEqual(self.quiver(c[0], "cluster", "plan"), "nothing to do\n")

    def test_a_voter_is_removed(self):
        """Also from those that vote: the two that are left and a new one are a majority among themselves."""
        c = self.cluster(3)
        gone = next(node for node in c.nodes if node is not c.leader())
        stays = [node for node in c.nodes if node is not gone]
        gone.kill()
        c.wait(lambda: any(n["state"] == "down" for n in self.status(stays[0])["nodes"]), "seen dead")
        self.quiver(stays[0], "cluster", "remove", gone.name)
        view = self.status(stays[0])
        self.assertEqual(sorted(n["name"] for n in view["nodes"]), sorted(node.name for node in stays))
        self.assertEqual(view["status"], "green")
        d = c.new_node("d", "--join", stays[0].address)
        d.start()
        c.wait(d.ready, "d")
        c.wait(lambda: [n["votes"] for n in self.status(stays[0])["nodes"]] == [True] * 3, "d votes")
        stays[1].kill()
        c.wait(lambda: stays[0].call("PUT", "/collections/v", {"vectors": {"size": 2, "distance": "Dot"}})[0] in (200, 409),
               "a change without the second")

    def test_drain_without_room_is_refused(self):
        c = self.cluster(3)
        self.create(c[0], "t", factor=3)
        self.known(c, "t")
        out = self.quiver(c[0], "cluster", "drain", "b", code=1)
        self.assertIn("1 partition of node `b` would have nowhere to go", out)
        self.assertIn("3 shard servers must be left", out)
        out = self.quiver(c[0], "cluster", "plan", "--drain", "b")
        self.assertIn("t/0  b -> nowhere to go", out)
        self.assertEqual([n["state"] for n in self.status(c[0])["nodes"]], ["up"] * 3)
        # Forced, it waits for room; a new node is room.
        self.quiver(c[0], "cluster", "drain", "b", "--force", "--no-wait")
        d = c.new_node("d", "--join", c[0].address)
        d.start()
        c.wait_ready()
        self.quiver(c[0], "cluster", "drain", "b")
        self.assertEqual(set(self.partition(c[0])[0]), {"a", "c", "d"})

    def test_more_copies_than_servers(self):
        c = self.cluster(3)
        body = {"vectors": {"size": 2, "distance": "Dot"}, "replication_factor": 4}
        status, answer = c[0].call("PUT", "/collections/t", body)
        self.assertEqual(status, 422)
        self.assertIn("replication_factor is 4, but only 3 shard servers (of 3) are up", answer["status"]["error"])
        self.assertEqual(c[0].call("PUT", "/collections/t?degraded=true", body)[0], 200)
        self.assertEqual(len(self.partition(c[0])[0]), 3)
        self.assertEqual(self.status(c[0])["status"], "yellow")
        # The fourth copy is made when there is a fourth server.
        d = c.new_node("d", "--join", c[0].address)
        d.start()
        c.wait_ready()
        c.wait(lambda: len(self.partition(c[0])[0]) == 4, "the fourth copy")
        self.is_green(c, c[0])

    def test_a_lost_partition_is_recovered_from_what_is_left(self):
        c = self.cluster(3, "--heal-grace-s", "600")
        self.create(c[0], "t", factor=2)
        self.known(c, "t")
        self.upsert(c[0], "t", range(100))
        copies, primary = self.partition(c[0])
        nodes = {node.name: node for node in c.nodes}
        ahead = nodes[primary]
        behind = nodes[next(n for n in copies if n != primary)]
        other = next(node for node in c.nodes if node.name not in copies)
        c.wait(lambda: self.count(behind, "t") == 100, "both copies")
        behind.kill()
        c.wait(lambda: self.partition(other)[0] == {ahead.name: True, behind.name: False}, "one copy is left")
        self.upsert(other, "t", range(100, 150))
        ahead.kill()
        behind.start()
        c.wait(behind.ready, "the one that was behind")
        c.wait(lambda: self.status(other)["status"] == "red", "offline")
        status, answer = other.call("POST", "/collections/t/points/count", {"exact": True})
        self.assertNotEqual(status, 200, answer)
        # What it would cost is shown; nothing is done unasked.
        out = self.quiver(other, "cluster", "unsafe-recover", "t", 0, "--node", behind.name, code=1)
        self.assertIn("partition 0 of t is offline", out)
        self.assertIn("has operations 1 to 1", out)
        self.assertIn("nothing was changed", out)
        self.assertEqual(self.status(other)["status"], "red")
        self.assertIn("no replica of partition 0", self.quiver(
            other, "cluster", "unsafe-recover", "t", 0, "--node", other.name, "--yes-lose-data", code=1))
        out = self.quiver(other, "cluster", "unsafe-recover", "t", 0, "--node", behind.name, "--yes-lose-data")
        self.assertIn("lost: every operation after", out)
        c.wait(lambda: other.call("POST", "/collections/t/points/count", {"exact": True})[0] == 200, "it is served")
        self.assertEqual(self.count(other, "t"), 100)
        self.upsert(other, "t", range(1000, 1010))
        # The one that was ahead returns: it gives up what only it had.
        ahead.start()
        c.wait_ready()
        c.wait(lambda: self.partition(other)[0] == {ahead.name: True, behind.name: True}, "two copies again")
        self.is_green(c, other)
        for node in c.nodes:
            self.assertEqual(self.count(node, "t"), 110)
        c.wait(lambda: len({r["digest"] for r in self.replicas(other, "t")[0].values()}) == 1, "equal digests")

    def test_a_key_holds_on_every_node(self):
        c = self.cluster(3)
        d = c.new_node("d", "--join", c[0].address, "--roles", "shard")
        d.start()
        c.wait_ready()
        full = self.quiver(c[0], "key", "create", "boss").strip()
        for node in c.nodes:
            c.wait(lambda: node.call("GET", "/collections")[0] == 401, "%s asks for it" % node.name)
            self.assertEqual(self.quiver(node, "collection", "list", key=full).count("no collections"), 1)
        look = self.quiver(c[1], "key", "create", "look", "--read-only", key=full).strip()
        for node in c.nodes:
            c.wait(lambda: "no collections" in subprocess.run(
                [QUIVER, "collection", "list", "--url", "http://127.0.0.1:%d" % node.http, "--api-key", look],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True).stdout, "%s knows it" % node.name)
            self.quiver(node, "collection", "create", "x", "--dim", "2", key=look, code=1)
        self.assertEqual(len(self.quiver(d, "key", "list", key=full).splitlines()), 2)
        self.quiver(d, "key", "remove", "look", key=full)
        for node in c.nodes:
            c.wait(lambda: subprocess.run(
                [QUIVER, "collection", "list", "--url", "http://127.0.0.1:%d" % node.http, "--api-key", look],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE).returncode == 1, "%s forgets it" % node.name)
        # They are checked on each node by itself: also without a majority of the coordinators.
        c[0].kill()
        c[1].kill()
        self.assertEqual(self.quiver(d, "collection", "list", key=full).count("no collections"), 1)
        self.quiver(d, "collection", "list", key=look, code=1)


if __name__ == "__main__":
    unittest.main()
