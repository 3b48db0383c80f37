// A phone: joins a session, writes each bundle that it gets to a file, and acknowledges it.
// Usage: node phone.mjs ws://HOST:PORT SESSION FILE

import { writeFileSync } from 'node:fs';
import { WebSocket } from 'ws';

const [relay, session, file] = process.argv.slice(2);
const url = `${relay}/mobile/${session}?deviceId=example&name=Example&platform=android`;
let pause = 1000;

function connect() {
  const socket = new WebSocket(url);
  let chunks = [];
  let total = 0;

  function take(code) {
    writeFileSync(file, code);
    console.log(`received a bundle of ${code.length} characters`);
    socket.send(JSON.stringify({ type: 'bundle_ack', success: true, timestamp: Date.now() }));
  }

  socket.on('open', () => { pause = 1000; });
  socket.on('message', (data, isBinary) => {
    if (isBinary) return;
    const message = JSON.parse(data.toString());
    if (message.type === 'bundle_update') {
      take(message.payload.code);
    } else if (message.type === 'bundle_start') {
      chunks = [];
      total = message.totalChunks;
    } else if (message.type === 'bundle_chunk') {
      chunks.push(message.data);
      if (chunks.length === total) take(chunks.join(''));
    } else {
      console.log(`received ${message.type}`);
    }
  });
  // Come back after any close, with a growing pause.
  socket.on('error', (error) => console.log(`failed: ${error.message}`));
  socket.on('close', (code, reason) => {
    console.log(`closed: ${code} ${reason}`);
    setTimeout(connect, pause);
    pause = Math.min(2 * pause, 30000);
  });
}

connect();
