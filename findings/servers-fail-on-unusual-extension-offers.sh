#!/usr/bin/env bash
# npm ws 8.23.0, Node 18 or newer; PyPI aiohttp 3.14.5, websockets 17.4, autobahn 26.10.2 with twisted
# 26.10.0, Python 3.11.
#
# How servers with compression switched on read offers that are right but not the usual one:
# - Sec-WebSocket-Extensions may appear several times in a request (RFC 6455 §11.3.2). autobahn
#   answers 400; aiohttp reads the first field alone, and compresses nothing when the offer that it
#   knows is in the second.
# - An offer with a parameter that the server doesn't know is declined, and the next is looked at
#   (RFC 7692 §5): that is how a later parameter could ever come to use. ws and autobahn answer 400
#   to the whole handshake, although the offer behind it is the plain one.
# - An empty element of a list is passed over (RFC 9110 §5.6.1.2). ws answers 400.
# websockets does all three as written.
#
# Output seen (permessage-deflate in one field; in the second of two fields, behind another extension;
# behind an offer with an unknown parameter; behind an empty element):
#   ws: deflate deflate 400 400
#   aiohttp: deflate plain deflate deflate
#   websockets: deflate deflate deflate deflate
#   autobahn: deflate 400 400 deflate
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiohttp==3.14.5 autobahn==26.10.2 \
    twisted==26.10.0 websockets==17.4
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ws@8.23.0
cat >server.mjs <<'JS'
import { WebSocketServer } from 'ws';
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: true });
server.on('listening', () => console.log(server.address().port));
server.on('connection', (socket) => socket.on('error', () => {}));
setTimeout(() => process.exit(), 60000);
JS
cat >server.py <<'PY'
import asyncio
import sys

SECONDS = 60


def aiohttp():
    from aiohttp import web

    async def handler(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    async def main():
        app = web.Application()
        app.router.add_get("/", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.sleep(SECONDS)

    asyncio.run(main())


def websockets():
    from websockets.asyncio.server import serve

    async def main():
        async with serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0) as server:
            print(server.sockets[0].getsockname()[1], flush=True)
            await asyncio.sleep(SECONDS)

    asyncio.run(main())


def autobahn():
    from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
    from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
    from twisted.internet import reactor

    def accept(offers):
        for offer in offers:
            if isinstance(offer, PerMessageDeflateOffer):
                return PerMessageDeflateOfferAccept(offer)

    factory = WebSocketServerFactory()
    factory.protocol = WebSocketServerProtocol
    factory.setProtocolOptions(perMessageCompressionAccept=accept)
    print(reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port, flush=True)
    reactor.callLater(SECONDS, reactor.stop)
    reactor.run()


globals()[sys.argv[1]]()
PY
cat >try.py <<'PY'
import socket
import sys

name, port = sys.argv[1], int(sys.argv[2])


def answer(*offers):
    lines = ["GET / HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
    lines += [*(f"Sec-WebSocket-Extensions: {offer}" for offer in offers), "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall("\r\n".join(lines).encode())
        head = b""
        while b"\r\n\r\n" not in head and (piece := client.recv(4096)):
            head += piece
    status = head.split()[1].decode()
    if status != "101":
        return status
    return "deflate" if b"permessage-deflate" in head else "plain"


one = answer("permessage-deflate")
second = answer("example", "permessage-deflate")
unknown = answer("permessage-deflate; example=1, permessage-deflate")
empty = answer(", permessage-deflate")
print(f"{name}: {one} {second} {unknown} {empty}")
PY
for name in ws aiohttp websockets autobahn; do
    : >port
    if [ "$name" = ws ]; then
        node server.mjs >port &
    else
        venv/bin/python server.py "$name" >port 2>>log &
    fi
    server=$!
    for _ in {1..200}; do [ ! -s port ] || break; sleep 0.1; done
    timeout 30 venv/bin/python try.py "$name" "$(cat port)" | tee -a seen
    kill "$server"
    wait "$server" || true
    server=
done
diff - seen <<'TEXT'
ws: deflate deflate 400 400
aiohttp: deflate plain deflate deflate
websockets: deflate deflate deflate deflate
autobahn: deflate 400 400 deflate
TEXT
