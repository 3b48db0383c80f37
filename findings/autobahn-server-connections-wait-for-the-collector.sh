#!/usr/bin/env bash
# PyPI autobahn 26.10.2 with Twisted 26.10.0, Python 3.11.
#
# A server's WebSocket connection that has ended is not freed when the last outside reference to it
# goes. At its end the protocol fires its own Deferred, is_closed, with itself as the result, and
# keeps that Deferred: protocol -> is_closed -> result -> protocol. is_open, fired with the protocol
# at the handshake, is a second such circle. So every connection stays, with its transport and all
# that hangs on it, until Python's garbage collector comes to its generation: with clients that come
# and go, memory grows for as long as that takes.
#
# Here 200 clients connect and close in order, with the collector off. To set both attributes to
# None in connectionLost breaks the circles.
#
# Output seen:
#   as it comes: 200 of 200 connections are still there, 0 after gc.collect()
#   is_open and is_closed dropped in connectionLost: 0 of 200 connections are still there, 0 after gc.collect()
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check autobahn==26.10.2 twisted==26.10.0
cat >try.py <<'PY'
import gc
import weakref

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater, react

COUNT = 200
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CLOSE = b"\x88\x82\x00\x00\x00\x00\x03\xe8"


class Client(Protocol):
    def __init__(self):
        self.over = Deferred()
        self.is_up = False

    def connectionMade(self):
        self.transport.write(REQUEST)

    def dataReceived(self, data):
        if not self.is_up:
            self.is_up = True
            self.transport.write(CLOSE)

    def connectionLost(self, reason):
        self.over.callback(None)


class Plain(WebSocketServerProtocol):
    def connectionMade(self):
        seen.append(weakref.ref(self))
        super().connectionMade()


class Dropping(Plain):
    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.is_open = self.is_closed = None


seen = []


async def main(reactor):
    gc.disable()
    for name, protocol in (
        ("as it comes", Plain),
        ("is_open and is_closed dropped in connectionLost", Dropping),
    ):
        seen.clear()
        factory = WebSocketServerFactory()
        factory.protocol = protocol
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        for _ in range(COUNT):
            client = Client()
            endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
            await connectProtocol(endpoint, client)
            await client.over
        await port.stopListening()
        # The server's side of the last one ends in a later turn.
        await deferLater(reactor, 0.5)
        there = sum(one() is not None for one in seen)
        gc.collect()
        left = sum(one() is not None for one in seen)
        print(f"{name}: {there} of {len(seen)} connections are still there, {left} after gc.collect()")


react(main)
PY
venv/bin/python try.py | tee output
diff output - <<'EXPECTED'
as it comes: 200 of 200 connections are still there, 0 after gc.collect()
is_open and is_closed dropped in connectionLost: 0 of 200 connections are still there, 0 after gc.collect()
EXPECTED
