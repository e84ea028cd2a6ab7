"""qdrant-client in its REST mode: every call that has something to do with collections and with errors,
and uploads. What queries answer is compared in test_differential.py."""
import asyncio
import os
import sys
import unittest
import uuid
from importlib import metadata

import numpy
from qdrant_client import AsyncQdrantClient, QdrantClient, models as m
from qdrant_client.common.version_check import is_compatible
from qdrant_client.http.exceptions import UnexpectedResponse

from support import ROOT, URL, new_name


class ClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = QdrantClient(url=URL, timeout=60)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()

    def collection(self, vectors=None, **more):
        name = new_name("client")
        if vectors is None:
            vectors = m.VectorParams(size=4, distance=m.Distance.DOT)
        self.assertTrue(self.client.create_collection(name, vectors_config=vectors, **more))
        self.addCleanup(self.client.delete_collection, name)
        return name

    def refused(self, status, words, method, *arguments, **more):
        with self.assertRaises(UnexpectedResponse) as caught:
            getattr(self.client, method)(*arguments, **more)
        self.assertEqual(caught.exception.status_code, status)
        self.assertIn(words, str(caught.exception))

    def test_collections(self):
        name = self.collection()
        self.assertTrue(self.client.collection_exists(name))
        self.assertIn(name, [c.name for c in self.client.get_collections().collections])
        self.refused(409, "already exists", "create_collection", name,
                     vectors_config=m.VectorParams(size=4, distance=m.Distance.DOT))
        self.assertTrue(self.client.recreate_collection(name, vectors_config=m.VectorParams(
            size=5, distance=m.Distance.DOT)))
        self.assertEqual(self.client.get_collection(name).config.params.vectors.size, 5)
        self.assertTrue(self.client.delete_collection(name))
        self.assertFalse(self.client.delete_collection(name))
        self.refused(404, "exist!", "get_collection", name)
        self.assertFalse(self.client.collection_exists(name))

    def test_everything_that_a_collection_is_made_of_comes_back(self):
        name = self.collection(
            {"": m.VectorParams(size=4, distance=m.Distance.COSINE, on_disk=True),
             "b": m.VectorParams(size=3, distance=m.Distance.EUCLID, hnsw_config=m.HnswConfigDiff(m=8),
                                 quantization_config=m.ScalarQuantization(scalar=m.ScalarQuantizationConfig(
                                     type=m.ScalarType.INT8, quantile=0.99)))},
            sparse_vectors_config={"s": m.SparseVectorParams(modifier=m.Modifier.IDF,
                                                             index=m.SparseIndexParams(on_disk=False))},
            shard_number=2, on_disk_payload=True, hnsw_config=m.HnswConfigDiff(m=12, ef_construct=64),
            optimizers_config=m.OptimizersConfigDiff(indexing_threshold=5000), metadata={"owner": "tests"})
        info = self.client.get_collection(name)
        self.assertEqual(info.status, m.CollectionStatus.GREEN)
        self.assertEqual(info.config.params.vectors["b"].hnsw_config.m, 8)
        self.assertEqual(info.config.params.vectors["b"].quantization_config.scalar.quantile, 0.99)
        self.assertTrue(info.config.params.vectors[""].on_disk)
        self.assertEqual(info.config.params.sparse_vectors["s"].modifier, m.Modifier.IDF)
        self.assertEqual(info.config.params.shard_number, 2)
        self.assertEqual(info.config.hnsw_config.ef_construct, 64)
        self.assertEqual(info.config.metadata, {"owner": "tests"})
        self.assertTrue(self.client.update_collection(
            name, hnsw_config=m.HnswConfigDiff(ef_construct=99), metadata={"stage": 2},
            vectors_config={"b": m.VectorParamsDiff(hnsw_config=m.HnswConfigDiff(m=16))}))
        info = self.client.get_collection(name)
        self.assertEqual(info.config.hnsw_config.ef_construct, 99)
        self.assertEqual(info.config.params.vectors["b"].hnsw_config.m, 16)
        self.assertEqual(info.config.metadata, {"owner": "tests", "stage": 2})

    def test_payload_indexes(self):
        name = self.collection()
        schemas = {"a": m.PayloadSchemaType.KEYWORD, "b.c": m.IntegerIndexParams(type="integer", lookup=True, range=False),
                   "d[].e": m.PayloadSchemaType.FLOAT, "f": m.PayloadSchemaType.GEO, "g": m.PayloadSchemaType.DATETIME,
                   "h": m.PayloadSchemaType.BOOL, "i": m.UuidIndexParams(type="uuid"),
                   "t": m.TextIndexParams(type="text", tokenizer=m.TokenizerType.PREFIX, min_token_len=2, lowercase=True)}
        for key, schema in schemas.items():
            self.assertEqual(self.client.create_payload_index(name, key, schema).status, m.UpdateStatus.COMPLETED)
        self.client.upsert(name, [m.PointStruct(id=1, vector=[1, 2, 3, 4], payload={"a": "x", "t": "hello"})])
        info = self.client.get_collection(name).payload_schema
        self.assertEqual(set(info), set(schemas))
        self.assertEqual(info["t"].params.tokenizer, m.TokenizerType.PREFIX)
        self.assertEqual(info["a"].points, 1)
        found = self.client.scroll(name, scroll_filter=m.Filter(must=[
            m.FieldCondition(key="t", match=m.MatchText(text="HEL"))]))[0]
        self.assertEqual([p.id for p in found], [1])
        for key in schemas:
            self.client.delete_payload_index(name, key)
        self.assertEqual(self.client.get_collection(name).payload_schema, {})

    def test_aliases(self):
        one, two = self.collection(), self.collection()
        alias = new_name("alias")
        self.client.upsert(two, [m.PointStruct(id=7, vector=[1, 2, 3, 4])])
        self.assertTrue(self.client.update_collection_aliases([m.CreateAliasOperation(create_alias=m.CreateAlias(
            collection_name=one, alias_name=alias))]))
        self.assertEqual(self.client.count(alias).count, 0)
        self.client.update_collection_aliases([
            m.DeleteAliasOperation(delete_alias=m.DeleteAlias(alias_name=alias)),
            m.CreateAliasOperation(create_alias=m.CreateAlias(collection_name=two, alias_name=alias))])
        self.assertEqual(self.client.count(alias).count, 1)
        self.client.update_collection_aliases([m.RenameAliasOperation(rename_alias=m.RenameAlias(
            old_alias_name=alias, new_alias_name=alias + "x"))])
        self.assertEqual([a.alias_name for a in self.client.get_collection_aliases(two).aliases], [alias + "x"])
        self.assertIn((alias + "x", two), [(a.alias_name, a.collection_name) for a in self.client.get_aliases().aliases])

    def test_uploads(self):
        name = self.collection()
        vectors = numpy.random.default_rng(1).random((700, 4), dtype=numpy.float32)
        self.client.upload_collection(name, vectors, payload=({"i": i} for i in range(700)), ids=range(700),
                                      batch_size=64, wait=True)
        self.assertEqual(self.client.count(name).count, 700)
        self.assertEqual(self.client.get_collection(name).points_count, 700)
        # wait=False is the default of upload_points; what it wrote is there for the next read.
        self.client.upload_points(name, [m.PointStruct(id=str(uuid.UUID(int=i)), vector=[1, 1, 1, 1], payload={})
                                         for i in range(300)], batch_size=50)
        self.assertEqual(self.client.count(name).count, 1000)
        best = self.client.query_points(name, query=vectors[5] * 100, limit=3, with_payload=True).points
        scores = sorted(((vectors @ vectors[5]) * 100).tolist() + [float(vectors[5].sum() * 100)] * 300, reverse=True)
        for point, score in zip(best, scores):
            self.assertAlmostEqual(point.score, score, delta=abs(score) * 1e-5)

    def test_uploads_in_parallel(self):
        name = self.collection()
        self.client.upload_collection(name, [[float(i), 1, 2, 3] for i in range(400)], batch_size=32, parallel=2,
                                      wait=True)
        self.assertEqual(self.client.count(name).count, 400)

    def test_numpy_and_big_ids(self):
        name = self.collection()
        big = 2**64 - 1
        self.client.upsert(name, m.Batch(ids=[big, 1], vectors=numpy.eye(4)[:2].tolist(), payloads=[{"n": 2**63 - 1}, {}]))
        point = self.client.retrieve(name, [big], with_vectors=True)[0]
        self.assertEqual((point.id, point.payload, point.vector), (big, {"n": 2**63 - 1}, [1.0, 0.0, 0.0, 0.0]))
        self.assertEqual(self.client.query_points(name, query=numpy.eye(4)[0]).points[0].id, big)

    def test_payloads_come_back_as_they_were(self):
        name = self.collection()
        payload = {"z": 1, "a": [1, 1.0, "1", None, True, {"ü": "\U0001f600\u0000\n"}], "m": {"k": {"k": {}}}, "e": [],
                   "big": 123456789012345678, "tiny": 1e-300, "float": 10.0, "text": "x" * 100000}
        self.client.upsert(name, [m.PointStruct(id=1, vector=[0, 0, 0, 0], payload=payload)])
        back = self.client.retrieve(name, [1])[0].payload
        self.assertEqual(back, payload)
        self.assertEqual(list(back), list(payload))
        self.assertIsInstance(back["float"], float)
        self.assertIsInstance(back["z"], int)

    def test_errors(self):
        name = self.collection()
        self.refused(404, "exist!", "query_points", "no-such-collection", query=[1.0, 2, 3, 4])
        self.refused(400, "dimension", "query_points", name, query=[1.0, 2])
        self.refused(400, "Not existing vector name", "query_points", name, query=[1.0], using="foo")
        self.refused(400, "dimension", "upsert", name, [m.PointStruct(id=1, vector=[1.0])])
        self.refused(400, "not a valid point ID", "upsert", name, [m.PointStruct(id="seven", vector=[1.0] * 4)])
        self.refused(404, "No point with id 5", "query_points", name, query=5)
        self.assertEqual(self.client.count(name).count, 0)
        for query, words in [
                (m.DiscoverQuery(discover=m.DiscoverInput(target=[1.0] * 4, context=[])), "discover"),
                (m.FormulaQuery(formula=m.SumExpression(sum=["$score", 1.0])), "formula")]:
            self.refused(400, words, "query_points", name, query=query, prefetch=m.Prefetch(query=[1.0] * 4))

    def test_updates_under_conditions(self):
        name = self.collection()
        condition = m.Filter(must=[m.FieldCondition(key="v", range=m.Range(lt=2))])
        for version in (1, 3, 2):
            self.client.upsert(name, [m.PointStruct(id=1, vector=[1, 1, 1, 1], payload={"v": version})],
                               update_filter=condition)
        self.assertEqual(self.client.retrieve(name, [1])[0].payload, {"v": 3})
        self.client.upsert(name, [m.PointStruct(id=i, vector=[1, 1, 1, 1], payload={"v": 9}) for i in (1, 2)],
                           update_mode=m.UpdateMode.INSERT_ONLY)
        self.assertEqual([p.payload["v"] for p in self.client.retrieve(name, [1, 2])], [3, 9])

    def test_service_calls(self):
        self.assertRegex(self.client.info().version, r"^\d+\.\d+\.\d+$")
        name = self.collection()
        self.assertIsNotNone(self.client.http.distributed_api.cluster_status().result)
        self.assertEqual(self.client.http.distributed_api.collection_cluster_info(name).result.shard_count, 1)

    def test_the_client_is_content_with_the_version(self):
        """Otherwise it warns whenever it is started."""
        self.assertTrue(is_compatible(metadata.version("qdrant-client"), self.client.info().version))


class AsyncClientTest(unittest.IsolatedAsyncioTestCase):
    async def test_many_at_a_time(self):
        client = AsyncQdrantClient(url=URL)
        name = new_name("client")
        await client.create_collection(name, vectors_config=m.VectorParams(size=2, distance=m.Distance.EUCLID))
        try:
            await asyncio.gather(*(client.upsert(name, [m.PointStruct(id=i, vector=[i, 0])]) for i in range(60)))
            answers = await asyncio.gather(*(client.query_points(name, query=[float(i), 0.0], limit=1) for i in range(60)))
            self.assertEqual([a.points[0].id for a in answers], list(range(60)))
        finally:
            await client.delete_collection(name)
            await client.close()


class KeyTest(unittest.TestCase):
    """A server of its own, with keys and a path prefix."""

    @classmethod
    def setUpClass(cls):
        sys.path.insert(0, os.path.join(ROOT, "tests", "api"))
        import harness
        cls.server = harness.Server("--url-prefix", "/vectors", "--api-key", "secret", "--read-only-api-key", "look")
        cls.arguments = dict(host="127.0.0.1", port=cls.server.port, https=False, prefix="vectors")

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def test_keys(self):
        writer = QdrantClient(api_key="secret", **self.arguments)
        reader = QdrantClient(api_key="look", **self.arguments)
        bearer = QdrantClient(auth_token_provider=lambda: "secret", **self.arguments)
        none = QdrantClient(check_compatibility=False, **self.arguments)
        params = m.VectorParams(size=2, distance=m.Distance.DOT)
        self.assertTrue(writer.create_collection("c", vectors_config=params))
        self.assertEqual([c.name for c in reader.get_collections().collections], ["c"])
        self.assertTrue(bearer.collection_exists("c"))
        for client, status in ((reader, 403), (none, 401)):
            with self.assertRaises(UnexpectedResponse) as caught:
                client.create_collection("d", vectors_config=params)
            self.assertEqual(caught.exception.status_code, status)
        for client in (writer, reader, bearer, none):
            client.close()


if __name__ == "__main__":
    unittest.main()
