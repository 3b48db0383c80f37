#!/usr/bin/env bash
# PyPI autobahn 26.10.2 with twisted 26.10.0, Python 3.11.
#
# A server that would accept compression answers 400 to a handshake whose first offer of
# permessage-deflate asks for a window of 256 bytes, client_max_window_bits=8 or
# server_max_window_bits=8, although RFC 7692 §7.1.2 allows 8 to 15 and a server that can't serve an
# offer declines it and looks at the next (§5). The offer behind it, which the server would take, is
# not looked at. Without perMessageCompressionAccept, when the server compresses nothing anyway, the
# answer is the same.
#
# Output seen:
#   permessage-deflate: 101
#   permessage-deflate; client_max_window_bits=8: 400
#   permessage-deflate; client_max_window_bits=8, permessage-deflate: 400
#   permessage-deflate; server_max_window_bits=8: 400
#   no compression, permessage-deflate; client_max_window_bits=8: 400
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check autobahn==26.10.2 twisted==26.10.0
cat >try.py <<'PY'
import txaio

txaio.use_twisted()
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from twisted.internet.testing import StringTransport

PLAIN, SMALL = "permessage-deflate", "permessage-deflate; client_max_window_bits=8"


class Transport(StringTransport):
    def unregisterProducer(self):
        pass  # The testing one wants a producer first.


def accept(offers):
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            return PerMessageDeflateOfferAccept(offer)


def status(offers, compressing=True):
    factory = WebSocketServerFactory("ws://localhost:9000")
    factory.protocol = WebSocketServerProtocol
    if compressing:
        factory.setProtocolOptions(perMessageCompressionAccept=accept)
    protocol = factory.buildProtocol(None)
    transport = Transport()
    protocol.makeConnection(transport)
    lines = ["GET / HTTP/1.1", "Host: localhost:9000", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
    lines += [f"Sec-WebSocket-Extensions: {offers}", "", ""]
    protocol.dataReceived("\r\n".join(lines).encode())
    return transport.value().split()[1].decode()


for offers in [PLAIN, SMALL, f"{SMALL}, {PLAIN}", SMALL.replace("client", "server")]:
    print(f"{offers}: {status(offers)}")
print(f"no compression, {SMALL}: {status(SMALL, False)}")
PY
timeout 30 venv/bin/python try.py | tee seen
diff - seen <<'TEXT'
permessage-deflate: 101
permessage-deflate; client_max_window_bits=8: 400
permessage-deflate; client_max_window_bits=8, permessage-deflate: 400
permessage-deflate; server_max_window_bits=8: 400
no compression, permessage-deflate; client_max_window_bits=8: 400
TEXT
