#!/usr/bin/env bash
# PyPI httpx 0.28.1 and treq 26.7.0 with twisted 26.10.0, Python 3.11.
#
# RFC 1952 §2.2 makes a gzip file a series of members, one behind the other, and RFC 9110 §8.4.1.3
# takes the content coding gzip from there. Of a response whose body is two members both clients
# return the first alone: no error, no hint, although Content-Length was read to its end. Python's
# own gzip module and zcat read both. A server that makes a body of parts that were compressed apart
# loses all but the first of them.
#
# Output seen:
#   gzip module: first and second
#   httpx: first and
#   treq: first and
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check httpx==0.28.1 treq==26.7.0 twisted==26.10.0
cat >try.py <<'PY'
import gzip
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import treq
from twisted.internet import defer, task

BODY = gzip.compress(b"first and ") + gzip.compress(b"second")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *args):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"
print("gzip module:", gzip.decompress(BODY).decode())
print("httpx:", httpx.get(url, trust_env=False).text.rstrip())


async def main(reactor):
    response = await treq.get(url, persistent=False)
    print("treq:", (await response.text()).rstrip())


task.react(lambda reactor: defer.ensureDeferred(main(reactor)))
PY
timeout 30 venv/bin/python try.py | tee seen
diff - seen <<'TEXT'
gzip module: first and second
httpx: first and
treq: first and
TEXT
