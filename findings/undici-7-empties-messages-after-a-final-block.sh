#!/usr/bin/env bash
# npm undici 7.30.2 (the WebSocket of Node 24), npm ws 8.23.0 as server, Node 20.18 or newer.
#
# RFC 7692 §7.2.3.4 allows a sender to end a compressed message with a DEFLATE block whose BFINAL
# bit is set, followed by an empty byte. undici inflates such a message, and from then on delivers
# every compressed message of the connection as an empty string: no error, no close. Uncompressed
# messages still arrive, and Node's ws reads the same bytes as they were meant.
#
# Output seen:
#   undici: "first" "" "" plain:"fourth"
#   ws: "first" "second" "third" plain:"fourth"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund undici@7.30.2 ws@8.23.0
cat >try.mjs <<'JS'
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { deflateRawSync, constants } from 'node:zlib';
import { WebSocket as Undici } from 'undici';
import { WebSocket as Ws } from 'ws';

function frame(payload, compressed) {
  return Buffer.concat([Buffer.from([compressed ? 0xc1 : 0x81, payload.length]), payload]);
}
// Ends with a final block and the empty byte behind it.
const final = (text) => frame(Buffer.concat([deflateRawSync(text), Buffer.from([0])]), true);
// Ends with a sync flush whose last four bytes are left out, as usual.
const usual = (text) =>
  frame(deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4), true);

const server = createServer().listen(0, '127.0.0.1');
server.on('upgrade', (request, socket) => {
  const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  socket.on('error', () => {});
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${createHash('sha1').update(key).digest('base64')}\r\n` +
      'Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n',
  );
  socket.write(final('first'));
  setTimeout(() => socket.write(usual('second')), 100);
  setTimeout(() => socket.write(usual('third')), 200);
  setTimeout(() => socket.write(frame(Buffer.from('fourth'), false)), 300);
});
await new Promise((resolve) => server.on('listening', resolve));

for (const [name, WebSocket] of [['undici', Undici], ['ws', Ws]]) {
  const got = [];
  await new Promise((resolve) => {
    const client = new WebSocket(`ws://127.0.0.1:${server.address().port}`);
    client.onmessage = ({ data }) => {
      got.push(data);
      if (got.length === 4) resolve();
    };
    client.onerror = client.onclose = (event) => resolve(got.push(event.type));
  });
  const [one, two, three, four] = got.map((text) => JSON.stringify(text));
  console.log(`${name}: ${one} ${two} ${three} plain:${four}`);
}
process.exit(0);
JS
timeout 60 node try.mjs | tee seen
diff - seen <<'TEXT'
undici: "first" "" "" plain:"fourth"
ws: "first" "second" "third" plain:"fourth"
TEXT
