#!/usr/bin/env bash
# npm undici 7.30.2 (the WebSocket of Node 24) and ws 8.23.0, Node 20.18 or newer.
#
# When both Close frames have passed, undici waits for the server to end TCP, and waits without an
# end: after 35 s there is no close event, and the connection is still open, whoever sent the first
# Close. RFC 6455 §7.1.1 wants the server to end TCP first, and lets the client do it when the server
# hasn't in a reasonable time. ws ends its side behind its Close. A server that waits for its clients
# to go (or a proxy that keeps a half of the connection) holds every undici client until somebody's
# own timeout.
#
# Output seen:
#   undici, server closes: Close came, TCP open, event none
#   undici, client closes: Close came, TCP open, event none
#   ws, server closes: Close came, TCP ended, event close 1000
#   ws, client closes: Close came, TCP ended, event close 1000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund undici@7.30.2 ws@8.23.0
cat >try.mjs <<'JS'
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket as Undici } from 'undici';
import { WebSocket as Ws } from 'ws';

const close = Buffer.from([0x88, 2, 0x03, 0xe8]);

async function attempt(name, WebSocket, first) {
  let closing = 'no Close';
  let tcp = 'open';
  let event = 'none';
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.on('upgrade', (request, socket) => {
    const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
    socket.on('error', () => {});
    socket.on('end', () => {
      tcp = 'ended';
      socket.end();
    });
    socket.on('data', (data) => {
      if (data[0] === 0x88) closing = 'Close came';
      if (first === 'client') socket.write(close);
    });
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${createHash('sha1').update(key).digest('base64')}\r\n\r\n`,
    );
    if (first === 'server') socket.write(close);
  });
  const client = new WebSocket(`ws://127.0.0.1:${server.address().port}`);
  if (first === 'client') client.onopen = () => client.close(1000);
  client.onclose = ({ code }) => (event = `close ${code}`);
  await sleep(35_000);
  return `${name}, ${first} closes: ${closing}, TCP ${tcp}, event ${event}`;
}

const all = [['undici', Undici], ['ws', Ws]].flatMap(([name, WebSocket]) =>
  ['server', 'client'].map((first) => attempt(name, WebSocket, first)));
console.log((await Promise.all(all)).join('\n'));
process.exit(0);
JS
timeout 60 node try.mjs | tee seen
diff - seen <<'TEXT'
undici, server closes: Close came, TCP open, event none
undici, client closes: Close came, TCP open, event none
ws, server closes: Close came, TCP ended, event close 1000
ws, client closes: Close came, TCP ended, event close 1000
TEXT
