"""Quantised collections: what the codes find, what parameters of a query change, and what stays in memory."""
import array
import json
import math
import random
import struct
import time
import unittest
import urllib.request

from harness import ApiTest, one_node

DIM, N = 64, 4000


def make_rows():
    rng = random.Random(3)
    centers = [[rng.gauss(0, 1) for _ in range(DIM)] for _ in range(20)]
    return [[c + rng.gauss(0, 0.7) for c in centers[i % 20]] for i in range(N)]


class QuantizationTest(ApiTest):
    flags = ("--seal-rows", "20000", "--index-min-rows", "500")
    rows = make_rows()

    def made(self, vectors=None, **more):
        path = self.collection(vectors or {"size": DIM, "distance": "Euclid"}, **more)
        for first in range(0, N, 1000):
            body = json.dumps({"points": [{"id": i, "vector": self.rows[i]} for i in range(first, first + 1000)]})
            request = urllib.request.Request("http://127.0.0.1:%d%s/points?wait=true" % (self.server.port, path),
                                             body.encode(), {"Content-Type": "application/json"}, method="PUT")
            with urllib.request.urlopen(request) as answer:
                self.assertEqual(answer.status, 200)
        self.indexed(path)
        return path

    def indexed(self, path):
        deadline = time.monotonic() + 120
        while True:
            info = self.get(path)
            if info["status"] == "green" and info["indexed_vectors_count"] == N:
                return
            self.assertLess(time.monotonic(), deadline, info)
            time.sleep(0.1)

    def search(self, path, **quantization):
        """Share of the ten nearest that are found, and how far scores are from the true distances."""
        params = {"hnsw_ef": 100}
        if quantization:
            params["quantization"] = quantization
        found, error = 0, 0
        for i in range(20):
            q = [x + 0.05 for x in self.rows[i * 41]]
            true = sorted((math.dist(q, r), j) for j, r in enumerate(self.rows))[:10]
            got = self.post(path + "/points/query", {"query": q, "limit": 10, "params": params})["points"]
            found += len({p["id"] for p in got} & {j for _, j in true})
            error += sum(abs(p["score"] - math.dist(q, self.rows[p["id"]])) for p in got)
        return found / 200, error / 200

    def test_codes_and_rescoring(self):
        errors = []
        for config, least in (({"scalar": {"type": "int8"}}, 0.95), ({"binary": {}}, 0.8)):
            path = self.made(quantization_config=config)
            recall, error = self.search(path)
            self.assertGreaterEqual(recall, least)
            self.assertLess(error, 1e-4)
            coarse, error = self.search(path, rescore=False)
            self.assertLessEqual(coarse, recall)
            self.assertGreater(error, 1e-3)
            errors.append(error)
            for how in ({"ignore": True}, {"oversampling": 20.0}, {"ignore": True, "rescore": False}):
                best, error = self.search(path, **how)
                self.assertGreaterEqual(best, recall)
                self.assertLess(error, 1e-4)
        self.assertGreater(errors[1], errors[0])
        plain = self.made()
        recall, error = self.search(plain, rescore=False)  # nothing is quantised: nothing is left out
        self.assertGreaterEqual(recall, 0.95)
        self.assertLess(error, 1e-4)

    def test_an_update_changes_the_codes(self):
        path = self.made(quantization_config={"scalar": {"type": "int8"}})
        fine = self.search(path, rescore=False)[1]
        self.ok("PATCH", path, {"quantization_config": {"binary": {"always_ram": True}}})
        self.assertEqual(self.get(path)["config"]["quantization_config"], {"binary": {"always_ram": True}})
        deadline = time.monotonic() + 60
        while self.search(path, rescore=False)[1] < 2 * fine:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.2)
        self.assertGreaterEqual(self.search(path)[0], 0.8)
        self.server.stop()
        self.server.start()
        self.assertGreater(self.search(path, rescore=False)[1], 2 * fine)
        self.ok("PATCH", path, {"quantization_config": "Disabled"})
        deadline = time.monotonic() + 60
        while self.search(path, rescore=False)[1] > 1e-4:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.2)

    def test_what_no_index_serves_is_refused(self):
        vectors = {"size": 8, "distance": "Dot"}
        product = {"product": {"compression": "x16"}}
        for more, words in (({"quantization_config": product}, "quantization_config.product"),
                            ({"quantization_config": {"binary": {}}, "index": {"type": "ivf"}}, "quantization_config.binary"),
                            ({"quantization_config": {"scalar": {"type": "int8"}}, "index": {"type": "flat"}},
                             "without an index"),
                            ({"quantization_config": {"scalar": {"type": "int8"}}, "hnsw_config": {"m": 0}},
                             "without an index")):
            self.refused(400, words, "PUT", "/collections/refused", dict(more, vectors=vectors))
        path = self.collection(vectors)
        self.refused(400, "quantization_config.product", "PATCH", path, {"quantization_config": product})
        self.refused(400, "quantization_config.product", "PATCH", path,
                     {"vectors": {"": {"quantization_config": product}}})
        self.collection(vectors, index={"type": "ivf"}, quantization_config=product)
        self.collection({"a": dict(vectors, quantization_config={"scalar": {"type": "int8"}})}, quantization_config=product)


@one_node("looks at the memory of one process")
class MemoryTest(ApiTest):
    """Vectors of more than is kept of those that need not be in memory (8 MB)."""
    flags = ("--seal-rows", "20000", "--index-min-rows", "500")
    dim, n = 1024, 6000

    def resident(self):
        """Kilobytes in memory of the files of vectors, and their size."""
        rss = size = 0
        mine = False
        with open("/proc/%d/smaps" % self.server.process.pid) as f:
            for line in f:
                words = line.split()
                if "-" in words[0] and not words[0].endswith(":"):
                    mine = line.rstrip().endswith("/dense-0")
                elif mine and words[0] == "Rss:":
                    rss += int(words[1])
                elif mine and words[0] == "Size:":
                    size += int(words[1])
        return rss, size

    def made(self, vectors, **more):
        path = self.collection(dict({"size": self.dim, "distance": "Euclid"}, **vectors), **more)
        for at in range(0, self.n, 1000):
            body = struct.pack("<4sIIIB47x", b"QVB1", 0, 1000, self.dim, 0) + struct.pack("<1000Q", *range(at, at + 1000))
            body += array.array("f", array.array("b", random.Random(at).randbytes(1000 * self.dim))).tobytes()
            self.ok("PUT", path + "/points?wait=true", body, headers={"Content-Type": "application/octet-stream"}, raw=True)
        self.green(path)
        return path

    def green(self, path):
        deadline = time.monotonic() + 120
        while True:
            info = self.get(path)
            if info["status"] == "green" and info["indexed_vectors_count"] == self.n:
                return
            self.assertLess(time.monotonic(), deadline, info)
            time.sleep(0.1)

    def look(self, path, n, **params):
        for i in range(n):
            body = {"query": list(array.array("b", random.Random(i).randbytes(self.dim))), "limit": 10, "params": dict(params, hnsw_ef=100)}
            self.post(path + "/points/query", body)

    def test_what_leaves_the_memory(self):
        """Where codes serve and memory is to be saved, the vectors are in memory but for a part, whatever was searched."""
        forms = ((False, {}, {}), (True, {}, {"quantization_config": {"scalar": {"type": "int8"}}}),
                 (True, {}, {"quantization_config": {"binary": {"always_ram": True}}}), (True, {"on_disk": True}, {}))
        for leaves, vectors, more in forms:
            with self.subTest(vectors=vectors, **more):
                path = self.made(vectors, **more)
                for restart in (False, True):
                    if restart:
                        self.server.stop()
                        self.server.start()
                        self.green(path)
                    self.look(path, 40)
                    rss, size = self.resident()
                    self.assertGreaterEqual(size, self.n * self.dim * 4 / 1024)
                    if leaves:
                        self.assertLess(rss, size * 0.45)
                    else:
                        self.assertGreater(rss, size * 0.9)
                self.look(path, 3, exact=True)
                self.look(path, 40)
                if leaves:
                    self.assertLess(self.resident()[0], size * 0.45)
                self.ok("DELETE", path)
                deadline = time.monotonic() + 60
                while self.resident()[1] > 0:
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.1)

    def test_no_row_is_read_where_codes_are_enough(self):
        path = self.made({"on_disk": True}, quantization_config={"binary": {}})
        self.server.stop()
        self.server.start()
        self.green(path)
        before = self.resident()[0]
        self.look(path, 40, quantization={"rescore": False})
        self.assertLessEqual(self.resident()[0], before + 64)


if __name__ == "__main__":
    unittest.main()
