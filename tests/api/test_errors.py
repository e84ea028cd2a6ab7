"""Bad input: a generated matrix of endpoint x mistake, and random mutations of good requests. Each must
give the status and the text that docs/api.md tells, and change nothing."""
import copy
import json
import random
import unittest

from harness import ApiTest

POINT = {"id": 1, "vector": {"a": [1, 2, 3, 4], "s": {"indices": [1], "values": [1.0]}},
         "payload": {"k": "v", "n": 3}}
FILTER = {"must": [{"key": "k", "match": {"value": "v"}}]}
DENSE = {"query": [1, 2, 3, 4], "using": "a", "limit": 3, "filter": FILTER, "params": {"exact": True},
         "with_payload": ["k"], "with_vector": ["a"], "offset": 0, "score_threshold": 0.1}

# name: (method, route below the collection, good body)
ENDPOINTS = {
    "upsert": ("PUT", "/points", {"points": [POINT]}),
    "upsert batch": ("PUT", "/points", {"batch": {"ids": [1], "vectors": {"a": [[1, 2, 3, 4]]},
                                                  "payloads": [{"k": 1}]}}),
    "update vectors": ("PUT", "/points/vectors", {"points": [{"id": 1, "vector": {"a": [4, 3, 2, 1]}}]}),
    "delete vectors": ("POST", "/points/vectors/delete", {"vector": ["a"], "points": [2]}),
    "set payload": ("POST", "/points/payload", {"payload": {"x": 1}, "points": [1]}),
    "overwrite payload": ("PUT", "/points/payload", {"payload": {"x": 1}, "filter": FILTER}),
    "delete payload": ("POST", "/points/payload/delete", {"keys": ["x"], "points": [1]}),
    "clear payload": ("POST", "/points/payload/clear", {"points": [3]}),
    "delete": ("POST", "/points/delete", {"points": [5]}),
    "delete by filter": ("POST", "/points/delete", {"filter": FILTER}),
    "operations": ("POST", "/points/batch", {"operations": [{"delete": {"points": [5]}}]}),
    "retrieve": ("POST", "/points", {"ids": [1, 2], "with_payload": True, "with_vector": ["a"]}),
    "scroll": ("POST", "/points/scroll", {"limit": 3, "offset": 1, "filter": FILTER}),
    "count": ("POST", "/points/count", {"filter": FILTER, "exact": True}),
    "facet": ("POST", "/facet", {"key": "k", "limit": 3, "filter": FILTER}),
    "query": ("POST", "/points/query", DENSE),
    "hybrid": ("POST", "/points/query", {"prefetch": [
        {"query": [1, 2, 3, 4], "using": "a", "limit": 5},
        {"query": {"indices": [1], "values": [1.0]}, "using": "s"}], "query": {"fusion": "rrf"}}),
    "query batch": ("POST", "/points/query/batch", {"searches": [DENSE]}),
    "query groups": ("POST", "/points/query/groups", {
        "query": [1, 2, 3, 4], "using": "a", "group_by": "k", "group_size": 2, "limit": 2}),
    "search": ("POST", "/points/search", {"vector": {"name": "a", "vector": [1, 2, 3, 4]}, "limit": 3}),
    "recommend": ("POST", "/points/recommend", {"positive": [1], "using": "a", "limit": 3}),
    "index": ("PUT", "/index", {"field_name": "z", "field_schema": "keyword"}),
    "patch": ("PATCH", "", {"metadata": {"a": 1}}),
}
WRONG_TYPES = (5, -1, 1.5, "text", True, [], {}, [[]], [None], {"a": {}}, 10**30)

# What is wrong, in words that the answer must hold: (endpoint, change of the body, status, words)
BAD_VECTORS = (
    ([1, 2, 3], 400, "Wrong input: Vector dimension error: expected dim: 4, got 3"),
    ([1, 2, 3, 4, 5], 400, "Vector dimension error: expected dim: 4, got 5"),
    ([], 422, "Validation error in JSON body: ["),
    ([1, 2, 3, "4"], 400, "Format error in JSON body: "),
    ([1, 2, 3, None], 400, "Format error in JSON body: "),
    ([1, 2, 3, 1e39], 400, "Format error in JSON body: "),
    ([[1, 2, 3, 4]], 400, "Bad request: a multivector is not supported"),
    ({"indices": [1], "values": [1]}, 400, "Wrong input: "),
    ({"text": "words", "model": "some/model"}, 400, "some/model"),
    ("vector", 400, "Format error in JSON body: "), (True, 400, "Format error in JSON body: "))
BAD_IDS = (("abc", "value abc is not a valid point ID, valid values are either an unsigned integer or a UUID"),
           (-1, "is not a valid point ID"), (1.5, "is not a valid point ID"),
           (2**64, "is not a valid point ID"), (True, "is not a valid point ID"),
           (None, "point ID"), ([1], "is not a valid point ID"), ("12", "value 12 is not a valid point ID"),
           ("00000000-0000-0000-0000-00000000000g", "is not a valid point ID"))


def places(value, path=()):
    """Every place in a body, from outside in."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], path + (key,))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from places(item, path + (i,))


def replaced(body, path, value):
    body = copy.deepcopy(body)
    at = body
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return body


class Errors(ApiTest):
    def setUp(self):
        self.path = self.collection({"a": {"size": 4, "distance": "Dot"}}, sparse_vectors={"s": {}},
                                    shard_number=2)
        self.upsert(self.path, [dict(POINT, id=i) for i in (1, 2, 3)])
        self.before = self.state()

    def state(self):
        info = self.get(self.path)
        return self.all_points(self.path), info["config"], info["payload_schema"], \
            self.get("/collections")

    def unchanged(self, about):
        self.assertEqual(self.state(), self.before, about)

    def send(self, name, body, **more):
        method, route, _ = ENDPOINTS[name]
        return self.call(method, self.path + route, body, **more)

    def expect(self, status, words, name, body):
        answer = self.send(name, body)
        self.assertEqual(answer.status, status, (name, body, answer))
        self.assertIn(words, answer.error, (name, body))
        self.assertNotIn("result", answer.json)
        self.unchanged((name, body))

    def test_the_good_bodies_are_good(self):
        for name, (_, _, body) in ENDPOINTS.items():
            self.assertEqual(self.send(name, body).status, 200, name)

    def test_unknown_collection(self):
        for name, (method, route, body) in ENDPOINTS.items():
            self.refused(404, "Not found: Collection `none` doesn't exist!", method,
                         "/collections/none" + route, body)
        for method, route in (("GET", ""), ("GET", "/points/1"), ("GET", "/aliases"),
                              ("GET", "/cluster"), ("DELETE", "/index/k")):
            self.refused(404, "doesn't exist", method, "/collections/none" + route)
        self.unchanged("unknown collection")

    def test_no_json(self):
        for name in ENDPOINTS:
            for body in (b"", b"{", b"nonsense", b"[]", b"7", b"null", b'{"a":}', b'{"points":[{]}'):
                self.expect(400, "Format error in JSON body: ", name, body)

    def test_missing_fields(self):
        required = {"upsert": ["points"], "upsert batch": ["batch"], "update vectors": ["points"],
                    "delete vectors": ["vector", "points"], "set payload": ["payload", "points"],
                    "overwrite payload": ["payload", "filter"], "delete payload": ["keys", "points"],
                    "clear payload": ["points"], "delete": ["points"], "delete by filter": ["filter"],
                    "operations": ["operations"], "retrieve": ["ids"], "facet": ["key"],
                    "query batch": ["searches"], "query groups": ["group_by"],
                    "search": ["vector", "limit"], "recommend": ["limit"], "index": ["field_name"]}
        for name, fields in required.items():
            for field in fields:
                for missing in ("absent", None):
                    body = dict(ENDPOINTS[name][2])
                    if missing is None:
                        body[field] = None
                    else:
                        del body[field]
                    self.expect(400, "Format error in JSON body: ", name, body)

    def test_unknown_fields(self):
        for name, (_, _, body) in ENDPOINTS.items():
            self.expect(400, "`surprise`", name, dict(body, surprise=1))
            # Null is absence, also of what we do not know.
            self.assertNotEqual(
                self.send(name, dict({k: None for k in body}, surprise=None)).status, 500)
        self.before = self.state()
        for name in ("upsert", "delete", "query", "scroll", "count"):
            self.expect(400, "is not supported", name, dict(ENDPOINTS[name][2], shard_key="a"))

    def test_wrong_types_everywhere(self):
        """Any value in any place: a 4xx or, where it happens to fit, a 200; never anything else."""
        for name, (_, _, body) in ENDPOINTS.items():
            for path in places(body):
                for wrong in WRONG_TYPES:
                    answer = self.send(name, replaced(body, path, wrong))
                    self.assertIn(answer.status, (200, 400, 404, 409, 422), (name, path, wrong, answer))
                    if answer.status != 200:
                        self.assertRegex(answer.error, "^(Format error in JSON body: |Wrong input: |"
                                         "Validation error in JSON body: |Bad request: |Not found: )")
        self.assertEqual(self.call("GET", "/readyz").status, 200)

    def test_bad_vectors(self):
        for bad, status, words in BAD_VECTORS:
            self.expect(status, words, "upsert", {"points": [POINT, dict(POINT, vector={"a": bad})]})
            self.expect(status, words, "update vectors", {"points": [{"id": 1, "vector": {"a": bad}}]})
            self.expect(status, words, "upsert batch",
                        {"batch": {"ids": [1], "vectors": {"a": [bad]}}})
            self.expect(status, words.split(": ", 1)[-1], "operations",
                        {"operations": [{"delete": {"points": [1]}}, {"upsert": {
                            "points": [{"id": 9, "vector": {"a": bad}}]}}]})
        for bad, status, words in BAD_VECTORS[:8]:
            self.expect(status, words, "query", dict(DENSE, query=bad))
            self.expect(status, words.split(": ", 1)[-1], "query batch",
                        {"searches": [DENSE, dict(DENSE, query=bad)]})
            self.expect(status, words, "search", {"vector": {"name": "a", "vector": bad}, "limit": 1})
        for name in ("nope", "", "A"):
            words = "Wrong input: Not existing vector name error: " + name
            self.expect(400, words, "upsert", {"points": [{"id": 1, "vector": {name: [1, 2, 3, 4]}}]})
            self.expect(400, words, "query", dict(DENSE, using=name))
            self.expect(400, words, "search", {"vector": {"name": name, "vector": [1]}, "limit": 1})
            self.expect(400, words, "delete vectors", {"vector": [name], "points": [1]})
        self.expect(400, "Wrong input: Not existing vector name error: ", "upsert",
                    {"points": [{"id": 1, "vector": [1, 2, 3, 4]}]})
        # Not a number: not JSON.
        for text in (b"NaN", b"Infinity", b"-Infinity", b"1e", b"01", b".5", b"+1", b"0x10"):
            body = b'{"points":[{"id":1,"vector":{"a":[1,2,3,' + text + b"]}}]}"
            self.expect(400, "Format error in JSON body: ", "upsert", body)

    def test_bad_sparse_vectors(self):
        for bad, status in (({"indices": [1, 1], "values": [1, 2]}, 422),
                            ({"indices": [1], "values": []}, 422), ({"indices": [1]}, 400),
                            ({"indices": [-1], "values": [1]}, 400),
                            ({"indices": [2**32], "values": [1]}, 400),
                            ({"indices": [1.5], "values": [1]}, 400),
                            ({"indices": [1], "values": ["x"]}, 400),
                            ({"indices": [1], "values": [1e39]}, 400), ([1, 2, 3, 4], 400),
                            ({"indices": list(range(70000)), "values": [1] * 70000}, 422)):
            self.expect(status, "", "upsert", {"points": [{"id": 1, "vector": {"s": bad}}]})
            self.expect(status, "", "query", {"query": bad, "using": "s"})

    def test_bad_ids(self):
        for bad, words in BAD_IDS:
            self.expect(400, words, "upsert", {"points": [dict(POINT, id=bad)]})
            self.expect(400, words, "delete", {"points": [1, bad]})
            self.expect(400, words, "retrieve", {"ids": [bad]})
            self.expect(400, words, "upsert batch",
                        {"batch": {"ids": [bad], "vectors": {"a": [[1, 2, 3, 4]]}}})
            self.expect(400, words, "count", {"filter": {"must": [{"has_id": [bad]}]}})
            self.expect(400, words, "clear payload", {"points": [bad]})
            if bad is not None:
                self.expect(400, words, "scroll", {"offset": bad})
        for text in ("abc", "-1", "1.5", "18446744073709551616", "%20"):
            self.assertEqual(self.call("GET", self.path + "/points/" + text).status, 400, text)

    def test_bad_paths(self):
        for bad in ("", "a..b", ".", "a[", "a[x]", "\"a", "a" * 2000, ".".join("a" * 40)):
            self.expect(400, "Wrong input: ", "delete payload", {"keys": [bad], "points": [1]})
            self.expect(400, "Wrong input: ", "index", {"field_name": bad, "field_schema": "keyword"})
            self.expect(400, "Wrong input: ", "retrieve", {"ids": [1], "with_payload": [bad]})
            self.expect(400, "Wrong input: ", "count",
                        {"filter": {"must": [{"key": bad, "match": {"value": 1}}]}})
            self.expect(400, "Wrong input: ", "query groups",
                        dict(ENDPOINTS["query groups"][2], group_by=bad))

    def test_limits(self):
        for name, field in (("query", "limit"), ("scroll", "limit"), ("search", "limit"),
                            ("query groups", "limit"), ("query groups", "group_size"),
                            ("facet", "limit")):
            body = dict(ENDPOINTS[name][2])
            for bad, status in ((0, 422), (-1, 400), (1.5, 400), ("3", 400), (2**64, 400)):
                self.expect(status, field, name, dict(body, **{field: bad}))
        self.expect(422, "hnsw_ef", "query", dict(DENSE, params={"hnsw_ef": 0}))
        many = [dict(POINT, id=i, vector={}) for i in range(10001)]
        self.expect(400, "at most 10000", "upsert", {"points": many})
        self.expect(400, "at most 1000", "query batch", {"searches": [{}] * 1001})
        wide = {"must": [{"has_id": [i]} for i in range(1001)]}
        self.expect(400, "conditions", "count", {"filter": wide})
        deep = FILTER
        for _ in range(40):
            deep = {"must": deep}
        self.expect(400, "", "count", {"filter": deep})
        self.expect(400, "prefetches", "query",
                    {"query": {"fusion": "rrf"}, "prefetch": [{"query": 1, "using": "a"}] * 65})

    def test_unsupported_features_are_named(self):
        for query, words in (({"discover": {"target": 1, "context": []}}, "`discover`"),
                             ({"context": []}, "`context`"), ({"formula": {"sum": []}}, "`formula`"),
                             ({"relevance_feedback": {}}, "`relevance_feedback`"),
                             ({"fusion": "mean"}, "`mean`"), ({"sample": "best"}, "`best`"),
                             ({"text": "hello", "model": "a/model"}, "`a/model`"),
                             ({"nearest": {"text": "hello", "model": "a/model"}}, "`a/model`"),
                             ({"image": "x", "model": "clip"}, "`clip`"), ({"magic": 1}, "`magic`")):
            answer = self.send("query", dict(DENSE, query=query))
            self.assertEqual(answer.status, 400, answer)
            self.assertTrue(answer.error.startswith("Bad request: "), answer.error)
            self.assertIn(words, answer.error)
            self.assertTrue(answer.error.endswith(" is not supported"), answer.error)
        for cond, words in (({"key": "k", "match": {"prefix": "x"}}, "`prefix`"),
                            ({"key": "k", "like": "x"}, "`like`"), ({"slice": {}}, "`slice`"),
                            ({"must_either": []}, "`must_either`")):
            self.expect(400, words, "count", {"filter": {"must": [cond]}})
        self.expect(400, "lookup_from is not supported", "query",
                    dict(DENSE, lookup_from={"collection": "x"}))

    def memory_mb(self):
        total = 0
        for pid in self.server.pids:
            with open("/proc/%d/status" % pid) as f:
                total += int(next(line for line in f if line.startswith("VmRSS")).split()[1]) / 1024
        return total

    def test_random_mutations(self):
        """Bytes of good requests changed at random: only documented statuses, and the server lives."""
        rng = random.Random(17)
        statuses = {}
        bodies = [(m, r, json.dumps(b).encode()) for m, r, b in ENDPOINTS.values()]
        for i in range(10000):
            if i == 2000:
                memory = self.memory_mb()
            method, route, body = rng.choice(bodies)
            body = bytearray(body)
            for _ in range(rng.randrange(1, 4)):
                at = rng.randrange(len(body))
                kind = rng.randrange(4)
                if kind == 0:
                    body[at] = rng.randrange(256)
                elif kind == 1:
                    del body[at:at + rng.randrange(1, 10)]
                elif kind == 2:
                    body[at:at] = rng.choice([b"{", b"}", b"[", b"]", b",", b'"', b"null", b"-1", b"1e9",
                                              b"\\u0000", b"\xff", b"99999999999999999999"])
                else:
                    piece = body[at:at + 20]
                    body[at:at] = piece
                if not body:
                    body = bytearray(b"{")
            answer = self.call(method, self.path + route, bytes(body))
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
            self.assertIn(answer.status, (200, 400, 404, 409, 422), (bytes(body), answer))
        self.assertGreater(statuses[400], 3000)
        self.assertLess(self.memory_mb() - memory, 8 * len(self.server.pids), "memory grows with bad requests")
        self.assertEqual(self.call("GET", "/readyz").status, 200)
        self.assertIsInstance(self.all_points(self.path), list)


if __name__ == "__main__":
    unittest.main()
