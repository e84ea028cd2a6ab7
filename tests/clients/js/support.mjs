// What the JavaScript tests share.
import { createHash } from "node:crypto";

export const URL_ = process.env.QUIVER_URL;

let numbers = 0;
export function newName(prefix) {
  return `${prefix}-${process.pid}-${++numbers}`;
}

// Counts of words, hashed into slots and normalised: texts with the same words are near.
export function embed(text, size = 256) {
  const vector = new Array(size).fill(0);
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? []) {
    vector[createHash("sha256").update(word).digest().readUInt32LE(0) % size] += 1;
  }
  const norm = Math.hypot(...vector) || 1;
  return vector.map((x) => x / norm);
}

export const documents = [
  ["The heart pumps blood through the body.", { topic: "medicine", page: 1 }],
  ["Blood cells carry oxygen.", { topic: "medicine", page: 2 }],
  ["A compiler turns source code into machine code.", { topic: "software", page: 1 }],
  ["A linker joins object files into a program.", { topic: "software", page: 2 }],
  ["The river carries sand to the sea.", { topic: "nature", page: 1 }],
  ["Wind shapes the dunes of sand.", { topic: "nature", page: 2 }],
];
