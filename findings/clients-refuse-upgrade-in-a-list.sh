#!/usr/bin/env bash
# PyPI aiohttp 3.14.5, Python 3.11; npm undici 7.30.2 (the WebSocket of Node 24) and ws 8.23.0,
# Node 20.18 or newer.
#
# RFC 6455 §4.1 has a client look for the token Upgrade in the Connection field of the 101 response,
# and the field is a list (RFC 9110 §7.6.1). A server that answers "Connection: keep-alive, Upgrade"
# is right. aiohttp and undici compare the whole value instead and fail the handshake; ws takes it.
# (aiohttp's sources have a mended check, which isn't in this release.)
# What this means behind a proxy or framework that adds to the field: some clients get in, some don't.
#
# Output seen:
#   aiohttp: Upgrade: open
#   aiohttp: keep-alive, Upgrade: WSServerHandshakeError Invalid connection header
#   undici: Upgrade: open
#   undici: keep-alive, Upgrade: close 1006
#   ws: Upgrade: open
#   ws: keep-alive, Upgrade: open
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiohttp==3.14.5
npm init -y >/dev/null
npm install --silent --no-audit --no-fund undici@7.30.2 ws@8.23.0
cat >server.py <<'PY'
import base64
import hashlib
import re
import socketserver

FIELDS = {b"/plain": b"Upgrade", b"/list": b"keep-alive, Upgrade"}


class Handler(socketserver.StreamRequestHandler):
    timeout = 10

    def handle(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)[1]
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket"]
        lines += [b"Connection: " + FIELDS[head.split()[1]]]
        lines += [b"Sec-WebSocket-Accept: " + base64.b64encode(digest), b"", b""]
        self.wfile.write(b"\r\n".join(lines))
        self.rfile.read(1)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
PY
cat >try.py <<'PY'
import asyncio
import sys

import aiohttp


async def main(port):
    async with aiohttp.ClientSession() as session:
        for path, field in ("plain", "Upgrade"), ("list", "keep-alive, Upgrade"):
            try:
                socket = await session.ws_connect(f"ws://127.0.0.1:{port}/{path}")
                what = "open"
                socket._response.close()  # The server knows no closing handshake.
            except aiohttp.WSServerHandshakeError as error:
                what = f"WSServerHandshakeError {error.message}"
            print(f"aiohttp: {field}: {what}")


asyncio.run(main(int(sys.argv[1])))
PY
cat >try.mjs <<'JS'
import { WebSocket as Undici } from 'undici';
import { WebSocket as Ws } from 'ws';

for (const [name, WebSocket] of [['undici', Undici], ['ws', Ws]]) {
  for (const [path, field] of [['plain', 'Upgrade'], ['list', 'keep-alive, Upgrade']]) {
    const what = await new Promise((resolve) => {
      const client = new WebSocket(`ws://127.0.0.1:${process.argv[2]}/${path}`);
      client.onopen = () => resolve('open');
      client.onerror = () => {};
      client.onclose = ({ code }) => resolve(`close ${code}`);
    });
    console.log(`${name}: ${field}: ${what}`);
  }
}
process.exit(0);
JS
python3 server.py >port &
server=$!
for _ in {1..100}; do [ ! -s port ] || break; sleep 0.1; done
timeout 30 venv/bin/python try.py "$(cat port)" | tee seen
timeout 30 node try.mjs "$(cat port)" | tee -a seen
diff - seen <<'TEXT'
aiohttp: Upgrade: open
aiohttp: keep-alive, Upgrade: WSServerHandshakeError Invalid connection header
undici: Upgrade: open
undici: keep-alive, Upgrade: close 1006
ws: Upgrade: open
ws: keep-alive, Upgrade: open
TEXT
