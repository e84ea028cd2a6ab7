"""Details of queries that the comparison with a client's own evaluation (tests/clients) brought to light."""
import math
import unittest

from harness import ApiTest, ids


class DetailTest(ApiTest):
    def query(self, path, **body):
        return self.post(path + "/points/query", body)["points"]

    def test_vectors_that_only_scored_are_not_shown(self):
        path = self.collection({"size": 2, "distance": "Dot"}, shard_number=3)
        self.upsert(path, [{"id": i, "vector": [i, 1]} for i in range(10)])
        for query in ({"nearest": [1, 0], "mmr": {"diversity": 0.5}},
                      {"recommend": {"positive": [[1, 0]], "strategy": "best_score"}}):
            for point in self.query(path, query=query):
                self.assertEqual(set(point), {"id", "version", "score"})
        for point in self.query(path, prefetch={"query": [1, 0]}, query=[0, 1]):
            self.assertEqual(set(point), {"id", "version", "score"})
        for point in self.query(path, prefetch={"query": [1, 0]}, query=[0, 1], with_vector=True):
            self.assertEqual(len(point["vector"]), 2)

    def test_a_point_with_a_value_that_is_no_key_is_in_no_group(self):
        path = self.collection({"size": 1, "distance": "Dot"})
        values = [1, "1", [1, 2], [1, True], 1.0, True, None, [], [None, 2], {"a": 1}]
        self.upsert(path, [{"id": i, "vector": [10 - i], "payload": {"k": v}} for i, v in enumerate(values)])
        groups = self.post(path + "/points/query/groups",
                           {"query": [1], "group_by": "k", "group_size": 10})["groups"]
        self.assertEqual([(g["id"], ids(g["hits"])) for g in groups], [(1, [0, 2]), ("1", [1]), (2, [2])])

    def test_sparse_rescoring_keeps_only_what_shares_an_index(self):
        path = self.collection({"d": {"size": 1, "distance": "Dot"}}, sparse_vectors={"s": {}}, shard_number=2)
        self.upsert(path, [
            {"id": 1, "vector": {"d": [1], "s": {"indices": [1], "values": [2]}}},
            {"id": 2, "vector": {"d": [2], "s": {"indices": [5], "values": [2]}}},
            {"id": 3, "vector": {"d": [3], "s": {"indices": [1, 5], "values": [0, 3]}}}])
        found = self.query(path, prefetch={"query": [1], "using": "d"}, using="s",
                           query={"indices": [1], "values": [1]})
        self.assertEqual([(p["id"], p["score"]) for p in found], [(1, 2.0), (3, 0.0)])
        self.assertEqual(ids(self.query(path, using="s", query={"indices": [1], "values": [1]})), [1, 3])

    def test_nested_key_with_brackets_also_where_the_filter_travels(self):
        """The filter of a write goes through the log: `parts[]` must still mean `parts` there."""
        path = self.collection({"size": 1, "distance": "Dot"}, shard_number=2)
        self.upsert(path, [{"id": i, "vector": [1], "payload": {"parts": [{"k": "a", "n": i}, {"k": "b", "n": 9 - i}]}}
                           for i in range(10)])

        def nested(key):
            return {"must": [{"nested": {"key": key, "filter": {"must": [
                {"key": "k", "match": {"value": "a"}}, {"key": "n", "range": {"gte": 5}}]}}}]}
        self.assertEqual(self.count(path, nested("parts")), 5)
        self.assertEqual(self.count(path, nested("parts[]")), 5)
        self.post(path + "/points/delete?wait=true", {"filter": nested("parts[]")})
        self.assertEqual(ids(self.all_points(path)), [0, 1, 2, 3, 4])

    def test_average_takes_vectors_as_given(self):
        path = self.collection({"size": 2, "distance": "Cosine"})
        self.upsert(path, [{"id": 1, "vector": [5, 0]}, {"id": 2, "vector": [0, 1]}])
        # The given vector is ten times as long as the stored, normalised one of point 1.
        found = self.query(path, query={"recommend": {"positive": [1, [0, 10]]}})
        self.assertEqual(ids(found), [2])
        self.assertAlmostEqual(found[0]["score"], 10 / math.hypot(1, 10), places=5)

    def test_examples_of_best_score_carry_idf(self):
        path = self.collection(None, sparse_vectors={"s": {"modifier": "idf"}}, shard_number=2)
        self.upsert(path, [{"id": i, "vector": {"s": {"indices": [1, 2 + i], "values": [1, 1]}}} for i in range(4)])

        def idf(n):
            return math.log((4 - n + 0.5) / (n + 0.5) + 1)
        example = {"indices": [1, 3], "values": [2, 3]}
        for strategy in ("best_score", "sum_scores"):
            found = self.query(path, using="s", query={"recommend": {
                "positive": [example], "negative": [{"indices": [2], "values": [1]}], "strategy": strategy}})
            x = 2 * idf(4) + 3 * idf(1)
            self.assertEqual(found[0]["id"], 1)
            self.assertAlmostEqual(found[0]["score"], x if strategy == "sum_scores" else 0.5 * (x / (1 + x) + 1),
                                   places=5)

    def test_mmr_squares_euclidean_distances(self):
        path = self.collection({"size": 1, "distance": "Euclid"})
        self.upsert(path, [{"id": 1, "vector": [1]}, {"id": 2, "vector": [2]}, {"id": 3, "vector": [4]}])
        # After 1, point 3 wins where -16 (1 - d) + 9 d > -4 (1 - d) + d, that is d > 0.6; with plain distances
        # it would be d > 0.5.
        for diversity, order in ((0.55, [1, 2]), (0.65, [1, 3])):
            found = self.query(path, query={"nearest": [0], "mmr": {"diversity": diversity, "candidates_limit": 3}},
                               limit=2)
            self.assertEqual(ids(found), order)
        self.assertEqual([p["score"] for p in found], [1.0, 4.0])


class SealedTest(ApiTest):
    flags = ("--seal-rows", "100")

    def test_facets_of_values_that_are_not_of_the_type_of_the_index(self):
        """Each value counts, and the same while rows are sealed and indexed and afterwards."""
        values = [1, "1", True, [1, 2, 2], [1, True], 1.5, None, {"a": 1}, 2**63 + 1, -7, "x"]
        for kind in (None, "integer", "keyword", "bool", "uuid", "float"):
            path = self.collection({"size": 1, "distance": "Dot"}, shard_number=2)
            if kind:
                self.put(path + "/index?wait=true", {"field_name": "k", "field_schema": kind})
            for n in range(1, 6):
                self.upsert(path, [{"id": i, "vector": {}, "payload": {"k": values[i % 11]}} for i in range((n - 1) * 110, n * 110)])
                hits = self.post(path + "/facet", {"key": "k"})["hits"]
                found = sorted(((type(h["value"]).__name__, h["value"], h["count"]) for h in hits), key=str)
                ten = 10 * n
                self.assertEqual(found, sorted([("int", 1, 3 * ten), ("int", 2, ten), ("int", -7, ten), ("bool", True, 2 * ten),
                                                ("str", "1", ten), ("str", "x", ten)], key=str), (kind, n))


if __name__ == "__main__":
    unittest.main()
