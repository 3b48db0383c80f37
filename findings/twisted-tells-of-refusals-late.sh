#!/usr/bin/env bash
# PyPI Twisted 26.10.0, Python 3.11.
#
# HostnameEndpoint tries the addresses of a host in turn, a new one every 0.3 s (attemptDelay), until
# one connects (happy eyeballs, RFC 8305). A failure that comes sooner changes nothing: only when the
# time for the next address has come does it notice that there is none. So a host with a single
# address, here even given as one, that refuses the connection within a millisecond is reported as
# refusing it after 0.3 s. TCP4ClientEndpoint tells of the refusal at once. Agent and clients made by
# clientFromString("tls:...") stand on HostnameEndpoint.
#
# Output seen:
#   TCP4ClientEndpoint: ConnectionRefusedError, at once True
#   HostnameEndpoint: ConnectionRefusedError, at once False
#   HostnameEndpoint with attemptDelay 0.01: ConnectionRefusedError, at once True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check twisted==26.10.0
cat >try.py <<'PY'
import socket
import time

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react


async def main(reactor):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        at = unused.getsockname()
        for name, endpoint in (
            ("TCP4ClientEndpoint", TCP4ClientEndpoint(reactor, *at)),
            ("HostnameEndpoint", HostnameEndpoint(reactor, *at)),
            ("HostnameEndpoint with attemptDelay 0.01", HostnameEndpoint(reactor, *at, attemptDelay=0.01)),
        ):
            began_s = time.monotonic()
            try:
                await endpoint.connect(Factory.forProtocol(Protocol))
            except Exception as wrong:
                took_s = time.monotonic() - began_s
                print(f"{name}: {type(wrong).__name__}, at once {took_s < 0.2}")


react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
PY
timeout 40 venv/bin/python try.py | tee seen
diff - seen <<'TEXT'
TCP4ClientEndpoint: ConnectionRefusedError, at once True
HostnameEndpoint: ConnectionRefusedError, at once False
HostnameEndpoint with attemptDelay 0.01: ConnectionRefusedError, at once True
TEXT
