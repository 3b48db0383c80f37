#!/usr/bin/env bash
# PyPI treq 26.7.0, twisted 26.10.0, Python 3.11.
#
# Twisted's Agent takes the reactor that it is to use, and a treq client takes the Agent. A request
# without a body works on such a reactor. One with `data=` sends its header and then nothing: treq
# hands the body to a FileBodyProducer whose cooperator is the one of the global reactor, whatever the
# Agent uses. Where that reactor does not run, the request never ends. A FileBodyProducer with a
# cooperator of its own, as `data=`, works: treq passes an IBodyProducer on as it is.
#
# Output seen:
#   GET: 200
#   POST of bytes: no answer within 2 s
#   POST of a producer with its own cooperator: 200
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check treq==26.7.0 twisted==26.10.0
cat >try.py <<'PY'
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

from treq.client import HTTPClient
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Cooperator
from twisted.web.client import Agent, FileBodyProducer


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *what):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"

# A reactor of one's own. The global one is not even imported by this file.
own = EPollReactor()
client = HTTPClient(Agent(own))
own_cooperator = Cooperator(scheduler=lambda call: own.callLater(0, call))


def attempts():
    yield "GET", lambda: client.get(url)
    yield "POST of bytes", lambda: client.post(url, data=b"body")
    producer = FileBodyProducer(BytesIO(b"body"), own_cooperator)
    yield "POST of a producer with its own cooperator", lambda: client.post(url, data=producer)


todo = list(attempts())


def begin():
    if not todo:
        own.stop()
        return
    name, ask = todo.pop(0)
    done = []

    def say(text):
        if not done:
            done.append(text)
            print(f"{name}: {text}", flush=True)
            own.callLater(0, begin)

    asking = ask()
    asking.addCallbacks(lambda response: say(response.code), lambda failure: None)
    own.callLater(2, say, "no answer within 2 s")


own.callWhenRunning(begin)
own.run()
PY
timeout 40 venv/bin/python try.py | tee seen
diff - seen <<'TEXT'
GET: 200
POST of bytes: no answer within 2 s
POST of a producer with its own cooperator: 200
TEXT
