#!/usr/bin/env bash
# npm undici 6.24.1 (the WebSocket of Node 22.22), npm ws 8.23.0 as server, Node 18 or newer.
#
# A compressed message that inflates to more than 4 MiB ends the connection: the client sends no
# Close frame and reports 1006 with an empty reason, so neither end learns that a limit was met.
# The same text without compression arrives whole, at 4 MiB and at 50 MiB; the server offers nothing
# unusual, and the message is valid. No option of the constructor lifts the limit in this version.
# What this means for a server: a client of that version needs big messages uncompressed.
#
# Output seen:
#   compressed 4194304: arrived
#   compressed 4194305: client 1006 "", server 1006
#   plain 52428800: arrived
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund undici@6.24.1 ws@8.23.0
cat >try.mjs <<'JS'
import { WebSocketServer } from 'ws';
import { WebSocket } from 'undici';

function attempt(label, bytes, compress) {
  return new Promise((resolve) => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: { threshold: 0 } });
    let serverCode;
    server.on('connection', (socket) => {
      socket.on('error', () => {});
      socket.on('close', (code) => (serverCode = code));
      socket.send('a'.repeat(bytes), { compress });
    });
    server.on('listening', () => {
      const client = new WebSocket(`ws://127.0.0.1:${server.address().port}`);
      let over = false;
      const done = (text) => {
        if (over) return;
        over = true;
        setTimeout(() => {
          server.clients.forEach((one) => one.terminate());
          server.close();
          console.log(`${label} ${bytes}: ${text()}`);
          resolve();
        }, 200);
      };
      client.onerror = () => {};
      client.onmessage = ({ data }) => done(() => (data.length === bytes ? 'arrived' : 'cut'));
      client.onclose = ({ code, reason }) =>
        done(() => `client ${code} ${JSON.stringify(reason)}, server ${serverCode}`);
    });
  });
}

await attempt('compressed', 4 * 1024 * 1024, true);
await attempt('compressed', 4 * 1024 * 1024 + 1, true);
await attempt('plain', 50 * 1024 * 1024, false);
process.exit(0);
JS
timeout 60 node try.mjs | tee seen
diff - seen <<'TEXT'
compressed 4194304: arrived
compressed 4194305: client 1006 "", server 1006
plain 52428800: arrived
TEXT
