// Runs the codec against the test vectors: node check-vectors.mjs wire-vectors.json
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as deadpeer from "./deadpeer.mjs";

const vectors = JSON.parse(readFileSync(process.argv[2], "utf8"));
let checked = 0;

const bytes = (hex) => Buffer.from(hex.replace(/\(00\*(\d+)\)/g, (_, n) => "00".repeat(n)), "hex");

const ENCODERS = {
  hello: (v) => deadpeer.encodeHello(v.hello),
  beat: () => deadpeer.encodeBeat(),
  ping: (v) => deadpeer.encodePing(v.sequence),
  pong: (v) => deadpeer.encodePong(v.sequence),
  message: (v) => Buffer.concat([...deadpeer.encodeMessage(bytes(v.message))]),
  bye: (v) => deadpeer.encodeBye(v.reason, v.text),
};

for (const vector of vectors.frames) {
  assert.deepEqual(ENCODERS[vector.frame](vector), bytes(vector.hex), vector.hex.slice(0, 80));
  checked += 1;
}

function hear(vector, pieces) {
  const { largest_message, heartbeat_gap_ms, largest_hello, strikes } = vectors.hearer;
  const hello = { ...deadpeer.DEFAULT_HELLO, largest_message, heartbeat_gap_ms };
  const reader = new deadpeer.Reader(hello, { largestHello: largest_hello, strikes });
  reader.pingsSent = vector.pings_sent;
  const arrivals = pieces.flatMap((piece) => reader.receive(piece, 0));
  return { arrivals, breach: reader.error?.word ?? "" };
}

for (const vector of vectors.streams) {
  const data = bytes(vector.hex);
  const arrivals = vector.arrivals.map(([name, ...rest]) =>
    name === "message" ? [name, bytes(rest[0])] : [name, ...rest]);
  const expected = { arrivals, breach: vector.breach };
  assert.deepEqual(hear(vector, [data]), expected, vector.name);
  assert.deepEqual(hear(vector, [...data].map((byte) => Buffer.from([byte]))), expected, `${vector.name}, bytewise`);
  checked += 1;
}

function outcome(work) {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof deadpeer.Breach)) throw error;
    return { breach: error.word };
  }
}

for (const { name, wish, theirs, agreed, it_promises_a_beat_every: promised } of vectors.agreements) {
  assert.deepEqual(outcome(() => deadpeer.agree(wish, theirs, vectors.longest_patience)), agreed, name);
  const mine = { interval_ms: wish.interval * 1000, wants_beats: wish.one_way };
  assert.equal(deadpeer.promise(theirs, mine), promised, name);
  checked += 1;
}

console.log(`${checked} vectors agree`);
