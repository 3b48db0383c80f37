#!/usr/bin/env bash
# npm ws 8.23.0, Node 18 or newer; PyPI aiohttp 3.14.5, websockets 17.4, trio-websocket 0.12.2 with
# wsproto 1.3.2, autobahn 26.10.2 with twisted 26.10.0, Python 3.11.
#
# The Upgrade field of a request is a list of protocols (RFC 9110 §7.8), and RFC 6455 §4.1 has it
# include the keyword websocket, not be it. A request that names another protocol before it is
# refused by four of these servers, which compare the whole value; autobahn picks websocket. And a
# request with two Connection fields, which mean the same as one with both values (RFC 9110 §5.3), is
# refused by wsproto, which keeps the last.
#
# Output seen (status of: Upgrade: websocket; Upgrade: example, websocket; Connection: Upgrade and
# Connection: keep-alive in a field each):
#   ws: 101 400 101
#   aiohttp: 101 400 101
#   websockets: 101 426 101
#   trio-websocket: 101 400 400
#   autobahn: 101 101 101
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiohttp==3.14.5 autobahn==26.10.2 \
    trio-websocket==0.12.2 twisted==26.10.0 websockets==17.4 wsproto==1.3.2
npm init -y >/dev/null
npm install --silent --no-audit --no-fund ws@8.23.0
cat >server.mjs <<'JS'
import { WebSocketServer } from 'ws';
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
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


def trio_websocket():
    import trio
    from trio_websocket import ConnectionClosed, serve_websocket

    async def handler(request):
        socket = await request.accept()
        try:
            await socket.get_message()
        except ConnectionClosed:
            pass

    async def main():
        with trio.move_on_after(SECONDS):
            async with trio.open_nursery() as nursery:
                server = await nursery.start(serve_websocket, handler, "127.0.0.1", 0, None)
                print(server.port, flush=True)

    trio.run(main)


def autobahn():
    from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
    from twisted.internet import reactor

    factory = WebSocketServerFactory()
    factory.protocol = WebSocketServerProtocol
    print(reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port, flush=True)
    reactor.callLater(SECONDS, reactor.stop)
    reactor.run()


globals()[sys.argv[1].replace("-", "_")]()
PY
cat >try.py <<'PY'
import socket
import sys

name, port = sys.argv[1], int(sys.argv[2])


def status(*fields):
    lines = ["GET / HTTP/1.1", f"Host: 127.0.0.1:{port}", *fields, "Sec-WebSocket-Version: 13"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall("\r\n".join(lines).encode())
        return client.recv(4096).split()[1].decode()


plain = status("Upgrade: websocket", "Connection: Upgrade")
listed = status("Upgrade: example, websocket", "Connection: Upgrade")
twice = status("Upgrade: websocket", "Connection: Upgrade", "Connection: keep-alive")
print(f"{name}: {plain} {listed} {twice}")
PY
for name in ws aiohttp websockets trio-websocket autobahn; do
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
ws: 101 400 101
aiohttp: 101 400 101
websockets: 101 426 101
trio-websocket: 101 400 400
autobahn: 101 101 101
TEXT
