#!/usr/bin/env bash
# PyPI websockets 17.4, websocket-client 1.9.2, trio-websocket 0.12.2 with wsproto 1.3.2, autobahn
# 26.10.2 with twisted 26.10.0, aiohttp 3.14.5, Python 3.11.
#
# A client has to be able to read 1xx responses before the one it waits for, even if it expects none
# (RFC 9110 §15.2), and 101 may stand behind others, such as the 103 Early Hints (RFC 8297) that a
# front server sends by itself. To a handshake that is answered with 103 and then 101, four of these
# clients fail as if 103 were the refusal; aiohttp passes over it.
#
# Output seen:
#   aiohttp: open
#   autobahn: WebSocket connection upgrade failed [103]: Early Hints
#   trio-websocket: ConnectionRejected 103
#   websocket-client: WebSocketBadStatusException 103
#   websockets: InvalidStatus 103
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiohttp==3.14.5 autobahn==26.10.2 \
    trio-websocket==0.12.2 twisted==26.10.0 websocket-client==1.9.2 websockets==17.4 wsproto==1.3.2
cat >server.py <<'PY'
import base64
import hashlib
import re
import socketserver


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
        lines = [b"HTTP/1.1 103 Early Hints", b"Link: </style.css>; rel=preload; as=style", b""]
        lines += [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
        lines += [b"Sec-WebSocket-Accept: " + base64.b64encode(digest), b"", b""]
        try:
            self.wfile.write(b"\r\n".join(lines) + b"\x88\x02\x03\xe8")
            self.rfile.read(1)
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

url = f"ws://127.0.0.1:{sys.argv[2]}/"


def aiohttp():
    import aiohttp

    async def main():
        async with aiohttp.ClientSession() as session, session.ws_connect(url):
            return "open"

    return asyncio.run(main())


def autobahn():
    from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
    from twisted.internet import reactor

    said = []

    class Client(WebSocketClientProtocol):
        def onOpen(self):
            said.append("open")

        def onClose(self, clean, code, reason):
            said.append(reason.partition('"')[2].rstrip('")'))
            reactor.stop()

    factory = WebSocketClientFactory(url)
    factory.protocol = Client
    reactor.connectTCP("127.0.0.1", int(sys.argv[2]), factory)
    reactor.run()
    return said[0]


def trio_websocket():
    import trio
    from trio_websocket import ConnectionRejected, open_websocket_url

    async def main():
        try:
            async with open_websocket_url(url):
                return "open"
        except ConnectionRejected as error:
            return f"ConnectionRejected {error.status_code}"

    return trio.run(main)


def websocket_client():
    import websocket

    try:
        websocket.create_connection(url, timeout=10)
    except websocket.WebSocketBadStatusException as error:
        return f"WebSocketBadStatusException {error.status_code}"
    return "open"


def websockets():
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    try:
        with connect(url):
            return "open"
    except InvalidStatus as error:
        return f"InvalidStatus {error.response.status_code}"


name = sys.argv[1]
print(f"{name}: {globals()[name.replace('-', '_')]()}")
PY
venv/bin/python server.py >port &
server=$!
for _ in {1..100}; do [ ! -s port ] || break; sleep 0.1; done
for name in aiohttp autobahn trio-websocket websocket-client websockets; do
    timeout 30 venv/bin/python try.py "$name" "$(cat port)" | tee -a seen
done
diff - seen <<'TEXT'
aiohttp: open
autobahn: WebSocket connection upgrade failed [103]: Early Hints
trio-websocket: ConnectionRejected 103
websocket-client: WebSocketBadStatusException 103
websockets: InvalidStatus 103
TEXT
