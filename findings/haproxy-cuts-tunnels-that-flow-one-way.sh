#!/usr/bin/env bash
# Debian 12's haproxy 2.6.12-1+deb12u4; npm ws 8.23.0, Node 18 or newer.
#
# "timeout tunnel" is described as the longest time of inactivity on both sides. A WebSocket whose
# server pings every second is cut at it all the same when the other direction stands still with
# bytes in it: here the server reads nothing for a while (back-pressure), the client's message fills
# the buffers, and with "timeout tunnel 4s" the connection ends, for both with 1006, while pings
# still arrive at the client. The same server that reads nothing keeps its connection as long as the
# client sends nothing, and the same message does no harm when it is read. A server that holds an
# uplink back has to take at least a little within the timeout.
#
# Output seen:
#   reads nothing, nothing sent: open after 12 s
#   reads nothing, 50 MB sent: closed with 1006, pings until then: true
#   reads all, 50 MB sent: open after 12 s
set -euo pipefail
folder=$(mktemp -d)
started=()
trap 'for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 \
    libopentracing-c-wrapper0=1.1.3-3+b1 libopentracing1=1.6.0-4 2>apt.log ||
    { cat apt.log; echo "needs Debian 12's package lists (apt-get update)"; exit 2; }
for package in ./*.deb; do dpkg-deb -x "$package" root; done
export LD_LIBRARY_PATH="$folder/root/usr/lib/x86_64-linux-gnu"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ws@8.23.0
cat >server.mjs <<'JS'
import { WebSocketServer } from 'ws';
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
server.on('listening', () => console.log(server.address().port));
server.on('connection', (socket, request) => {
  socket.on('error', () => {});
  if (request.url === '/nothing') socket.pause();
  const timer = setInterval(() => socket.ping(), 1000);
  socket.on('close', () => clearInterval(timer));
});
setTimeout(() => process.exit(), 60000);
JS
cat >try.mjs <<'JS'
import { once } from 'node:events';
import { WebSocket } from 'ws';
async function attempt(label, path, bytes) {
  const client = new WebSocket(`ws://127.0.0.1:${process.argv[2]}${path}`, { perMessageDeflate: false });
  let last = 0;
  client.on('error', () => {});
  client.on('ping', () => (last = Date.now()));
  await once(client, 'open');
  if (bytes) client.send(Buffer.alloc(bytes));
  const what = await Promise.race([
    once(client, 'close').then(([code]) => `closed with ${code}, pings until then: ${Date.now() - last < 2500}`),
    new Promise((resolve) => setTimeout(resolve, 12000, 'open after 12 s')),
  ]);
  console.log(`${label}: ${what}`);
  client.terminate();
}
await attempt('reads nothing, nothing sent', '/nothing', 0);
await attempt('reads nothing, 50 MB sent', '/nothing', 50_000_000);
await attempt('reads all, 50 MB sent', '/all', 50_000_000);
process.exit(0);
JS
node server.mjs >port &
started+=($!)
for _ in {1..100}; do [ ! -s port ] || break; sleep 0.1; done
front=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >haproxy.cfg <<CFG
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 4s
frontend front
    bind 127.0.0.1:$front
    default_backend back
backend back
    server one 127.0.0.1:$(cat port)
CFG
root/usr/sbin/haproxy -db -f haproxy.cfg >haproxy.log 2>&1 &
started+=($!)
for _ in {1..100}; do ! (: <"/dev/tcp/127.0.0.1/$front") 2>/dev/null || break; sleep 0.1; done
timeout 60 node try.mjs "$front" | tee seen
diff - seen <<'TEXT'
reads nothing, nothing sent: open after 12 s
reads nothing, 50 MB sent: closed with 1006, pings until then: true
reads all, 50 MB sent: open after 12 s
TEXT
