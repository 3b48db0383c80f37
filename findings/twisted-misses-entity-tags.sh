#!/usr/bin/env bash
# PyPI twisted 26.10.0, Python 3.11.
#
# Request.setETag() compares the words between the spaces of If-None-Match with the tag. So it finds
# the tag when it is the last of a list, and misses it before a comma, with or without a space behind
# it (RFC 9110 §13.1.2: a list). It misses W/"one" for "one", although this field is compared weakly
# (§8.8.3.2): a proxy that compresses and therefore makes the tag weak, as nginx does, gets 200 and
# the whole page each time. And a page with a last-modified date is answered 304 by
# If-Modified-Since although If-None-Match doesn't match, where the date must be ignored (§13.1.3).
#
# Output seen (a page with the tag "one"):
#   If-None-Match: "one": 304
#   If-None-Match: "zero", "one": 304
#   If-None-Match: "one", "two": 200
#   If-None-Match: "zero","one": 200
#   If-None-Match: W/"one": 200
#   If-None-Match: "zero" + If-Modified-Since: its date: 304
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check twisted==26.10.0
cat >try.py <<'PY'
from http.client import HTTPConnection

from twisted.internet import reactor, threads
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import Site

DATE = "Tue, 14 Nov 2023 22:13:20 GMT"


class Page(Resource):
    isLeaf = True

    def render_GET(self, request):
        dated = request.path == b"/dated" and request.setLastModified(1_700_000_000)
        if http.CACHED in (request.setETag(b'"one"'), dated):
            return b""
        return b"page"


def status(port, path, headers):
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Connection": "close", **headers})
    return connection.getresponse().status


def attempts(port):
    for tags in '"one"', '"zero", "one"', '"one", "two"', '"zero","one"', 'W/"one"':
        print(f"If-None-Match: {tags}: {status(port, '/', {'If-None-Match': tags})}")
    both = {"If-None-Match": '"zero"', "If-Modified-Since": DATE}
    print(f'If-None-Match: "zero" + If-Modified-Since: its date: {status(port, "/dated", both)}')


def start():
    port = reactor.listenTCP(0, Site(Page()), interface="127.0.0.1").getHost().port
    done = threads.deferToThread(attempts, port)
    done.addErrback(lambda failure: failure.printTraceback())
    done.addBoth(lambda _: reactor.stop())


reactor.callWhenRunning(start)
reactor.run()
PY
timeout 60 venv/bin/python try.py | tee seen
diff - seen <<'TEXT'
If-None-Match: "one": 304
If-None-Match: "zero", "one": 304
If-None-Match: "one", "two": 200
If-None-Match: "zero","one": 200
If-None-Match: W/"one": 200
If-None-Match: "zero" + If-Modified-Since: its date: 304
TEXT
