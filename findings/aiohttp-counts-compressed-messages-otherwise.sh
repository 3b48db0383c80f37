#!/usr/bin/env bash
# PyPI aiohttp 3.14.5, Python 3.11, with npm ws 8.23.0 as server, Node 18 or newer.
#
# max_msg_size of aiohttp's WebSocket client is exclusive for plain messages and inclusive for
# compressed ones: with 1,000, a plain message of 1,000 bytes is refused with 1009, and a compressed
# one that inflates to 1,000 is taken. The documentation calls it the maximum size. A server that
# keeps exactly to a client's limit has to stay one byte below it.
#
# Output seen:
#   plain 999: arrived
#   plain 1000: closed with 1009
#   compressed 1000: arrived
#   compressed 1001: closed with 1009
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiohttp==3.14.5
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ws@8.23.0
cat >server.mjs <<'JS'
import { WebSocketServer } from 'ws';
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: { threshold: 0 } });
server.on('listening', () => console.log(server.address().port));
server.on('connection', (socket, request) => {
  const [, form, size] = request.url.split('/');
  socket.on('error', () => {});
  socket.send('x'.repeat(Number(size)), { compress: form === 'compressed' });
});
JS
cat >try.py <<'PY'
import asyncio
import sys

import aiohttp


async def main(port):
    async with aiohttp.ClientSession() as session:
        for form, size in ("plain", 999), ("plain", 1000), ("compressed", 1000), ("compressed", 1001):
            url = f"ws://127.0.0.1:{port}/{form}/{size}"
            async with session.ws_connect(url, max_msg_size=1000, compress=15) as socket:
                message = await socket.receive()
                arrived = message.type is aiohttp.WSMsgType.TEXT
                what = "arrived" if arrived else f"closed with {socket.close_code}"
                print(f"{form} {size}: {what}")


asyncio.run(main(int(sys.argv[1])))
PY
node server.mjs >port &
server=$!
for _ in {1..100}; do [ ! -s port ] || break; sleep 0.1; done
timeout 30 venv/bin/python try.py "$(cat port)" | tee seen
diff - seen <<'TEXT'
plain 999: arrived
plain 1000: closed with 1009
compressed 1000: arrived
compressed 1001: closed with 1009
TEXT
