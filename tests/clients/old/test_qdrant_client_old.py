"""qdrant-client 1.9, which knows nothing of points/query: search, recommend and scroll by their older routes."""
import unittest

from qdrant_client import QdrantClient, models as m
from qdrant_client.http.exceptions import UnexpectedResponse

from support import DOCUMENTS, URL, embed, embed_sparse, new_name


class OldClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = QdrantClient(url=URL, timeout=60)
        cls.name = new_name("old")
        cls.client.create_collection(
            cls.name, vectors_config={"dense": m.VectorParams(size=256, distance=m.Distance.COSINE)},
            sparse_vectors_config={"sparse": m.SparseVectorParams()}, shard_number=2)
        points = []
        for i, (text, data) in enumerate(DOCUMENTS):
            indices, values = embed_sparse(text)
            points.append(m.PointStruct(id=i, payload=dict(data, text=text), vector={
                "dense": embed(text), "sparse": m.SparseVector(indices=indices, values=values)}))
        cls.client.upsert(cls.name, points, wait=True)

    @classmethod
    def tearDownClass(cls):
        cls.client.delete_collection(cls.name)
        cls.client.close()

    def test_info(self):
        info = self.client.get_collection(self.name)
        self.assertEqual((info.status, info.points_count), (m.CollectionStatus.GREEN, len(DOCUMENTS)))
        self.assertEqual(info.config.params.vectors["dense"].size, 256)
        self.assertTrue(self.client.collection_exists(self.name))

    def test_search(self):
        found = self.client.search(self.name, query_vector=("dense", embed(DOCUMENTS[3][0])), limit=2, with_vectors=["dense"])
        self.assertEqual(found[0].id, 3)
        self.assertAlmostEqual(found[0].score, 1.0, places=5)
        self.assertEqual(found[0].payload["text"], DOCUMENTS[3][0])
        self.assertEqual(list(found[0].vector), ["dense"])

    def test_search_sparse(self):
        indices, values = embed_sparse("flour and salt")
        found = self.client.search(self.name, query_vector=m.NamedSparseVector(
            name="sparse", vector=m.SparseVector(indices=indices, values=values)), limit=5)
        self.assertEqual(found[0].id, 4)

    def test_search_batch_filter_and_threshold(self):
        only = m.Filter(must=[m.FieldCondition(key="topic", match=m.MatchValue(value="nature"))])
        vector = m.NamedVector(name="dense", vector=embed("sand and sea"))
        both = self.client.search_batch(self.name, requests=[
            m.SearchRequest(vector=vector, limit=5, filter=only, with_payload=True),
            m.SearchRequest(vector=vector, limit=5, score_threshold=0.99)])
        self.assertEqual({p.payload["topic"] for p in both[0]}, {"nature"})
        self.assertEqual(both[1], [])

    def test_search_groups(self):
        groups = self.client.search_groups(self.name, query_vector=("dense", embed("sand")), group_by="topic", limit=4,
                                           group_size=1).groups
        self.assertEqual(groups[0].id, "nature")
        self.assertEqual(len(groups), 4)

    def test_recommend(self):
        found = self.client.recommend(self.name, positive=[0], negative=[4], using="dense", limit=3)
        self.assertEqual(found[0].id, 1)
        self.assertNotIn(0, [p.id for p in found])
        batch = self.client.recommend_batch(self.name, requests=[
            m.RecommendRequest(positive=[0], using="dense", limit=1),
            m.RecommendRequest(positive=[2], using="dense", limit=1, strategy=m.RecommendStrategy.BEST_SCORE)])
        self.assertEqual([len(b) for b in batch], [1, 1])

    def test_scroll_count_and_order(self):
        self.client.create_payload_index(self.name, "page", m.PayloadSchemaType.INTEGER)
        page, following = self.client.scroll(self.name, limit=3)
        self.assertEqual(([p.id for p in page], following), ([0, 1, 2], 3))
        page, following = self.client.scroll(self.name, limit=30, order_by="page")
        self.assertEqual([p.payload["page"] for p in page], [1] * 4 + [2] * 4)
        self.assertEqual(self.client.count(self.name, count_filter=m.Filter(must_not=[
            m.FieldCondition(key="page", range=m.Range(gte=2))])).count, 4)

    def test_payload_and_vectors(self):
        name = new_name("old")
        self.client.recreate_collection(name, vectors_config=m.VectorParams(size=2, distance=m.Distance.EUCLID))
        self.addCleanup(self.client.delete_collection, name)
        self.client.upload_collection(name, vectors=[[i, i] for i in range(20)], payload=[{"i": i} for i in range(20)],
                                      ids=list(range(20)), wait=True)
        self.client.set_payload(name, payload={"even": True}, points=[0, 2])
        self.client.overwrite_payload(name, payload={"only": 1}, points=[3])
        self.client.delete_payload(name, keys=["i"], points=[4])
        self.client.clear_payload(name, points_selector=[5])
        self.client.update_vectors(name, points=[m.PointVectors(id=6, vector=[100.0, 100.0])])
        self.client.delete(name, points_selector=[7])
        got = {p.id: p for p in self.client.retrieve(name, list(range(8)), with_vectors=True)}
        self.assertEqual(got[2].payload, {"i": 2, "even": True})
        self.assertEqual([got[i].payload for i in (3, 4, 5)], [{"only": 1}, {}, {}])
        self.assertEqual(got[6].vector, [100.0, 100.0])
        self.assertNotIn(7, got)
        nearest = self.client.search(name, query_vector=[99.0, 100.0], limit=1)[0]
        self.assertEqual((nearest.id, nearest.score), (6, 1.0))

    def test_errors(self):
        with self.assertRaises(UnexpectedResponse) as caught:
            self.client.get_collection("no-such-collection")
        self.assertEqual(caught.exception.status_code, 404)


if __name__ == "__main__":
    unittest.main()
