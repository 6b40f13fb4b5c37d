// The wire format of deadpeer for JavaScript, from docs/reference/wire-format.md alone.
// Pure: no socket and no clock. `now` is in seconds, of any clock that never goes back.

export const VERSION = 1;
export const LARGEST_FRAGMENT = 16384;
const MAGIC = Buffer.from([0xde, 0xad, 0x50, 0x52]);
const BEAT = 0x10, PING = 0x20, PONG = 0x30, DATA = 0x40, BYE = 0x50, HELLO = 0xde;
const LAST = 0x01;
const HTTP = ["GET ", "POST", "PUT ", "HEAD", "OPTI", "DELE", "PATC", "CONN", "TRAC", "PRI ", "HTTP"];

export class Breach extends Error {
  constructor(word) {
    super(`the protocol was broken: ${word}`);
    this.word = word;
  }
}

export const DEFAULT_HELLO = {
  version: VERSION,
  offers_beats: false, // this file keeps no schedule; see peer.mjs
  wants_beats: false,
  answers_pings: true,
  interval_ms: 20000,
  time_to_live_ms: 10000,
  heartbeat_gap_ms: 100,
  largest_message: 1 << 20,
  extensions: [], // pairs: kind, value in hex
};

// ---------------------------------------------------------------- what is sent

export function encodeHello(hello) {
  const tail = Buffer.concat(hello.extensions.map(([kind, hex]) => {
    const value = Buffer.from(hex, "hex");
    return Buffer.concat([Buffer.from([kind, value.length]), value]);
  }));
  const head = Buffer.alloc(24);
  MAGIC.copy(head);
  head[4] = hello.version;
  head[5] = (hello.offers_beats ? 1 : 0) | (hello.wants_beats ? 2 : 0) | (hello.answers_pings ? 4 : 0);
  head.writeUInt16BE(16 + tail.length, 6);
  head.writeUInt32BE(hello.interval_ms, 8);
  head.writeUInt32BE(hello.time_to_live_ms, 12);
  head.writeUInt32BE(hello.heartbeat_gap_ms, 16);
  head.writeUInt32BE(hello.largest_message, 20);
  return Buffer.concat([head, tail]);
}

export const encodeBeat = () => Buffer.from([BEAT]);
export const encodePing = (sequence) => Buffer.from([PING, sequence >> 8, sequence & 255]);
export const encodePong = (sequence) => Buffer.from([PONG, sequence >> 8, sequence & 255]);

export function* encodeMessage(message) {
  let at = 0;
  do {
    const piece = message.subarray(at, at + LARGEST_FRAGMENT);
    at += LARGEST_FRAGMENT;
    const last = at >= message.length ? LAST : 0;
    yield Buffer.concat([Buffer.from([DATA | last, piece.length >> 8, piece.length & 255]), piece]);
  } while (at < message.length);
}

export function encodeBye(reason, text = "") {
  let said = Buffer.from(text.toWellFormed?.() ?? text);
  let end = Math.min(said.length, 255);
  while (end < said.length && (said[end] & 0xc0) === 0x80) end -= 1; // not through a character
  said = said.subarray(0, end);
  return Buffer.concat([Buffer.from([BYE, reason, said.length]), said]);
}

// ------------------------------------------------------------- what is received

function stranger(start) {
  if (HTTP.includes(start.toString("latin1"))) return "spoke-http";
  return [0x15, 0x16].includes(start[0]) && start[1] === 3 ? "spoke-tls" : "wrong-magic";
}

function decodeHello(frame) {
  const flags = frame[5];
  if (flags & ~7) throw new Breach("reserved-bits");
  const extensions = [];
  for (let at = 24; at < frame.length;) {
    const end = at + 2 + frame[at + 1];
    if (at + 2 > frame.length || end > frame.length) throw new Breach("bad-hello");
    extensions.push([frame[at], frame.toString("hex", at + 2, end)]);
    at = end;
  }
  const hello = {
    version: frame[4],
    offers_beats: Boolean(flags & 1),
    wants_beats: Boolean(flags & 2),
    answers_pings: Boolean(flags & 4),
    interval_ms: frame.readUInt32BE(8),
    time_to_live_ms: frame.readUInt32BE(12),
    heartbeat_gap_ms: frame.readUInt32BE(16),
    largest_message: frame.readUInt32BE(20),
    extensions,
  };
  const zero = [hello.version, hello.interval_ms, hello.time_to_live_ms, hello.heartbeat_gap_ms].includes(0);
  if (zero || hello.heartbeat_gap_ms > hello.interval_ms) throw new Breach("bad-hello");
  return hello;
}

// The peer's direction: bytes in, arrivals out. After a breach `error` is set, and
// what had arrived before it was returned.
export class Reader {
  constructor(hello, { largestHello = 1024, strikes = 2, longestPatience = 600, now = 0 } = {}) {
    this.hello = hello;
    this.largestHello = largestHello;
    this.strikes = strikes;
    this.longestPatience = longestPatience;
    this.stage = "silent"; // open, gone, broken
    this.pingsSent = 0; // that may still be answered
    this.theirs = null;
    this.error = null;
    this.pingsAt = now;
    this.beatsAt = now;
    this.buffer = Buffer.alloc(0);
    this.message = null; // fragments so far
    this.held = 0; // bytes of them
  }

  receive(data, now) {
    if (this.error) return [];
    const arrived = [];
    this.buffer = this.buffer.length ? Buffer.concat([this.buffer, data]) : data;
    try {
      for (;;) {
        const size = this.buffer.length ? this.size() : 0;
        if (!size || size > this.buffer.length) return arrived;
        const frame = this.buffer.subarray(0, size);
        const arrival = this.take(frame, now);
        this.buffer = this.buffer.subarray(size);
        if (arrival) arrived.push(arrival);
      }
    } catch (error) {
      if (!(error instanceof Breach)) throw error;
      this.error = error;
      this.stage = "broken";
      this.buffer = this.message = null;
      return arrived;
    }
  }

  size() {
    if (this.stage === "gone") throw new Breach("after-goodbye");
    return this.stage === "silent" ? this.helloSize() : this.frameSize();
  }

  helloSize() {
    const b = this.buffer;
    if (b.length < 4) return 0;
    if (!b.subarray(0, 4).equals(MAGIC)) throw new Breach(stranger(b.subarray(0, 4)));
    if (b.length < 8) return 0;
    const size = 8 + b.readUInt16BE(6);
    if (size > this.largestHello) throw new Breach("hello-too-big");
    if (size < 24) throw new Breach("bad-hello");
    return size;
  }

  frameSize() {
    const b = this.buffer;
    if (b[0] === HELLO) throw new Breach("second-hello");
    const kind = b[0] & 0xf0;
    if (![BEAT, PING, PONG, DATA, BYE].includes(kind)) throw new Breach("unknown-frame");
    if (b[0] !== kind && b[0] !== (DATA | LAST)) throw new Breach("reserved-bits");
    if (kind === BEAT) return 1;
    if (kind !== DATA && kind !== BYE) return 3;
    if (b.length < 3) return 0;
    if (kind === BYE) return 3 + b[2];
    const length = b.readUInt16BE(1);
    if (length > LARGEST_FRAGMENT) throw new Breach("fragment-too-big");
    if (length === 0 && !(b[0] & LAST)) throw new Breach("empty-fragment");
    if (this.held + length > this.hello.largest_message) throw new Breach("message-too-big");
    return 3 + length;
  }

  take(frame, now) {
    if (this.stage === "silent") {
      this.theirs = decodeHello(frame);
      this.stage = "open";
      return ["greeted", this.theirs];
    }
    switch (frame[0]) {
      case BEAT:
        this.countHeartbeat("beatsAt", now);
        return ["beat"];
      case PING:
        this.countHeartbeat("pingsAt", now);
        return ["pinged", frame.readUInt16BE(1)];
      case PONG:
        if (this.pingsSent === 0) throw new Breach("unasked-pong");
        this.pingsSent -= 1;
        return ["ponged", frame.readUInt16BE(1)];
      case BYE: {
        let text;
        try {
          text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(frame.subarray(3));
        } catch {
          throw new Breach("bad-goodbye");
        }
        this.stage = "gone";
        this.message = null;
        return ["goodbye", frame[1], text];
      }
      default:
        return this.takeData(frame);
    }
  }

  takeData(frame) {
    const pieces = this.message ?? [];
    pieces.push(frame.subarray(3));
    if (!(frame[0] & LAST)) {
      this.message = pieces;
      this.held += frame.length - 3;
      return null;
    }
    this.message = null;
    this.held = 0;
    return ["message", Buffer.concat(pieces)];
  }

  // PINGs and BEATs are counted apart: each name is an instant up to which they are used up.
  countHeartbeat(name, now) {
    const gap = this.hello.heartbeat_gap_ms / 1000;
    const at = Math.max(this[name], now - this.longestPatience);
    if (at > now + this.strikes * gap) throw new Breach("too-many-heartbeats");
    this[name] = at + gap;
  }
}

// -------------------------------------------------------------------- agreement

// Seconds; the rules by which the end that wishes `mine` judges who said `theirs`.
export function agree(mine, theirs, longestPatience = 600) {
  const oneWay = mine.one_way && theirs.offers_beats;
  if (!oneWay && !theirs.answers_pings) throw new Breach("unacceptable-heartbeat");
  const interval = oneWay
    ? Math.max(Math.ceil(mine.interval * 1000), theirs.interval_ms) / 1000
    : Math.max(mine.interval, theirs.heartbeat_gap_ms / 1000);
  const timeout = Math.max(mine.timeout, theirs.time_to_live_ms / 1000 - interval);
  const patience = Math.max(longestPatience, mine.interval + mine.timeout);
  if (interval + timeout > patience) throw new Breach("unacceptable-heartbeat");
  return { interval, timeout, one_way: Boolean(oneWay) };
}

// Seconds from beat to beat that `mine` promised to who said `theirs`, or null.
export function promise(mine, theirs) {
  if (!mine.offers_beats || !theirs.wants_beats) return null;
  return Math.max(mine.interval_ms, theirs.interval_ms) / 1000;
}
