#!/usr/bin/env bash
# PyPI twisted 26.10.0, Python 3.11.
#
# A client that sends "Connection: close" gets its response, "Connection: close" in it, and the end
# of the connection. The field is a list with commas (RFC 9110 §7.6.1), and a server that receives
# the option close has to end the connection behind the response (RFC 9112 §9.6). twisted.web splits
# the first such field at spaces only: "close, TE" is two words, of which none is "close", and so is
# "TE,close"; a second Connection field isn't read. The connection stays open, and a client that
# reads until the end waits. "TE, close" happens to work.
#
# Output seen:
#   Connection: close: says close, ended
#   Connection: TE, close: says close, ended
#   Connection: close, TE: stays open
#   Connection: TE,close: stays open
#   Connection: TE + Connection: close: stays open
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check twisted==26.10.0
cat >try.py <<'PY'
import socket

from twisted.internet import reactor, threads
from twisted.web.resource import Resource
from twisted.web.server import Site


class Page(Resource):
    isLeaf = True

    def render_GET(self, request):
        return b"ok"


def ask(port, fields):
    lines = ["GET / HTTP/1.1", "Host: localhost", "TE: trailers", *fields, "", ""]
    response, ended = b"", False
    with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
        client.sendall("\r\n".join(lines).encode())
        try:
            while piece := client.recv(4096):
                response += piece
            ended = True
        except TimeoutError:
            pass
    assert response.endswith(b"ok")
    what = ["says close"] if b"connection: close" in response.lower() else []
    return ", ".join([*what, "ended" if ended else "stays open"])


def attempts(port):
    for value in "close", "TE, close", "close, TE", "TE,close", "TE + Connection: close":
        print(f"Connection: {value}: {ask(port, f'Connection: {value}'.split(' + '))}")


def start():
    port = reactor.listenTCP(0, Site(Page()), interface="127.0.0.1").getHost().port
    threads.deferToThread(attempts, port).addBoth(lambda _: reactor.stop())


reactor.callWhenRunning(start)
reactor.run()
PY
timeout 60 venv/bin/python try.py | tee seen
diff - seen <<'TEXT'
Connection: close: says close, ended
Connection: TE, close: says close, ended
Connection: close, TE: stays open
Connection: TE,close: stays open
Connection: TE + Connection: close: stays open
TEXT
