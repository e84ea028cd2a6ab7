"""Filters: each condition alone and random trees of them, against a plain evaluation in Python; with
and without payload indexes, in memory and sealed, on one shard and on three."""
import datetime
import math
import random
import unittest

from harness import ApiTest, ids

DIM = 4
WORDS = "alpha beta gamma delta Epsilon zeta-eta".split()


# ---- the plain evaluation ----

def values_at(value, keys):
    """Every value that a path leads to; lists on the way fan out."""
    if not keys:
        return [value]
    if isinstance(value, list):
        return [v for item in value for v in values_at(item, keys)]
    if isinstance(value, dict) and keys[0] in value:
        return values_at(value[keys[0]], keys[1:])
    return []


def elements(payload, path):
    found = []
    for value in values_at(payload, [k.replace("[]", "") for k in path.split(".")]):
        found += value if isinstance(value, list) else [value]
    return found


def same(a, b):
    return type(a) is type(b) and a == b


def when(text):
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)


def in_range(value, bounds):
    tests = {"lt": lambda a, b: a < b, "lte": lambda a, b: a <= b,
             "gt": lambda a, b: a > b, "gte": lambda a, b: a >= b}
    if any(isinstance(b, str) for b in bounds.values()):
        if not isinstance(value, str):
            return False
        try:
            value = when(value)
        except ValueError:
            return False
        bounds = {k: when(b) for k, b in bounds.items()}
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return all(tests[k](value, b) for k, b in bounds.items())


def metres(a, b):
    lat1, lat2 = math.radians(a["lat"]), math.radians(b["lat"])
    h = (math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2)
         * math.sin(math.radians(b["lon"] - a["lon"]) / 2) ** 2)
    return 2 * 6371008.8 * math.asin(math.sqrt(h))


def is_place(v):
    return isinstance(v, dict) and "lat" in v and "lon" in v


def inside(p, ring):
    odd = False
    for a, b in zip(ring, ring[1:]):
        if (a["lat"] > p["lat"]) != (b["lat"] > p["lat"]):
            x = a["lon"] + (p["lat"] - a["lat"]) / (b["lat"] - a["lat"]) * (b["lon"] - a["lon"])
            odd ^= p["lon"] < x
    return odd


def matches(cond, point, text_index):
    payload = point["payload"]
    if "has_id" in cond:
        return point["id"] in cond["has_id"]
    if "has_vector" in cond:
        return cond["has_vector"] in point["vector"]
    if "is_empty" in cond:
        found = values_at(payload, cond["is_empty"]["key"].split("."))
        return all(v is None or v == [] for v in found)
    if "is_null" in cond:
        found = values_at(payload, cond["is_null"]["key"].split("."))
        return any(v is None or (isinstance(v, list) and None in v) for v in found)
    if "nested" in cond:
        items = elements(payload, cond["nested"]["key"])
        return any(isinstance(item, dict) and passes(
            cond["nested"]["filter"], dict(point, payload=item), False) for item in items)
    if "key" not in cond:
        return passes(cond, point, text_index)
    found = elements(payload, cond["key"])
    if "match" in cond:
        match = cond["match"]
        if "value" in match:
            return any(same(v, match["value"]) for v in found)
        if "any" in match:
            return any(same(v, w) for v in found for w in match["any"])
        if "except" in match:
            return any(v is not None and not any(same(v, w) for w in match["except"]) for v in found)
        strings = [v for v in found if isinstance(v, str)]
        if cond["key"] in text_index:
            wanted = set(match["text"].lower().split())
            return any(wanted <= set(v.lower().replace("-", " ").split()) for v in strings)
        return any(match["text"] in v for v in strings)
    if "range" in cond:
        return any(in_range(v, cond["range"]) for v in found)
    if "values_count" in cond:
        return any(in_range(len(v) if isinstance(v, list) else 0 if v is None else 1,
                            cond["values_count"])
                   for v in values_at(payload, cond["key"].split(".")) or [None])
    places = [v for v in found if is_place(v)]
    if "geo_radius" in cond:
        area = cond["geo_radius"]
        return any(metres(v, area["center"]) <= area["radius"] for v in places)
    if "geo_bounding_box" in cond:
        box = cond["geo_bounding_box"]
        return any(box["top_left"]["lon"] <= v["lon"] <= box["bottom_right"]["lon"]
                   and box["bottom_right"]["lat"] <= v["lat"] <= box["top_left"]["lat"]
                   for v in places)
    polygon = cond["geo_polygon"]
    return any(inside(v, polygon["exterior"]["points"])
               and not any(inside(v, r["points"]) for r in polygon.get("interiors", []))
               for v in places)


def passes(filter, point, text_index):
    def holds(c):
        return matches(c, point, text_index)

    def some(name):
        clause = filter.get(name) or []
        return [clause] if isinstance(clause, dict) else clause

    enough = filter.get("min_should")
    return (all(map(holds, some("must"))) and not any(map(holds, some("must_not")))
            and (not some("should") or any(map(holds, some("should"))))
            and (not enough or sum(map(holds, enough["conditions"])) >= enough["min_count"]))


# ---- data ----

def make_points(n, seed):
    rng = random.Random(seed)
    points = []
    for i in range(n):
        payload = {}
        if rng.random() < 0.8:
            payload["word"] = rng.choice(WORDS)
        if rng.random() < 0.8:
            payload["text"] = " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 5)))
        if rng.random() < 0.9:
            payload["n"] = rng.choice([rng.randrange(10), float(rng.randrange(10)) + 0.5, None,
                                       rng.randrange(10), True, "5"])
        if rng.random() < 0.7:
            payload["tags"] = [rng.choice(WORDS[:4] + [3, None]) for _ in range(rng.randrange(4))]
        if rng.random() < 0.7:
            payload["at"] = "2024-0%d-1%dT0%d:00:00%s" % (
                rng.randrange(1, 10), rng.randrange(10), rng.randrange(10),
                rng.choice(["Z", "+02:00", ""]))
        if rng.random() < 0.7:
            payload["place"] = {"lon": rng.uniform(-5, 5), "lat": rng.uniform(-5, 5)}
        if rng.random() < 0.7:
            payload["meta"] = {"flag": rng.random() < 0.5, "level": rng.randrange(5)}
        if rng.random() < 0.6:
            payload["diet"] = [{"food": rng.choice(WORDS[:3]), "likes": rng.random() < 0.5}
                               for _ in range(rng.randrange(1, 4))]
        vector = {"v": [rng.uniform(-1, 1) for _ in range(DIM)]} if rng.random() < 0.9 else {}
        points.append({"id": i, "vector": vector, "payload": payload})
    return points


def make_cond(rng, depth):
    kind = rng.randrange(16 if depth > 0 else 14)
    word = rng.choice(WORDS)
    if kind == 0:
        return {"key": rng.choice(["word", "tags"]), "match": {"value": word}}
    if kind == 1:
        return {"key": rng.choice(["n", "meta.level", "tags"]), "match": {"value": rng.randrange(6)}}
    if kind == 2:
        return {"key": "meta.flag", "match": {"value": rng.random() < 0.5}}
    if kind == 3:
        name = rng.choice(["any", "except"])
        key, pool = rng.choice([("word", WORDS), ("tags", WORDS), ("n", range(10))])
        return {"key": key, "match": {name: rng.sample(list(pool), rng.randrange(4))}}
    if kind == 4:
        return {"key": rng.choice(["text", "word"]), "match": {"text": word.split("-")[0]}}
    if kind == 5:
        low = rng.randrange(10)
        return {"key": rng.choice(["n", "meta.level"]), "range": rng.choice(
            [{"gte": low}, {"lt": low}, {"gt": low, "lte": low + 2.5}, {"gte": low, "lte": low}])}
    if kind == 6:
        day = "2024-0%d-15" % rng.randrange(1, 10)
        return {"key": "at", "range": rng.choice([{"gte": day}, {"lt": day + "T05:00:00Z"},
                                                  {"gt": day, "lte": "2024-09-19"}])}
    if kind == 7:
        return {rng.choice(["is_empty", "is_null"]):
                {"key": rng.choice(["word", "n", "tags", "meta", "meta.flag", "none"])}}
    if kind == 8:
        return {"has_id": rng.sample(range(400), 40)}
    if kind == 9:
        return {"has_vector": "v"}
    if kind == 10:
        return {"key": rng.choice(["tags", "diet", "word"]),
                "values_count": rng.choice([{"gte": 2}, {"lt": 2}, {"gt": 0, "lte": 1}])}
    if kind == 11:
        return {"key": "place", "geo_radius": {
            "center": {"lon": rng.uniform(-5, 5), "lat": rng.uniform(-5, 5)},
            "radius": rng.uniform(5e4, 6e5)}}
    if kind == 12:
        left, low = rng.uniform(-5, 3), rng.uniform(-5, 3)
        return {"key": "place", "geo_bounding_box": {
            "top_left": {"lon": left, "lat": low + 3}, "bottom_right": {"lon": left + 3, "lat": low}}}
    if kind == 13:
        x, y = rng.uniform(-5, 0), rng.uniform(-5, 0)
        ring = [(x, y), (x + 5, y + 1), (x + 4, y + 5), (x + 2, y + 2.5), (x, y)]
        hole = [(x + 1, y + 0.5), (x + 2, y + 0.5), (x + 2, y + 1), (x + 1, y + 0.5)]
        as_ring = lambda r: {"points": [{"lon": a, "lat": b} for a, b in r]}
        polygon = {"exterior": as_ring(ring)}
        if rng.random() < 0.5:
            polygon["interiors"] = [as_ring(hole)]
        return {"key": "place", "geo_polygon": polygon}
    if kind == 14:
        return {"nested": {"key": rng.choice(["diet", "diet[]"]), "filter": {
            "must": [{"key": "food", "match": {"value": rng.choice(WORDS[:3])}},
                     {"key": "likes", "match": {"value": rng.random() < 0.5}}]}}}
    return make_filter(rng, depth - 1)


def make_filter(rng, depth):
    filter = {}
    for name in ("must", "should", "must_not"):
        if rng.random() < 0.5:
            filter[name] = [make_cond(rng, depth) for _ in range(rng.randrange(3))]
    if rng.random() < 0.15:
        filter["min_should"] = {"conditions": [make_cond(rng, depth) for _ in range(3)],
                                "min_count": rng.randrange(1, 3)}
    return filter


INDEXES = {"word": "keyword", "tags": "keyword", "n": "integer", "meta.flag": "bool",
           "meta.level": "integer", "at": "datetime", "place": "geo",
           "text": {"type": "text", "tokenizer": "word", "lowercase": True}}


class Filters(ApiTest):
    flags = ("--seal-rows", "150")
    shards = 1
    indexed = False
    rounds = 300

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.points = make_points(400, 11)
        cls.text_index = ()
        path = "/collections/filters"
        body = {"vectors": {"v": {"size": DIM, "distance": "Dot"}}, "shard_number": cls.shards}
        assert cls.server.call("PUT", path, body).status == 200
        if cls.indexed:
            cls.text_index = ("text",)
            for field, schema in INDEXES.items():
                answer = cls.server.call("PUT", path + "/index?wait=true",
                                         {"field_name": field, "field_schema": schema})
                assert answer.status == 200, answer
        for i in range(0, len(cls.points), 100):
            answer = cls.server.call("PUT", path + "/points?wait=true",
                                     {"points": cls.points[i:i + 100]})
            assert answer.status == 200, answer
        cls.path = path

    def wanted(self, filter):
        return [p["id"] for p in self.points if passes(filter, p, self.text_index)]

    def got(self, filter):
        return ids(self.post(self.path + "/points/scroll", {"filter": filter, "limit": 1000})["points"])

    def check(self, filter):
        wanted, got = self.wanted(filter), self.got(filter)
        self.assertEqual((sorted(set(got) - set(wanted))[:5], sorted(set(wanted) - set(got))[:5]),
                         ([], []), "too many, too few by %r" % filter)
        self.assertEqual(got, wanted, filter)
        self.assertEqual(self.count(self.path, filter), len(wanted), filter)
        return wanted

    def test_each_condition(self):
        rng = random.Random(5)
        useful = 0
        for _ in range(self.rounds):
            useful += 0 < len(self.check({"must": [make_cond(rng, 1)]})) < len(self.points)
        self.assertGreater(useful, self.rounds / 2)

    def test_random_trees(self):
        rng = random.Random(6)
        for _ in range(self.rounds):
            self.check(make_filter(rng, 3))

    def test_filtered_search(self):
        rng = random.Random(7)
        for _ in range(self.rounds // 5):
            filter = make_filter(rng, 2)
            query = [rng.uniform(-1, 1) for _ in range(DIM)]
            score = lambda p: sum(a * b for a, b in zip(query, p["vector"]["v"]))
            wanted = sorted((p for p in self.points if p["vector"]
                             and passes(filter, p, self.text_index)), key=score, reverse=True)[:10]
            hits = self.post(self.path + "/points/query", {
                "query": query, "using": "v", "filter": filter, "limit": 10})["points"]
            self.assertEqual(ids(hits), ids(wanted), filter)
            for hit, point in zip(hits, wanted):
                self.assertAlmostEqual(hit["score"], score(point), places=5)

    def test_empty_clauses(self):
        for filter in ({}, {"must": []}, {"should": []}, {"must_not": []},
                       {"must": None, "should": [], "must_not": None}, {"must": [{}]}):
            self.assertEqual(len(self.check(filter)), len(self.points))

    def test_one_condition_needs_no_list(self):
        cond = {"key": "word", "match": {"value": "alpha"}}
        self.assertEqual(self.check({"must": cond}), self.check({"must": [cond]}))
        self.check({"must_not": cond, "should": {"has_id": list(range(50))}})

    def test_types_are_strict(self):
        self.assertEqual(self.got({"must": [{"key": "n", "match": {"value": "5"}}]}),
                         [p["id"] for p in self.points if p["payload"].get("n") == "5"])
        self.assertEqual(self.got({"must": [{"key": "n", "match": {"value": True}}]}),
                         [p["id"] for p in self.points if p["payload"].get("n") is True])

    def test_several_kinds_in_one_condition_are_alternatives(self):
        got = self.got({"must": [{"key": "n", "match": {"value": 3}, "range": {"gt": 8}}]})
        self.assertEqual(got, self.got({"should": [{"key": "n", "match": {"value": 3}},
                                                   {"key": "n", "range": {"gt": 8}}]}))

    def test_flags_of_presence(self):
        for name in ("is_empty", "is_null"):
            plain = {name: {"key": "tags"}}
            self.assertEqual(self.got({"must": [{"key": "tags", name: True}]}),
                             self.got({"must": [plain]}))
            self.assertEqual(self.got({"must": [{"key": "tags", name: False}]}),
                             self.got({"must_not": [plain]}))

    def test_paths_with_indexes(self):
        wanted = [p["id"] for p in self.points if p["payload"].get("diet")
                  and p["payload"]["diet"][0]["food"] == "beta"]
        self.assertEqual(self.got({"must": [{"key": "diet[0].food", "match": {"value": "beta"}}]}),
                         wanted)
        self.assertGreater(len(wanted), 0)


class FiltersWithIndexes(Filters):
    indexed = True


class FiltersOnThreeShards(Filters):
    shards = 3
    indexed = True
    rounds = 150


if __name__ == "__main__":
    unittest.main()
