#!/usr/bin/env node
// Answers questions from your own documents, in JavaScript. It uses the same collection as rag.py beside it, so one may
// fill it and the other ask.
//
//   npm install @qdrant/js-client-rest
//   node rag.mjs index notes manual.md
//   node rag.mjs ask "How often must the filter be cleaned?"
//
// Settings are those of rag.py: QUIVER_URL, QUIVER_API_KEY, EMBEDDING_URL/_MODEL/_KEY, CHAT_URL/_MODEL/_KEY,
// and COLLECTION (default: documents).
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { QdrantClient } from "@qdrant/js-client-rest";

const env = process.env;
const collection = env.COLLECTION ?? "documents";
const chunkCharacters = 900;
const usualWords = 128; // words of a usual chunk: longer ones count each word less

async function call(base, path, key, body) {
  const headers = { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const answer = await fetch(base.replace(/\/$/, "") + path, { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${base}${path} answered ${answer.status}: ${await answer.text()}`);
  return answer.json();
}

const sha256 = (text) => createHash("sha256").update(text).digest();
const words = (text) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
const wordNumber = (word) => sha256(word).readUInt32LE(0);

// No model: each word adds to one of 512 places.
function embedWords(text) {
  const vector = new Array(512).fill(0);
  for (const word of words(text)) vector[wordNumber(word) % 512] += 1;
  const length = Math.hypot(...vector) || 1;
  return vector.map((x) => x / length);
}

async function embed(texts) {
  if (!env.EMBEDDING_URL) return texts.map(embedWords);
  const vectors = [];
  for (let at = 0; at < texts.length; at += 64) {
    const body = { model: env.EMBEDDING_MODEL ?? "", input: texts.slice(at, at + 64) };
    const { data } = await call(env.EMBEDDING_URL, "/embeddings", env.EMBEDDING_KEY, body);
    vectors.push(...data.sort((a, b) => a.index - b.index).map((item) => item.embedding));
  }
  return vectors;
}

// BM25 in two halves: how much a word counts in a text is worked out here, how rare it is by the server.
function weigh(text, k = 1.2, b = 0.75) {
  const found = words(text);
  const counts = new Map();
  for (const word of found) counts.set(wordNumber(word), (counts.get(wordNumber(word)) ?? 0) + 1);
  const norm = k * (1 - b + (b * found.length) / usualWords);
  const indices = [...counts.keys()].sort((x, y) => x - y);
  return { indices, values: indices.map((i) => (counts.get(i) * (k + 1)) / (counts.get(i) + norm)) };
}

function queryWords(text) {
  const indices = [...new Set(words(text).map(wordNumber))].sort((x, y) => x - y);
  return { indices, values: indices.map(() => 1) };
}

// Paragraphs, put together up to the size of a chunk.
function chunks(text) {
  const made = [];
  let kept = "";
  for (const paragraph of text.split(/\n\s*\n/)) {
    for (let at = 0; at < paragraph.length; at += chunkCharacters) {
      const part = paragraph.slice(at, at + chunkCharacters).trim();
      if (!part) continue;
      if (kept && kept.length + part.length > chunkCharacters) {
        made.push(kept);
        kept = "";
      }
      kept = kept ? `${kept}\n\n${part}` : part;
    }
  }
  return kept ? [...made, kept] : made;
}

function files(path) {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path, { recursive: true })
    .filter((name) => /\.(txt|md|rst)$/.test(name))
    .sort()
    .map((name) => join(path, name));
}

// The same passage of the same file is always the same point: a UUID made from both.
function pointId(source, chunk) {
  const hex = sha256(`${source}#${chunk}`).toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

async function index(client, paths) {
  if (!(await client.collectionExists(collection)).exists) {
    const [sample] = await embed(["size"]);
    await client.createCollection(collection, {
      vectors: { meaning: { size: sample.length, distance: "Cosine" } },
      sparse_vectors: { words: { modifier: "idf" } },
    });
    await client.createPayloadIndex(collection, { field_name: "metadata.source", field_schema: "keyword", wait: true });
  }
  let nFiles = 0;
  let nChunks = 0;
  for (const source of paths.flatMap(files).map((path) => resolve(path))) {
    const texts = chunks(readFileSync(source, "utf8"));
    const vectors = await embed(texts);
    const points = texts.map((text, chunk) => ({
      id: pointId(source, chunk),
      vector: { meaning: vectors[chunk], words: weigh(text) },
      payload: { page_content: text, metadata: { source, chunk } },
    }));
    // Replace whatever an earlier version of the file had left.
    await client.delete(collection, { wait: true, filter: { must: [{ key: "metadata.source", match: { value: source } }] } });
    for (let at = 0; at < points.length; at += 500) {
      await client.upsert(collection, { wait: true, points: points.slice(at, at + 500) });
    }
    nFiles += 1;
    nChunks += texts.length;
  }
  console.log(`${nFiles} files, ${nChunks} passages`);
}

async function ask(client, question, limit = 4) {
  const [meaning] = await embed([question]);
  const { points } = await client.query(collection, {
    prefetch: [
      { query: meaning, using: "meaning", limit: 20 },
      { query: queryWords(question), using: "words", limit: 20 },
    ],
    query: { fusion: "rrf" },
    limit,
    with_payload: true,
  });
  const passages = points.map((point) => point.payload);
  const shown = passages.map((p, i) => `[${i + 1}] ${p.metadata.source}\n${p.page_content}`).join("\n\n");
  if (!env.CHAT_URL) {
    console.log(shown);
    return;
  }
  const answer = await call(env.CHAT_URL, "/chat/completions", env.CHAT_KEY, {
    model: env.CHAT_MODEL ?? "",
    messages: [
      { role: "system", content: `Answer from these passages only and name them by number. Say so when the answer is not in them.\n\n${shown}` },
      { role: "user", content: question },
    ],
  });
  console.log(answer.choices[0].message.content);
  passages.forEach((p, i) => console.log(`[${i + 1}] ${p.metadata.source}`));
}

const [command, ...rest] = process.argv.slice(2);
const client = new QdrantClient({ url: env.QUIVER_URL ?? "http://127.0.0.1:6333", apiKey: env.QUIVER_API_KEY });
if (command === "index" && rest.length > 0) await index(client, rest);
else if (command === "ask" && rest.length === 1) await ask(client, rest[0]);
else {
  console.error("usage: rag.mjs index PATH... | rag.mjs ask QUESTION");
  process.exitCode = 2;
}
