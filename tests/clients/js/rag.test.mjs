// examples/rag/rag.mjs, run as a program (a copy of it lies beside this file while the tests run).
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { QdrantClient } from "@qdrant/js-client-rest";
import { embed, newName, URL_ } from "./support.mjs";

const run = promisify(execFile);
const client = new QdrantClient({ url: URL_ });
const folder = mkdtempSync(join(tmpdir(), "quiver-rag-"));
const made = [];
writeFileSync(join(folder, "pump.md"), "# Pump\n\nThe filter of the pump must be cleaned every six weeks.\n\nUse cold water only.");
writeFileSync(join(folder, "roses.txt"), "Roses are cut in spring.\n\nThey need feeding twice a year.");
writeFileSync(join(folder, "long.txt"), Array.from({ length: 30 }, (_, i) => `Topic${i} and nothing else is told of here. `.repeat(5)).join("\n\n"));
after(async () => {
  rmSync(folder, { recursive: true });
  for (const name of made) await client.deleteCollection(name);
});

function rag(collection, settings, ...words) {
  const env = { ...process.env, QUIVER_URL: URL_, COLLECTION: collection, ...settings };
  return run(process.execPath, [join(import.meta.dirname, "rag.mjs"), ...words], { env });
}

test("without services", async () => {
  const name = newName("rag-js");
  made.push(name);
  const { stdout } = await rag(name, {}, "index", folder);
  assert.match(stdout, /^3 files, \d+ passages/);
  const answer = (await rag(name, {}, "ask", "how often is the pump filter cleaned")).stdout;
  assert.ok(answer.startsWith(`[1] ${join(folder, "pump.md")}`), answer);
  assert.match((await rag(name, {}, "ask", "topic17")).stdout, /^\[1\].*long.txt\n[^[]*Topic17/);
  const before = (await client.count(name)).count;
  await rag(name, {}, "index", folder);
  assert.equal((await client.count(name)).count, before);
});

test("with services", async () => {
  const name = newName("rag-js");
  made.push(name);
  const seen = [];
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (part) => (text += part));
    request.on("end", () => {
      const body = JSON.parse(text);
      seen.push([request.url, body, request.headers.authorization]);
      const answer = request.url === "/v1/embeddings"
        ? { data: body.input.map((t, index) => ({ index, embedding: embed(t, 64) })).reverse() }
        : { choices: [{ message: { content: "THE ANSWER" } }] };
      response.end(JSON.stringify(answer));
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const base = `http://127.0.0.1:${server.address().port}/v1`;
  const settings = { EMBEDDING_URL: base, EMBEDDING_MODEL: "small", CHAT_URL: base, CHAT_MODEL: "large", CHAT_KEY: "k" };
  await rag(name, settings, "index", join(folder, "roses.txt"), join(folder, "pump.md"));
  const { stdout } = await rag(name, settings, "ask", "When are roses cut?");
  server.close();
  assert.ok(stdout.startsWith("THE ANSWER\n[1] " + join(folder, "roses.txt")), stdout);
  const [path, body, key] = seen.at(-1);
  assert.deepEqual([path, body.model, key], ["/v1/chat/completions", "large", "Bearer k"]);
  assert.match(body.messages[0].content, /Roses are cut in spring/);
});
