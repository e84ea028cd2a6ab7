// @langchain/qdrant as its users, n8n and Flowise call it.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Document } from "@langchain/core/documents";
import { Embeddings } from "@langchain/core/embeddings";
import { QdrantVectorStore } from "@langchain/qdrant";
import { QdrantClient } from "@qdrant/js-client-rest";
import { documents, embed, newName, URL_ } from "./support.mjs";

class WordEmbeddings extends Embeddings {
  constructor() {
    super({});
  }
  async embedDocuments(texts) {
    return texts.map((text) => embed(text));
  }
  async embedQuery(text) {
    return embed(text);
  }
}

const client = new QdrantClient({ url: URL_ });
const made = [];
after(async () => {
  for (const name of made) await client.deleteCollection(name);
});

async function filled(more = {}) {
  const collectionName = newName("langchain-js");
  made.push(collectionName);
  const docs = documents.map(([pageContent, metadata]) => new Document({ pageContent, metadata }));
  return QdrantVectorStore.fromDocuments(docs, new WordEmbeddings(), { url: URL_, collectionName, ...more });
}

test("similarity search", async () => {
  const store = await filled();
  const found = await store.similaritySearchWithScore("Blood cells carry oxygen.", 2);
  assert.equal(found[0][0].pageContent, "Blood cells carry oxygen.");
  assert.deepEqual(found[0][0].metadata, { topic: "medicine", page: 2 });
  assert.ok(Math.abs(found[0][1] - 1) < 1e-5);
  assert.equal(found.length, 2);
});

test("filters, also an empty one", async () => {
  const store = await filled();
  const page = { must: [{ key: "metadata.page", match: { value: 2 } }] };
  const found = await store.similaritySearch("anything", 10, page);
  assert.deepEqual(new Set(found.map((d) => d.metadata.page)), new Set([2]));
  assert.equal((await store.similaritySearch("anything", 10, {})).length, documents.length);
  assert.equal((await store.similaritySearch("anything", 10, { must: [], should: [] })).length, documents.length);
});

test("maximal marginal relevance, with and without a lambda (null is sent)", async () => {
  const store = await filled();
  await store.addDocuments([new Document({ pageContent: "Wind shapes the dunes of sand!", metadata: { topic: "copy" } })]);
  const diverse = await store.maxMarginalRelevanceSearch("Wind shapes dunes of sand", { k: 2, fetchK: 7, lambda: 0.9 });
  assert.equal(new Set(diverse.map((d) => d.pageContent.replace(/[.!]$/, ""))).size, 2);
  assert.equal((await store.maxMarginalRelevanceSearch("sand", { k: 3 })).length, 3);
});

test("delete by ids and by filter", async () => {
  const store = await filled();
  const ids = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"];
  await store.addDocuments([new Document({ pageContent: "one", metadata: {} }), new Document({ pageContent: "two", metadata: {} })],
    { ids, customPayload: [{ a: 1 }, { a: 2 }] });
  assert.equal((await client.retrieve(store.collectionName, { ids }))[1].payload.customPayload.a, 2);
  await store.delete({ ids });
  assert.equal((await client.count(store.collectionName)).count, documents.length);
  await store.delete({ filter: { must: [{ key: "metadata.topic", match: { value: "nature" } }] } });
  assert.equal((await client.count(store.collectionName)).count, documents.length - 2);
});

test("an existing collection, and one that is made on the way", async () => {
  const first = await filled();
  const again = await QdrantVectorStore.fromExistingCollection(new WordEmbeddings(), { url: URL_, collectionName: first.collectionName });
  assert.equal((await again.similaritySearch("sand", 20)).length, documents.length);
  const collectionName = newName("langchain-js");
  made.push(collectionName);
  await QdrantVectorStore.fromExistingCollection(new WordEmbeddings(), { url: URL_, collectionName });
  assert.equal((await client.getCollection(collectionName)).config.params.vectors.size, 256);
});

test("own payload keys and collection config", async () => {
  const store = await filled({ contentPayloadKey: "text", metadataPayloadKey: "data",
    collectionConfig: { vectors: { size: 256, distance: "Euclid" }, optimizers_config: { default_segment_number: 2 } } });
  const found = await store.similaritySearchWithScore("Blood cells carry oxygen.", 1);
  assert.equal(found[0][0].metadata.topic, "medicine");
  assert.ok(Math.abs(found[0][1]) < 1e-3);
});
