// The package `ws` of Node, on the other side of websocket.py: an echo server, or a client of one.
//
//   node websocket.js                     succeeds if the package is there
//   node websocket.js server OPTIONS      prints where it listens, and how each connection ends
//   node websocket.js client URL OPTIONS  prints, for each of its options, what came of it
//
// Options are those of perMessageDeflate in JSON: one for a server, a list of them for clients.
"use strict";

const assert = require("node:assert");
const { once } = require("node:events");
const { WebSocket, WebSocketServer } = require("ws");

// Compressed or not, short or long, easily compressed or not.
const messages = [
  "", "Hello", "k\u00f6sm\u03b5 \u{1d11e}".repeat(20_000), "a".repeat(125), "a".repeat(126),
  Buffer.alloc(0), Buffer.alloc(65_535, "abc"), Buffer.alloc(65_536),
  Buffer.from(Uint32Array.from({ length: 1 << 18 }, (_, at) => at * 0x9e3779b9).buffer),
  "Hello", "Hello",
];

async function echoed(socket, message, send) {
  const answer = once(socket, "message");
  send();
  const [data, isBinary] = await answer;
  assert.strictEqual(isBinary, typeof message !== "string");
  assert.ok(Buffer.from(message).equals(data), `${data.length} bytes came back`);
}

async function client(url, perMessageDeflate) {
  const socket = new WebSocket(url, { perMessageDeflate });
  await once(socket, "open");
  for (const message of messages) {
    await echoed(socket, message, () => socket.send(message));
  }
  await echoed(socket, "in three pieces", () => {
    socket.send("in ", { fin: false });
    socket.send("", { fin: false });
    socket.send("three pieces", { fin: true });
  });
  const pong = once(socket, "pong");
  socket.ping("are you there?");
  assert.strictEqual((await pong)[0].toString(), "are you there?");
  const closed = once(socket, "close");
  socket.close(4001, "b\u00fce");
  const [code] = await closed;
  return [socket.extensions, messages.length + 1, code];
}

function serve(perMessageDeflate) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate });
  server.on("listening", () => console.log(`listening ws 127.0.0.1:${server.address().port}`));
  server.on("connection", socket => {
    console.log(`extensions ${socket.extensions}`);
    socket.on("message", (data, isBinary) => {
      if (data.toString() === "close") socket.close(4002, "as you wish");
      else socket.send(data, { binary: isBinary });
    });
    socket.on("error", error => console.log(`error ${error.message}`));
    socket.on("close", (code, reason) => console.log(`closed ${code} ${reason}`));
  });
}

async function main([role, ...rest]) {
  if (role === undefined) return;
  const options = JSON.parse(rest.pop());
  if (role === "server") return serve(options);
  for (const each of options) console.log(JSON.stringify(await client(rest[0], each)));
}

main(process.argv.slice(2)).catch(error => {
  console.error(error);
  process.exit(1);
});
