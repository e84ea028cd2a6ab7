#!/usr/bin/env python3
"""Answers questions from your own documents: quiver finds the passages, a language model may write the answer.

  pip install langchain-qdrant
  ./rag.py index ~/notes ~/manual.md     read .txt, .md and .rst files; again after a change
  ./rag.py ask "How often must the filter be cleaned?"

Search is hybrid: vectors of meaning and words weighed by how rare they are, merged by rank. The server does the
merging and knows how rare a word is. Settings, all optional:

  QUIVER_URL          http://127.0.0.1:6333
  QUIVER_API_KEY      the key of the server
  EMBEDDING_URL       base of an OpenAI-style service, for example http://127.0.0.1:11434/v1
  EMBEDDING_MODEL     the model to name there
  EMBEDDING_KEY       its key
  EMBEDDING_CLASS     instead: a LangChain Embeddings class in a package that you installed, for example
                      langchain_huggingface:HuggingFaceEmbeddings
  CHAT_URL, CHAT_MODEL, CHAT_KEY   the same for the language model; without one, the passages are printed

Without any embedding service the words of a text, hashed, stand in for its meaning: enough to try things out.
"""
import argparse
import hashlib
import importlib
import json
import math
import os
import re
import sys
import urllib.request
import uuid

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_qdrant import QdrantVectorStore, RetrievalMode
from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector
from qdrant_client import QdrantClient, models

NAMESPACE = uuid.UUID("7f0b2d0e-5a51-4d0c-9d8e-2f1d1c3b6a10")  # makes the same chunk the same point
CHUNK_CHARACTERS = 900
USUAL_WORDS = 128  # words of a usual chunk: longer ones count each word less


def call(base, path, key, body):
    request = urllib.request.Request(base.rstrip("/") + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    if key:
        request.add_header("Authorization", "Bearer " + key)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def words(text):
    return re.findall(r"[^\W_]+", text.lower())


def word_number(word):
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")


class ServiceEmbeddings(Embeddings):
    """Any service with the /embeddings call of OpenAI's API."""

    def embed_documents(self, texts):
        vectors = []
        for at in range(0, len(texts), 64):
            answer = call(os.environ["EMBEDDING_URL"], "/embeddings", os.environ.get("EMBEDDING_KEY"),
                          {"model": os.environ.get("EMBEDDING_MODEL", ""), "input": texts[at:at + 64]})
            vectors += [item["embedding"] for item in sorted(answer["data"], key=lambda item: item["index"])]
        return vectors

    def embed_query(self, text):
        return self.embed_documents([text])[0]


class WordEmbeddings(Embeddings):
    """No model: each word adds to one of 512 places."""

    def embed_query(self, text):
        vector = [0.0] * 512
        for word in words(text):
            vector[word_number(word) % 512] += 1.0
        length = math.sqrt(sum(x * x for x in vector)) or 1.0
        return [x / length for x in vector]

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]


class WordWeights(SparseEmbeddings):
    """BM25 in two halves: how much a word counts in a text is worked out here, how rare it is by the server."""

    def embed_documents(self, texts):
        return [self.weigh(words(text)) for text in texts]

    def embed_query(self, text):
        numbers = sorted({word_number(word) for word in words(text)})
        return SparseVector(indices=numbers, values=[1.0] * len(numbers))

    @staticmethod
    def weigh(found, k=1.2, b=0.75):
        counts = {}
        for word in found:
            number = word_number(word)
            counts[number] = counts.get(number, 0) + 1
        norm = k * (1 - b + b * len(found) / USUAL_WORDS)
        numbers = sorted(counts)
        return SparseVector(indices=numbers, values=[counts[n] * (k + 1) / (counts[n] + norm) for n in numbers])


def embeddings():
    if os.environ.get("EMBEDDING_CLASS"):
        module, _, name = os.environ["EMBEDDING_CLASS"].partition(":")
        return getattr(importlib.import_module(module), name)()
    return ServiceEmbeddings() if os.environ.get("EMBEDDING_URL") else WordEmbeddings()


def open_store(collection, create):
    client = QdrantClient(url=os.environ.get("QUIVER_URL", "http://127.0.0.1:6333"),
                          api_key=os.environ.get("QUIVER_API_KEY"))
    model = embeddings()
    if create and not client.collection_exists(collection):
        client.create_collection(
            collection,
            vectors_config={"meaning": models.VectorParams(size=len(model.embed_query("size")),
                                                           distance=models.Distance.COSINE)},
            sparse_vectors_config={"words": models.SparseVectorParams(modifier=models.Modifier.IDF)})
        client.create_payload_index(collection, "metadata.source", models.PayloadSchemaType.KEYWORD)
    return QdrantVectorStore(client, collection, model, RetrievalMode.HYBRID, vector_name="meaning",
                             sparse_embedding=WordWeights(), sparse_vector_name="words")


def chunks(text):
    """Paragraphs, put together up to the size of a chunk; the last one of a chunk also starts the next."""
    kept, size = [], 0
    for paragraph in re.split(r"\n\s*\n", text):
        for at in range(0, len(paragraph), CHUNK_CHARACTERS):
            part = paragraph[at:at + CHUNK_CHARACTERS].strip()
            if not part:
                continue
            if kept and size + len(part) > CHUNK_CHARACTERS:
                yield "\n\n".join(kept)
                kept = kept[-1:] if len(kept[-1]) + len(part) <= CHUNK_CHARACTERS else []
                size = sum(map(len, kept))
            kept.append(part)
            size += len(part)
    if kept:
        yield "\n\n".join(kept)


def files(paths):
    for path in paths:
        if os.path.isfile(path):
            yield path
        for folder, _, names in os.walk(path):
            for name in sorted(names):
                if name.endswith((".txt", ".md", ".rst")):
                    yield os.path.join(folder, name)


def index(store, paths):
    n_files = n_chunks = 0
    for path in files(paths):
        source = os.path.abspath(path)
        with open(path, encoding="utf-8", errors="replace") as file:
            found = [Document(page_content=chunk, metadata={"source": source, "chunk": i},
                              id=str(uuid.uuid5(NAMESPACE, "%s#%d" % (source, i))))
                     for i, chunk in enumerate(chunks(file.read()))]
        if found:
            store.add_documents(found)
        # What an earlier, longer version of the file had left.
        store.client.delete(store.collection_name, points_selector=models.FilterSelector(filter=models.Filter(must=[
            models.FieldCondition(key="metadata.source", match=models.MatchValue(value=source)),
            models.FieldCondition(key="metadata.chunk", range=models.Range(gte=len(found)))])))
        n_files += 1
        n_chunks += len(found)
    print("%d files, %d passages" % (n_files, n_chunks))


def ask(store, question, n):
    passages = store.similarity_search(question, k=n)
    shown = "\n\n".join("[%d] %s\n%s" % (i + 1, p.metadata["source"], p.page_content) for i, p in enumerate(passages))
    if not os.environ.get("CHAT_URL"):
        print(shown)
        return
    answer = call(os.environ["CHAT_URL"], "/chat/completions", os.environ.get("CHAT_KEY"), {
        "model": os.environ.get("CHAT_MODEL", ""),
        "messages": [{"role": "system", "content": "Answer from these passages only and name them by number. "
                                                   "Say so when the answer is not in them.\n\n" + shown},
                     {"role": "user", "content": question}]})
    print(answer["choices"][0]["message"]["content"])
    for i, passage in enumerate(passages):
        print("[%d] %s" % (i + 1, passage.metadata["source"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", default="documents")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("index").add_argument("path", nargs="+")
    asking = commands.add_parser("ask")
    asking.add_argument("question")
    asking.add_argument("-n", type=int, default=4, help="passages to use (default 4)")
    options = parser.parse_args()
    store = open_store(options.collection, create=options.command == "index")
    if options.command == "index":
        index(store, options.path)
    else:
        ask(store, options.question, options.n)
    return 0


if __name__ == "__main__":
    sys.exit(main())
