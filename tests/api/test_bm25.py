"""Texts as sparse vectors on the server: the model qdrant/bm25 in points and queries."""
import math
import unittest

from harness import ApiTest, ids

MODEL = "qdrant/bm25"
TEXTS = {
    1: "The quick brown fox jumps over the lazy dog",
    2: "A quick survey of foxes and other animals that jump",
    3: "Databases store vectors; searching vectors quickly needs an index",
    4: "Dogs are lazy. Lazy dogs sleep. Dogs!",
    5: "the and of",
}


def document(text, **options):
    body = {"text": text, "model": MODEL}
    if options:
        body["options"] = options
    return body


class Bm25Test(ApiTest):
    def texts(self, **more):
        path = self.collection(sparse_vectors={"text": {"modifier": "idf"}}, **more)
        self.upsert(path, [{"id": i, "vector": {"text": document(t)}} for i, t in TEXTS.items()])
        return path

    def query(self, path, text, **more):
        return self.post(path + "/points/query",
                         dict({"query": document(text), "using": "text", "limit": 100}, **more))["points"]

    def test_scores_are_those_of_the_formula(self):
        # The tokens as a person would write them down: stop words gone, stems instead of words.
        stems = {1: "quick brown fox jump lazi dog".split(),
                 2: "quick survey fox anim jump".split(),
                 3: "databas store vector search vector quick need index".split(),
                 4: "dog lazi lazi dog sleep dog".split()}
        for shards in (1, 3):
            path = self.texts(shard_number=shards)
            for text, terms in (("lazy dogs", ["lazi", "dog"]), ("vector searches", ["vector", "search"]),
                                ("Foxes?", ["fox"]), ("quick quick", ["quick"])):
                expected = {}
                for term in terms:
                    n = sum(term in words for words in stems.values())
                    idf = math.log((len(stems) - n + 0.5) / (n + 0.5) + 1)
                    for i, words in stems.items():
                        occurs = words.count(term)
                        if occurs:
                            length = 1 - 0.75 + 0.75 * len(words) / 256
                            expected[i] = expected.get(i, 0) + idf * occurs * 2.2 / (occurs + 1.2 * length)
                found = self.query(path, text)
                self.assertEqual({p["id"] for p in found}, set(expected), text)
                for p in found:
                    self.assertAlmostEqual(p["score"], expected[p["id"]], places=5)
                self.assertEqual(ids(found), sorted(expected, key=lambda i: (-expected[i], -i)))

    def test_a_text_without_words_gives_no_vector_and_no_hit(self):
        path = self.texts()
        self.assertEqual(self.query(path, "the of"), [])
        self.assertEqual(self.count(path, {"must": [{"has_vector": "text"}]}), 4)

    def test_in_every_form_of_a_write(self):
        path = self.collection({"d": {"size": 1, "distance": "Dot"}}, sparse_vectors={"text": {}})
        self.put(path + "/points?wait=true", {"batch": {
            "ids": [1, 2], "vectors": {"text": [document("alpha"), document("beta")]}}})
        self.put(path + "/points/vectors?wait=true", {"points": [{"id": 2, "vector": {"text": document("gamma")}}]})
        self.post(path + "/points/batch?wait=true", {"operations": [
            {"upsert": {"points": [{"id": 3, "vector": {"d": [1], "text": document("delta")}}]}},
            {"update_vectors": {"points": [{"id": 1, "vector": {"text": document("omega")}}]}}]})
        for text, wanted in (("alpha", []), ("beta", []), ("gamma", [2]), ("delta", [3]), ("omega", [1])):
            self.assertEqual(ids(self.query(path, text)), wanted)

    def test_in_every_form_of_a_query(self):
        path = self.collection({"d": {"size": 1, "distance": "Dot"}}, sparse_vectors={"text": {"modifier": "idf"}})
        self.upsert(path, [{"id": i, "vector": {"d": [i], "text": document(t)}, "payload": {"k": i % 2}}
                           for i, t in TEXTS.items()])
        fused = self.post(path + "/points/query", {
            "prefetch": [{"query": document("lazy dog"), "using": "text"}, {"query": [1], "using": "d"}],
            "query": {"fusion": "rrf"}, "limit": 5})["points"]
        self.assertEqual(set(ids(fused)), {1, 2, 3, 4, 5})
        nearest = self.post(path + "/points/query", {"query": {"nearest": document("lazy dog")}, "using": "text"})
        self.assertEqual(ids(nearest["points"]), [4, 1])
        batch = self.post(path + "/points/query/batch", {"searches": [
            {"query": document("survey"), "using": "text"}, {"query": document("index"), "using": "text"}]})
        self.assertEqual([ids(r["points"]) for r in batch], [[2], [3]])
        groups = self.post(path + "/points/query/groups", {
            "query": document("quick"), "using": "text", "group_by": "k"})["groups"]
        self.assertEqual(sorted((g["id"], sorted(ids(g["hits"]))) for g in groups), [(0, [2]), (1, [1, 3])])
        filtered = self.query(path, "quick", filter={"must": [{"key": "k", "match": {"value": 0}}]})
        self.assertEqual(ids(filtered), [2])

    def test_options(self):
        path = self.collection(sparse_vectors={"text": {}})
        german = {"language": "german"}
        self.upsert(path, [
            {"id": 1, "vector": {"text": document("Die Katzen schlafen", **german)}},
            {"id": 2, "vector": {"text": document("the cats", language="none")}},
            {"id": 3, "vector": {"text": document("Caf\u00e9 \u00e9t\u00e9", ascii_folding=True, language="none")}}])

        def search(text, **options):
            return ids(self.post(path + "/points/query", {"query": document(text, **options),
                                                          "using": "text"})["points"])
        self.assertEqual(search("Katze", **german), [1])
        self.assertEqual(search("die", **german), [])
        self.assertEqual(search("the", language="none"), [2])
        self.assertEqual(search("cat", language="none"), [])
        self.assertEqual(search("cafe", language="none"), [3])
        stored = self.post(path + "/points", {"ids": [2], "with_vector": True})[0]["vector"]["text"]
        self.assertEqual(len(stored["indices"]), 2)
        weight = 1 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / 256))
        for value in stored["values"]:
            self.assertAlmostEqual(value, weight, places=5)

    def test_token_indices_are_those_of_the_clients(self):
        # |mmh3.hash("hello")|: vectors that a client made itself meet those made here.
        path = self.collection(sparse_vectors={"text": {}})
        self.upsert(path, [{"id": 1, "vector": {"text": {"indices": [613153351], "values": [2.0]}}}])
        self.assertEqual(ids(self.query(path, "Hello!")), [1])

    def test_refusals_change_nothing(self):
        path = self.collection({"d": {"size": 2, "distance": "Dot"}}, sparse_vectors={"text": {}})
        for vector, status, words in (
                ({"text": {"text": "x", "model": "other/model"}}, 400, "`other/model`"),
                ({"d": document("x")}, 400, "dense"),
                ({"text": document("x", k=-1)}, 422, "options.k"),
                ({"text": document("x", language="klingon")}, 400, "`klingon`"),
                ({"text": document("x", magic=1)}, 400, "`magic`"),
                ({"text": {"text": 5, "model": MODEL}}, 400, "text"),
                ({"text": {"image": "x", "model": MODEL}}, 400, "is not supported")):
            self.refused(status, words, "PUT", path + "/points?wait=true", {"points": [{"id": 1, "vector": vector}]})
        self.assertEqual(self.count(path), 0)
        self.refused(400, "dense", "POST", path + "/points/query", {"query": document("x"), "using": "d"})


if __name__ == "__main__":
    unittest.main()
