// A client in another language: node peer.mjs HOST PORT [INTERVAL TIMEOUT]
//
// Each line of stdin is sent as a message. What happens is printed, one JSON array a
// line. It answers pings, asks when it has heard nothing for INTERVAL seconds, and gives
// the server up when nothing came for TIMEOUT more. Exits with 0 after a goodbye,
// 10 when the server is dead, and 13 when it broke the protocol.
import net from "node:net";
import readline from "node:readline";
import * as deadpeer from "./deadpeer.mjs";

const [host, port, interval = "20", timeout = "10"] = process.argv.slice(2);
const wish = { interval: Number(interval), timeout: Number(timeout), one_way: false };
const isPort = Number.isInteger(Number(port)) && port > 0 && port < 65536;
const isDuration = (seconds) => seconds > 0 && seconds * 1000 < 2 ** 31; // of a timer
if (!isPort || !isDuration(wish.interval) || !isDuration(wish.timeout)) {
  console.error("usage: node peer.mjs HOST PORT [INTERVAL TIMEOUT], in seconds");
  process.exit(2);
}
const DONE = 0, PROTOCOL_VIOLATED = 2, TAKEN_FOR_DEAD = 5;
const DEAD = 10, VIOLATED = 13;
const HANDSHAKE = 10; // seconds

const now = () => performance.now() / 1000; // does not go back
const hello = {
  ...deadpeer.DEFAULT_HELLO,
  interval_ms: Math.ceil(wish.interval * 1000),
  time_to_live_ms: Math.ceil(wish.timeout * 1000),
  heartbeat_gap_ms: Math.min(100, Math.ceil(wish.interval * 1000)),
};

const reader = new deadpeer.Reader(hello, { now: now() });
const outbox = []; // messages that wait for the server's HELLO
let agreed = null;
let heardAt = now();
let sequence = 0;
let asked = false;
let timer = null;
let leaving = false;

const socket = net.connect({ host, port: Number(port), noDelay: true });
const print = (...values) => console.log(JSON.stringify(values));

function leave(code, reason, text) {
  if (leaving) return;
  leaving = true;
  process.exitCode = code;
  clearTimeout(timer);
  lines.close();
  process.stdin.destroy();
  // A dead or broken peer will not read it to the end: do not wait for that.
  socket.end(deadpeer.encodeBye(reason, text));
  if (code) socket.destroySoon();
  setTimeout(() => socket.destroy(), 1000).unref();
}

function send(message) {
  if (message.length > reader.theirs.largest_message) {
    print("not-sent", "message-too-big");
    return;
  }
  // All fragments at once: a client that types has nothing to put between them.
  for (const frame of deadpeer.encodeMessage(message)) socket.write(frame);
}

// One timer, re-armed lazily: a byte that is heard only moves `heardAt`.
function watch() {
  const rules = agreed ?? { interval: HANDSHAKE, timeout: 0 };
  const askAt = heardAt + rules.interval;
  const deadAt = askAt + rules.timeout;
  const at = now();
  if (at >= deadAt) {
    // What was read meanwhile, but not handled yet, goes first: that is life.
    setImmediate(() => setImmediate(() => {
      if (now() < heardAt + rules.interval + rules.timeout) watch();
      else {
        print("dead", Number((now() - heardAt).toFixed(3)));
        leave(DEAD, TAKEN_FOR_DEAD);
      }
    }));
    return;
  }
  if (agreed && at >= askAt && !asked) {
    asked = true;
    sequence = (sequence + 1) % 65536;
    reader.pingsSent += 1;
    socket.write(deadpeer.encodePing(sequence));
  }
  timer = setTimeout(watch, ((at >= askAt ? deadAt : askAt) - at) * 1000 + 1);
}

function handle([name, ...values]) {
  if (name === "message") print(name, values[0].toString("utf8"));
  else if (name !== "beat") print(name, ...values);
  if (name === "greeted") {
    agreed = deadpeer.agree(wish, values[0]);
    print("agreed", agreed);
    outbox.splice(0).forEach(send);
    clearTimeout(timer);
    watch();
  } else if (name === "pinged") socket.write(deadpeer.encodePong(values[0]));
  else if (name === "goodbye") leave(0, DONE);
}

socket.on("connect", () => {
  socket.write(deadpeer.encodeHello(hello));
  watch();
});
socket.on("data", (data) => {
  if (leaving) return;
  heardAt = now();
  asked = false;
  try {
    reader.receive(data, heardAt).forEach(handle);
    if (reader.error) throw reader.error;
  } catch (error) {
    if (!(error instanceof deadpeer.Breach)) throw error;
    print("broken", error.word);
    leave(VIOLATED, PROTOCOL_VIOLATED, error.word);
  }
});
socket.on("error", (error) => {
  if (leaving) return;
  print("dead", error.code);
  leave(DEAD, TAKEN_FOR_DEAD);
});
socket.on("end", () => {
  if (leaving) return;
  print("dead", "the connection ended without a goodbye");
  leave(DEAD, TAKEN_FOR_DEAD);
});

const lines = readline.createInterface({ input: process.stdin });
lines.on("line", (line) => (agreed ? send(Buffer.from(line)) : outbox.push(Buffer.from(line))));
lines.on("close", () => {
  if (agreed) leave(0, DONE);
  else if (!leaving) socket.once("data", () => setImmediate(() => leave(0, DONE)));
});
