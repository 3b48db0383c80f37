#!/usr/bin/env bash
# PyPI aiohttp 3.14.5, Python 3.11, with npm ws 8.23.0 as server, Node 18 or newer.
#
# A Close frame may be empty, and the endpoint that gets one reports 1005, no status received (RFC
# 6455 §7.1.5). aiohttp's client keeps 0 as the code, reads it as "no Close came yet", answers, and
# waits for another Close frame: it ends with 1006, abnormal closure, and an exception set, although
# the closing handshake was complete. With a code in the frame all is well. ws sends an empty Close
# for close() without arguments, which is its shortest call and common.
#
# Output seen:
#   close(): server saw 1000, client data 0, close_code 1006, exception True
#   close(1000): server saw 1000, client data 1000, close_code 1000, exception False
#   close(1001): server saw 1000, client data 1001, close_code 1001, exception False
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiohttp==3.14.5
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ws@8.23.0
cat >server.mjs <<'JS'
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
let last;
// A plain request is told with which code the last connection ended.
const http = createServer(async (request, response) => response.end(String(await last)));
const server = new WebSocketServer({ server: http });
server.on('connection', (socket, request) => {
  last = new Promise((resolve) => socket.on('close', resolve));
  const code = request.url.slice(1);
  if (code) socket.close(Number(code));
  else socket.close();
});
http.listen(0, '127.0.0.1', () => console.log(http.address().port));
setTimeout(() => process.exit(), 60000);
JS
cat >try.py <<'PY'
import asyncio
import sys

import aiohttp


async def main(url):
    async with aiohttp.ClientSession() as session:
        for code in "", "1000", "1001":
            async with session.ws_connect(url + code) as socket:
                message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.CLOSE
            async with session.get(url) as response:
                saw = await response.text()
            print(
                f"close({code}): server saw {saw}, client data {message.data}, "
                f"close_code {socket.close_code}, exception {socket.exception() is not None}"
            )


asyncio.run(main(f"http://127.0.0.1:{sys.argv[1]}/"))
PY
node server.mjs >port &
server=$!
for _ in {1..100}; do [ ! -s port ] || break; sleep 0.1; done
timeout 40 venv/bin/python try.py "$(cat port)" | tee seen
diff - seen <<'TEXT'
close(): server saw 1000, client data 0, close_code 1006, exception True
close(1000): server saw 1000, client data 1000, close_code 1000, exception False
close(1001): server saw 1000, client data 1001, close_code 1001, exception False
TEXT
