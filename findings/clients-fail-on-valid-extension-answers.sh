#!/usr/bin/env bash
# npm ws 8.23.0 and undici 7.30.2 (the WebSocket of Node 24), Node 20.18 or newer; PyPI aiohttp 3.14.5
# and websockets 17.4, Python 3.11.
#
# What a server may write into Sec-WebSocket-Extensions, and who fails at it instead of reading the
# compressed message behind it. All four clients offer permessage-deflate with client_max_window_bits,
# and all take the usual answer.
# - White space may stand before a semicolon (RFC 2616 §2.1's implied *LWS, which RFC 6455 §9.1
#   takes over): undici and aiohttp fail.
# - A value may be a quoted string (RFC 6455 §9.1, RFC 7692 §5): aiohttp fails, and undici does so
#   when the message comes.
# - An empty element of a list is passed over (RFC 9110 §5.6.1.2): ws and undici fail.
# - To an offer of client_max_window_bits without a value the server may answer 8 (RFC 7692
#   §7.1.2.2): aiohttp and websockets fail. They make that offer themselves; zlib can't do 8.
# A server has one form that all of them take, which is the one in everybody's examples.
#
# Output seen (the usual answer; white space; quoted; empty element; 8):
#   ws: hello hello hello fails hello
#   undici: hello fails fails fails hello
#   aiohttp: hello fails fails hello fails
#   websockets: hello hello hello hello fails
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiohttp==3.14.5 websockets==17.4
npm init -y >/dev/null
npm install --silent --no-audit --no-fund undici@7.30.2 ws@8.23.0
cat >server.py <<'PY'
import base64
import hashlib
import re
import socketserver
import zlib

ANSWERS = [
    b"permessage-deflate; server_max_window_bits=10",
    b"permessage-deflate ; server_max_window_bits=10",
    b'permessage-deflate; server_max_window_bits="10"',
    b", permessage-deflate; server_max_window_bits=10",
    b"permessage-deflate; client_max_window_bits=8",
]


class Handler(socketserver.StreamRequestHandler):
    timeout = 10

    def handle(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        assert re.search(rb"(?i)extensions: *permessage-deflate; *client_max_window_bits\r\n", head)
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)[1]
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
        lines += [b"Sec-WebSocket-Accept: " + base64.b64encode(digest)]
        lines += [b"Sec-WebSocket-Extensions: " + ANSWERS[int(head.split()[1][1:])], b"", b""]
        try:
            compressor = zlib.compressobj(wbits=-10)
            hello = (compressor.compress(b"hello") + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
            frames = bytes([0xC1, len(hello)]) + hello + b"\x88\x02\x03\xe8"
            self.wfile.write(b"\r\n".join(lines) + frames)
            self.rfile.read(1)
        except OSError:
            pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
PY
cat >try.mjs <<'JS'
import { WebSocket as Undici } from 'undici';
import { WebSocket as Ws } from 'ws';

for (const [name, WebSocket] of [['ws', Ws], ['undici', Undici]]) {
  const seen = [];
  for (let answer = 0; answer < 5; answer++) {
    seen.push(await new Promise((resolve) => {
      const client = new WebSocket(`ws://127.0.0.1:${process.argv[2]}/${answer}`);
      client.onmessage = ({ data }) => resolve(data);
      client.onerror = () => resolve('fails');
    }));
  }
  console.log(`${name}: ${seen.join(' ')}`);
}
process.exit(0);
JS
cat >try.py <<'PY'
import asyncio
import sys

import aiohttp
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake


async def with_aiohttp(url):
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(url, compress=15) as client:
                return await client.receive_str()
        except aiohttp.WSServerHandshakeError:
            return "fails"


async def with_websockets(url):
    try:
        async with connect(url) as client:
            return await client.recv()
    except InvalidHandshake:
        return "fails"


async def main():
    for name, attempt in ("aiohttp", with_aiohttp), ("websockets", with_websockets):
        seen = [await attempt(f"ws://127.0.0.1:{sys.argv[1]}/{answer}") for answer in range(5)]
        print(f"{name}: {' '.join(seen)}")


asyncio.run(main())
PY
python3 server.py >port 2>log &
server=$!
for _ in {1..100}; do [ ! -s port ] || break; sleep 0.1; done
timeout 30 node try.mjs "$(cat port)" | tee seen
timeout 30 venv/bin/python try.py "$(cat port)" | tee -a seen
diff - seen <<'TEXT'
ws: hello hello hello fails hello
undici: hello fails fails fails hello
aiohttp: hello fails fails hello fails
websockets: hello hello hello hello fails
TEXT
