// A player: moves once, answers pings, and says every twentieth tick.
//
//     node client.mjs PORT

import net from "node:net";

const [MOVE, PING, PONG, WORLD] = [1, 2, 3, 4];

function message(kind, body) {
  const head = Buffer.alloc(3);
  head.writeUInt16BE(body.length + 1, 0);
  head.writeUInt8(kind, 2);
  return Buffer.concat([head, body]);
}

const socket = net.connect(Number(process.argv[2]), "127.0.0.1");
let received = Buffer.alloc(0);

socket.on("connect", () => socket.write(message(MOVE, Buffer.from([0, 3, 0, 4]))));
socket.on("data", (data) => {
  received = Buffer.concat([received, data]);
  while (received.length >= 2) {
    const end = 2 + received.readUInt16BE(0);
    if (received.length < end) return;
    const [kind, body] = [received[2], received.subarray(3, end)];
    if (kind === PING) socket.write(message(PONG, body));
    if (kind === WORLD && body.readUInt32BE(0) % 20 === 0) {
      console.log("tick", body.readUInt32BE(0), "players", (body.length - 4) / 6);
    }
    received = received.subarray(end);
  }
});
socket.on("error", (error) => console.log("error", error.code));
socket.on("close", () => console.log("closed"));
