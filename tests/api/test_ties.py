"""Points with equal scores: which of them are within the limit is decided by their ids, wherever they lie."""
import random
import time
import unittest

from harness import ApiTest, ids


class TieTest(ApiTest):
    flags = ("--seal-rows", "700", "--index-min-rows", "300")

    def fill(self, path, make, n=2000):
        order = list(range(n))
        random.Random(9).shuffle(order)
        for first in range(0, n, 100):
            self.upsert(path, [{"id": i, "vector": make(i), "payload": {"even": i % 2 == 0}}
                               for i in order[first:first + 100]])

    def check(self, path, body, best):
        for limit in (1, 7, 100, 333):
            for offset in (0, 5):
                found = self.post(path + "/points/query", dict(body, limit=limit, offset=offset))["points"]
                self.assertEqual(ids(found), best[offset:offset + limit])

    def test_exact_search(self):
        exact = {"params": {"exact": True}}
        for distance, larger in (("Dot", True), ("Cosine", True), ("Euclid", False), ("Manhattan", False)):
            for shards in (1, 3):
                path = self.collection({"size": 4, "distance": distance}, shard_number=shards)
                self.fill(path, lambda i: [1, 2, 3, 4])
                best = sorted(range(2000), reverse=larger)
                self.check(path, dict(exact, query=[1, 2, 3, 5]), best)
                even = {"must": [{"key": "even", "match": {"value": True}}]}
                self.check(path, dict(exact, query=[1, 2, 3, 5], filter=even), [i for i in best if i % 2 == 0])

    def test_a_few_better_ones_before_the_ties(self):
        path = self.collection({"size": 2, "distance": "Dot"}, shard_number=2)
        self.fill(path, lambda i: [2 if i % 500 == 3 else 1, 0])
        better = [1503, 1003, 503, 3]
        self.check(path, {"query": [1, 0], "params": {"exact": True}},
                   better + [i for i in range(1999, -1, -1) if i not in better])

    def test_sparse(self):
        path = self.collection(sparse_vectors={"s": {}}, shard_number=2)
        self.fill(path, lambda i: {"s": {"indices": [1, 2 + i % 3], "values": [1, 1]}})
        self.check(path, {"query": {"indices": [1], "values": [1]}, "using": "s"}, list(range(1999, -1, -1)))

    def test_the_same_when_it_is_sealed_and_indexed(self):
        path = self.collection({"size": 4, "distance": "Euclid"})
        self.fill(path, lambda i: [i % 3, 0, 0, 0])
        query = {"query": [0, 0, 0, 0], "limit": 50, "params": {"exact": True}}
        before = ids(self.post(path + "/points/query", query)["points"])
        deadline = time.monotonic() + 60
        while self.get(path)["indexed_vectors_count"] < 2000 and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(before, list(range(0, 150, 3)))
        self.assertEqual(ids(self.post(path + "/points/query", query)["points"]), before)


if __name__ == "__main__":
    unittest.main()
