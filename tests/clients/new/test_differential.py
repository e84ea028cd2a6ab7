"""The same random operations on qdrant-client's in-process local mode and on quiver must have the same outcome.

Differences that are wanted, and so are kept out of what is generated here:
- Without a text index, match.text is a case-sensitive substring test in the API level that quiver
  speaks; the local mode of the newest client compares whole lower-case words. The texts here are
  lower-case words of which none contains another, and one word is asked for, so both agree.
- RRF leaves the order of equal scores open (and so which of them a limit cuts off).
- order_by leaves the order of equal values open as well; quiver orders them by id.
- DBSF: the local mode adds up normalised distances as if larger were better; quiver turns those of
  Euclid and Manhattan round first. Only similarities are fused by DBSF here.
- A root filter and the filter of a prefetch: quiver asks for both; the local mode merges their lists,
  so that two `should` lists become one. Only one of the two is given here.
- MMR on Manhattan: distances add up exactly along a line, so equal values are common and which one
  comes first depends on rounding. The other distances are compared.
- Payload changes of ids that are not there: the local mode applies the others and then raises
  KeyError; quiver applies the others and answers 200.
- set_payload into an element of a list that is missing: the local mode leaves an empty list behind,
  quiver nothing. delete_payload of `list[0]` itself: quiver removes the element, the local mode nothing.
- Sparse best_score and sum_scores: quiver finds what shares an index with an example (with a positive one, for best_score), as a
  sparse search does; the local mode fills the answer up with points that share none, at a similarity of 0.
- `version` counts operations on the server and is always 0 in the local mode; only presence is compared.
"""
import os
import random
import unittest
import uuid
import warnings

from qdrant_client import QdrantClient, models as m

from support import URL, new_name

VECTORS = {
    "cosine": m.VectorParams(size=8, distance=m.Distance.COSINE),
    "dot": m.VectorParams(size=6, distance=m.Distance.DOT),
    "euclid": m.VectorParams(size=5, distance=m.Distance.EUCLID),
    "manhattan": m.VectorParams(size=4, distance=m.Distance.MANHATTAN),
}
SPARSE = {
    "sparse": m.SparseVectorParams(),
    "idf": m.SparseVectorParams(modifier=m.Modifier.IDF),
}
WORDS = ["amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "islet", "kelp"]
CITIES = ["Berlin", "Köln", "München", "Paris", "東京"]
TOLERANCE = 1e-4
SEED = int(os.environ.get("QUIVER_SEED", "0"))  # another one: other data, queries and changes


class Both:
    """The two sides, and the random data that they are given."""

    def __init__(self, seed, shards, unnamed=False):
        self.rng = random.Random(seed)
        self.name = new_name("both")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.local = QdrantClient(":memory:")
            self.server = QdrantClient(url=URL, timeout=60)
        self.unnamed = unnamed
        self.dense = {"": m.VectorParams(size=8, distance=m.Distance.COSINE)} if unnamed else VECTORS
        for side in (self.local, self.server):
            side.create_collection(
                self.name, vectors_config=self.dense[""] if unnamed else VECTORS,
                sparse_vectors_config=SPARSE, **({"shard_number": shards} if side is self.server else {}))
        self.ids = [i * 7 for i in range(120)] + [
            str(uuid.UUID(int=self.rng.getrandbits(128), version=4)) for _ in range(60)] + [2**63 + 5]

    def close(self):
        self.server.delete_collection(self.name)
        self.server.close()

    def do(self, method, **arguments):
        """The same call on both sides: two results."""
        return (getattr(self.local, method)(self.name, **arguments),
                getattr(self.server, method)(self.name, **arguments))

    # Data

    def numbers(self, n):
        return [self.rng.gauss(0, 1) for _ in range(n)]

    def dense_vector(self, name):
        return self.numbers(self.dense[name].size)

    def sparse_vector(self):
        indices = self.rng.sample(range(40), self.rng.randint(1, 8))
        return m.SparseVector(indices=indices, values=[self.rng.uniform(0.1, 3) for _ in indices])

    def vectors(self):
        some = {name: self.dense_vector(name) for name in self.dense if self.rng.random() < 0.9}
        some.update({name: self.sparse_vector() for name in SPARSE if self.rng.random() < 0.9})
        return some

    def payload(self):
        rng = self.rng
        fields = {
            "city": lambda: rng.choice(CITIES),
            "tags": lambda: rng.sample(WORDS, rng.randint(0, 4)),
            "n": lambda: rng.randint(-20, 20),
            "big": lambda: rng.choice([2**53 + 1, 2**62 + 3, -2**53 - 1]),
            "x": lambda: rng.choice([rng.uniform(-5, 5), float(rng.randint(-5, 5))]),
            "flag": lambda: rng.random() < 0.5,
            "place": lambda: self.place(),
            "places": lambda: [self.place() for _ in range(rng.randint(0, 3))],
            "when": lambda: "20%02d-%02d-%02dT%02d:00:00Z" % (
                rng.randint(0, 30), rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23)),
            "dates": lambda: [self.date() for _ in range(rng.randint(0, 3))],
            "text": lambda: " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 6))),
            "maybe": lambda: rng.choice([None, [], [None], [1, None], 0, "", "set", {"a": None}]),
            "mixed": lambda: rng.choice([1, 1.0, True, "1", [1, "1"], [True, 2], 2]),
            "deep": lambda: {"a": {"b": rng.randint(0, 5), "c": [rng.randint(0, 5) for _ in range(3)]}},
            "parts": lambda: [{"kind": rng.choice("pqr"), "size": rng.randint(0, 9),
                               "sub": [{"k": rng.randint(0, 3)} for _ in range(rng.randint(0, 2))]}
                              for _ in range(rng.randint(0, 3))],
        }
        return {key: make() for key, make in fields.items() if rng.random() < 0.8}

    def date(self):
        """A moment in one of the forms in which it may be written."""
        rng = self.rng
        day = "20%02d-%02d-%02d" % (rng.randint(18, 22), rng.randint(1, 12), rng.randint(1, 28))
        return rng.choice([day, day + " 10:30", day + " 10:30:15", day + "T10:30:15.123456Z", day + "T23:30:00+05:30",
                           day + "T00:30:00-08:00", day + "T10:30:15"])

    def place(self):
        return {"lon": self.rng.uniform(-20, 20), "lat": self.rng.uniform(30, 60)}

    def point(self, id):
        vectors = self.vectors()
        return m.PointStruct(id=id, vector=vectors, payload=self.payload())

    def fill(self, n=150):
        chosen = self.rng.sample(self.ids, n)
        for at in range(0, n, 40):
            self.do("upsert", points=[self.point(id) for id in chosen[at:at + 40]])

    def indexes(self):
        kinds = {"city": "keyword", "tags": "keyword", "n": "integer", "x": "float", "flag": "bool",
                 "place": "geo", "places": "geo", "when": "datetime", "dates": "datetime", "deep.a.b": "integer",
                 "maybe": "keyword", "mixed": "integer", "parts[].kind": "keyword"}
        for key, kind in kinds.items():
            self.server.create_payload_index(self.name, key, kind)

    # Filters

    def condition(self, depth=0):
        rng = self.rng
        field = m.FieldCondition

        def bounds():
            low, high = sorted([rng.uniform(-6, 6), rng.uniform(-6, 6)])
            return rng.choice([{"gte": low, "lt": high}, {"gt": low}, {"lte": high}, {"gte": round(low)}])

        def date_bounds():
            day = "20%02d-06-15" % rng.randint(0, 30)
            return rng.choice([{"gte": day}, {"lt": day + "T12:00:00+02:00"}, {"gt": day, "lte": "2029-01-01"}])

        def counts():
            return m.ValuesCount(**rng.choice([{"gte": 2}, {"lt": 2}, {"gt": 0, "lte": 3}, {"lt": 1}]))

        kinds = [
            lambda: field(key="city", match=m.MatchValue(value=rng.choice(CITIES))),
            lambda: field(key=rng.choice(["tags", "tags[]", "tags[0]"]), match=m.MatchValue(value=rng.choice(WORDS))),
            lambda: field(key="n", match=m.MatchValue(value=rng.randint(-20, 20))),
            lambda: field(key="big", match=m.MatchValue(value=2**53 + 1)),
            lambda: field(key="flag", match=m.MatchValue(value=rng.random() < 0.5)),
            lambda: field(key="mixed", match=m.MatchValue(value=rng.choice([1, True, "1", 2]))),
            lambda: field(key="x", match=m.MatchValue(value=rng.randint(-5, 5))),
            lambda: field(key="city", match=m.MatchAny(any=rng.sample(CITIES, rng.randint(0, 3)))),
            lambda: field(key="n", match=m.MatchAny(any=[rng.randint(-20, 20) for _ in range(6)])),
            lambda: field(key="city", match=m.MatchExcept(**{"except": rng.sample(CITIES, 2)})),
            lambda: field(key=rng.choice(["mixed", "maybe", "n"]), match=m.MatchExcept(**{"except": [1, 2, 3]})),
            lambda: field(key="text", match=m.MatchText(text=rng.choice(WORDS))),
            lambda: field(key=rng.choice(["n", "x", "deep.a.b", "deep.a.c[]", "deep.a.c", "parts[].size", "mixed"]),
                          range=m.Range(**bounds())),
            lambda: field(key="when", range=m.DatetimeRange(**date_bounds())),
            lambda: field(key=rng.choice(["dates", "dates[]", "dates[0]"]),
                          range=m.DatetimeRange(**{rng.choice(["gt", "gte", "lt", "lte"]): self.date()})),
            lambda: field(key=rng.choice(["tags", "maybe", "city", "parts", "absent", "places"]), values_count=counts()),
            lambda: field(key=rng.choice(["place", "places"]), geo_radius=m.GeoRadius(
                center=m.GeoPoint(**self.place()), radius=rng.uniform(1e5, 2e6))),
            lambda: field(key=rng.choice(["place", "places"]), geo_bounding_box=m.GeoBoundingBox(
                top_left=m.GeoPoint(lon=rng.uniform(-20, 0), lat=rng.uniform(45, 60)),
                bottom_right=m.GeoPoint(lon=rng.uniform(0, 20), lat=rng.uniform(30, 45)))),
            lambda: field(key="place", geo_polygon=self.polygon()),
            lambda: m.IsEmptyCondition(is_empty=m.PayloadField(key=rng.choice(["maybe", "tags", "city", "absent", "deep.a.x", "parts[].sub"]))),
            lambda: m.IsNullCondition(is_null=m.PayloadField(key=rng.choice(["maybe", "tags", "maybe.a", "absent"]))),
            lambda: m.HasIdCondition(has_id=rng.sample(self.ids, 40)),
            lambda: m.HasVectorCondition(has_vector=rng.choice(list(self.dense) + list(SPARSE))),
            lambda: m.NestedCondition(nested=m.Nested(key=rng.choice(["parts", "parts[]"]), filter=m.Filter(
                must=[field(key="kind", match=m.MatchValue(value=rng.choice("pqr"))),
                      field(key="size", range=m.Range(gte=rng.randint(0, 9)))]))),
            lambda: m.NestedCondition(nested=m.Nested(key="parts", filter=m.Filter(
                must_not=[field(key="kind", match=m.MatchValue(value=rng.choice("pqr")))]))),
            lambda: field(key="parts[].sub[].k", match=m.MatchValue(value=rng.randint(0, 3))),
        ]
        if depth < 2:
            kinds += [lambda: self.filter(depth + 1)] * 4
        return rng.choice(kinds)()

    def polygon(self):
        ring = [m.GeoPoint(lon=-15, lat=35), m.GeoPoint(lon=self.rng.uniform(5, 15), lat=33),
                m.GeoPoint(lon=self.rng.uniform(0, 18), lat=57), m.GeoPoint(lon=-10, lat=50),
                m.GeoPoint(lon=-15, lat=35)]
        hole = [m.GeoPoint(lon=-5, lat=40), m.GeoPoint(lon=2, lat=40), m.GeoPoint(lon=2, lat=45),
                m.GeoPoint(lon=-5, lat=40)]
        return m.GeoPolygon(exterior=m.GeoLineString(points=ring),
                            interiors=[m.GeoLineString(points=hole)] if self.rng.random() < 0.5 else None)

    def filter(self, depth=0):
        rng = self.rng

        def some(at_most):
            return [self.condition(depth) for _ in range(rng.randint(1, at_most))]

        parts = {}
        kind = rng.random()
        if kind < 0.5:
            parts["must"] = some(2)
        if 0.3 < kind < 0.7:
            parts["should"] = rng.choice([some(3), []]) if rng.random() < 0.2 else some(3)
        if kind > 0.6:
            parts["must_not"] = some(2)
        if 0.25 < kind < 0.4:
            parts["min_should"] = m.MinShould(conditions=some(3), min_count=rng.randint(1, 2))
        return m.Filter(**parts)

    def maybe_filter(self):
        return self.filter() if self.rng.random() < 0.6 else None


class DifferentialTest(unittest.TestCase):
    shards = 3
    seed = 1
    unnamed = False

    @classmethod
    def setUpClass(cls):
        cls.both = Both(cls.seed + SEED, cls.shards, cls.unnamed)
        cls.both.fill()

    @classmethod
    def tearDownClass(cls):
        cls.both.close()

    def close_to(self, a, b, what):
        self.assertLessEqual(abs(a - b), TOLERANCE * max(1.0, abs(a)), what)

    def same_vector(self, a, b, what):
        self.assertEqual(a is None, b is None, what)
        if a is None:
            return
        if isinstance(a, m.SparseVector):
            pairs = sorted(zip(a.indices, a.values))
            self.assertEqual([i for i, _ in pairs], b.indices, what)
            a, b = [v for _, v in pairs], b.values
        if isinstance(a, dict):
            self.assertEqual(set(a), set(b), what)
            for name in a:
                self.same_vector(a[name], b[name], "%s, vector %s" % (what, name))
            return
        self.assertEqual(len(a), len(b), what)
        for x, y in zip(a, b):
            self.close_to(x, y, what)

    def same_points(self, a, b, what):
        """Records in the same order."""
        self.assertEqual([p.id for p in a], [p.id for p in b], what)
        for x, y in zip(a, b):
            self.assertEqual(x.payload, y.payload, "%s, payload of %s" % (what, x.id))
            self.same_vector(x.vector, y.vector, "%s, point %s" % (what, x.id))

    def same_scored(self, a, b, what, mmr=False, offset=0):
        """Scored points: same scores place by place; ids may change places where the scores tie, and
        may differ only where they tie with the last score (cut off by the limit)."""
        what = "%s\nlocal:  %s\nquiver: %s" % (what, [(p.id, p.score) for p in a], [(p.id, p.score) for p in b])
        self.assertEqual(len(a), len(b), what)
        for x, y in zip(a, b):
            self.close_to(x.score, y.score, what)
        if mmr:
            self.assertEqual([p.id for p in a], [p.id for p in b], what)
        ours = {p.id: p for p in b}
        self.assertEqual(len(ours), len(b), "twice the same id: " + what)
        for x in a:
            if x.id in ours:
                self.close_to(x.score, ours[x.id].score, what)
                self.assertEqual(x.payload, ours[x.id].payload, what)
                self.same_vector(x.vector, ours[x.id].vector, what)
            else:
                # Where the order of equal scores is open, a limit or an offset may cut between them.
                ends = [a[-1].score] + ([a[0].score] if offset else [])
                self.assertLessEqual(min(abs(x.score - end) for end in ends), TOLERANCE,
                                     "%s missing: %s" % (x.id, what))

    def same_state(self, what):
        a, b = self.both.do("scroll", limit=1000, with_payload=True, with_vectors=True)
        self.same_points(a[0], b[0], what)

    def repeat(self, n, step):
        """step(i) n times; every failing one is told, with what it asked."""
        for i in range(n):
            with self.subTest(i=i):
                step()


class Queries(DifferentialTest):
    def scored(self, what, **arguments):
        mmr = arguments.pop("mmr", False)
        a, b = self.both.do("query_points", **arguments)
        self.same_scored(a.points, b.points, "%s %s" % (what, arguments), mmr=mmr,
                         offset=arguments.get("offset", 0))
        return a.points

    def any_dense(self):
        return self.both.rng.choice(list(self.both.dense))

    def common(self):
        rng = self.both.rng
        return dict(limit=rng.choice([1, 3, 10, 50]), query_filter=self.both.maybe_filter(),
                    with_payload=rng.choice([True, False, ["city", "deep.a.b"],
                                             m.PayloadSelectorExclude(exclude=["tags", "parts"])]),
                    with_vectors=rng.choice([True, False] + ([] if self.both.unnamed else [["dot", "idf"]])))

    def using(self, name):
        return name or None

    def test_nothing_changed_on_the_way(self):
        self.same_state("after filling")

    def test_scroll_and_count_with_filters(self):
        found = [0, 0]

        def step():
            f = self.both.filter()
            a, b = self.both.do("count", count_filter=f)
            self.assertEqual(a.count, b.count, f)
            found[0 if a.count == 0 else 1] += 1
            a, b = self.both.do("scroll", scroll_filter=f, limit=self.both.rng.choice([1, 7, 500]))
            self.same_points(a[0], b[0], str(f))
            self.assertEqual(a[1], b[1], f)
        self.repeat(300, step)
        self.assertGreater(found[1], 150)

    def test_every_single_condition(self):
        def step():
            f = m.Filter(must=[self.both.condition(depth=2)])
            a, b = self.both.do("scroll", scroll_filter=f, limit=500)
            self.same_points(a[0], b[0], str(f))
        self.repeat(300, step)

    def test_pages(self):
        for f in (None, self.both.filter()):
            offset = None
            while True:
                a, b = self.both.do("scroll", scroll_filter=f, limit=13, offset=offset)
                self.same_points(a[0], b[0], str(f))
                self.assertEqual(a[1], b[1])
                offset = a[1]
                if offset is None:
                    break

    def test_retrieve(self):
        def step():
            rng = self.both.rng
            a, b = self.both.do("retrieve", ids=rng.sample(self.both.ids, 20), with_vectors=True,
                                with_payload=rng.choice([True, ["tags", "deep"], False]))
            self.same_points(a, b, "retrieve")
        self.repeat(10, step)

    def test_dense(self):
        def step():
            name = self.any_dense()
            more = self.common()
            if self.both.rng.random() < 0.3:
                more["offset"] = self.both.rng.randint(0, 20)
            self.scored("dense", query=self.both.dense_vector(name), using=self.using(name), **more)
        self.repeat(80, step)

    def test_threshold(self):
        def step():
            name = self.any_dense()
            vector = self.both.dense_vector(name)
            all_points = self.scored("all", query=vector, using=self.using(name), limit=200)
            self.scored("threshold", query=vector, using=self.using(name), limit=50,
                        score_threshold=self.both.rng.choice(all_points).score + 1e-3)
        self.repeat(30, step)

    def test_sparse(self):
        def step():
            name = self.both.rng.choice(list(SPARSE))
            self.scored("sparse " + name, query=self.both.sparse_vector(), using=name, **self.common())
        self.repeat(80, step)

    def test_query_by_id(self):
        stored = [p.id for p in self.both.local.scroll(self.both.name, limit=500)[0]]

        def step():
            name = self.any_dense()
            f = m.Filter(must=[m.HasVectorCondition(has_vector=name)])
            id = self.both.rng.choice([i for i in stored if self.both.local.scroll(
                self.both.name, scroll_filter=m.Filter(must=[*f.must, m.HasIdCondition(has_id=[i])]))[0]])
            self.scored("id", query=id, using=self.using(name), **self.common())
        self.repeat(15, step)

    def test_listing(self):
        self.repeat(20, lambda: self.scored("listing", **self.common()))

    def test_batch(self):
        """Queries of every kind in one request: each is answered as if it stood alone."""
        def request():
            name, common = self.any_dense(), self.common()
            common["filter"] = common.pop("query_filter")
            common["with_payload"] = bool(common["with_payload"])
            common["with_vector"] = common.pop("with_vectors")
            return self.both.rng.choice([
                lambda: m.QueryRequest(query=self.both.dense_vector(name), using=self.using(name), **common),
                lambda: m.QueryRequest(query=self.both.sparse_vector(), using="idf", **common),
                lambda: m.QueryRequest(**common),
                lambda: m.QueryRequest(prefetch=[self.leaf(False) for _ in range(2)], query=self.both.dense_vector(name),
                                       using=self.using(name), **common),
                lambda: m.QueryRequest(query=m.RecommendQuery(recommend=m.RecommendInput(
                    positive=[self.both.dense_vector(name)], negative=[self.both.dense_vector(name)])),
                    using=self.using(name), **common)])()

        def step():
            requests = [request() for _ in range(6)]
            a, b = self.both.do("query_batch_points", requests=requests)
            self.assertEqual(len(a), len(b))
            for x, y, asked in zip(a, b, requests):
                self.same_scored(x.points, y.points, "batch %s" % asked)
        self.repeat(20, step)

    def leaf(self, filtered=True, names=None):
        rng = self.both.rng
        if names:
            name = rng.choice(names)
            query = self.both.sparse_vector() if name in SPARSE else self.both.dense_vector(name)
        elif rng.random() < 0.5:
            name = rng.choice(list(SPARSE))
            query = self.both.sparse_vector()
        else:
            name = self.any_dense()
            query = self.both.dense_vector(name)
        return m.Prefetch(query=query, using=self.using(name), limit=rng.choice([5, 20, 100]),
                          filter=self.both.filter() if filtered and rng.random() < 0.3 else None,
                          score_threshold=0.5 if name in SPARSE and rng.random() < 0.2 else None)

    def tree(self, depth, filtered):
        """A prefetch with others below it: by DBSF, or ranked once more by a vector. (RRF has equal scores, of which
        a limit would cut off others here than there.)"""
        rng = self.both.rng
        similar = [name for name in ("", "cosine", "dot") if name in self.both.dense] + list(SPARSE)
        if depth == 0 or rng.random() < 0.3:
            return self.leaf(filtered, similar)
        below = [self.tree(depth - 1, filtered) for _ in range(rng.randint(1, 3))]
        if rng.random() < 0.5:
            return m.Prefetch(prefetch=below, query=m.FusionQuery(fusion=m.Fusion.DBSF), limit=rng.choice([10, 50]))
        name = rng.choice(similar)
        query = self.both.sparse_vector() if name in SPARSE else self.both.dense_vector(name)
        return m.Prefetch(prefetch=below, query=query, using=self.using(name), limit=rng.choice([10, 50]))

    def test_rrf(self):
        def step():
            rng = self.both.rng
            n = rng.randint(1, 3)
            query = rng.choice([
                m.FusionQuery(fusion=m.Fusion.RRF), m.RrfQuery(rrf=m.Rrf(k=rng.randint(1, 60))),
                m.RrfQuery(rrf=m.Rrf(weights=[rng.uniform(0.1, 3) for _ in range(n)])),
                m.RrfQuery(rrf=m.Rrf(k=7, weights=[rng.uniform(0.1, 3) for _ in range(n)]))])
            f = self.both.maybe_filter()
            self.scored("rrf", prefetch=[self.leaf(f is None) for _ in range(n)], query=query,
                        limit=rng.choice([5, 200]), offset=rng.choice([0, 0, 3]), query_filter=f)
        self.repeat(60, step)

    def test_dbsf(self):
        def step():
            f = self.both.maybe_filter()
            names = list(SPARSE) + [name for name in ("", "cosine", "dot") if name in self.both.dense]
            self.scored("dbsf", prefetch=[self.leaf(f is None, names) for _ in range(self.both.rng.randint(1, 3))],
                        query=m.FusionQuery(fusion=m.Fusion.DBSF), limit=self.both.rng.choice([5, 200]),
                        query_filter=f,
                        score_threshold=self.both.rng.choice([None, 0.5]))
        self.repeat(60, step)

    def test_rescoring(self):
        def step():
            name = self.any_dense()
            common = self.common()
            leaves = [self.leaf(common["query_filter"] is None) for _ in range(4)]
            inner = m.Prefetch(prefetch=leaves[:2], query=self.both.sparse_vector(), using="sparse", limit=30)
            self.scored("rescore", prefetch=self.both.rng.choice([leaves[2:3], [leaves[3], inner], inner]),
                        query=self.both.dense_vector(name), using=self.using(name), **common)
        self.repeat(40, step)

    def test_prefetches_of_prefetches(self):
        def step():
            name, common = self.any_dense(), self.common()
            filtered = common["query_filter"] is None
            query = self.both.rng.choice([
                dict(query=self.both.dense_vector(name), using=self.using(name)),
                dict(query=m.FusionQuery(fusion=m.Fusion.DBSF)), dict(query=self.both.sparse_vector(), using="sparse")])
            self.scored("tree", prefetch=[self.tree(3, filtered) for _ in range(self.both.rng.randint(1, 3))],
                        **query, **common)
        self.repeat(40, step)

    def test_sparse_by_id(self):
        def step():
            name = self.both.rng.choice(list(SPARSE))
            id = self.both.rng.choice(self.that_have(name))
            self.scored("sparse id", query=id, using=name, **self.common())
        self.repeat(20, step)

    def that_have(self, name):
        """Ids of the points with a vector."""
        return [p.id for p in self.both.local.scroll(self.both.name, limit=500, scroll_filter=m.Filter(
            must=[m.HasVectorCondition(has_vector=name)]))[0]]

    def test_mmr(self):
        def step():
            rng = self.both.rng
            if rng.random() < 0.7:
                name = rng.choice([name for name in self.both.dense if name != "manhattan"])
                vector = self.both.dense_vector(name)
            else:
                name, vector = "sparse", self.both.sparse_vector()
            self.scored("mmr", query=m.NearestQuery(nearest=vector, mmr=m.Mmr(
                diversity=rng.choice([None, 0.1, 0.5, 0.9]), candidates_limit=rng.choice([None, 10, 60]))),
                using=self.using(name), limit=rng.choice([3, 8]), query_filter=self.both.maybe_filter(), mmr=True)
        self.repeat(60, step)

    def test_recommend(self):
        stored = {}
        for record in self.both.local.scroll(self.both.name, limit=500, with_vectors=True)[0]:
            names = record.vector if isinstance(record.vector, dict) else {"": record.vector}
            for name in names:
                stored.setdefault(name, []).append(record.id)

        def step():
            rng = self.both.rng
            name = self.any_dense()

            def examples(least, most):
                return [rng.choice([rng.choice(stored[name]), self.both.dense_vector(name)])
                        for _ in range(rng.randint(least, most))]
            strategy = rng.choice([None] + list(m.RecommendStrategy))
            least = 1 if strategy in (None, m.RecommendStrategy.AVERAGE_VECTOR) else 0
            positive = examples(least, 3)
            negative = examples(0 if positive else 1, 2)
            a, b = self.both.do("query_points", using=self.using(name), query=m.RecommendQuery(
                recommend=m.RecommendInput(positive=positive, negative=negative, strategy=strategy)),
                limit=10, query_filter=self.both.maybe_filter())
            self.same_scored(a.points, b.points, "recommend %s %s %s %s" % (name, strategy, positive, negative))
        self.repeat(80, step)

    def test_recommend_sparse(self):
        def step():
            rng = self.both.rng
            name = rng.choice(list(SPARSE))
            strategy = rng.choice(list(m.RecommendStrategy))
            stored = self.that_have(name)
            vectors = {}

            def example():
                """A vector, or a point that has one."""
                if rng.random() < 0.5:
                    return self.both.sparse_vector()
                id = rng.choice(stored)
                vectors[id] = self.both.local.retrieve(self.both.name, [id], with_vectors=True)[0].vector[name]
                return id
            positive = [example() for _ in range(rng.randint(1, 2))]
            negative = [example() for _ in range(rng.randint(0, 1))]
            a, b = self.both.do("query_points", using=name, query=m.RecommendQuery(
                recommend=m.RecommendInput(positive=positive, negative=negative, strategy=strategy)), limit=500,
                with_vectors=True)
            positive, negative = ([vectors.get(x, x) if not isinstance(x, m.SparseVector) else x for x in some]
                                  for some in (positive, negative))
            near = positive if strategy == m.RecommendStrategy.BEST_SCORE else positive + negative
            indices = {i for v in near for i in v.indices}
            a.points[:] = [p for p in a.points if indices & set(p.vector[name].indices)]
            self.same_scored(a.points, b.points, "recommend sparse %s %s %s %s" % (name, strategy, positive, negative))
        self.repeat(40, step)

    def test_groups(self):
        def step():
            rng = self.both.rng
            name = self.any_dense()
            key = rng.choice(["city", "tags", "n", "deep.a.b", "mixed", "parts[].kind"])
            arguments = dict(group_by=key, limit=rng.choice([2, 5, 20]), group_size=rng.randint(1, 4),
                             query_filter=self.both.maybe_filter(), with_payload=rng.choice([True, False]),
                             **self.grouped(name))
            a, b = self.both.do("query_points_groups", **arguments)
            what = str(arguments)
            # A value groups by its best hit; a point in several groups makes ties in their order.
            self.assertEqual(len(a.groups), len(b.groups), what)
            ours = {(type(g.id), g.id): g for g in b.groups}
            for x, y in zip(a.groups, b.groups):
                self.close_to(x.hits[0].score, y.hits[0].score, what)
            for x in a.groups:
                if (type(x.id), x.id) in ours:
                    self.same_scored(x.hits, ours[(type(x.id), x.id)].hits, what)
                else:
                    self.close_to(x.hits[0].score, a.groups[-1].hits[0].score, what)
        self.repeat(60, step)

    def grouped(self, name):
        """What is put into groups. (The local mode takes every prefetch for one without a limit.)"""
        rng = self.both.rng
        prefetches = [m.Prefetch(query=self.both.dense_vector("" if self.both.unnamed else "dot"), limit=1000,
                                 using=self.using("" if self.both.unnamed else "dot")),
                      m.Prefetch(query=self.both.sparse_vector(), using="idf", limit=1000)]
        return rng.choice([
            dict(query=self.both.dense_vector(name), using=self.using(name)),
            dict(query=self.both.sparse_vector(), using="sparse", score_threshold=rng.choice([None, 1.0])),
            dict(prefetch=prefetches, query=self.both.dense_vector(name), using=self.using(name)),
            dict(prefetch=prefetches, query=m.FusionQuery(fusion=m.Fusion.DBSF))])

    def test_order_by(self):
        def step():
            rng = self.both.rng
            key = rng.choice(["n", "x", "when", "deep.a.b", "dates"])
            start = {"n": rng.randint(-20, 20), "x": rng.uniform(-5, 5), "when": "2015-05-05T00:00:00Z", "deep.a.b": 2,
                     "dates": self.both.date()}
            order = m.OrderBy(key=key, direction=rng.choice([None, m.Direction.ASC, m.Direction.DESC]),
                              start_from=rng.choice([None, start[key]]))
            f = self.both.maybe_filter()
            limit = rng.choice([5, 500])
            a, b = self.both.do("scroll", order_by=order, scroll_filter=f, limit=limit)
            self.same_ordered(a[0], b[0], "%s %s" % (order, f))
            a, b = self.both.do("query_points", query=m.OrderByQuery(order_by=order), query_filter=f, limit=limit)
            self.same_ordered(a.points, b.points, "%s %s" % (order, f), local_value=False)
        self.both.indexes()
        self.repeat(50, step)

    def same_ordered(self, a, b, what, local_value=True):
        what = "%s\nlocal:  %s\nquiver: %s" % (what, [(p.id, p.order_value) for p in a], [(p.id, p.order_value) for p in b])
        self.assertEqual(len(a), len(b), what)
        if not local_value:
            return
        for x, y in zip(a, b):
            self.close_to(x.order_value, y.order_value, what)
        # A point stands there once for each of its values.
        ours = {(p.id, p.order_value) for p in b}
        for x in a:
            if (x.id, x.order_value) not in ours:
                self.assertEqual(x.order_value, a[-1].order_value, what)

    def test_facets(self):
        def step():
            rng = self.both.rng
            key = rng.choice(["city", "tags", "n", "flag", "parts[].kind", "deep.a.c[]", "mixed", "maybe", "parts[].sub[].k"])
            arguments = dict(key=key, facet_filter=self.both.maybe_filter(), limit=rng.choice([2, 5, 100]))
            a, b = self.both.do("facet", exact=True, **arguments)
            self.assertEqual([(h.value, h.count) for h in a.hits], [(h.value, h.count) for h in b.hits], arguments)
        self.both.indexes()
        self.repeat(40, step)

    def test_sample(self):
        f = self.both.filter()
        a, b = self.both.do("query_points", query=m.SampleQuery(sample=m.Sample.RANDOM), limit=500, query_filter=f)
        self.assertEqual(sorted(str(p.id) for p in a.points), sorted(str(p.id) for p in b.points))
        self.assertEqual({p.score for p in a.points}, {p.score for p in b.points})

    def test_zz_filters_with_payload_indexes(self):
        """The same filters once indexes may answer them (the last test: indexes change the collection)."""
        self.both.indexes()
        self.test_every_single_condition()
        self.test_scroll_and_count_with_filters()


class QueriesOnePartition(Queries):
    shards = 1
    seed = 2


class QueriesUnnamed(Queries):
    shards = 2
    seed = 3
    unnamed = True


class Updates(DifferentialTest):
    seed = 4

    def selector(self):
        rng = self.both.rng
        if rng.random() < 0.6:
            return rng.sample(self.stored(), rng.randint(1, 6))
        return m.Filter(must=[m.HasIdCondition(has_id=rng.sample(self.both.ids, 60)), self.both.condition()])

    def partial(self):
        rng = self.both.rng
        return rng.choice([
            {"city": "Rom", "new": [1, {"a": None}]}, {"n": rng.randint(0, 99)}, {"deep": {"z": 1}},
            {"tags": []}, {"x": 1.0, "flag": None}, self.both.payload()])

    def operation(self):
        """(name of the method, arguments) of a random change."""
        rng = self.both.rng
        stored = self.stored()
        gone = rng.sample(stored, 1)
        kind = rng.randrange(15)
        if kind == 0:
            return "upsert", dict(points=[self.both.point(id) for id in rng.sample(self.both.ids, rng.randint(1, 20))])
        if kind == 1:
            ids = rng.sample(self.both.ids, 5)
            name = rng.choice(list(self.both.dense))
            return "upsert", dict(points=m.Batch(
                ids=ids, vectors={name: [self.both.dense_vector(name) for _ in ids]},
                payloads=[self.both.payload() for _ in ids]))
        if kind == 2:
            selector = self.selector()
            return "delete", dict(points_selector=m.FilterSelector(filter=selector)
                                  if isinstance(selector, m.Filter) else m.PointIdsList(points=selector[:2]))
        if kind == 3:
            return "set_payload", dict(payload=self.partial(), points=self.selector())
        if kind == 4:
            key = rng.choice(["deep", "deep.a", "parts[0]", "fresh", "parts[].more"])
            selector = self.selector()
            if key.startswith("parts"):
                selector = m.Filter(must=[m.HasIdCondition(has_id=rng.sample(self.both.ids, 40)), m.FieldCondition(
                    key="parts", values_count=m.ValuesCount(gte=1))])
            return "set_payload", dict(payload={"q": rng.randint(0, 9), "b": 7}, points=selector, key=key)
        if kind == 5:
            return "overwrite_payload", dict(payload=self.both.payload(), points=rng.sample(stored, 3))
        if kind == 6:
            return "delete_payload", dict(keys=rng.sample(["city", "deep.a.b", "parts[].kind", "tags", "new", "parts[].sub[].k", "parts[0].kind", "n"], 2),
                                          points=self.selector())
        if kind == 7:
            return "clear_payload", dict(points_selector=rng.sample(stored, 2))
        if kind == 8:
            return "update_vectors", dict(points=[m.PointVectors(id=id, vector=self.both.vectors())
                                                  for id in rng.sample(stored, 3)])
        if kind == 9:
            return "delete_vectors", dict(vectors=rng.sample(list(VECTORS) + list(SPARSE), 2), points=self.selector())
        if kind == 10:
            return "upsert", dict(points=[self.both.point(id) for id in rng.sample(self.both.ids, 15)], **self.for_which())
        if kind == 11:
            ids = rng.sample(self.both.ids, 8)
            return "upsert", dict(points=m.Batch(
                ids=ids, vectors={"idf": [self.both.sparse_vector() for _ in ids]}, payloads=None), **self.for_which())
        if kind == 12:
            return "update_vectors", dict(points=[m.PointVectors(id=id, vector=self.both.vectors())
                                                  for id in rng.sample(stored, 10)], update_filter=self.both.filter())
        if kind == 13:
            return "batch_update_points", dict(update_operations=[
                m.UpsertOperation(upsert=m.PointsList(points=[self.both.point(id) for id in rng.sample(self.both.ids, 4)],
                                                      **self.for_which())),
                m.OverwritePayloadOperation(overwrite_payload=m.SetPayload(payload=self.partial(), filter=self.selection())),
                m.SetPayloadOperation(set_payload=m.SetPayload(payload={"q": 1}, filter=self.selection(), key="deep.more")),
                m.DeletePayloadOperation(delete_payload=m.DeletePayload(keys=["deep.a", "q"], filter=self.selection())),
                m.UpdateVectorsOperation(update_vectors=m.UpdateVectors(points=[
                    m.PointVectors(id=rng.choice(stored), vector=self.both.vectors())], update_filter=self.both.filter())),
                m.DeleteVectorsOperation(delete_vectors=m.DeleteVectors(vector=["dot"], filter=self.selection())),
                m.ClearPayloadOperation(clear_payload=m.FilterSelector(filter=self.selection())),
                m.DeleteOperation(delete=m.FilterSelector(filter=self.selection()))])
        return "batch_update_points", dict(update_operations=[
            m.UpsertOperation(upsert=m.PointsList(points=[self.both.point(rng.choice(self.both.ids))])),
            m.SetPayloadOperation(set_payload=m.SetPayload(payload=self.partial(), points=rng.sample(stored, 5))),
            m.DeletePayloadOperation(delete_payload=m.DeletePayload(keys=["when"], points=rng.sample(stored, 5))),
            m.DeleteOperation(delete=m.PointIdsList(points=gone)),
            m.ClearPayloadOperation(clear_payload=m.PointIdsList(points=rng.sample(sorted(set(stored) - set(gone), key=str), 1)))])

    def for_which(self):
        """Which points an upsert is for."""
        rng = self.both.rng
        return {key: value for key, value in (
            ("update_filter", self.both.maybe_filter()),
            ("update_mode", rng.choice([None, m.UpdateMode.UPSERT, m.UpdateMode.INSERT_ONLY, m.UpdateMode.UPDATE_ONLY])))
            if value is not None}

    def selection(self):
        """A filter that few points pass."""
        return m.Filter(must=[m.HasIdCondition(has_id=self.both.rng.sample(self.both.ids, 15)), self.both.condition()])

    def stored(self):
        return [p.id for p in self.both.local.scroll(self.both.name, limit=500, with_payload=False)[0]]

    def test_random_changes(self):
        for i in range(150):
            method, arguments = self.operation()
            outcome = []
            for side in (self.both.local, self.both.server):
                try:
                    getattr(side, method)(self.both.name, **arguments)
                    outcome.append("done")
                except Exception as error:
                    outcome.append(repr(error))
            what = "operation %d: %s %s\nlocal: %s\nquiver: %s" % (i, method, arguments, *outcome)
            self.assertEqual(outcome, ["done", "done"], what)
            self.same_state(what)


class UpdatesOnePartition(Updates):
    shards = 1
    seed = 5


if __name__ == "__main__":
    unittest.main()
