#!/usr/bin/env bash
# npm undici 7.30.2 (the WebSocket of Node 24), npm ws 8.23.0 as server, Node 20.18 or newer.
#
# A text message that begins with U+FEFF arrives without it: the client decodes each message with a
# TextDecoder that takes the character for a byte order mark. RFC 6455 §5.6 makes a text message
# UTF-8 and nothing else, and RFC 3629 §6 calls such a signature useless where that is so. ws hands
# the character out. A file's text that is passed on as it was read, mark and all, has another hash
# and length behind undici; of two marks one stays.
#
# Output seen:
#   undici: FEFF 0061 arrived as 0061
#   undici: FEFF FEFF 0061 arrived as FEFF 0061
#   undici: 0061 FEFF arrived as 0061 FEFF
#   ws: FEFF 0061 arrived as FEFF 0061
#   ws: FEFF FEFF 0061 arrived as FEFF FEFF 0061
#   ws: 0061 FEFF arrived as 0061 FEFF
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund undici@7.30.2 ws@8.23.0
cat >try.mjs <<'JS'
import { once } from 'node:events';
import { WebSocket as Undici } from 'undici';
import { WebSocket as Ws, WebSocketServer } from 'ws';

const texts = ['\ufeffa', '\ufeff\ufeffa', 'a\ufeff'];
const points = (text) => [...text].map((one) => one.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')).join(' ');
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
await once(server, 'listening');
server.on('connection', (socket) => texts.forEach((text) => socket.send(text)));
for (const [name, WebSocket] of [['undici', Undici], ['ws', Ws]]) {
  const got = [];
  await new Promise((resolve, reject) => {
    const client = new WebSocket(`ws://127.0.0.1:${server.address().port}`);
    client.onerror = client.onclose = reject;
    client.onmessage = ({ data }) => {
      if (got.push(data) === texts.length) resolve();
    };
  });
  texts.forEach((text, at) => console.log(`${name}: ${points(text)} arrived as ${points(got[at])}`));
}
process.exit(0);
JS
timeout 30 node try.mjs | tee seen
diff - seen <<'TEXT'
undici: FEFF 0061 arrived as 0061
undici: FEFF FEFF 0061 arrived as FEFF 0061
undici: 0061 FEFF arrived as 0061 FEFF
ws: FEFF 0061 arrived as FEFF 0061
ws: FEFF FEFF 0061 arrived as FEFF FEFF 0061
ws: 0061 FEFF arrived as 0061 FEFF
TEXT
