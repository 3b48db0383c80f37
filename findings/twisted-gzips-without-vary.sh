#!/usr/bin/env bash
# PyPI twisted 26.10.0, Python 3.11.
#
# GzipEncoderFactory of twisted.web compresses by Accept-Encoding, and the response doesn't say so:
# there is no Vary (RFC 9110 §12.5.5), and a strong ETag is the same for both forms (§8.8.3.1), so a
# cache in front may hand gzip to who doesn't take it. It knows the bare word gzip only: with a weight
# (§12.5.3), or in capital letters (§8.4.1: no case), a client gets the plain page.
#
# Output seen:
#   no Accept-Encoding: plain, ETag "one", Vary None
#   gzip: gzip, ETag "one", Vary None
#   br, gzip: gzip, ETag "one", Vary None
#   gzip;q=1.0: plain, ETag "one", Vary None
#   br;q=0.9, gzip;q=0.8: plain, ETag "one", Vary None
#   GZIP: plain, ETag "one", Vary None
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check twisted==26.10.0
cat >try.py <<'PY'
from http.client import HTTPConnection

from twisted.internet import reactor, threads
from twisted.web.resource import EncodingResourceWrapper, Resource
from twisted.web.server import GzipEncoderFactory, Site


class Page(Resource):
    isLeaf = True

    def render_GET(self, request):
        request.setETag(b'"one"')
        return b"page" * 100


def ask(port, accept):
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("GET", "/", skip_accept_encoding=True)
    connection.putheader("Connection", "close")
    if accept is not None:
        connection.putheader("Accept-Encoding", accept)
    connection.endheaders()
    headers = connection.getresponse().headers
    coding = headers["Content-Encoding"] or "plain"
    return f"{coding}, ETag {headers['ETag']}, Vary {headers['Vary']}"


def attempts(port):
    for accept in None, "gzip", "br, gzip", "gzip;q=1.0", "br;q=0.9, gzip;q=0.8", "GZIP":
        print(f"{accept or 'no Accept-Encoding'}: {ask(port, accept)}")


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
no Accept-Encoding: plain, ETag "one", Vary None
gzip: gzip, ETag "one", Vary None
br, gzip: gzip, ETag "one", Vary None
gzip;q=1.0: plain, ETag "one", Vary None
br;q=0.9, gzip;q=0.8: plain, ETag "one", Vary None
GZIP: plain, ETag "one", Vary None
TEXT
