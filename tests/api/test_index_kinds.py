"""What a collection asks of its index is what lies on the disk: quantisers of IVF, the builder of graphs; and what could
not be done is said in the collection's info."""
import glob
import json
import os
import random
import struct
import time
import unittest
import urllib.request

from harness import ApiTest, one_node

DIM, N = 32, 10000  # a product quantiser takes 9,984 rows


def make_rows():
    rng = random.Random(11)
    return [[rng.gauss(i % 7, 1) for _ in range(DIM)] for i in range(N)]


@one_node("looks at the files of one partition")
class IndexKinds(ApiTest):
    rows = make_rows()
    flags = ("--seal-rows", "20000", "--index-min-rows", "500")

    def made(self, *wishes):
        """Collections, each of the first n rows: sealed and indexed, all at the same time, since a segment is sealed
        when nothing has come for a while. Yields path, info and index file of each."""
        made = []
        for n, more in wishes:
            before = set(self.folders())
            path = self.collection({"size": DIM, "distance": "Euclid"}, **more)
            for first in range(0, n, 2000):
                self.load(path, first, min(first + 2000, n))
            made.append((n, path, (set(self.folders()) - before).pop()))
        for n, path, folder in made:
            deadline = time.monotonic() + 400
            while True:
                info = self.get(path)
                files = glob.glob(os.path.join(folder, "**", "index-0.faiss"), recursive=True)
                if info["status"] == "green" and info["indexed_vectors_count"] == n and len(files) == 1:
                    break
                self.assertLess(time.monotonic(), deadline, info)
                time.sleep(0.1)
            with open(files[0], "rb") as f:
                yield path, info, f.read()

    def folders(self):
        return glob.glob(os.path.join(self.server.folder, "data", "replicas", "*"))

    def load(self, path, first, end):
        """Past the check of the description, which is slow for large bodies."""
        body = json.dumps({"points": [{"id": i, "vector": self.rows[i]} for i in range(first, end)]})
        request = urllib.request.Request("http://127.0.0.1:%d%s/points?wait=true" % (self.server.port, path), body.encode(),
                                         {"Content-Type": "application/json"}, method="PUT")
        with urllib.request.urlopen(request) as answer:
            self.assertEqual(answer.status, 200)

    def found(self, path, **params):
        """Of the ten nearest rows of twenty queries, how many are found."""
        total = 0
        for i in range(20):
            query = {"query": self.rows[i * 37], "limit": 10, "params": params}
            got = {p["id"] for p in self.post(path + "/points/query", query)["points"]}
            query["params"] = {"exact": True}
            total += len(got & {p["id"] for p in self.post(path + "/points/query", query)["points"]})
        return total / 200

    def test_quantisers_of_ivf(self):
        lists = 64
        centroids = lists * DIM * 4
        # every row is a code and a number of eight bytes; PQ takes four values in one byte, and a table
        expected = {"none": (b"IwFl", N * (DIM * 4 + 8), centroids), "sq8": (b"IwSq", N * (DIM + 8), centroids),
                    "pq": (b"IwPQ", N * (DIM // 4 + 8), centroids + 256 * DIM * 4)}
        error_of_codes = {}
        wishes = [(N, {"index": {"type": "ivf", "nlist": lists, "nprobe": 16, "quantizer": q}}) for q in expected]
        for quantizer, (path, info, content) in zip(expected, self.made(*wishes)):
            magic, codes, tables = expected[quantizer]
            self.assertEqual(content[:4], magic)
            self.assertGreaterEqual(len(content), codes + tables)
            self.assertLess(len(content), codes + tables + 10000)
            self.assertNotIn("warnings", info)
            self.assertGreaterEqual(self.found(path), 0.9)
            # without re-scoring the answers are those of the codes
            error_of_codes[quantizer] = self.unrescored(path)
        self.assertEqual(error_of_codes["none"], 0)
        self.assertGreater(error_of_codes["sq8"], 0)
        self.assertGreater(error_of_codes["pq"], error_of_codes["sq8"])

    def unrescored(self, path):
        """How far scores without re-scoring are from the true ones, on average."""
        error, n = 0, 0
        for i in range(10):
            query = {"query": self.rows[i * 41], "limit": 5, "params": {"quantization": {"rescore": False}}}
            for p in self.post(path + "/points/query", query)["points"]:
                true = sum((a - b) ** 2 for a, b in zip(self.rows[i * 41], self.rows[p["id"]])) ** 0.5
                error += abs(p["score"] - true) > 1e-3 * max(1, true)
                n += abs(p["score"] - true)
        return n if error else 0

    def asked(self, path, **params):
        """Recall of twenty searches, and the effort that the receipts tell."""
        total, efforts = 0, set()
        for i in range(20):
            query = {"query": [x + 0.01 for x in self.rows[i * 37]], "limit": 10, "params": params}
            answer = self.call("POST", path + "/points/query?receipt=true", query).json
            efforts |= {part.get("ef") for part in answer["receipt"]["partitions"]}
            self.assertIs(answer["receipt"]["complete"], True)
            query["params"] = {"exact": True}
            total += len({p["id"] for p in answer["result"]["points"]} &
                         {p["id"] for p in self.post(path + "/points/query", query)["points"]})
        self.assertEqual(len(efforts), 1)
        return total / 200, efforts.pop()

    def test_effort_by_recall_and_time(self):
        for path, _, _ in self.made((N, {"index": {"type": "hnsw"}, "hnsw_config": {"m": 8, "ef_construct": 40}})):
            usual = self.asked(path)[1]
            self.assertEqual(self.asked(path, hnsw_ef=77)[1], 77)
            self.assertEqual(self.asked(path, hnsw_ef=77, min_recall=0.5)[1], 77)
            efforts = []
            for recall in (0.5, 0.9, 0.99):
                found, effort = self.asked(path, min_recall=recall)
                self.assertGreaterEqual(found, recall - 0.03)
                efforts.append(effort)
            self.assertEqual(efforts, sorted(efforts))
            self.assertGreater(efforts[2], efforts[0])
            self.assertEqual(self.asked(path, min_recall=1)[0], 1)
            self.assertEqual(self.asked(path, budget_ms=60000)[1], usual)
            self.assertEqual(self.asked(path, budget_ms=60000, min_recall=0.99)[1], efforts[2])

    def test_too_few_rows_for_ivf_is_said(self):
        wishes = ((600, {"type": "ivf"}, "too few to train ivf"),
                  (2000, {"type": "ivf", "nlist": 1000}, "too few to train ivf with nlist 1000"),
                  (2000, {"type": "ivf", "nlist": 8, "quantizer": "pq"}, "too few to train a product quantiser"))
        made = self.made(*[(n, {"index": index}) for n, index, _ in wishes])
        for (n, _, words), (path, info, content) in zip(wishes, made):
            self.assertEqual(len(info["warnings"]), 1, info)
            self.assertIn("flat, since %d rows are " % n, info["warnings"][0]["message"])
            self.assertIn(words, info["warnings"][0]["message"])
            self.assertIn(content[:4], (b"IxF2", b"IxFI", b"IxFl"))
            self.assertEqual(self.found(path), 1)

    def levels(self, content):
        """On how many levels each node is, from the bytes of a graph in FAISS's format: each builder has its dice."""
        self.assertEqual(content[:4], b"IHNf")
        at = 4 + 4 + 8 + 8 + 8 + 1 + 4  # kind, dimension, rows, two dummies, trained, metric
        for size in (8, 4):  # probabilities of the levels, slots below each
            at += 8 + struct.unpack_from("<Q", content, at)[0] * size
        n = struct.unpack_from("<Q", content, at)[0]
        return struct.unpack_from("<%di" % n, content, at + 8)

    def test_builder(self):
        n, levels = 3000, []
        wishes = [(n, {"index": {"type": "hnsw", **index}, "hnsw_config": {"m": 16, "ef_construct": 40}})
                  for index in ({"builder": "quiver"}, {"builder": "faiss"}, {})]
        for path, _, content in self.made(*wishes):
            levels.append(self.levels(content))
            self.assertEqual(len(levels[-1]), n)
            self.assertGreaterEqual(self.found(path, hnsw_ef=128), 0.95)
        self.assertNotEqual(levels[0], levels[1])
        self.assertEqual(levels[0], levels[2])
        self.refused(400, "expected quiver or faiss", "PUT", "/collections/bad",
                     {"vectors": {"size": 2, "distance": "Dot"}, "index": {"type": "hnsw", "builder": "other"}})


if __name__ == "__main__":
    unittest.main()
