"""llama-index-vector-stores-qdrant: nodes, filters, hybrid with its own fusion, both clients."""
import unittest

from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (FilterCondition, FilterOperator, MetadataFilter, MetadataFilters,
                                                  VectorStoreQuery, VectorStoreQueryMode)
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import AsyncQdrantClient, QdrantClient, models as m

from support import DOCUMENTS, URL, embed, embed_sparse, new_name


def sparse(texts):
    pairs = [embed_sparse(text) for text in texts]
    return [p[0] for p in pairs], [p[1] for p in pairs]


def nodes():
    made = []
    for i, (text, data) in enumerate(DOCUMENTS):
        made.append(TextNode(
            id_="00000000-0000-4000-8000-%012d" % i, text=text, metadata=data, embedding=embed(text),
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="document-" + data["topic"])}))
    return made


def query(text, k=3, filters=None, mode=VectorStoreQueryMode.DEFAULT, **more):
    return VectorStoreQuery(query_embedding=embed(text), query_str=text, similarity_top_k=k, filters=filters, mode=mode,
                            **more)


class LlamaIndexTest(unittest.TestCase):
    def setUp(self):
        self.client = QdrantClient(url=URL)
        self.addCleanup(self.client.close)

    def store(self, **more):
        name = new_name("llama")
        store = QdrantVectorStore(name, client=self.client, **more)
        self.addCleanup(self.client.delete_collection, name)
        store.add(nodes())
        return store

    def test_dense_and_round_trip(self):
        store = self.store()
        result = store.query(query("Yeast makes the dough rise while it rests."))
        self.assertEqual(result.nodes[0].text, DOCUMENTS[5][0])
        self.assertEqual(result.nodes[0].metadata, DOCUMENTS[5][1])
        self.assertEqual(result.nodes[0].ref_doc_id, "document-kitchen")
        self.assertAlmostEqual(result.similarities[0], 1.0, places=5)
        self.assertEqual(len(result.ids), 3)

    def test_filters(self):
        store = self.store()
        op = FilterOperator
        cases = [
            ([("topic", "kitchen", op.EQ)], 2), ([("topic", "kitchen", op.NE)], 6), ([("page", 1, op.GT)], 4),
            ([("page", 1, op.GTE)], 8), ([("page", 2, op.LT)], 4), ([("page", 1, op.LTE)], 4),
            ([("topic", ["nature", "medicine"], op.IN)], 4), ([("topic", ["nature", "medicine"], op.NIN)], 4),
            ([("topic", "soft", op.TEXT_MATCH)], 2), ([("absent", None, op.IS_EMPTY)], 8),
            ([("topic", "kitchen", op.EQ), ("page", 2, op.EQ)], 1)]
        for conditions, expected in cases:
            filters = MetadataFilters(filters=[MetadataFilter(key=k, value=v, operator=o) for k, v, o in conditions])
            self.assertEqual(len(store.query(query("x", 20, filters)).nodes), expected, conditions)
        either = MetadataFilters(condition=FilterCondition.OR, filters=[
            MetadataFilter(key="topic", value="kitchen"),
            MetadataFilters(filters=[MetadataFilter(key="topic", value="nature"), MetadataFilter(key="page", value=1)])])
        self.assertEqual(len(store.query(query("x", 20, either)).nodes), 3)
        native = m.Filter(should=[m.FieldCondition(key="page", match=m.MatchValue(value=2))])
        self.assertEqual(len(store.query(query("x", 20), qdrant_filters=native).nodes), 4)

    def test_get_and_delete(self):
        store = self.store()
        self.assertEqual(len(store.get_nodes()), len(DOCUMENTS))
        one = store.get_nodes(node_ids=[nodes()[3].node_id])
        self.assertEqual([n.text for n in one], [DOCUMENTS[3][0]])
        store.delete("document-kitchen")
        self.assertEqual(len(store.get_nodes()), len(DOCUMENTS) - 2)
        store.delete_nodes([nodes()[0].node_id])
        store.delete_nodes(filters=MetadataFilters(filters=[MetadataFilter(key="page", value=2)]))
        self.assertEqual({n.metadata["topic"] for n in store.get_nodes()}, {"software", "nature"})
        store.clear()
        self.assertFalse(self.client.collection_exists(store.collection_name))

    def test_hybrid_and_sparse(self):
        store = self.store(enable_hybrid=True, sparse_doc_fn=sparse, sparse_query_fn=sparse)
        for mode in (VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.SPARSE, VectorStoreQueryMode.DEFAULT):
            result = store.query(query("compiler source code machine", mode=mode, sparse_top_k=4, alpha=0.5))
            self.assertEqual(result.nodes[0].text, DOCUMENTS[2][0], mode)

    def test_two_stores_may_create_the_same_collection(self):
        first = self.store()
        second = QdrantVectorStore(first.collection_name, client=self.client)
        second.add(nodes()[:1])
        first._create_collection(first.collection_name, 256)  # "already exists" must be understood
        self.assertEqual(self.client.count(first.collection_name).count, len(DOCUMENTS))


class LlamaIndexAsyncTest(unittest.IsolatedAsyncioTestCase):
    async def test_async(self):
        client, aclient = QdrantClient(url=URL), AsyncQdrantClient(url=URL)
        name = new_name("llama")
        store = QdrantVectorStore(name, client=client, aclient=aclient, enable_hybrid=True, sparse_doc_fn=sparse,
                                  sparse_query_fn=sparse)
        try:
            await store.async_add(nodes())
            result = await store.aquery(query("wind and dunes", mode=VectorStoreQueryMode.HYBRID))
            self.assertEqual(result.nodes[0].text, DOCUMENTS[7][0])
            await store.adelete("document-nature")
            self.assertEqual(len(await store.aget_nodes()), len(DOCUMENTS) - 2)
        finally:
            client.delete_collection(name)
            await aclient.close()
            client.close()


if __name__ == "__main__":
    unittest.main()
