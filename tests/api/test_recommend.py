"""best_score and sum_scores against all points: what a client computes from all of them is what is found."""
import math
import random
import unittest

from harness import ApiTest

DIM, N = 8, 3000


def similarity(a, b, distance):
    if distance == "Euclid":
        return -sum((x - y) ** 2 for x, y in zip(a, b))
    if distance == "Manhattan":
        return -sum(abs(x - y) for x, y in zip(a, b))
    dot = sum(x * y for x, y in zip(a, b))
    return dot / math.hypot(*a) / math.hypot(*b) if distance == "Cosine" else dot


def squash(x):
    return 0.5 * (x / (1 + abs(x)) + 1)


def score(point, positive, negative, distance, strategy):
    good = [similarity(p, point, distance) for p in positive]
    bad = [similarity(n, point, distance) for n in negative]
    if strategy == "sum_scores":
        return sum(good) - sum(bad)
    best, worst = max(good, default=-math.inf), max(bad, default=-math.inf)
    return squash(best) if best > worst else -squash(worst)


class RecommendTest(ApiTest):
    def check(self, distance, datatype="float32", **more):
        rng = random.Random(2)
        scale = (lambda: float(rng.randrange(256))) if datatype == "uint8" else (lambda: rng.gauss(0, 1))
        rows = [[scale() for _ in range(DIM)] for _ in range(N)]
        path = self.collection({"size": DIM, "distance": distance, "datatype": datatype}, **more)
        for first in range(0, N, 300):
            self.upsert(path, [{"id": i, "vector": rows[i]} for i in range(first, first + 300)])
        for strategy in ("sum_scores", "best_score"):
            for n_positive, n_negative in ((1, 0), (2, 1), (3, 3), (1, 2), (0, 2)):
                positive, negative = [1, 2, 3][:n_positive], [4, 5, 6][:n_negative]
                found = self.post(path + "/points/query", {"query": {"recommend": {
                    "positive": positive, "negative": negative, "strategy": strategy}}, "limit": 10})["points"]
                scores = {i: score(rows[i], [rows[p] for p in positive], [rows[n] for n in negative], distance, strategy)
                          for i in range(N) if i not in positive + negative}
                best = sorted(scores.values(), reverse=True)[:10]
                self.assertEqual(len(found), 10)
                for hit, wanted in zip(found, best):
                    exact = scores[hit["id"]]
                    self.assertAlmostEqual(hit["score"], exact, delta=1e-4 * max(1, abs(exact)))
                    self.assertAlmostEqual(hit["score"], wanted, delta=1e-4 * max(1, abs(wanted)),
                                           msg="%s %s %d %d" % (distance, strategy, n_positive, n_negative))

    def test_every_distance(self):
        for distance in ("Cosine", "Dot", "Euclid", "Manhattan"):
            self.check(distance, shard_number=2)

    def test_bytes(self):
        self.check("Cosine", "uint8")

    def test_sparse(self):
        rng = random.Random(4)
        rows = [{i: rng.random() for i in rng.sample(range(30), 5)} for _ in range(N)]
        path = self.collection(sparse_vectors={"s": {}}, shard_number=2)
        self.upsert(path, [{"id": i, "vector": {"s": {"indices": list(r), "values": list(r.values())}}}
                           for i, r in enumerate(rows)])
        found = self.post(path + "/points/query", {"using": "s", "limit": 10, "query": {"recommend": {
            "positive": [1, 2], "negative": [3], "strategy": "sum_scores"}}})["points"]

        def dot(a, b):
            return sum(x * b.get(i, 0) for i, x in a.items())
        scores = {i: dot(r, rows[1]) + dot(r, rows[2]) - dot(r, rows[3]) for i, r in enumerate(rows) if i not in (1, 2, 3)}
        for hit, wanted in zip(found, sorted(scores.values(), reverse=True)):
            self.assertAlmostEqual(hit["score"], scores[hit["id"]], places=5)
            self.assertAlmostEqual(hit["score"], wanted, places=5)
        self.assertEqual(len(found), 10)


if __name__ == "__main__":
    unittest.main()
