// @qdrant/js-client-rest: the calls that its users make.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { QdrantClient } from "@qdrant/js-client-rest";
import { newName, URL_ } from "./support.mjs";

const client = new QdrantClient({ url: URL_ });
const made = [];
after(async () => {
  for (const name of made) await client.deleteCollection(name);
});

async function collection(more = {}) {
  const name = newName("js");
  made.push(name);
  assert.equal(await client.createCollection(name, { vectors: { size: 4, distance: "Dot" }, ...more }), true);
  return name;
}

async function filled(more) {
  const name = await collection(more);
  const cities = ["Berlin", "London", "Moscow", "Berlin", "Berlin", "London"];
  const result = await client.upsert(name, {
    wait: true,
    points: cities.map((city, i) => ({ id: i + 1, vector: [i, 1, 0, 0.5], payload: { city, n: i, nothing: null } })),
  });
  assert.equal(result.status, "completed");
  assert.equal(typeof result.operation_id, "number");
  return name;
}

test("collections", async () => {
  const name = await collection({ sparse_vectors: { s: { modifier: "idf" } }, metadata: { a: 1 } });
  assert.ok((await client.getCollections()).collections.some((c) => c.name === name));
  assert.equal((await client.collectionExists(name)).exists, true);
  const info = await client.getCollection(name);
  assert.equal(info.status, "green");
  assert.deepEqual(info.config.params.vectors, { size: 4, distance: "Dot" });
  assert.equal(await client.updateCollection(name, { optimizers_config: { indexing_threshold: 777 } }), true);
  assert.equal((await client.getCollection(name)).config.optimizer_config.indexing_threshold, 777);
  assert.equal(await client.recreateCollection(name, { vectors: { size: 3, distance: "Cosine" } }), true);
  assert.equal((await client.getCollection(name)).config.params.vectors.size, 3);
});

test("errors carry status and text", async () => {
  const name = await collection();
  await assert.rejects(client.getCollection("no-such-collection"), (e) => e.status === 404 && e.data.status.error.includes("doesn't exist"));
  await assert.rejects(client.createCollection(name, { vectors: { size: 4, distance: "Dot" } }), (e) => e.status === 409);
  await assert.rejects(client.upsert(name, { points: [{ id: 1, vector: [1, 2] }] }), (e) => e.status === 400 && /dimension/.test(e.data.status.error));
  await assert.rejects(client.query(name, { query: [1, 2, 3, 4], using: "x" }), (e) => /Not existing vector name/.test(e.data.status.error));
});

test("names are percent-encoded", async () => {
  const name = await collection();
  const alias = newName("a b%ü");
  await client.updateCollectionAliases({ actions: [{ create_alias: { collection_name: name, alias_name: alias } }] });
  assert.equal((await client.getCollection(alias)).points_count, 0);
  assert.deepEqual((await client.getCollectionAliases(name)).aliases.map((a) => a.alias_name), [alias]);
  assert.ok((await client.getAliases()).aliases.length >= 1);
});

test("points: retrieve, scroll, count, delete", async () => {
  const name = await filled();
  const points = await client.retrieve(name, { ids: [3, 1], with_vector: true });
  assert.deepEqual(points.map((p) => p.id), [3, 1]);
  assert.deepEqual(points[0].vector, [2, 1, 0, 0.5]);
  assert.deepEqual(points[1].payload, { city: "Berlin", n: 0, nothing: null });
  const page = await client.scroll(name, { limit: 4, with_payload: ["city"] });
  assert.equal(page.next_page_offset, 5);
  assert.deepEqual(page.points[3].payload, { city: "Berlin" });
  const filter = { must: [{ key: "city", match: { value: "Berlin" } }] };
  assert.equal((await client.count(name, { filter })).count, 3);
  await client.delete(name, { filter, wait: true });
  assert.equal((await client.count(name)).count, 3);
  await client.delete(name, { points: [2] });
  assert.equal((await client.count(name, { exact: true })).count, 2);
});

test("payloads and vectors", async () => {
  const name = await filled();
  await client.setPayload(name, { payload: { extra: [1, { a: 2 }] }, points: [1] });
  await client.overwritePayload(name, { payload: { only: true }, points: [2] });
  await client.deletePayload(name, { keys: ["city"], points: [3] });
  await client.clearPayload(name, { points: [4] });
  await client.updateVectors(name, { points: [{ id: 5, vector: [9, 9, 9, 9] }] });
  const got = await client.retrieve(name, { ids: [1, 2, 3, 4, 5], with_vector: true });
  assert.deepEqual(got.map((p) => p.payload), [
    { city: "Berlin", n: 0, nothing: null, extra: [1, { a: 2 }] }, { only: true }, { n: 2, nothing: null }, {}, { city: "Berlin", n: 4, nothing: null }]);
  assert.deepEqual(got[4].vector, [9, 9, 9, 9]);
  const results = await client.batchUpdate(name, { operations: [
    { upsert: { points: [{ id: 50, vector: [1, 1, 1, 1], payload: { v: 1 } }] } },
    { set_payload: { payload: { v: 2 }, points: [50] } },
    { delete: { points: [1] } }] });
  assert.equal(results.length, 3);
  assert.equal((await client.retrieve(name, { ids: [50, 1] }))[0].payload.v, 2);
});

test("queries, old and new", async () => {
  const name = await filled();
  assert.deepEqual((await client.search(name, { vector: [1, 0, 0, 0], limit: 2 })).map((p) => [p.id, p.score]), [[6, 5], [5, 4]]);
  const { points } = await client.query(name, { query: [1, 0, 0, 0], limit: 1, offset: 1, with_payload: true });
  assert.deepEqual([points[0].id, points[0].payload.city], [5, "Berlin"]);
  const batch = await client.queryBatch(name, { searches: [{ query: 5, limit: 1 }, { limit: 2 }, { query: { order_by: { key: "n", direction: "desc" } } }] });
  assert.deepEqual(batch.map((b) => b.points[0].id), [6, 1, 6]);
  assert.deepEqual((await client.searchBatch(name, { searches: [{ vector: [1, 0, 0, 0], limit: 1 }] }))[0][0].id, 6);
  const groups = await client.queryGroups(name, { query: [1, 0, 0, 0], group_by: "city", limit: 3, group_size: 2 });
  assert.deepEqual(groups.groups.map((g) => [g.id, g.hits.map((h) => h.id)]), [["London", [6, 2]], ["Berlin", [5, 4]], ["Moscow", [3]]]);
  const old = await client.searchPointGroups(name, { vector: [1, 0, 0, 0], group_by: "city", limit: 1, group_size: 1 });
  assert.equal(old.groups[0].id, "London");
  assert.equal((await client.recommend(name, { positive: [1, [1, 0, 0, 0]], negative: [2], limit: 3 })).length, 3);
  const fused = await client.query(name, { prefetch: [{ query: [1, 0, 0, 0], limit: 3 }, { query: [0, 1, 0, 0], limit: 3 }], query: { fusion: "rrf" } });
  assert.ok(fused.points.length >= 3);
});

test("indexes, facets, sparse vectors", async () => {
  const name = await filled({ sparse_vectors: { s: {} } });
  await client.createPayloadIndex(name, { field_name: "city", field_schema: "keyword", wait: true });
  const { hits } = await client.facet(name, { key: "city", limit: 2 });
  assert.deepEqual(hits, [{ value: "Berlin", count: 3 }, { value: "London", count: 2 }]);
  assert.equal((await client.getCollection(name)).payload_schema.city.data_type, "keyword");
  await client.deletePayloadIndex(name, "city");
  assert.deepEqual((await client.getCollection(name)).payload_schema, {});
  await client.updateVectors(name, { points: [{ id: 1, vector: { s: { indices: [7, 3], values: [1, 2] } } }] });
  const found = await client.query(name, { query: { indices: [3], values: [2] }, using: "s", with_vector: ["s"] });
  assert.deepEqual(found.points.map((p) => [p.id, p.score, p.vector]), [[1, 4, { s: { indices: [3, 7], values: [2, 1] } }]]);
  await client.deleteVectors(name, { points: [1], vector: ["s"] });
  assert.equal((await client.query(name, { query: { indices: [3], values: [2] }, using: "s" })).points.length, 0);
});

test("many at a time over kept connections", async () => {
  const name = await collection();
  await Promise.all(Array.from({ length: 80 }, (_, i) => client.upsert(name, { points: [{ id: i, vector: [i, 0, 0, 0] }] })));
  assert.equal((await client.count(name)).count, 80);
  const answers = await Promise.all(Array.from({ length: 80 }, () => client.query(name, { query: [1, 0, 0, 0], limit: 1 })));
  assert.ok(answers.every((a) => a.points[0].id === 79));
});
