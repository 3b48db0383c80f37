#!/usr/bin/env bash
# PyPI twisted 26.10.0, Python 3.11.
#
# twisted.web.static.File serves ranges and doesn't read If-Range, by which a client that resumes a
# download asks for the range only if the file is still the one that it has a part of, and for all of
# it otherwise (RFC 9110 §13.1.5: a false condition means that Range must be ignored). It answers 206
# from the changed file, and the client joins two different files. A date before Last-Modified and an
# entity tag (File gives none, so that none can match) come out the same. If-Match and
# If-Unmodified-Since aren't read either (§13.1.1, §13.1.4).
#
# Output seen (first "old old old old", then "NEW NEW NEW NEW" with a later date, range 8-):
#   Range: 206 'NEW NEW'
#   Range, If-Range with the new date: 206 'NEW NEW'
#   Range, If-Range with the old date: 206 'NEW NEW'
#   Range, If-Range with an entity tag: 206 'NEW NEW'
#   If-Match with an entity tag: 200 'NEW NEW NEW NEW'
#   If-Unmodified-Since with the old date: 200 'NEW NEW NEW NEW'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check twisted==26.10.0
cat >try.py <<'PY'
import os
from email.utils import formatdate
from http.client import HTTPConnection
from pathlib import Path

from twisted.internet import reactor, threads
from twisted.web.server import Site
from twisted.web.static import File

OLD, NEW = 1_700_000_000, 1_700_000_100
Path("files").mkdir()
page = Path("files/page.txt")


def write(text, date):
    page.write_text(text)
    os.utime(page, (date, date))


def ask(port, **fields):
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    connection.request("GET", "/page.txt", headers={"Connection": "close", **headers})
    response = connection.getresponse()
    return response.status, response.read().decode(), response.headers["Last-Modified"]


def attempts(port):
    old, new = formatdate(OLD, usegmt=True), formatdate(NEW, usegmt=True)
    write("old old old old", OLD)
    assert ask(port) == (200, "old old old old", old)
    write("NEW NEW NEW NEW", NEW)
    assert ask(port) == (200, "NEW NEW NEW NEW", new)
    for label, fields in (
        ("Range", {"Range": "bytes=8-"}),
        ("Range, If-Range with the new date", {"Range": "bytes=8-", "If_Range": new}),
        ("Range, If-Range with the old date", {"Range": "bytes=8-", "If_Range": old}),
        ("Range, If-Range with an entity tag", {"Range": "bytes=8-", "If_Range": '"other"'}),
        ("If-Match with an entity tag", {"If_Match": '"other"'}),
        ("If-Unmodified-Since with the old date", {"If_Unmodified_Since": old}),
    ):
        status, text, _ = ask(port, **fields)
        print(f"{label}: {status} {text!r}")


def start():
    port = reactor.listenTCP(0, Site(File("files")), interface="127.0.0.1").getHost().port
    done = threads.deferToThread(attempts, port)
    done.addErrback(lambda failure: failure.printTraceback())
    done.addBoth(lambda _: reactor.stop())


reactor.callWhenRunning(start)
reactor.run()
PY
timeout 60 venv/bin/python try.py | tee seen
diff - seen <<'TEXT'
Range: 206 'NEW NEW'
Range, If-Range with the new date: 206 'NEW NEW'
Range, If-Range with the old date: 206 'NEW NEW'
Range, If-Range with an entity tag: 206 'NEW NEW'
If-Match with an entity tag: 200 'NEW NEW NEW NEW'
If-Unmodified-Since with the old date: 200 'NEW NEW NEW NEW'
TEXT
