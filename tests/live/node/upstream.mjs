// What stands behind a forwarded path: a small HTTP server in the manner of the Node relay's API.
// Prints its port, and then a line of JSON for each thing that a test may want to know of.
//
//   node upstream.mjs [PORT]

import { createHash, createHmac } from "node:crypto";
import http from "node:http";

const SECRET = "whsec_test";
const BLOCK = Buffer.alloc(64 * 1024, "0123456789abcdef");

function tell(value) {
  console.log(JSON.stringify(value));
}

function json(response, status, value, headers = {}) {
  const body = JSON.stringify(value);
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...headers,
  });
  response.end(body);
}

async function raw(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

async function digest(request, pause) {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const part of request) {
    hash.update(part);
    bytes += part.length;
    if (pause) await new Promise((done) => setTimeout(done, pause));
  }
  return { bytes, sha256: hash.digest("hex") };
}

function stream(response, bytes) {
  let left = bytes;
  let told = false;
  const write = () => {
    while (left > 0) {
      const block = BLOCK.subarray(0, Math.min(left, BLOCK.length));
      left -= block.length;
      if (!response.write(block)) {
        response.once("drain", write);
        if (!told) tell({ full: bytes - left });
        told = true;
        return;
      }
    }
    response.end();
  };
  response.on("close", () => tell({ closed: "download", left }));
  write();
}

const ROUTES = {
  "POST /api/builds": async (request, response) => {
    const body = JSON.parse(await raw(request));
    json(response, 201, { body, headers: request.headers, url: request.url }, {
      "set-cookie": ["a=1; Path=/", "b=2"],
      location: "/api/builds/7",
    });
  },
  "GET /api/builds/7": (request, response) =>
    json(response, 200, { headers: request.headers, url: request.url }),
  "HEAD /api/builds/7": (request, response) => {
    response.writeHead(200, { "content-length": 4321, "x-head": "1" });
    response.end();
  },
  "DELETE /api/builds/7": (request, response) => response.writeHead(204).end(),
  "GET /api/builds/7/download": (request, response) => {
    const bytes = +new URL(request.url, "http://x").searchParams.get("bytes");
    response.writeHead(200, { "content-type": "application/zip" });
    stream(response, bytes);
  },
  "PUT /api/upload": async (request, response) => {
    const pause = +new URL(request.url, "http://x").searchParams.get("pause");
    json(response, 200, await digest(request, pause));
  },
  "POST /api/stripe-webhook": async (request, response) => {
    const body = await raw(request);
    const expected = createHmac("sha256", SECRET).update(body).digest("hex");
    const good = request.headers["stripe-signature"] === expected;
    json(response, good ? 200 : 400, { good, bytes: body.length });
  },
  "GET /api/slow": (request, response) => {
    tell({ waiting: "slow" });
    response.on("close", () => tell({ closed: "slow" }));
  },
  "GET /api/late": (request, response) => {
    tell({ waiting: "late" });
    setTimeout(() => json(response, 200, { late: true }), 500);
  },
  "GET /api/dies": (request, response) => {
    response.writeHead(200, { "content-length": 1000 });
    response.write("half", () => request.socket.destroy());
  },
  "GET /api/hangs": (request, response) => {
    response.writeHead(200, { "content-length": 1000 });
    response.write("half");
  },
  "GET /api/garbage": (request) => request.socket.end("this is no HTTP\r\n\r\n"),
  "GET /api/old": (request) => request.socket.end("HTTP/1.0 200 OK\r\nX-Old: 1\r\n\r\nuntil the end"),
  "PUT /api/limited": (request, response) => json(response, 413, { error: "too much" }),
  "POST /api/deaf": () => tell({ waiting: "deaf" }),
};

const server = http.createServer((request, response) => {
  const path = request.url.split("?")[0];
  if (request.method === "OPTIONS") {
    response.writeHead(204, {
      "access-control-allow-origin": request.headers.origin ?? "*",
      "access-control-allow-methods": "GET,POST,PUT,DELETE",
    });
    response.end();
    return;
  }
  const route = ROUTES[`${request.method} ${path}`];
  if (!route) json(response, 404, { error: `Cannot ${request.method} ${request.url}` });
  else if (route.constructor.name === "AsyncFunction") {
    route(request, response).catch((error) => tell({ failed: path, why: error.code ?? String(error) }));
  } else route(request, response);
});
server.listen(+(process.argv[2] ?? 0), "127.0.0.1", () => tell({ port: server.address().port }));
