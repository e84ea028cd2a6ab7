"""langchain-qdrant, as its users use it, with embeddings that are computed from the words."""
import unittest
import uuid

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_qdrant import QdrantVectorStore, RetrievalMode
from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector
from qdrant_client import models as m

from support import DOCUMENTS, URL, embed, embed_sparse, new_name


class WordEmbeddings(Embeddings):
    def embed_documents(self, texts):
        return [embed(text) for text in texts]

    def embed_query(self, text):
        return embed(text)


class WordSparse(SparseEmbeddings):
    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        indices, values = embed_sparse(text)
        return SparseVector(indices=indices, values=values)


def field(key, **match):
    return m.Filter(must=[m.FieldCondition(key="metadata." + key, **match)])


class LangChainTest(unittest.TestCase):
    def store(self, mode, **more):
        arguments = dict(url=URL, collection_name=new_name("langchain"), retrieval_mode=mode,
                         embedding=WordEmbeddings() if mode != RetrievalMode.SPARSE else None,
                         sparse_embedding=WordSparse() if mode != RetrievalMode.DENSE else None)
        arguments.update(more)
        self.ids = [str(uuid.uuid4()) for _ in DOCUMENTS]
        store = QdrantVectorStore.from_texts(
            [text for text, _ in DOCUMENTS], metadatas=[data for _, data in DOCUMENTS], ids=self.ids, **arguments)
        self.addCleanup(store.client.delete_collection, store.collection_name)
        return store

    def test_dense(self):
        store = self.store(RetrievalMode.DENSE)
        found = store.similarity_search("who carries oxygen in the blood", k=2)
        self.assertEqual(found[0].page_content, "Blood cells carry oxygen.")
        self.assertEqual(found[0].metadata["topic"], "medicine")
        scored = store.similarity_search_with_score("Blood cells carry oxygen.", k=3)
        self.assertAlmostEqual(scored[0][1], 1.0, places=5)
        self.assertEqual([s for _, s in scored], sorted((s for _, s in scored), reverse=True))
        self.assertEqual([d.page_content for d in store.similarity_search("yeast", k=1, offset=1)],
                         [store.similarity_search("yeast", k=2)[1].page_content])
        self.assertEqual([d.page_content for d, s in scored if s > 0.9], [d.page_content for d in store.similarity_search(
            "Blood cells carry oxygen.", k=3, score_threshold=0.9)])
        relevance = store.similarity_search_with_relevance_scores("Blood cells carry oxygen.", k=1)
        self.assertAlmostEqual(relevance[0][1], 1.0, places=4)

    def test_named_vectors_and_distances(self):
        for distance in (m.Distance.DOT, m.Distance.EUCLID, m.Distance.MANHATTAN):
            store = self.store(RetrievalMode.DENSE, vector_name="my vector/ü", distance=distance)
            found = store.similarity_search("dough with yeast", k=1)
            self.assertEqual(found[0].metadata["topic"], "kitchen", distance)

    def test_sparse(self):
        store = self.store(RetrievalMode.SPARSE, sparse_vector_params={"modifier": m.Modifier.IDF})
        found = store.similarity_search("linker program", k=5)
        self.assertEqual([d.page_content for d in found], ["A linker joins object files into a program."])

    def test_hybrid(self):
        store = self.store(RetrievalMode.HYBRID)
        found = store.similarity_search_with_score("sand dunes wind", k=3)
        self.assertEqual(found[0][0].page_content, "Wind shapes the dunes of sand.")
        self.assertAlmostEqual(found[0][1], 1.0, places=5)  # first in both lists: 1/2 + 1/2
        found = store.similarity_search("sand dunes wind", k=3, hybrid_fusion=m.FusionQuery(fusion=m.Fusion.DBSF))
        self.assertEqual(found[0].page_content, "Wind shapes the dunes of sand.")
        found = store.similarity_search("sand dunes wind", k=3, filter=field("page", match=m.MatchValue(value=1)))
        self.assertEqual({d.metadata["page"] for d in found}, {1})

    def test_filters(self):
        store = self.store(RetrievalMode.DENSE)
        cases = [
            (field("topic", match=m.MatchValue(value="kitchen")), {("kitchen", 1), ("kitchen", 2)}),
            (field("topic", match=m.MatchAny(any=["nature", "software"])),
             {("nature", 1), ("nature", 2), ("software", 1), ("software", 2)}),
            (field("page", range=m.Range(gt=1)), {(t, 2) for t in ("medicine", "software", "kitchen", "nature")}),
            (m.Filter(must=[*field("page", match=m.MatchValue(value=2)).must],
                      must_not=[*field("topic", match=m.MatchAny(any=["nature", "kitchen"])).must]),
             {("medicine", 2), ("software", 2)}),
        ]
        for condition, expected in cases:
            found = store.similarity_search("anything", k=10, filter=condition)
            self.assertEqual({(d.metadata["topic"], d.metadata["page"]) for d in found}, expected, condition)

    def test_mmr(self):
        store = self.store(RetrievalMode.DENSE)
        store.add_texts(["Wind shapes the dunes of sand!"], metadatas=[{"topic": "copy"}])
        near = store.similarity_search("Wind shapes dunes of sand", k=2)
        self.assertEqual({d.metadata["topic"] for d in near}, {"nature", "copy"})
        # LangChain hands its lambda_mult to the server as the diversity.
        diverse = store.max_marginal_relevance_search("Wind shapes dunes of sand", k=2, fetch_k=9, lambda_mult=0.9)
        self.assertEqual(len({d.page_content.rstrip(".!") for d in diverse}), 2)
        retriever = store.as_retriever(search_type="mmr", search_kwargs={"k": 2, "fetch_k": 9, "lambda_mult": 0.9})
        self.assertEqual(retriever.invoke("Wind shapes dunes of sand"), diverse)

    def test_delete_get_and_replace(self):
        store = self.store(RetrievalMode.HYBRID)
        got = store.get_by_ids(self.ids[:2])
        self.assertEqual({d.page_content for d in got}, {text for text, _ in DOCUMENTS[:2]})
        self.assertTrue(store.delete(self.ids[:2]))
        self.assertEqual(store.get_by_ids(self.ids[:2]), [])
        self.assertEqual(store.client.count(store.collection_name).count, len(DOCUMENTS) - 2)
        store.add_documents([Document(page_content="Entirely new words", metadata={"page": 99})], ids=[self.ids[2]])
        self.assertEqual(store.get_by_ids([self.ids[2]])[0].metadata["page"], 99)
        self.assertEqual(store.client.count(store.collection_name).count, len(DOCUMENTS) - 2)

    def test_existing_collection_is_checked(self):
        store = self.store(RetrievalMode.DENSE)
        again = QdrantVectorStore.from_existing_collection(
            embedding=WordEmbeddings(), collection_name=store.collection_name, url=URL)
        self.assertEqual(len(again.similarity_search("sand", k=20)), len(DOCUMENTS))
        with self.assertRaisesRegex(Exception, "distance|similarity"):
            QdrantVectorStore.from_existing_collection(embedding=WordEmbeddings(), url=URL,
                                                       collection_name=store.collection_name, distance=m.Distance.DOT)
        with self.assertRaises(Exception):
            QdrantVectorStore.from_existing_collection(embedding=WordEmbeddings(), url=URL,
                                                       collection_name="there-is-no-such-collection")


class LangChainAsyncTest(unittest.IsolatedAsyncioTestCase):
    async def test_async_calls(self):
        store = await QdrantVectorStore.afrom_texts(
            [text for text, _ in DOCUMENTS], WordEmbeddings(), url=URL, collection_name=new_name("langchain"))
        try:
            found = await store.asimilarity_search("compiler source code", k=1)
            self.assertIn("compiler", found[0].page_content)
        finally:
            store.client.delete_collection(store.collection_name)


if __name__ == "__main__":
    unittest.main()
