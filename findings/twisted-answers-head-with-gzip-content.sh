#!/usr/bin/env bash
# PyPI twisted 26.10.0, Python 3.11.
#
# A response to HEAD has no content (RFC 9110 §9.3.2). With twisted.web's EncodingResourceWrapper and
# GzipEncoderFactory around a page it has, if the client accepts gzip: the page itself is held back,
# the end of the gzip stream isn't, and ten bytes stand behind the head without a length. On a
# connection that stays open a client reads them as the beginning of the next response; Python's own
# http.client does here. Without gzip the same HEAD is right.
#
# Output seen:
#   HEAD: no bytes behind the head
#   HEAD, Accept-Encoding: gzip: 10 bytes behind the head: 03000000000000000000
#   HEAD, Accept-Encoding: gzip, an empty page: 10 bytes behind the head: 03000000000000000000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check twisted==26.10.0
cat >try.py <<'PY'
import socket

from twisted.internet import reactor, threads
from twisted.web.resource import EncodingResourceWrapper, Resource
from twisted.web.server import GzipEncoderFactory, Site


class Page(Resource):
    isLeaf = True

    def render_GET(self, request):
        return b"" if request.path == b"/empty" else b"page" * 100


def behind_head(port, path, *fields):
    lines = [f"HEAD {path} HTTP/1.1", "Host: localhost", "Connection: close", *fields, "", ""]
    response = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall("\r\n".join(lines).encode())
        while piece := client.recv(4096):
            response += piece
    rest = response.partition(b"\r\n\r\n")[2]
    return f"{len(rest)} bytes behind the head: {rest.hex()}" if rest else "no bytes behind the head"


def attempts(port):
    gzip = "Accept-Encoding: gzip"
    print("HEAD:", behind_head(port, "/page"))
    print(f"HEAD, {gzip}:", behind_head(port, "/page", gzip))
    print(f"HEAD, {gzip}, an empty page:", behind_head(port, "/empty", gzip))


def start():
    site = Site(EncodingResourceWrapper(Page(), [GzipEncoderFactory()]))
    port = reactor.listenTCP(0, site, interface="127.0.0.1").getHost().port
    done = threads.deferToThread(attempts, port)
    done.addErrback(lambda failure: failure.printTraceback())
    done.addBoth(lambda _: reactor.stop())


reactor.callWhenRunning(start)
reactor.run()
PY
timeout 60 venv/bin/python try.py | tee seen
diff - seen <<'TEXT'
HEAD: no bytes behind the head
HEAD, Accept-Encoding: gzip: 10 bytes behind the head: 03000000000000000000
HEAD, Accept-Encoding: gzip, an empty page: 10 bytes behind the head: 03000000000000000000
TEXT
