// Reads requests with the server of Node, as strictly as it does by itself.
//
// On each line of standard input there are the bytes of one connection in hexadecimal, and on each line of standard
// output what Node has made of them: how the connection ended, and each request, as words with strings in hexadecimal.
"use strict";

const http = require("http");
const net = require("net");
const readline = require("readline");

let requests, end;

const hex = (text) => Buffer.from(text, "latin1").toString("hex");

const server = http.createServer((request, response) => {
  const body = [];
  request.on("data", (piece) => body.push(piece));
  request.on("end", () => {
    const keepAlive = response.shouldKeepAlive ? "keeps" : "closes";
    requests.push([hex(request.method), hex(request.url), hex(Buffer.concat(body)), keepAlive].join("/"));
    response.end();
  });
});
server.on("clientError", (error, socket) => {
  // What comes behind a request that closes the connection is nobody's.
  if (error.code === "HPE_CLOSED_CONNECTION") return socket.end();
  end = `refused: ${error.code}`;
  socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
});

function read(data) {
  requests = [];
  end = "closed";
  return new Promise((done) => {
    const received = [];
    const client = net.connect(server.address().port, "127.0.0.1", () => client.end(data));
    client.on("data", (piece) => received.push(piece));
    client.on("error", () => {});
    client.on("close", () => {
      // Some are refused without an error being told: no host, an expectation.
      const refused = /HTTP\/1\.1 4\d\d/.exec(Buffer.concat(received).toString("latin1"));
      if (refused && end === "closed") end = `refused: ${refused[0]}`;
      done([hex(end), ...requests].join(" "));
    });
  });
}

server.listen(0, "127.0.0.1", async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(await read(Buffer.from(line, "hex")));
  }
  server.close();
});
