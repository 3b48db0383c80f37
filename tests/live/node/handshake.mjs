// Connections that begin, or end, in a way of their own. Prints one line of JSON.
//
//   node handshake.mjs half-close ENDPOINT PATH [CA]
//       ask, end our side of the connection at once, and say what came: ENDPOINT is tcp:PORT,
//       tls:PORT or unix:PATH
//   node handshake.mjs half-closed-websocket PORT
//       the same as a WebSocket client; done when the relay has ended its side, too
//   node handshake.mjs early PORT
//       send a ping in one packet with the request; the types of what comes
//   node handshake.mjs open URL NAME...
//       ask for subprotocols; which one was answered
//   node handshake.mjs offer URL OPTIONS
//       offer compression with these options of ws, and ping with a compressed message; the
//       extensions that were agreed to
//   node handshake.mjs offer-raw PORT OFFERS
//       the answer to an offer as it is written; null for none

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import net from "node:net";
import tls from "node:tls";
import WebSocket from "ws";

const [, , mode, ...args] = process.argv;
const HANDSHAKE = [
  "GET /cli/ABC234 HTTP/1.1",
  "Host: relay",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version: 13",
  "",
  "",
].join("\r\n");

function tell(value) {
  console.log(JSON.stringify(value));
}

function connect(endpoint, ca) {
  const [kind, ...rest] = endpoint.split(":");
  const where = kind === "unix" ? { path: rest.join(":") } : { host: "127.0.0.1", port: +rest[0] };
  const options = { ...where, allowHalfOpen: true };
  return kind === "tls"
    ? tls.connect({ ...options, ca: readFileSync(ca), ALPNProtocols: ["h2", "http/1.1"] })
    : net.connect(options);
}

function masked(text) {
  const payload = Buffer.from(text);
  const mask = Buffer.from([1, 2, 3, 4]);
  const head = Buffer.from([0x81, 0x80 | payload.length]);
  return Buffer.concat([head, mask, payload.map((byte, i) => byte ^ mask[i % 4])]);
}

function halfClose(endpoint, path, ca) {
  const socket = connect(endpoint, ca);
  const parts = [];
  socket.on("data", (part) => parts.push(part));
  socket.on("end", () => {
    const data = Buffer.concat(parts);
    const at = data.indexOf("\r\n\r\n");
    const body = data.subarray(at + 4);
    tell({
      head: data.subarray(0, at).toString(),
      bytes: body.length,
      sha256: createHash("sha256").update(body).digest("hex"),
      alpn: socket.alpnProtocol ?? null,
    });
    socket.destroy();
  });
  socket.end(`GET ${path} HTTP/1.1\r\nHost: relay\r\n\r\n`);
}

function halfClosedWebSocket(port) {
  const socket = connect(`tcp:${port}`);
  let data = "";
  socket.on("data", (part) => {
    if (!data) socket.end();
    data += part.toString("latin1");
  });
  socket.on("end", () => {
    tell({ status: +data.split(" ")[1] });
    socket.destroy();
  });
  socket.write(HANDSHAKE);
}

function early(port) {
  const socket = connect(`tcp:${port}`);
  let data = "";
  socket.on("data", (part) => {
    data += part.toString("latin1");
    if (data.includes('"pong"')) {
      tell({ pong: true });
      socket.destroy();
    }
  });
  socket.write(Buffer.concat([Buffer.from(HANDSHAKE), masked('{"type":"ping","timestamp":1}')]));
}

function open(url, ...names) {
  const socket = new WebSocket(url, names);
  socket.on("open", () => {
    tell({ protocol: socket.protocol });
    socket.close();
  });
  socket.on("error", (error) => tell({ error: error.message }));
}

function offer(url, options) {
  const perMessageDeflate = { threshold: 0, ...JSON.parse(options) };
  const socket = new WebSocket(url, { perMessageDeflate });
  socket.on("open", () => socket.send(`{"type":"ping","pad":"${"x".repeat(5000)}"}`));
  socket.on("message", (data) => {
    if (JSON.parse(data).type !== "pong") return;
    tell({ extensions: socket.extensions });
    socket.close();
  });
  socket.on("error", (error) => tell({ error: error.message }));
}

function offerRaw(port, offers) {
  const socket = connect(`tcp:${port}`);
  let data = "";
  socket.on("data", (part) => {
    data += part.toString("latin1");
    if (!data.includes("\r\n\r\n")) return;
    const answer = /^sec-websocket-extensions: (.*)$/im.exec(data);
    tell({ status: +data.split(" ")[1], extensions: answer && answer[1].trim() });
    socket.destroy();
  });
  const field = `Sec-WebSocket-Extensions: ${offers}\r\n\r\n`;
  socket.write(HANDSHAKE.slice(0, -2) + field);
}

({
  offer,
  "offer-raw": offerRaw,
  "half-close": halfClose,
  "half-closed-websocket": halfClosedWebSocket,
  early,
  open,
})[mode](...args);
