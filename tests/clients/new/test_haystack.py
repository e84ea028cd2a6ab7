"""qdrant-haystack: the document store and its three retrievers."""
import os
import unittest

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

from haystack import Document  # noqa: E402
from haystack.dataclasses import SparseEmbedding  # noqa: E402
from haystack.document_stores.errors import DuplicateDocumentError  # noqa: E402
from haystack.document_stores.types import DuplicatePolicy  # noqa: E402
from haystack_integrations.components.retrievers.qdrant import (QdrantEmbeddingRetriever,  # noqa: E402
                                                                QdrantHybridRetriever, QdrantSparseEmbeddingRetriever)
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore  # noqa: E402

from support import DOCUMENTS, URL, embed, embed_sparse, new_name  # noqa: E402


def sparse(text):
    indices, values = embed_sparse(text)
    return SparseEmbedding(indices=indices, values=values)


def documents(with_sparse=False):
    return [Document(content=text, meta=dict(data, weight=i / 2, when="2024-0%d-01T00:00:00" % (i + 1)),
                     embedding=embed(text), sparse_embedding=sparse(text) if with_sparse else None)
            for i, (text, data) in enumerate(DOCUMENTS)]


class HaystackTest(unittest.TestCase):
    def store(self, **more):
        store = QdrantDocumentStore(url=URL, index=new_name("haystack"), embedding_dim=256, return_embedding=True,
                                    progress_bar=False, **more)
        self.addCleanup(lambda: store._client.delete_collection(store.index))
        return store

    def filled(self, with_sparse=False, **more):
        store = self.store(use_sparse_embeddings=with_sparse, sparse_idf=with_sparse, **more)
        self.assertEqual(store.count_documents(), 0)
        self.assertEqual(store.write_documents(documents(with_sparse)), len(DOCUMENTS))
        return store

    def test_write_filter_and_read_back(self):
        store = self.filled()
        self.assertEqual(store.count_documents(), len(DOCUMENTS))
        found = store.filter_documents({"field": "meta.topic", "operator": "==", "value": "kitchen"})
        self.assertEqual({d.content for d in found}, {DOCUMENTS[4][0], DOCUMENTS[5][0]})
        for document in found:
            self.assertEqual(len(document.embedding), 256)

    def test_filters(self):
        store = self.filled()
        cases = [
            (("meta.topic", "!=", "kitchen"), 6), (("meta.topic", "in", ["kitchen", "nature"]), 4),
            (("meta.topic", "not in", ["kitchen", "nature"]), 4), (("meta.page", "==", 2), 4),
            (("meta.page", ">", 1), 4), (("meta.page", ">=", 1), 8), (("meta.page", "<", 2), 4),
            (("meta.weight", ">", 1.5), 4), (("meta.weight", "<=", 1.5), 4),
            (("meta.when", ">", "2024-05-01T00:00:00"), 3), (("content", "==", DOCUMENTS[0][0]), 1)]
        for (field, operator, value), expected in cases:
            found = store.filter_documents({"field": field, "operator": operator, "value": value})
            self.assertEqual(len(found), expected, (field, operator, value))
        both = {"operator": "AND", "conditions": [
            {"field": "meta.page", "operator": "==", "value": 1},
            {"operator": "NOT", "conditions": [{"field": "meta.topic", "operator": "==", "value": "nature"}]},
            {"operator": "OR", "conditions": [{"field": "meta.topic", "operator": "==", "value": "nature"},
                                              {"field": "meta.weight", "operator": ">", "value": 0.5}]}]}
        self.assertEqual({d.meta["topic"] for d in store.filter_documents(both)}, {"software", "kitchen"})

    def test_documents_without_embedding(self):
        store = self.store()
        store.write_documents([Document(content="no vector"), Document(content="one", embedding=embed("one"))])
        self.assertEqual(store.count_documents(), 2)
        found = QdrantEmbeddingRetriever(document_store=store).run(query_embedding=embed("one"))["documents"]
        self.assertEqual([d.content for d in found], ["one"])

    def test_duplicates(self):
        store = self.filled()
        with self.assertRaises(DuplicateDocumentError):
            store.write_documents(documents(), policy=DuplicatePolicy.FAIL)
        self.assertEqual(store.write_documents(documents(), policy=DuplicatePolicy.SKIP), 0)
        changed = documents()[0]
        changed.meta["page"] = 77
        store.write_documents([changed], policy=DuplicatePolicy.OVERWRITE)
        self.assertEqual(store.count_documents(), len(DOCUMENTS))
        self.assertEqual(len(store.filter_documents({"field": "meta.page", "operator": "==", "value": 77})), 1)

    def test_delete_and_update(self):
        store = self.filled()
        store.delete_documents([documents()[0].id])
        self.assertEqual(store.count_documents(), len(DOCUMENTS) - 1)
        kitchen = {"field": "meta.topic", "operator": "==", "value": "kitchen"}
        self.assertEqual(store.update_by_filter(kitchen, {"page": 50}), 2)
        self.assertEqual(store.count_documents_by_filter({"field": "meta.page", "operator": "==", "value": 50}), 2)
        self.assertEqual(store.delete_by_filter(kitchen), 2)
        self.assertEqual(store.count_documents(), len(DOCUMENTS) - 3)
        store.delete_all_documents()
        self.assertEqual(store.count_documents(), 0)

    def test_metadata_overviews(self):
        store = self.filled()
        self.assertEqual(store.get_metadata_field_min_max("weight"), {"min": 0.0, "max": 3.5})
        everything = {"field": "meta.page", "operator": ">=", "value": 1}
        self.assertEqual(store.count_unique_metadata_by_filter(everything, ["topic"]), {"topic": 4})

    def test_payload_indexes(self):
        store = self.filled(payload_fields_to_index=[{"field_name": "meta.topic", "field_schema": "keyword"}])
        found = store.filter_documents({"field": "meta.page", "operator": "==", "value": 1})
        self.assertEqual(len(found), 4)
        self.assertIn("meta.topic", store._client.get_collection(store.index).payload_schema)

    def test_embedding_retriever(self):
        retriever = QdrantEmbeddingRetriever(document_store=self.filled(), top_k=3)
        found = retriever.run(query_embedding=embed("the river carries sand"))["documents"]
        self.assertEqual(found[0].content, DOCUMENTS[6][0])
        self.assertEqual(len(found), 3)
        found = retriever.run(query_embedding=embed("sand"), score_threshold=0.99)["documents"]
        self.assertEqual(found, [])
        grouped = retriever.run(query_embedding=embed("sand"), group_by="meta.topic", group_size=2, top_k=2)["documents"]
        self.assertEqual({d.meta["topic"] for d in grouped[:1]}, {"nature"})
        self.assertLessEqual(len(grouped), 4)

    def test_sparse_retriever(self):
        retriever = QdrantSparseEmbeddingRetriever(document_store=self.filled(with_sparse=True), top_k=5)
        found = retriever.run(query_sparse_embedding=sparse("linker program"))["documents"]
        self.assertEqual([d.content for d in found], [DOCUMENTS[3][0]])

    def test_hybrid_retriever(self):
        retriever = QdrantHybridRetriever(document_store=self.filled(with_sparse=True), top_k=3)
        found = retriever.run(query_embedding=embed("wind dunes"), query_sparse_embedding=sparse("wind dunes"))["documents"]
        self.assertEqual(found[0].content, DOCUMENTS[7][0])
        grouped = retriever.run(query_embedding=embed("sand"), query_sparse_embedding=sparse("sand"),
                                group_by="meta.topic", group_size=1, top_k=2)["documents"]
        self.assertEqual(grouped[0].meta["topic"], "nature")

    def test_recreate(self):
        store = self.filled()
        again = QdrantDocumentStore(url=URL, index=store.index, embedding_dim=256, recreate_index=True)
        self.assertEqual(again.count_documents(), 0)
        with self.assertRaises(ValueError):
            QdrantDocumentStore(url=URL, index=store.index, embedding_dim=16).count_documents()


if __name__ == "__main__":
    unittest.main()
