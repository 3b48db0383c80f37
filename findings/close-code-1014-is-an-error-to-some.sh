#!/usr/bin/env bash
# PyPI autobahn 26.10.2 with twisted 26.10.0, trio-websocket 0.12.2 with wsproto 1.3.2, websockets
# 17.4, Python 3.11.
#
# 1014 (Bad Gateway) stands in IANA's registry of WebSocket close codes beside 1012 and 1013, which
# is how RFC 6455 §7.4.2 and §11.7 let codes below 3000 come to use. autobahn and wsproto know 1012
# and 1013, and take a Close frame with 1014 for a protocol error: the application is told 1006 or
# 1002, and the reason is lost. websockets hands out all three. A gateway that tells its clients of a
# dead upstream by the code made for it looks like a broken server to them.
#
# Output seen:
#   autobahn: 1012 -> 1012 busy
#   autobahn: 1013 -> 1013 busy
#   autobahn: 1014 -> 1006 invalid close code 1014
#   trio-websocket: 1012 -> 1012 busy
#   trio-websocket: 1013 -> 1013 busy
#   trio-websocket: 1014 -> 1002 CLOSE with unknown reserved code
#   websockets: 1012 -> 1012 busy
#   websockets: 1013 -> 1013 busy
#   websockets: 1014 -> 1014 busy
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check autobahn==26.10.2 \
    trio-websocket==0.12.2 twisted==26.10.0 websockets==17.4 wsproto==1.3.2
cat >server.py <<'PY'
import base64
import hashlib
import re
import socketserver
import struct


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
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
        lines += [b"Sec-WebSocket-Accept: " + base64.b64encode(digest), b"", b""]
        close = struct.pack(">BBH", 0x88, 6, int(head.split()[1][1:])) + b"busy"
        self.wfile.write(b"\r\n".join(lines) + close)
        try:
            self.rfile.read(12)  # The client's own Close.
        except OSError:
            pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
PY
cat >try.py <<'PY'
import asyncio
import sys

name, port, code = sys.argv[1:]
url = f"ws://127.0.0.1:{port}/{code}"


def autobahn():
    from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
    from twisted.internet import reactor

    said = []

    class Client(WebSocketClientProtocol):
        def onClose(self, clean, code, reason):
            said.append((code, reason.partition("connection: ")[2].rstrip('")') or reason))
            reactor.stop()

    factory = WebSocketClientFactory(url)
    factory.protocol = Client
    reactor.connectTCP("127.0.0.1", int(port), factory)
    reactor.run()
    return said[0]


def trio_websocket():
    import trio
    from trio_websocket import ConnectionClosed, open_websocket_url

    async def main():
        async with open_websocket_url(url) as client:
            try:
                await client.get_message()
            except ConnectionClosed as closed:
                return closed.reason.code, closed.reason.reason

    return trio.run(main)


def websockets():
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    async def main():
        async with connect(url) as client:
            try:
                await client.recv()
            except ConnectionClosed as closed:
                return closed.rcvd.code, closed.rcvd.reason

    return asyncio.run(main())


told, reason = globals()[name.replace("-", "_")]()
print(f"{name}: {code} -> {told} {reason}")
PY
venv/bin/python server.py >port &
server=$!
for _ in {1..100}; do [ ! -s port ] || break; sleep 0.1; done
for name in autobahn trio-websocket websockets; do
    for code in 1012 1013 1014; do
        timeout 30 venv/bin/python try.py "$name" "$(cat port)" "$code" | tee -a seen
    done
done
diff - seen <<'TEXT'
autobahn: 1012 -> 1012 busy
autobahn: 1013 -> 1013 busy
autobahn: 1014 -> 1006 invalid close code 1014
trio-websocket: 1012 -> 1012 busy
trio-websocket: 1013 -> 1013 busy
trio-websocket: 1014 -> 1002 CLOSE with unknown reserved code
websockets: 1012 -> 1012 busy
websockets: 1013 -> 1013 busy
websockets: 1014 -> 1014 busy
TEXT
