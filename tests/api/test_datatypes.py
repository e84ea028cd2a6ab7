"""Vectors of 16-bit floats and of bytes: how they are rounded, scored and given back, in memory, sealed and after a restart."""
import math
import random
import struct
import time
import unittest

from harness import ApiTest, ids

DIM = 12


def half(x):
    return struct.unpack("<e", struct.pack("<e", x))[0]


def byte(x):
    return float(max(0, min(255, int(x))))


def unit(v):
    length = math.sqrt(sum(x * x for x in v))
    return [x / length for x in v] if length else v


def stored(v, datatype, distance):
    if datatype == "uint8":
        return [byte(x) for x in v]
    if distance == "Cosine":
        v = unit(v)
    return [half(x) for x in v]


def score(q, v, distance):
    if distance == "Euclid":
        return math.dist(q, v)
    if distance == "Manhattan":
        return sum(abs(a - b) for a, b in zip(q, v))
    if distance == "Cosine":
        q, v = unit(q), unit(v)
    return sum(a * b for a, b in zip(q, v))


class DatatypeTest(ApiTest):
    flags = ("--seal-rows", "500", "--index-min-rows", "400")

    def vectors(self, n, datatype, seed):
        rng = random.Random(seed)
        if datatype == "uint8":
            return [[rng.uniform(0, 255) for _ in range(DIM)] for _ in range(n)]
        return [[rng.gauss(0, 3) for _ in range(DIM)] for _ in range(n)]

    def check(self, path, rows, datatype, distance, queries, **params):
        for q in queries:
            found = self.post(path + "/points/query", {"query": q, "limit": 20, "params": params})["points"]
            sq = stored(q, datatype, distance)
            best = sorted((score(sq, r, distance) for r in rows), reverse=distance in ("Cosine", "Dot"))
            for p, wanted in zip(found, best):
                exact = score(sq, rows[p["id"]], distance)
                self.assertAlmostEqual(p["score"], exact, delta=2e-3 * max(1, abs(exact)))
                if params.get("exact"):
                    self.assertAlmostEqual(p["score"], wanted, delta=2e-3 * max(1, abs(wanted)))

    def test_every_type_and_distance(self):
        for datatype in ("float16", "uint8"):
            for distance in ("Cosine", "Dot", "Euclid", "Manhattan"):
                with self.subTest(datatype=datatype, distance=distance):
                    vectors = self.vectors(1300, datatype, 5)
                    path = self.collection({"size": DIM, "distance": distance, "datatype": datatype})
                    for at in range(0, len(vectors), 100):
                        self.upsert(path, [{"id": i, "vector": vectors[i]} for i in range(at, at + 100)])
                    rows = [stored(v, datatype, distance) for v in vectors]
                    queries = self.vectors(5, datatype, 6)
                    self.check(path, rows, datatype, distance, queries, exact=True)
                    self.check(path, rows, datatype, distance, queries)
                    for p in self.post(path + "/points", {"ids": [0, 700, 1299], "with_vector": True}):
                        for got, wanted in zip(p["vector"], rows[p["id"]]):
                            self.assertAlmostEqual(got, wanted, delta=1e-3 * max(1, abs(wanted)))
                    self.assertEqual(self.get(path)["config"]["params"]["vectors"]["datatype"], datatype)

    def test_the_same_sealed_changed_and_after_a_restart(self):
        for datatype, distance in (("uint8", "Cosine"), ("float16", "Euclid")):
            vectors = self.vectors(1600, datatype, 8)
            path = self.collection({"size": DIM, "distance": distance, "datatype": datatype})
            for at in range(0, len(vectors), 200):
                self.upsert(path, [{"id": i, "vector": vectors[i], "payload": {"i": i}} for i in range(at, at + 200)])
            deadline = time.monotonic() + 60
            while self.get(path)["status"] != "green" and time.monotonic() < deadline:
                time.sleep(0.05)
            before = [[p["vector"] for p in self.all_points(path)]]
            # A change of the payload rewrites a sealed row: its vector must not change by that.
            self.post(path + "/points/payload?wait=true", {"payload": {"x": 1}, "points": list(range(0, 1600, 3))})
            before.append([p["vector"] for p in self.all_points(path)])
            self.server.stop()
            self.server.start()
            before.append([p["vector"] for p in self.all_points(path)])
            self.assertEqual(before[0], before[1])
            self.assertEqual(before[0], before[2])
            rows = [stored(v, datatype, distance) for v in vectors]
            self.check(path, rows, datatype, distance, self.vectors(5, datatype, 9), exact=True)
            self.check(path, rows, datatype, distance, self.vectors(5, datatype, 9))

    def test_other_queries_on_bytes_with_cosine(self):
        path = self.collection({"size": 2, "distance": "Cosine", "datatype": "uint8"})
        self.upsert(path, [{"id": 1, "vector": [10, 0]}, {"id": 2, "vector": [200, 200]}, {"id": 3, "vector": [0, 7.9]},
                           {"id": 4, "vector": [0, 0]}])
        by_id = self.post(path + "/points/query", {"query": 1})["points"]
        self.assertEqual(ids(by_id)[0], 2)
        self.assertAlmostEqual(by_id[0]["score"], math.sqrt(0.5), places=5)
        rescored = self.post(path + "/points/query", {"prefetch": {"query": [1, 1]}, "query": [100, 0]})["points"]
        self.assertEqual(ids(rescored)[:2], [1, 2])
        self.assertAlmostEqual(rescored[0]["score"], 1, places=5)
        self.assertAlmostEqual(rescored[1]["score"], math.sqrt(0.5), places=5)
        for strategy in ("average_vector", "best_score", "sum_scores"):
            found = self.post(path + "/points/query", {"query": {"recommend": {
                "positive": [1, [0, 200]], "strategy": strategy}}})["points"]
            self.assertIn(2, ids(found))
        mmr = self.post(path + "/points/query", {
            "query": {"nearest": [9, 0], "mmr": {"diversity": 0.9, "candidates_limit": 10}}, "limit": 2})["points"]
        self.assertEqual(mmr[0]["id"], 1)
        self.assertIn(mmr[1]["id"], (3, 4))  # nothing of either is in what was chosen
        vector = self.post(path + "/points", {"ids": [3], "with_vector": True})[0]["vector"]
        self.assertEqual(vector, [0.0, 7.0])

    def test_a_half_holds_no_more_than_65504(self):
        path = self.collection({"size": 1, "distance": "Dot", "datatype": "float16"})
        self.upsert(path, [{"id": 1, "vector": [65504]}])
        self.refused(400, "16-bit float", "PUT", path + "/points?wait=true", {"points": [{"id": 2, "vector": [70000]}]})
        self.assertEqual(self.count(path), 1)


if __name__ == "__main__":
    unittest.main()
