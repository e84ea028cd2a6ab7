"""Searches against numpy: metrics, thresholds, sparse vectors, fusion, MMR, recommendation, ordering,
groups, batches, the older routes; on one shard and on three."""
import math
import random
import unittest

import numpy

from harness import ApiTest, ids

DIM = 8


def normalised(m):
    norms = numpy.linalg.norm(m, axis=-1, keepdims=True)
    return m / numpy.where(norms == 0, 1, norms)


def scores(distance, rows, query):
    rows, query = rows.astype("f8"), numpy.asarray(query, "f8")
    if distance == "Cosine":
        return normalised(rows) @ normalised(query)
    if distance == "Dot":
        return rows @ query
    if distance == "Euclid":
        return numpy.linalg.norm(rows - query, axis=1)
    return numpy.abs(rows - query).sum(axis=1)


def ranking(distance, rows, query):
    """Row numbers, best first, and their scores."""
    s = scores(distance, rows, query)
    order = numpy.argsort(-s if distance in ("Cosine", "Dot") else s, kind="stable")
    return order, s[order]


class Query(ApiTest):
    flags = ("--seal-rows", "120")
    shards = 1
    n = 300

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rng = numpy.random.default_rng(3)
        cls.rows = {d: rng.normal(size=(cls.n, DIM)).astype("f4")
                    for d in ("Cosine", "Dot", "Euclid", "Manhattan")}
        chance = random.Random(4)
        cls.sparse = []
        for i in range(cls.n):
            indices = chance.sample(range(0, 4000000000, 100000000), chance.randrange(1, 8))
            cls.sparse.append({"indices": indices,
                               "values": [round(chance.uniform(0.1, 2), 3) for _ in indices]})
        cls.payloads = [{"n": i, "group": "g%d" % (i % 7), "parity": i % 2,
                         "tags": ["t%d" % (i % 3), "t%d" % (i % 5)]} for i in range(cls.n)]
        path = cls.path = "/collections/queries"
        answer = cls.server.call("PUT", path, {
            "vectors": {d: {"size": DIM, "distance": d} for d in cls.rows},
            "sparse_vectors": {"plain": {}, "idf": {"modifier": "idf"}},
            "shard_number": cls.shards})
        assert answer.status == 200, answer
        for first in range(0, cls.n, 100):
            points = []
            for i in range(first, first + 100):
                vector = {d: cls.rows[d][i].tolist() for d in cls.rows}
                if i % 10 != 0:
                    vector["plain"] = vector["idf"] = cls.sparse[i]
                points.append({"id": i, "vector": vector, "payload": cls.payloads[i]})
            answer = cls.server.call("PUT", path + "/points?wait=true", {"points": points})
            assert answer.status == 200, answer
        cls.queries = rng.normal(size=(20, DIM)).astype("f4")

    def query(self, **body):
        return self.post(self.path + "/points/query", body)["points"]

    def same_hits(self, hits, wanted_ids, wanted_scores, places=4):
        for hit, score in zip(hits, wanted_scores):
            self.assertAlmostEqual(hit["score"], float(score), places=places)
        self.assertEqual(ids(hits), [int(i) for i in wanted_ids])

    # ---- nearest ----

    def test_every_distance(self):
        for distance, rows in self.rows.items():
            for q in self.queries:
                order, best = ranking(distance, rows, q)
                hits = self.query(query=q.tolist(), using=distance, limit=20)
                self.same_hits(hits, order[:20], best[:20])
                page = self.query(query=q.tolist(), using=distance, limit=7, offset=5)
                self.same_hits(page, order[5:12], best[5:12])

    def test_score_is_a_float_and_version_is_there(self):
        answer = self.call("POST", self.path + "/points/query", {
            "query": [0] * DIM, "using": "Dot", "limit": 1})
        self.assertIn(b'"score":0.0', answer.body)
        self.assertIsInstance(answer.result["points"][0]["version"], int)

    def test_thresholds_are_strict(self):
        for distance, rows in self.rows.items():
            q = self.queries[0].tolist()
            everything = self.query(query=q, using=distance, limit=self.n)
            at = everything[10]["score"]
            hits = self.query(query=q, using=distance, limit=self.n, score_threshold=at)
            self.assertEqual(ids(hits), ids(everything[:10]), distance)

    def test_ties(self):
        path = self.collection({"a": {"size": 2, "distance": "Dot"}, "b": {"size": 2, "distance": "Euclid"}},
                               shard_number=self.shards)
        text = "00000000-0000-0000-0000-000000000001"
        points = [{"id": i, "vector": {"a": [1, 0], "b": [1, 0]}} for i in list(range(20)) + [text]]
        self.upsert(path, points)
        hits = self.post(path + "/points/query", {"query": [1, 0], "using": "a", "limit": 50})["points"]
        self.assertEqual(ids(hits), [text] + list(range(19, -1, -1)))
        hits = self.post(path + "/points/query", {"query": [1, 0], "using": "b", "limit": 50})["points"]
        self.assertEqual(ids(hits), list(range(20)) + [text])

    def test_by_id(self):
        for distance, rows in self.rows.items():
            order, best = ranking(distance, rows, rows[42])
            hits = self.query(query=42, using=distance, limit=5)
            keep = [(i, s) for i, s in zip(order, best) if i != 42][:5]
            self.same_hits(hits, [i for i, _ in keep], [s for _, s in keep])
        self.refused(404, "Not found: No point with id 9999 found", "POST", self.path + "/points/query",
                     {"query": 9999, "using": "Dot"})

    def test_huge_limits(self):
        hits = self.query(query=self.queries[0].tolist(), using="Dot", limit=999999999)
        self.assertEqual(len(hits), self.n)
        hits = self.query(query=self.queries[0].tolist(), using="Dot", limit=2**63)
        self.assertEqual(len(hits), self.n)
        self.assertEqual(self.query(query=self.queries[0].tolist(), using="Dot", offset=10**18), [])
        self.assertEqual(len(self.query(limit=999999999)), self.n)

    def test_listing(self):
        hits = self.query(limit=5, with_payload=["n"])
        self.assertEqual(ids(hits), [0, 1, 2, 3, 4])
        self.assertEqual(hits[3]["payload"], {"n": 3})
        self.assertEqual(ids(self.query(limit=3, offset=10)), [10, 11, 12])
        hits = self.query(filter={"must": [{"key": "n", "range": {"gte": 290}}], "should": []}, limit=100)
        self.assertEqual(ids(hits), list(range(290, 300)))

    # ---- sparse ----

    def sparse_ranking(self, query, weight=None):
        found = []
        for i in range(self.n):
            if i % 10 == 0:
                continue
            own = dict(zip(self.sparse[i]["indices"], self.sparse[i]["values"]))
            common = [k for k in query["indices"] if k in own]
            if common:
                q = dict(zip(query["indices"], query["values"]))
                found.append((sum(q[k] * own[k] * (weight(k) if weight else 1) for k in common), i))
        return sorted(found, key=lambda f: (-f[0], -f[1]))

    def test_sparse(self):
        rng = random.Random(9)
        stored = [self.sparse[i] for i in range(self.n) if i % 10 != 0]

        def idf(k):
            with_k = sum(k in s["indices"] for s in stored)
            return math.log((len(stored) - with_k + 0.5) / (with_k + 0.5) + 1)

        for _ in range(20):
            indices = rng.sample(range(0, 4000000000, 100000000), 3) + [17]
            query = {"indices": indices, "values": [rng.uniform(0.1, 2) for _ in indices]}
            for name, weight in (("plain", None), ("idf", idf)):
                wanted = self.sparse_ranking(query, weight)
                hits = self.query(query=query, using=name, limit=self.n)
                self.assertEqual(len(hits), len(wanted))
                for hit, (score, _) in zip(hits, wanted):
                    self.assertAlmostEqual(hit["score"], score, places=3)
                self.assertEqual(set(ids(hits)), {i for _, i in wanted})
        self.assertEqual(self.query(query={"indices": [17], "values": [1]}, using="plain"), [])
        self.assertEqual(self.query(query={"indices": [], "values": []}, using="plain"), [])

    # ---- fusion ----

    def prefetches(self, k=20):
        return [{"query": self.queries[0].tolist(), "using": "Dot", "limit": k},
                {"query": self.queries[1].tolist(), "using": "Euclid", "limit": k}]

    def test_rrf(self):
        lists = [[int(i) for i in ranking(d, self.rows[d], self.queries[n])[0][:20]]
                 for n, d in enumerate(("Dot", "Euclid"))]

        def fused(k=2, weights=(1, 1)):
            total = {}
            for found, weight in zip(lists, weights):
                for rank, i in enumerate(found):
                    total[i] = total.get(i, 0) + 1 / ((rank + 1) / weight + k - 1)
            return total

        for query, wanted in (
                ({"fusion": "rrf"}, fused()), ({"rrf": {}}, fused()), ({"rrf": {"k": 60}}, fused(60)),
                ({"rrf": {"k": None, "weights": [3.0, 0.5]}}, fused(weights=(3.0, 0.5)))):
            hits = self.query(prefetch=self.prefetches(), query=query, limit=100)
            self.assertEqual(set(ids(hits)), set(wanted))
            for hit in hits:
                self.assertAlmostEqual(hit["score"], wanted[hit["id"]], places=5)
            self.assertEqual([h["score"] for h in hits], sorted((h["score"] for h in hits), reverse=True))
            first = self.query(prefetch=self.prefetches(), query=query, limit=5, offset=3)
            self.assertEqual([h["score"] for h in first], [h["score"] for h in hits[3:8]])
        least = hits[4]["score"]
        kept = self.query(prefetch=self.prefetches(), query=query, limit=100, score_threshold=least)
        self.assertEqual(len(kept), sum(h["score"] >= least for h in hits))

    def test_dbsf(self):
        total = {}
        for n, d in enumerate(("Dot", "Euclid")):
            order, best = ranking(d, self.rows[d], self.queries[n])
            order, best = order[:20], best[:20].astype("f8")
            mean, sigma = best.mean(), best.std(ddof=1)
            for i, s in zip(order, best):
                share = (s - (mean - 3 * sigma)) / (6 * sigma)
                total[int(i)] = total.get(int(i), 0) + (share if d == "Dot" else 1 - share)
        for limit in (100, 7):
            hits = self.query(prefetch=self.prefetches(), query={"fusion": "dbsf"}, limit=limit)
            best = sorted(total, key=lambda i: -total[i])[:limit]
            self.assertEqual(ids(hits), best)
            for hit in hits:
                self.assertAlmostEqual(hit["score"], total[hit["id"]], places=4)

    def test_hybrid_with_filters(self):
        even = {"must": [{"key": "parity", "match": {"value": 0}}]}
        low = {"must": [{"key": "n", "range": {"lt": 100}}]}
        prefetch = [{"query": self.queries[2].tolist(), "using": "Cosine", "filter": low, "limit": 30},
                    {"query": {"indices": [0, 100000000, 200000000], "values": [1, 1, 1]},
                     "using": "plain", "limit": 30}]
        hits = self.query(prefetch=prefetch, query={"fusion": "rrf"}, filter=even, limit=60,
                          with_payload=True)
        self.assertGreater(len(hits), 5)
        self.assertTrue(all(h["payload"]["parity"] == 0 for h in hits))

    def test_rescoring(self):
        near = ranking("Dot", self.rows["Dot"], self.queries[3])[0][:25]
        again = scores("Euclid", self.rows["Euclid"][near], self.queries[4])
        order = numpy.argsort(again)[:10]
        hits = self.query(prefetch={"query": self.queries[3].tolist(), "using": "Dot", "limit": 25},
                          query=self.queries[4].tolist(), using="Euclid", limit=10)
        self.same_hits(hits, near[order], again[order])
        # A prefetch without a query is a listing, and the filter alone.
        hits = self.query(prefetch={"filter": {"must": [{"key": "n", "range": {"lt": 50}}]},
                                    "limit": 999999999},
                          query=self.queries[4].tolist(), using="Euclid", limit=10)
        order, best = ranking("Euclid", self.rows["Euclid"][:50], self.queries[4])
        self.same_hits(hits, order[:10], best[:10])
        # Two levels.
        hits = self.query(prefetch={"prefetch": {"query": 7, "using": "Dot", "limit": 50},
                                    "query": self.queries[3].tolist(), "using": "Manhattan",
                                    "limit": 20},
                          query=self.queries[4].tolist(), using="Cosine", limit=5)
        self.assertEqual(len(hits), 5)

    def test_mmr(self):
        rows = normalised(self.rows["Cosine"].astype("f8"))
        query = normalised(self.queries[5].astype("f8"))
        near = [int(i) for i in ranking("Cosine", self.rows["Cosine"], self.queries[5])[0][:40]]
        for diversity in (0.0, 0.3, 0.5, 1.0):
            chosen = []
            while len(chosen) < 8:
                def value(i):
                    away = max((rows[i] @ rows[j] for j in chosen), default=0)
                    return (1 - diversity) * (rows[i] @ query) - diversity * away if chosen \
                        else rows[i] @ query
                chosen.append(max((i for i in near if i not in chosen), key=value))
            hits = self.query(query={"nearest": self.queries[5].tolist(),
                                     "mmr": {"diversity": diversity, "candidates_limit": 40}},
                              using="Cosine", limit=8, with_vector=True)
            self.assertEqual(ids(hits), chosen, diversity)
            for hit in hits:
                self.assertAlmostEqual(hit["score"], float(rows[hit["id"]] @ query), places=4)

    # ---- recommend ----

    def test_recommend(self):
        rows = self.rows["Dot"].astype("f8")
        wanted = rows[[1, 2]].mean(axis=0)
        wanted = wanted + wanted - rows[[3]].mean(axis=0)
        s = rows @ wanted
        order = [i for i in numpy.argsort(-s) if i not in (1, 2, 3)][:10]
        hits = self.query(query={"recommend": {"positive": [1, 2], "negative": [3]}}, using="Dot")
        self.same_hits(hits, order, s[order], places=3)
        old = self.post(self.path + "/points/recommend",
                        {"positive": [1, 2], "negative": [3], "using": "Dot", "limit": 10})
        self.assertEqual(old, hits)
        hits = self.query(query={"recommend": {"positive": [1, self.queries[0].tolist()],
                                               "strategy": "best_score"}}, using="Cosine", limit=10)
        cos = normalised(rows_of(self, "Cosine"))
        best = numpy.maximum(cos @ cos[1], cos @ normalised(self.queries[0].astype("f8")))
        best[1] = -9
        self.assertEqual(ids(hits), [int(i) for i in numpy.argsort(-best)[:10]])
        hits = self.query(query={"recommend": {"positive": [1], "negative": [2],
                                               "strategy": "sum_scores"}}, using="Cosine", limit=10)
        total = cos @ cos[1] - cos @ cos[2]
        total[[1, 2]] = -9
        self.assertEqual(ids(hits), [int(i) for i in numpy.argsort(-total)[:10]])
        self.assertEqual(self.post(self.path + "/points/recommend/batch", {"searches": [
            {"positive": [1, 2], "negative": [3], "using": "Dot", "limit": 10}]}), [old])
        self.refused(400, "positive", "POST", self.path + "/points/recommend",
                     {"positive": [], "using": "Dot", "limit": 1})
        self.refused(404, "9999", "POST", self.path + "/points/recommend",
                     {"positive": [9999], "using": "Dot", "limit": 1})

    # ---- order, sample ----

    def test_order_by(self):
        hits = self.query(query={"order_by": {"key": "n", "direction": "desc"}}, limit=4)
        self.assertEqual([(h["id"], h["order_value"]) for h in hits],
                         [(299, 299), (298, 298), (297, 297), (296, 296)])
        hits = self.query(query={"order_by": {"key": "n", "start_from": 250}}, limit=3,
                          filter={"must": [{"key": "parity", "match": {"value": 1}}]})
        self.assertEqual(ids(hits), [251, 253, 255])

    def test_sample(self):
        first, second = (self.query(query={"sample": "random"}, limit=20) for _ in range(2))
        self.assertEqual(len(set(ids(first))), 20)
        self.assertNotEqual(ids(first), ids(second))
        everything = self.query(query={"sample": "random"}, limit=1000)
        self.assertEqual(sorted(ids(everything)), list(range(self.n)))

    # ---- selection ----

    def test_selection(self):
        q = self.queries[0].tolist()
        hit = self.query(query=q, using="Dot", limit=1)[0]
        self.assertEqual(sorted(hit), ["id", "score", "version"])
        hit = self.query(query=q, using="Dot", limit=1, with_payload=True, with_vector=["Euclid"])[0]
        self.assertEqual(hit["payload"], self.payloads[hit["id"]])
        self.assertEqual(list(hit["vector"]), ["Euclid"])
        numpy.testing.assert_allclose(hit["vector"]["Euclid"], self.rows["Euclid"][hit["id"]])
        hit = self.query(query=q, using="Dot", limit=1, with_vectors=True,
                         with_payload={"exclude": ["tags"]})[0]
        self.assertEqual(sorted(hit["payload"]), ["group", "n", "parity"])
        self.assertLessEqual({"Dot", "Cosine", "Euclid", "Manhattan"}, set(hit["vector"]))

    def test_receipt(self):
        body = {"query": self.queries[0].tolist(), "using": "Dot", "limit": 3}
        route = self.path + "/points/query"
        self.assertNotIn("receipt", self.call("POST", route, body).json)
        for answer in (self.call("POST", route + "?receipt=true", body),
                       self.call("POST", route, body, headers={"Quiver-Receipt": "1"})):
            receipt = answer.json["receipt"]
            self.assertIs(receipt["complete"], True)
            self.assertEqual([p["partition"] for p in receipt["partitions"]],
                             list(range(self.shards)))
            for part in receipt["partitions"]:
                self.assertIn(part["plan"], ("exact", "graph", "ivf", "sparse"))
                self.assertGreater(part["candidates"], 0)
                self.assertIs(part["cut"], False)
        answer = self.call("POST", route + "/batch?receipt=true", {"searches": [body, body]})
        self.assertEqual(len(answer.json["receipt"]), 2)
        answer = self.call("PUT", self.path + "/points?wait=true&receipt=true", {
            "points": [{"id": 7777777, "vector": {}}]})
        self.assertEqual(answer.json["receipt"]["changed"], 1)
        self.post(self.path + "/points/delete?wait=true", {"points": [7777777]})

    def test_search_parameters(self):
        q = self.queries[0].tolist()
        plain = self.query(query=q, using="Dot")
        for params in ({"exact": True}, {"hnsw_ef": 512}, {"indexed_only": False}, {"nprobe": 1000},
                       {"quantization": {"ignore": True, "rescore": True, "oversampling": 2.0}},
                       {"acorn": {"enable": True, "max_selectivity": 0.4}}, {"budget_ms": 60000},
                       {"min_recall": 0.99}, {"exact": None}, {}, None):
            self.assertEqual(self.query(query=q, using="Dot", params=params), plain, params)
        self.assertEqual(self.query(query=q, using="Dot", allow_partial=True), plain)

    # ---- many at once ----

    def test_batches(self):
        bodies = [{"query": q.tolist(), "using": "Dot", "limit": 3} for q in self.queries]
        bodies += [{"limit": 2}, {"prefetch": self.prefetches(), "query": {"fusion": "rrf"}, "limit": 4},
                   {"query": 5, "using": "Euclid", "with_payload": True}]
        results = self.post(self.path + "/points/query/batch", {"searches": bodies})
        self.assertEqual([ids(r["points"]) for r in results],
                         [ids(self.query(**b)) for b in bodies])
        self.assertEqual(self.post(self.path + "/points/query/batch", {"searches": []}), [])
        self.refused(400, "searches[1]", "POST", self.path + "/points/query/batch",
                     {"searches": [{}, {"query": [1], "using": "Dot"}]})

    def test_older_searches(self):
        q = self.queries[0].tolist()
        new = self.query(query=q, using="Dot", limit=5, with_payload=True)
        body = {"vector": {"name": "Dot", "vector": q}, "limit": 5, "with_payload": True}
        self.assertEqual(self.post(self.path + "/points/search", body), new)
        body["top"] = body.pop("limit")
        self.assertEqual(self.post(self.path + "/points/search/batch", {"searches": [body, body]}),
                         [new, new])
        sparse = {"indices": [0, 100000000], "values": [1, 2]}
        self.assertEqual(
            self.post(self.path + "/points/search",
                      {"vector": {"name": "plain", "vector": sparse}, "limit": 5}),
            self.query(query=sparse, using="plain", limit=5))

    def test_groups(self):
        q = self.queries[6].tolist()
        order = [int(i) for i in ranking("Dot", self.rows["Dot"], self.queries[6])[0]]

        def wanted(limit, size, key):
            groups = {}
            for i in order:
                for v in key(i):
                    groups.setdefault(v, []).append(i)
            first = sorted(groups.items(), key=lambda g: order.index(g[1][0]))[:limit]
            return {v: members[:size] for v, members in first}

        for limit, size in ((3, 2), (10, 1), (7, 5)):
            got = self.post(self.path + "/points/query/groups", {
                "query": q, "using": "Dot", "group_by": "group", "limit": limit, "group_size": size})
            self.assertEqual({g["id"]: ids(g["hits"]) for g in got["groups"]},
                             wanted(limit, size, lambda i: ["g%d" % (i % 7)]))
        got = self.post(self.path + "/points/query/groups",
                        {"query": q, "using": "Dot", "group_by": "parity"})
        self.assertEqual({g["id"]: len(g["hits"]) for g in got["groups"]}, {0: 3, 1: 3})
        self.assertEqual([type(g["id"]) for g in got["groups"]], [int, int])
        got = self.post(self.path + "/points/query/groups", {
            "query": q, "using": "Dot", "group_by": "tags", "group_size": 4})
        self.assertEqual({g["id"]: ids(g["hits"]) for g in got["groups"]},
                         wanted(10, 4, lambda i: sorted({"t%d" % (i % 3), "t%d" % (i % 5)})))
        got = self.post(self.path + "/points/query/groups",
                        {"query": q, "using": "Dot", "group_by": "none"})
        self.assertEqual(got, {"groups": []})
        old = self.post(self.path + "/points/search/groups", {
            "vector": {"name": "Dot", "vector": q}, "group_by": "group", "limit": 3,
            "group_size": 2, "with_payload": True})
        self.assertEqual({g["id"]: ids(g["hits"]) for g in old["groups"]},
                         wanted(3, 2, lambda i: ["g%d" % (i % 7)]))
        fused = self.post(self.path + "/points/query/groups", {
            "prefetch": self.prefetches(50), "query": {"fusion": "rrf"}, "group_by": "group",
            "limit": 4, "group_size": 2})
        self.assertEqual(len(fused["groups"]), 4)
        self.refused(400, "with_lookup is not supported", "POST", self.path + "/points/query/groups",
                     {"query": q, "using": "Dot", "group_by": "group", "with_lookup": "other"})


def rows_of(test, distance):
    return test.rows[distance].astype("f8")


class QueryOnThreeShards(Query):
    shards = 3


if __name__ == "__main__":
    unittest.main()
