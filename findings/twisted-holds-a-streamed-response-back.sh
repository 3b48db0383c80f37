#!/usr/bin/env bash
# PyPI twisted 26.10.0 against aiohttp 3.14.5 as client, Python 3.11, and Node 18 or newer as server.
#
# A server may respond while the request's body still comes, and a client that sends one watches for
# that (RFC 9112 §9.5). twisted.web.client.Agent has two ways: a response that is complete is
# delivered at once and the body ended, but of one that has only begun nothing is delivered until
# the body is written whole, neither status nor first bytes. A server that reports progress of an
# upload, or begins a chunked 413, isn't heard meanwhile. aiohttp delivers both.
#
# Output seen:
#   twisted, complete response: delivered while the body is sent
#   twisted, begun response: delivered after the body
#   aiohttp, complete response: delivered while the body is sent
#   aiohttp, begun response: delivered while the body is sent
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiohttp==3.14.5 twisted==26.10.0
cat >server.mjs <<'JS'
import { createServer } from 'node:http';
const server = createServer((request, response) => {
  request.on('error', () => {});
  request.resume();
  if (request.url === '/complete') response.writeHead(200, { 'Content-Length': 4 }).end('done');
  else {
    response.writeHead(200).write('begun');
    request.on('end', () => response.end());
  }
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
setTimeout(() => process.exit(), 60000);
JS
cat >with_twisted.py <<'PY'
import sys

from twisted.internet import defer, task
from twisted.web.client import Agent
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer


@implementer(IBodyProducer)
class Body:
    """One byte, and the other when the response is here, or after 3 s."""

    length = 2
    ended = False

    def __init__(self, reactor):
        self.reactor = reactor

    def startProducing(self, consumer):
        consumer.write(b"x")
        done = defer.Deferred()

        def rest():
            self.ended = True
            consumer.write(b"x")
            done.callback(None)

        self.call = self.reactor.callLater(3, rest)
        return done

    def pauseProducing(self):
        pass

    def resumeProducing(self):
        pass

    def stopProducing(self):
        if self.call.active():
            self.call.cancel()


async def main(reactor):
    for form in "complete", "begun":
        body = Body(reactor)
        url = f"http://127.0.0.1:{sys.argv[1]}/{form}".encode()
        await Agent(reactor).request(b"POST", url, None, body)
        when = "after the body" if body.ended else "while the body is sent"
        print(f"twisted, {form} response: delivered {when}")


task.react(lambda reactor: defer.ensureDeferred(main(reactor)))
PY
cat >with_aiohttp.py <<'PY'
import asyncio
import sys

import aiohttp


async def main():
    async with aiohttp.ClientSession() as session:
        for form in "complete", "begun":
            here, ended = asyncio.Event(), False

            async def body():
                nonlocal ended
                yield b"x"
                try:
                    await asyncio.wait_for(here.wait(), 3)
                except TimeoutError:
                    ended = True
                yield b"x"

            url = f"http://127.0.0.1:{sys.argv[1]}/{form}"
            async with session.post(url, data=body(), headers={"Content-Length": "2"}):
                when = "after the body" if ended else "while the body is sent"
                print(f"aiohttp, {form} response: delivered {when}")
                here.set()


asyncio.run(main())
PY
node server.mjs >port &
server=$!
for _ in {1..100}; do [ ! -s port ] || break; sleep 0.1; done
timeout 30 venv/bin/python with_twisted.py "$(cat port)" | tee seen
timeout 30 venv/bin/python with_aiohttp.py "$(cat port)" | tee -a seen
diff - seen <<'TEXT'
twisted, complete response: delivered while the body is sent
twisted, begun response: delivered after the body
aiohttp, complete response: delivered while the body is sent
aiohttp, begun response: delivered while the body is sent
TEXT
