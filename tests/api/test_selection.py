"""What of a point is shown, and what a change says about points that are not there."""
import unittest

from harness import ApiTest


class SelectionTest(ApiTest):
    def setUp(self):
        self.path = self.collection({"a": {"size": 1, "distance": "Dot"}, "b": {"size": 1, "distance": "Dot"}},
                                    shard_number=2)
        self.upsert(self.path, [{"id": i, "vector": {"a": [i], "b": [1]}, "payload": {"k": i, "x": {"y": 1}}}
                                for i in range(6)])

    def everywhere(self, **select):
        """The same selection through every read that has one."""
        query = dict(select, query=[1], using="a", limit=1)
        yield self.post(self.path + "/points/query", query)["points"][0]
        yield self.post(self.path + "/points/query", dict(query, limit=1000))["points"][0]
        yield self.post(self.path + "/points/search", dict(select, vector={"name": "a", "vector": [1]}, limit=1))[0]
        yield self.post(self.path + "/points/scroll", dict(select, limit=1, offset=5))["points"][0]
        yield self.post(self.path + "/points", dict(select, ids=[5]))[0]
        yield self.post(self.path + "/points/query/groups", dict(query, group_by="k"))["groups"][0]["hits"][0]

    def test_an_empty_list_is_an_empty_object(self):
        for point in self.everywhere(with_payload=[]):
            self.assertEqual(point["payload"], {})
        for point in self.everywhere(with_payload={"include": []}):
            self.assertEqual(point["payload"], {})
        for point in self.everywhere(with_payload={"exclude": []}):
            self.assertEqual(point["payload"], {"k": 5, "x": {"y": 1}})
        for point in self.everywhere(with_vector=[], with_payload=False):
            self.assertEqual(point["vector"], {})
            self.assertNotIn("payload", point)
        for point in self.everywhere(with_vector=["b"], with_payload=["x.y"]):
            self.assertEqual(point["vector"], {"b": [1.0]})
            self.assertEqual(point["payload"], {"x": {"y": 1}})

    def test_changes_of_points_that_are_not_there_do_nothing(self):
        before = self.all_points(self.path)
        for method, route, body in (
                ("POST", "/points/payload", {"payload": {"new": 1}, "points": [100, 101]}),
                ("PUT", "/points/payload", {"payload": {"new": 1}, "points": [100]}),
                ("POST", "/points/payload/delete", {"keys": ["k"], "points": [100]}),
                ("POST", "/points/payload/clear", {"points": [100]}),
                ("PUT", "/points/vectors", {"points": [{"id": 100, "vector": {"a": [1]}}]}),
                ("POST", "/points/vectors/delete", {"vector": ["a"], "points": [100]}),
                ("POST", "/points/delete", {"points": [100]})):
            self.ok(method, self.path + route + "?wait=true", body)
            self.assertEqual(self.all_points(self.path), before)
        # Those that are there are changed all the same.
        self.post(self.path + "/points/payload?wait=true", {"payload": {"new": 1}, "points": [100, 3]})
        self.assertEqual([p["id"] for p in self.all_points(self.path) if "new" in p["payload"]], [3])

    def test_update_mode_in_every_form(self):
        points = [{"id": 5, "vector": {"a": [50]}}, {"id": 6, "vector": {"a": [60]}}]

        def values():
            return {p["id"]: p["vector"]["a"] for p in self.all_points(self.path) if p["id"] > 4}
        self.upsert(self.path, points, update_mode="update_only")
        self.assertEqual(values(), {5: [50.0]})
        self.upsert(self.path, [{"id": 5, "vector": {"a": [55]}}, points[1]], update_mode="insert_only")
        self.assertEqual(values(), {5: [50.0], 6: [60.0]})
        self.post(self.path + "/points/batch?wait=true", {"operations": [
            {"upsert": {"points": [{"id": 6, "vector": {"a": [66]}}], "update_mode": "insert_only"}},
            {"upsert": {"batch": {"ids": [5, 7], "vectors": {"a": [[5], [7]]}}, "update_mode": "update_only"}}]})
        self.assertEqual(values(), {5: [5.0], 6: [60.0]})
        self.refused(400, "update_mode", "PUT", self.path + "/points", {"points": points, "update_mode": "never"})

    def test_shard_keys_are_refused_by_name(self):
        for method, route, body in (("POST", "/points/query", {"query": [1], "using": "a"}),
                                    ("POST", "/points/scroll", {}), ("POST", "/points/count", {}),
                                    ("POST", "/points", {"ids": [1]}), ("POST", "/points/delete", {"points": [1]}),
                                    ("PUT", "/points", {"points": [{"id": 1, "vector": {}}]})):
            self.refused(400, "shard_key", method, self.path + route, dict(body, shard_key="a"))
            self.ok(method, self.path + route, dict(body, shard_key=None))


if __name__ == "__main__":
    unittest.main()
