"""The routes for operators, on a single node: what they show, what they refuse, and API keys that live in the shard map."""
import unittest

from harness import ApiTest, one_node


@one_node("tests/cluster has the views of several")
class Views(ApiTest):
    def test_the_view_of_one_node(self):
        path = self.collection({"size": 2, "distance": "Dot"}, shard_number=3)
        view = self.get("/v1/cluster?partitions=all")
        self.assertEqual(view["status"], "green")
        self.assertEqual([n["name"] for n in view["nodes"]], ["node-1"])
        node = view["nodes"][0]
        self.assertTrue(node["leads"] and node["votes"] and node["alive"] and node["reachable"])
        self.assertEqual((node["replicas"], node["primaries"]), (3, 3))
        self.assertEqual([p["state"] for p in view["partitions"]], ["active"] * 3)
        self.assertEqual(view["counts"]["active"], 3)
        self.assertEqual(self.get("/v1/cluster")["partitions"], [])
        self.upsert(path, [{"id": i, "vector": [1, 2]} for i in range(30)])
        replicas = [self.get("/v1%s/partitions/%d" % (path, i))["replicas"] for i in range(3)]
        self.assertEqual(sum(r[0]["points"] for r in replicas), 30)
        self.assertTrue(all(len(r) == 1 and r[0]["in_sync"] for r in replicas))

    def test_the_plan_of_one_node(self):
        path = self.collection({"size": 2, "distance": "Dot"}, shard_number=2)
        self.assertEqual(self.get("/v1/cluster/plan"), {"moves": [], "stuck": [], "bytes": 0})
        plan = self.get("/v1/cluster/plan?drain=node-1")
        self.assertEqual(plan["moves"], [])
        self.assertEqual([(s["partition"], s["reason"]) for s in plan["stuck"]], [(0, "drain"), (1, "drain")])
        self.assertEqual(plan, self.get("/v1/cluster/plan?drain=1"))
        self.refused(404, "there is no node `x`", "GET", "/v1/cluster/plan?drain=x")
        self.assertEqual(self.call("DELETE", path).status, 200)

    def test_what_one_node_cannot_do(self):
        path = self.collection({"size": 2, "distance": "Dot"})
        self.refused(400, "have nowhere to go", "POST", "/v1/cluster/nodes/node-1/drain")
        self.refused(404, "there is no node", "POST", "/v1/cluster/nodes/node-2/drain")
        self.assertIs(self.ok("POST", "/v1/cluster/nodes/1/undrain"), True)
        self.refused(400, "the node itself", "DELETE", "/v1/cluster/nodes/node-1")
        self.refused(400, "the node itself", "DELETE", "/cluster/peer/1")
        self.refused(404, "there is no node", "DELETE", "/cluster/peer/abc")
        self.refused(404, "there is no node", "DELETE", "/cluster/peer/77")
        move = {"shard_id": 0, "from_peer_id": 1, "to_peer_id": 2}
        self.refused(404, "there is no node 2", "POST", path + "/cluster", {"move_shard": move})
        self.refused(400, "no replica in sync", "POST", path + "/cluster", {"move_shard": dict(move, from_peer_id=2)})
        self.refused(400, "has a replica of it already", "POST", path + "/cluster",
                     {"move_shard": dict(move, to_peer_id=1)})
        self.refused(404, "has no partition 7", "POST", path + "/cluster", {"move_shard": dict(move, shard_id=7)})
        self.refused(404, "there is no node 2", "POST", path + "/cluster",
                     {"replicate_shard": {"shard_id": 0, "to_peer_id": 2}})
        self.refused(400, "would make another one at once", "POST", path + "/cluster",
                     {"drop_replica": {"shard_id": 0, "peer_id": 1}})
        self.refused(404, "no copy of it is being made", "POST", path + "/cluster", {"abort_transfer": {"shard_id": 0}})
        self.refused(400, "expected one of", "POST", path + "/cluster", {})
        self.refused(400, "expected one of", "POST", path + "/cluster",
                     {"move_shard": move, "drop_replica": {"shard_id": 0, "peer_id": 1}})
        self.refused(400, "`start_resharding` is not supported", "POST", path + "/cluster", {"start_resharding": {}})
        self.refused(400, "from_peer_id", "POST", path + "/cluster", {"move_shard": {"shard_id": 0, "to_peer_id": 2}})
        self.refused(400, "shard_id", "POST", path + "/cluster", {"move_shard": dict(move, shard_id=-1)})
        self.refused(404, "doesn't exist", "POST", "/collections/none/cluster", {"move_shard": move})

    def test_recovery_of_what_is_not_lost(self):
        path = "/v1" + self.collection({"size": 2, "distance": "Dot"}) + "/partitions/"
        self.refused(404, "has no partition 1", "GET", path + "1")
        self.refused(404, "has no partition x", "GET", path + "x")
        self.refused(400, "yes_lose_data", "POST", path + "0/recover", {"node": "node-1"})
        self.refused(400, "missing field `node`", "POST", path + "0/recover", {"yes_lose_data": True})
        self.refused(400, "is not lost: node `node-1` is up", "POST", path + "0/recover",
                     {"node": "node-1", "yes_lose_data": True})
        self.refused(404, "there is no node `x`", "POST", path + "0/recover", {"node": "x", "yes_lose_data": True})


class MapKeys(ApiTest):
    def tearDown(self):
        """All keys go; the last one that may write last."""
        keys = self.get("/v1/keys")["keys"]
        for key in sorted(keys, key=lambda k: (not k["read_only"], k["name"] == "boss")):
            self.ok("DELETE", "/v1/keys/" + key["name"])
        self.server.headers = {}
        self.assertEqual(self.get("/v1/keys")["keys"], [])

    def create(self, name, **more):
        made = self.post("/v1/keys", dict(name=name, **more))
        self.assertEqual(made["name"], name)
        self.assertRegex(made["key"], "^qv_[0-9a-f]{48}$")
        return made["key"]

    def test_rights(self):
        path = self.collection({"size": 2, "distance": "Dot"})
        self.refused(400, "nobody could write", "POST", "/v1/keys", {"name": "look", "read_only": True})
        boss = self.create("boss")
        # From now on nothing goes without one.
        self.assertEqual(self.call("GET", path).status, 401)
        self.assertEqual(self.call("GET", path, headers={"api-key": boss + "0"}).status, 401)
        self.assertEqual(self.call("GET", path, headers={"api-key": boss[:-1]}).status, 401)
        self.assertEqual(self.call("GET", path, headers={"api-key": ""}).status, 401)
        self.assertEqual(self.call("GET", "/healthz").status, 200)
        self.assertEqual(self.call("GET", path, headers={"Authorization": "Bearer " + boss}).status, 200)
        self.server.headers = {"api-key": boss}
        look = self.create("look", read_only=True)
        self.assertNotEqual(look, boss)
        self.assertEqual(self.get("/v1/keys")["keys"],
                         [{"name": "boss", "read_only": False}, {"name": "look", "read_only": True}])
        read = {"api-key": look}
        self.assertEqual(self.call("GET", path, headers=read).status, 200)
        self.assertEqual(self.call("POST", path + "/points/query", {"query": [1, 2]}, headers=read).status, 200)
        for method, route, body in (("PUT", path + "/points", {"points": [{"id": 1, "vector": [1, 2]}]}),
                                    ("DELETE", path, None), ("GET", "/v1/keys", None),
                                    ("POST", "/v1/keys", {"name": "more"}), ("DELETE", "/v1/keys/boss", None),
                                    ("POST", "/v1/cluster/nodes/1/drain", None),
                                    ("POST", path + "/cluster", {"abort_transfer": {"shard_id": 0}})):
            self.assertEqual(self.call(method, route, body, headers=read).status, 403, route)
        self.refused(409, "already exists", "POST", "/v1/keys", {"name": "boss"})
        self.refused(400, "the last key that may write", "DELETE", "/v1/keys/boss")
        self.refused(404, "no API key named `none`", "DELETE", "/v1/keys/none")
        # A key that is removed is no key at once.
        self.ok("DELETE", "/v1/keys/look")
        self.assertEqual(self.call("GET", path, headers=read).status, 401)

    def test_bad_requests(self):
        self.refused(400, "name", "POST", "/v1/keys", {})
        self.refused(400, "1 to 255 bytes", "POST", "/v1/keys", {"name": ""})
        self.refused(400, "1 to 255 bytes", "POST", "/v1/keys", {"name": "x" * 256})
        self.refused(400, "read_only", "POST", "/v1/keys", {"name": "x", "read_only": 1})
        self.refused(400, "key", "POST", "/v1/keys", {"name": "x", "key": "mine"})

    def test_they_outlast_a_restart(self):
        boss = self.create("boss")
        self.server.headers = {"api-key": boss}
        self.server.stop()
        self.server.start()
        self.assertEqual(self.call("GET", "/collections", headers={"api-key": "x"}).status, 401)
        self.assertEqual([k["name"] for k in self.get("/v1/keys")["keys"]], ["boss"])


class BesideConfiguredKeys(ApiTest):
    flags = ("--api-key", "secret")

    def test_both_kinds_hold(self):
        self.server.headers = {"api-key": "secret"}
        look = self.post("/v1/keys", {"name": "look", "read_only": True})["key"]
        self.assertEqual(self.call("GET", "/collections", headers={"api-key": look}).status, 200)
        self.assertEqual(self.call("PUT", "/collections/x", {"vectors": {"size": 2, "distance": "Dot"}},
                                   headers={"api-key": look}).status, 403)
        self.assertEqual(self.call("GET", "/collections", headers={"api-key": "look"}).status, 401)
        self.ok("DELETE", "/v1/keys/look")


if __name__ == "__main__":
    unittest.main()
