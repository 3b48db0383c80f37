// A CLI: sends a file as a bundle to the phones of a session, and waits for an acknowledgement.
// Usage: node push.mjs ws://HOST:PORT SESSION FILE

import { readFileSync } from 'node:fs';
import { WebSocket } from 'ws';

const CHUNK_CHARS = 512 * 1024;
const [relay, session, file] = process.argv.slice(2);
const code = readFileSync(file, 'utf8');

// The messages that carry it: one, or a start and its chunks.
function* bundle() {
  const timestamp = Date.now();
  if (code.length <= CHUNK_CHARS) {
    yield { type: 'bundle_update', payload: { code }, timestamp };
    return;
  }
  const parts = [];
  for (let at = 0; at < code.length;) {
    let end = Math.min(at + CHUNK_CHARS, code.length);
    // Half of a surrogate pair would not survive UTF-8.
    const last = code.charCodeAt(end - 1);
    if (end < code.length && last >= 0xd800 && last <= 0xdbff) end -= 1;
    parts.push(code.slice(at, end));
    at = end;
  }
  const totalChunks = parts.length;
  yield { type: 'bundle_start', totalChunks, totalSize: code.length, timestamp };
  for (const [index, data] of parts.entries()) {
    yield { type: 'bundle_chunk', index, totalChunks, data };
  }
}

const socket = new WebSocket(`${relay}/cli/${session}`);
socket.on('open', () => { for (const message of bundle()) socket.send(JSON.stringify(message)); });
socket.on('message', (data) => {
  const message = JSON.parse(data.toString());
  console.log(`received ${message.type}`);
  if (message.type === 'bundle_ack') {
    process.exitCode = message.success ? 0 : 1;
    socket.close();
  }
});
socket.on('error', (error) => { console.error(error.message); process.exitCode = 1; });
