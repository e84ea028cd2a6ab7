"""Bad input, generated: every endpoint x every place of a full body x every mistake that can be made there.

The bodies below hold everything that an endpoint takes. What stands in a place is said by the class of the value (an id, a
key path, a vector ..), and so which mistakes belong there. Each must be refused with the status that docs/api.md tells,
and none may change anything. Beside that, whatever docs/openapi.yaml does not allow must be refused (that whatever was
accepted is allowed there, harness.py checks with every request).
"""
import copy
import json
import math
import re
import unittest

from description import description, object_of
from harness import NODES, ApiTest


class Id(int):
    """Of a point, or where one may stand."""


class Uuid(str):
    """The same, as a UUID."""


class Key(str):
    """Path in a payload."""


class Name(str):
    """Of a vector."""


class Positive(int):
    """A number from 1 on."""


class Count(int):
    """A number from 0 on."""


class Dense(list):
    """Vector of 4 dimensions."""


class Sparse(dict):
    """Sparse vector."""


class Named(dict):
    """Vectors by name."""


class Free(dict):
    """Payload and the like: anything may stand in it."""


UUID = Uuid("0e8dd29e-3d9c-4dd7-9e2d-2a1f3a2b4c5d")
VECTOR = Dense([1, 2, 3, 4])
FEW = Sparse(indices=[1, 7], values=[1.0, 2.0])
BOTH = Named(a=VECTOR, s=FEW)
EVERY_CONDITION = {
    "must": [{"key": Key("k"), "match": {"value": "v"}}, {"key": Key("n"), "range": {"gte": 1, "lt": 5.5}},
             {"key": Key("n"), "match": {"any": [1, 2, 3]}}, {"has_id": [Id(1), Id(2), UUID]}],
    "should": [{"is_empty": {"key": Key("x")}}, {"is_null": {"key": Key("x")}}, {"has_vector": "a"},
               {"key": Key("t"), "match": {"text": "word"}},
               {"key": Key("t"), "match": {"text_any": "some words"}}, {"key": Key("t"), "match": {"phrase": "some words"}},
               {"must_not": {"key": Key("k"), "is_null": True}}, {"key": Key("k"), "is_empty": False}],
    "must_not": [{"nested": {"key": Key("list"), "filter": {"must": [{"key": Key("q"), "match": {"except": ["r"]}}]}}},
                 {"key": Key("place"), "geo_radius": {"center": {"lon": 1, "lat": 2}, "radius": 5}},
                 {"key": Key("place"), "geo_bounding_box": {"top_left": {"lon": 1, "lat": 2},
                                                            "bottom_right": {"lon": 3, "lat": 1}}},
                 {"key": Key("place"), "geo_polygon": {"exterior": {"points": [
                     {"lon": 0, "lat": 0}, {"lon": 1, "lat": 0}, {"lon": 1, "lat": 1}, {"lon": 0, "lat": 0}]},
                     "interiors": []}}],
    "min_should": {"conditions": [{"key": Key("n"), "values_count": {"gt": Count(0), "gte": Count(1), "lt": Count(9),
                                                                           "lte": Count(8)}},
                                  {"key": Key("when"), "range": {"gt": "2020-01-01", "lte": "2030-01-01T12:00:00Z"}}], "min_count": Count(1)}}
FILTER = {"must": [{"key": Key("k"), "match": {"value": "v"}}], "must_not": {"has_id": [Id(9)]}}
SELECT = {"with_payload": {"include": [Key("k"), Key("list[].q")]}, "with_vector": [Name("a")]}
PARAMS = {"hnsw_ef": Positive(20), "exact": True, "indexed_only": False, "nprobe": Positive(3), "min_recall": 0.9,
          "budget_ms": Positive(1000), "quantization": {"ignore": False, "rescore": True, "oversampling": 2.0},
          "acorn": {"enable": True, "max_selectivity": 0.4}}
SEARCH = dict(SELECT, limit=Positive(3), filter=FILTER, params=PARAMS, score_threshold=0.5, offset=Count(0))
QUERY = dict(SEARCH, using=Name("a"))
PLAIN = {k: v for k, v in SEARCH.items() if k != "offset"}
GROUPS = {"group_by": Key("k"), "group_size": Positive(2)}
POINT = {"id": Id(1), "vector": BOTH, "payload": Free(k="v", n=3)}
LEAF = {"query": VECTOR, "using": Name("a"), "limit": Positive(5), "filter": FILTER, "params": PARAMS, "score_threshold": 0}
RECOMMEND = {"positive": [Id(1), VECTOR], "negative": [UUID], "strategy": "best_score", "using": Name("a")}
HNSW = {"m": Count(8), "ef_construct": Positive(50), "payload_m": Count(8), "full_scan_threshold": Count(100),
        "max_indexing_threads": Count(0), "on_disk": False, "inline_storage": False}
COLLECTION = {
    "vectors": Named(v={"size": Positive(4), "distance": "Dot", "datatype": "float32", "on_disk": True, "hnsw_config": HNSW,
                        "quantization_config": {"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}}}),
    "sparse_vectors": Named(w={"modifier": "idf", "index": {"full_scan_threshold": Count(5), "on_disk": True,
                                                            "datatype": "float32"}}),
    "shard_number": Positive(2), "sharding_method": "auto", "replication_factor": Positive(1),
    "write_consistency_factor": Positive(1), "on_disk_payload": True, "hnsw_config": HNSW,
    "quantization_config": {"binary": {"always_ram": True, "encoding": "one_bit", "query_encoding": "default"}},
    "optimizers_config": {"deleted_threshold": 0.2, "vacuum_min_vector_number": Count(10), "default_segment_number": Count(0),
                          "max_segment_size": Count(100), "memmap_threshold": Count(100), "indexing_threshold": Count(100),
                          "flush_interval_sec": Count(5), "max_optimization_threads": Count(1),
                          "prevent_unoptimized": False},
    "wal_config": {"wal_capacity_mb": Positive(32), "wal_segments_ahead": Count(0), "wal_retain_closed": Positive(1)},
    "strict_mode_config": Free(enabled=False), "metadata": Free(a=1),
    "index": {"type": "hnsw", "builder": "faiss", "nlist": Positive(8), "nprobe": Positive(2), "quantizer": "sq8", "pq_m": Positive(2)}}
CHANGE = {"vectors": Named(a={"hnsw_config": HNSW, "quantization_config": {"binary": {"encoding": "one_bit",
                                                                                    "always_ram": True}}, "on_disk": False}),
          "sparse_vectors": Named(s={"modifier": "none"}), "hnsw_config": HNSW,
          "quantization_config": {"scalar": {"type": "int8"}},
          "optimizers_config": {"deleted_threshold": 0.5}, "metadata": Free(a=1), "strict_mode_config": Free(enabled=False),
          "params": {"replication_factor": Positive(1), "write_consistency_factor": Positive(1),
                     "read_fan_out_factor": Count(1), "read_fan_out_delay_ms": Count(1), "on_disk_payload": True}}
TEXT = {"tokenizer": "word", "min_token_len": Count(1), "max_token_len": Count(9), "lowercase": True, "ascii_folding": True,
        "stopwords": {"languages": ["english"], "custom": ["word"]}, "stemmer": {"type": "snowball", "language": "english"}}
DOCUMENT = {"text": "some words", "model": "qdrant/bm25", "options": dict(TEXT, k=1.2, b=0.75, avg_len=256, language="english")}
OTHERS = {"with_vectors": [Name("a")], "allow_partial": True}  # names and fields that do not go with those of SELECT
IDS = {"points": [Id(1), UUID]}

# name: (method, path, a good body); {} is the collection.
ENDPOINTS = {
    "create": ("PUT", "/collections/another", COLLECTION),
    "change": ("PATCH", "{}", CHANGE),
    "aliases": ("POST", "/collections/aliases", {"actions": [
        {"create_alias": {"collection_name": "none", "alias_name": "x"}}, {"delete_alias": {"alias_name": "x"}},
        {"rename_alias": {"old_alias_name": "x", "new_alias_name": "y"}}]}),
    "index": ("PUT", "{}/index", {"field_name": Key("z"), "field_schema": dict(
        TEXT, type="text", phrase_matching=True, on_disk=False, is_tenant=False, is_principal=False, lookup=True, range=True,
        enable_hnsw=True)}),
    "index, older name": ("PUT", "{}/index", {"field_name": Key("y"), "field_type": {
        "type": "integer", "on_disk": False, "is_tenant": False, "is_principal": False, "lookup": True, "range": True,
        "enable_hnsw": True}}),
    "create, ivf": ("PUT", "/collections/another", {
        "vectors": {"size": Positive(4), "distance": "Dot"}, "index": {"type": "ivf"},
        "quantization_config": {"product": {"compression": "x4", "always_ram": True}}}),
    "move a replica": ("POST", "{}/cluster", {"move_shard": {
        "shard_id": Count(0), "from_peer_id": Count(1), "to_peer_id": Count(2), "method": "stream_records"}}),
    "copy a replica": ("POST", "{}/cluster", {"replicate_shard": {
        "shard_id": Count(0), "from_peer_id": Count(1), "to_peer_id": Count(2), "method": "stream_records"}}),
    "drop a replica": ("POST", "{}/cluster", {"drop_replica": {"shard_id": Count(0), "peer_id": Count(2)}}),
    "stop a copy": ("POST", "{}/cluster", {"abort_transfer": {
        "shard_id": Count(0), "from_peer_id": Count(1), "to_peer_id": Count(2)}}),
    "give up copies": ("POST", "/v1{}/partitions/0/recover", {"node": "nobody", "yes_lose_data": True}),
    "create a key": ("POST", "/v1/keys", {"name": "look", "read_only": True}),
    "upsert": ("PUT", "{}/points", {"points": [POINT, dict(POINT, id=UUID)], "update_filter": FILTER,
                                    "update_mode": "upsert"}),
    "upsert columns": ("PUT", "{}/points", {"batch": {
        "ids": [Id(1), UUID], "vectors": Named(a=[VECTOR, VECTOR], s=[FEW, None]), "payloads": [Free(k=1), None]},
        "update_mode": "insert_only", "update_filter": FILTER}),
    "upsert texts": ("PUT", "{}/points", {"points": [{"id": Id(1), "vector": Named(a=VECTOR, s=DOCUMENT)}]}),
    "update vectors": ("PUT", "{}/points/vectors", {"points": [{"id": Id(1), "vector": BOTH}], "update_filter": FILTER}),
    "delete vectors": ("POST", "{}/points/vectors/delete", dict(IDS, vector=[Name("a"), Name("s")])),
    "delete vectors by filter": ("POST", "{}/points/vectors/delete", {"filter": FILTER, "vector": [Name("a")]}),
    "set payload": ("POST", "{}/points/payload", dict(IDS, payload=Free(x=1), key=Key("deep"))),
    "overwrite payload": ("PUT", "{}/points/payload", {"filter": FILTER, "payload": Free(x=1)}),
    "delete payload": ("POST", "{}/points/payload/delete", dict(IDS, keys=[Key("x"), Key("a.b")])),
    "delete payload by filter": ("POST", "{}/points/payload/delete", {"filter": FILTER, "keys": [Key("x")]}),
    "clear payload by filter": ("POST", "{}/points/payload/clear", {"filter": FILTER}),
    "clear payload": ("POST", "{}/points/payload/clear", IDS),
    "delete": ("POST", "{}/points/delete", IDS),
    "delete by filter": ("POST", "{}/points/delete", {"filter": EVERY_CONDITION}),
    "operations": ("POST", "{}/points/batch", {"operations": [
        {"upsert": {"points": [POINT]}}, {"delete": IDS}, {"set_payload": dict(IDS, payload=Free(x=1), key=Key("deep"))},
        {"overwrite_payload": dict(IDS, payload=Free(x=1))}, {"delete_payload": dict(IDS, keys=[Key("x")])},
        {"clear_payload": IDS}, {"update_vectors": {"points": [{"id": Id(1), "vector": BOTH}]}},
        {"delete_vectors": dict(IDS, vector=[Name("a")])}, {"delete_points": IDS}]}),
    "retrieve": ("POST", "{}/points", dict(SELECT, ids=[Id(1), UUID])),
    "retrieve, others": ("POST", "{}/points", dict(OTHERS, ids=[Id(1)], with_payload={"exclude": [Key("k")]})),
    "scroll, others": ("POST", "{}/points/scroll", OTHERS),
    "scroll": ("POST", "{}/points/scroll", dict(SELECT, limit=Positive(3), offset=Id(1), filter=FILTER)),
    "ordered scroll": ("POST", "{}/points/scroll", {"order_by": {"key": Key("n"), "direction": "desc", "start_from": 5}}),
    "count": ("POST", "{}/points/count", {"filter": EVERY_CONDITION, "exact": True, "allow_partial": True}),
    "facet": ("POST", "{}/facet", {"key": Key("k"), "limit": Positive(3), "filter": FILTER, "exact": False,
                                     "allow_partial": False}),
    "query": ("POST", "{}/points/query", dict(QUERY, query={
        "nearest": VECTOR, "mmr": {"diversity": 0.5, "candidates_limit": Count(10)}})),
    "query, others": ("POST", "{}/points/query", dict(OTHERS, query=DOCUMENT, using=Name("s"))),
    "query by id": ("POST", "{}/points/query", dict(QUERY, query=UUID)),
    "sparse query": ("POST", "{}/points/query", {"query": FEW, "using": Name("s")}),
    "recommend query": ("POST", "{}/points/query", {"query": {"recommend": {
        k: v for k, v in RECOMMEND.items() if k != "using"}}, "using": Name("a")}),
    "ordered query": ("POST", "{}/points/query", {"query": {"order_by": {"key": Key("n"), "direction": "asc"}}}),
    "sample": ("POST", "{}/points/query", {"query": {"sample": "random"}, "limit": Positive(2)}),
    "fusion": ("POST", "{}/points/query", {"prefetch": [LEAF, {
        "query": FEW, "using": Name("s"), "prefetch": LEAF}], "query": {"rrf": {"k": Positive(5), "weights": [1.0, 2.0]}}}),
    "dbsf": ("POST", "{}/points/query", {"prefetch": LEAF, "query": {"fusion": "dbsf"}}),
    "query batch": ("POST", "{}/points/query/batch", {"searches": [dict(QUERY, query=VECTOR)], "allow_partial": False}),
    "query groups": ("POST", "{}/points/query/groups", dict(PLAIN, query=VECTOR, using=Name("a"), **GROUPS)),
    "query groups, others": ("POST", "{}/points/query/groups", dict(OTHERS, prefetch=LEAF, query=VECTOR, using=Name("a"),
                                                                    **GROUPS)),
    "search, others": ("POST", "{}/points/search", dict(OTHERS, top=Positive(3), vector={"name": Name("a"), "vector": VECTOR})),
    "search groups, others": ("POST", "{}/points/search/groups", dict(
        OTHERS, top=Positive(3), vector={"name": Name("a"), "vector": VECTOR}, **GROUPS)),
    "recommend, others": ("POST", "{}/points/recommend", dict(OTHERS, positive=Id(1), using={"name": Name("a")},
                                                              top=Positive(3))),
    "recommend groups, others": ("POST", "{}/points/recommend/groups", dict(
        OTHERS, positive=Id(1), using={"name": Name("a")}, top=Positive(3), **GROUPS)),
    "search": ("POST", "{}/points/search", dict(SEARCH, vector={"name": Name("a"), "vector": VECTOR})),
    "search batch": ("POST", "{}/points/search/batch", {"searches": [
        dict(SEARCH, vector={"name": Name("s"), "vector": FEW})], "allow_partial": False}),
    "search groups": ("POST", "{}/points/search/groups", dict(PLAIN, vector={"name": Name("a"), "vector": VECTOR}, **GROUPS)),
    "recommend": ("POST", "{}/points/recommend", dict(SEARCH, **RECOMMEND)),
    "recommend batch": ("POST", "{}/points/recommend/batch", {"searches": [dict(SEARCH, **RECOMMEND)],
                                                                 "allow_partial": False}),
    "recommend groups": ("POST", "{}/points/recommend/groups", dict(PLAIN, **RECOMMEND, **GROUPS)),
}
# Well-formed, and asking for what this one node cannot do: it has no other node, no such collection, no key that may write.
IN_VAIN = {"aliases": 404, "move a replica": 404, "copy a replica": 404, "drop a replica": 400, "stop a copy": 404,
           "give up copies": 404, "create a key": 400}
# Depends on which nodes the copies are on, where there are several.
IN_VAIN_IN_A_CLUSTER = dict(IN_VAIN, **{"move a replica": (200, 400), "copy a replica": 400, "drop a replica": (200, 400),
                                        "stop a copy": (200, 404)})
# Words that an answer may begin with, by status.
BEGIN = {400: ("Format error in JSON body: ", "Wrong input: ", "Bad request: "), 404: ("Not found: ",),
         422: ("Validation error in JSON body: [",)}
NOT_AN_ID = "is not a valid point ID"
# class of the value: ((what is put there, status, words), ..)
MISTAKES = {
    Id: ((-1, 400, NOT_AN_ID), (1.5, 400, NOT_AN_ID), (2**64, 400, NOT_AN_ID), (True, 400, ""),
         ("12", 400, NOT_AN_ID), ("abc", 400, NOT_AN_ID)),
    Uuid: ((UUID[:-1], 400, NOT_AN_ID), (UUID + "0", 400, NOT_AN_ID), ("g" + UUID[1:], 400, NOT_AN_ID),
           (UUID.replace("-", "_"), 400, NOT_AN_ID), ("", 400, NOT_AN_ID), ("{" + UUID, 400, NOT_AN_ID)),
    Key: (("", 400, "Wrong input: "), ("a..b", 400, "Wrong input: "), ("a[", 400, "Wrong input: "),
          ("a[x]", 400, "Wrong input: "), ('"a', 400, "Wrong input: "), ("a" * 2000, 400, "Wrong input: "),
          (".".join("a" * 40), 400, "Wrong input: "), (5, 400, "Format error in JSON body: ")),
    Name: (("none", 400, "Not existing vector name error: none"), ("", 400, "Not existing vector name error: "),
           ("A", 400, "Not existing vector name error: A"), (5, 400, "Format error in JSON body: ")),
    Positive: ((0, 422, ": value 0 invalid, must be "), (-1, 400, "an unsigned integer"), (1.5, 400, "an unsigned integer"),
               ("3", 400, "an unsigned integer"), (2**64, 400, "an unsigned integer"), (True, 400, "an unsigned integer")),
    Count: ((-1, 400, "an unsigned integer"), (1.5, 400, "an unsigned integer"), ("3", 400, "an unsigned integer"),
            (2**64, 400, "an unsigned integer"), ([], 400, "an unsigned integer")),
    Dense: (([1, 2, 3], 400, "Vector dimension error: expected dim: 4, got 3"),
            ([0.5] * 70000, 400, "Vector dimension error: expected dim: 4, got 70000"), ([], 422, "must not be empty"),
            ([1, 2, 3, "4"], 400, "Format error in JSON body: "), ([1, 2, 3, None], 400, "Format error in JSON body: "),
            ([1, 2, 3, math.nan], 400, "Format error in JSON body: "), ([1, 2, 3, math.inf], 400, "Format error in JSON body: "),
            ([1, 2, 3, 1e39], 400, "does not fit in a 32-bit float"), ([[1, 2, 3, 4]], 400, "a multivector is not supported"),
            ({"indices": [1], "values": [1.0]}, 400, "is dense"), ({"text": "x", "model": "some/model"}, 400, "some/model")),
    Sparse: (({"indices": [1, 1], "values": [1, 2]}, 422, "unique"), ({"indices": [1], "values": []}, 422, "same length"),
             ({"indices": [1]}, 400, "`values`"), ({"indices": [2**32], "values": [1]}, 400, "32-bit"),
             ({"indices": [-1], "values": [1]}, 400, "32-bit"), ({"indices": [1], "values": [1e39]}, 400, "32-bit float"),
             ({"indices": [1], "values": [math.nan]}, 400, "Format error in JSON body: "), ([1, 2, 3, 4], 400, "is sparse"),
             ({"indices": list(range(70000)), "values": [1] * 70000}, 422, "at most"),
             ({"text": "x", "model": "some/model"}, 400, "some/model")),
}
WRONG_TYPES = (5, 1.5, "text", True, [], {}, [[]], [None], {"a": {}}, 10**30)


def places(value, path=()):
    """(path, value) of everything in a body that a mistake can be made in, the body itself first."""
    yield path, value
    if isinstance(value, (Free, Dense, Sparse)):
        return
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], path + (key,))


def changed(body, path, change):
    """A copy of the body in which change(container, key) was made at the path."""
    body = copy.deepcopy(body)
    at = body
    for step in path[:-1]:
        at = at[step]
    change(at, path[-1])
    return body


def replaced(body, path, value):
    return changed(body, path, lambda at, key: at.__setitem__(key, value)) if path else value


def without(body, path):
    return changed(body, path, lambda at, key: at.__delitem__(key))


class Matrix(ApiTest):
    def setUp(self):
        self.path = self.collection({"a": {"size": 4, "distance": "Dot"}}, sparse_vectors={"s": {}}, shard_number=2)
        self.upsert(self.path, [dict(POINT, id=i) for i in (1, 2, 3, UUID)])
        self.before = self.state()
        self.rows = 0

    def state(self):
        info = self.get(self.path)
        return self.all_points(self.path), info["config"], info["payload_schema"], self.get("/collections"), \
            self.get("/aliases"), info["points_count"]

    def send(self, name, body):
        method, path, _ = ENDPOINTS[name]
        return self.call(method, path.replace("{}", self.path), body)

    def refuse(self, name, body, status=None, words=""):
        """The request is refused, with a documented status and its words."""
        answer = self.send(name, body)
        about = (name, str(body)[:2000], answer)
        self.assertIn(answer.status, BEGIN if status is None else (status,), about)
        self.assertTrue(answer.error.startswith(BEGIN[answer.status]), about)
        self.assertIn(words, answer.error, about)
        self.assertNotIn("result", answer.json, about)
        self.rows += 1

    def each(self, rows, at_least):
        """rows(name, body) for every endpoint; afterwards all must be as it was."""
        for name, (_, _, body) in ENDPOINTS.items():
            with self.subTest(endpoint=name):
                rows(name, body)
                self.assertEqual(self.state(), self.before, name)
        self.assertGreaterEqual(self.rows, at_least)

    def described(self, name, body):
        """Whether docs/openapi.yaml allows the body."""
        method, path, _ = ENDPOINTS[name]
        _, operation = description().find(method, path.replace("{}", self.path))
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        return description().allows(schema, json.loads(json.dumps(body), object_pairs_hook=object_of))

    def test_the_bodies_are_good(self):
        for name, (_, _, body) in ENDPOINTS.items():
            self.assertTrue(self.described(name, body), name)
            self.upsert(self.path, [dict(POINT, id=i) for i in (1, UUID)])
            answer = self.send(name, body)
            wanted = (IN_VAIN if NODES == 1 else IN_VAIN_IN_A_CLUSTER).get(name, 200)
            self.assertIn(answer.status, wanted if isinstance(wanted, tuple) else (wanted,), (name, answer))
            self.call("DELETE", "/collections/another")

    def test_every_endpoint_with_a_body_is_here(self):
        here = set()
        for method, path, _ in ENDPOINTS.values():
            here.add((method, description().find(method, path.replace("{}", "/collections/c"))[0]))
        document = description().document["paths"]
        self.assertEqual(here, {(method, path) for method, path in description().operations()
                                if "requestBody" in document[path][method.lower()]})

    def test_mistakes_of_their_kind(self):
        def rows(name, body):
            for path, value in places(body):
                for bad, status, words in MISTAKES.get(type(value), ()):
                    self.refuse(name, replaced(body, path, bad), status, words)
        self.each(rows, 1500)

    def test_unknown_fields_at_every_depth(self):
        def rows(name, body):
            for path, value in places(body):
                if isinstance(value, Named):
                    continue
                if isinstance(value, dict) and not isinstance(value, Free):
                    self.refuse(name, replaced(body, path, dict(value, surprise=1)), None, "surprise")
        self.each(rows, 300)

    def test_missing_fields(self):
        def rows(name, body):
            for path, value in places(body):
                if not path or not isinstance(path[-1], str):
                    continue
                for bad in (without(body, path), replaced(body, path, None)):
                    if not self.described(name, bad):
                        self.refuse(name, bad)
        self.each(rows, 300)

    def test_wrong_types(self):
        def rows(name, body):
            for path, value in places(body):
                for wrong in WRONG_TYPES:
                    bad = replaced(body, path, wrong)
                    if not self.described(name, bad):
                        self.refuse(name, bad)
        self.each(rows, 8000)

    def test_unknown_collection(self):
        for name, (method, path, body) in ENDPOINTS.items():
            if "{}" in path:
                self.refused(404, "Not found: Collection `none` doesn't exist!", method,
                             path.replace("{}", "/collections/none"), body)
        for method, path in description().operations():
            item = description().document["paths"][path][method.lower()]
            if "{collection}" not in path or "requestBody" in item or "refused" in item["tags"]:
                continue
            answer = self.call(method, re.sub(r"\{\w+\}", "1", path.replace("{collection}", "none")))
            if path.endswith("/exists") or (method, path) == ("DELETE", "/collections/{collection}"):
                self.assertIn(answer.result, (False, {"exists": False}))
            else:
                self.assertEqual(answer.status, 404, (method, path))
        self.assertEqual(self.state(), self.before)


if __name__ == "__main__":
    unittest.main()
