#!/usr/bin/env bash
# PyPI autobahn 26.10.2 with twisted 26.10.0, Python 3.11.
#
# A WebSocketServerFactory takes a handshake with "Origin: null" as it comes, as
# browsers send it from sandboxed frames and local files (RFC 6454 §6.1). setProtocolOptions() with
# any option, or none, turns that off: its parameter allowNullOrigin is False by default while
# other options stay as they were. A server that only sets a ping interval answers 400 to such pages
# from then on, although its allowed origins are still "*".
#
# Output seen:
#   as made: null 101, http://a.example 101
#   setProtocolOptions(): null 400, http://a.example 101
#   setProtocolOptions(autoPingInterval=10): null 400, http://a.example 101
#   setProtocolOptions(allowNullOrigin=True): null 101, http://a.example 101
#   setProtocolOptions(allowNullOrigin=True), setProtocolOptions(): null 400, http://a.example 101
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
from twisted.internet.testing import StringTransport


class Transport(StringTransport):
    def unregisterProducer(self):
        pass  # The testing one wants a producer first.


def status(calls, origin):
    factory = WebSocketServerFactory("ws://localhost:9000")
    factory.protocol = WebSocketServerProtocol
    for options in calls:
        factory.setProtocolOptions(**options)
    assert factory.allowedOrigins == ["*"]
    protocol = factory.buildProtocol(None)
    transport = Transport()
    protocol.makeConnection(transport)
    lines = ["GET / HTTP/1.1", "Host: localhost:9000", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
    lines += [f"Origin: {origin}", "", ""]
    protocol.dataReceived("\r\n".join(lines).encode())
    return transport.value().split()[1].decode()


def shown(options):
    return f"setProtocolOptions({', '.join(f'{name}={value}' for name, value in options.items())})"


null = {"allowNullOrigin": True}
for calls in [], [{}], [{"autoPingInterval": 10}], [null], [null, {}]:
    statuses = [f"{origin} {status(calls, origin)}" for origin in ("null", "http://a.example")]
    print(f"{', '.join(map(shown, calls)) or 'as made'}: {', '.join(statuses)}")
PY
timeout 30 venv/bin/python try.py | tee seen
diff - seen <<'TEXT'
as made: null 101, http://a.example 101
setProtocolOptions(): null 400, http://a.example 101
setProtocolOptions(autoPingInterval=10): null 400, http://a.example 101
setProtocolOptions(allowNullOrigin=True): null 101, http://a.example 101
setProtocolOptions(allowNullOrigin=True), setProtocolOptions(): null 400, http://a.example 101
TEXT
