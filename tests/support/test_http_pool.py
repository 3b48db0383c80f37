"""`apptuner_relay.support.http_pool`: connections for requests of the relay's own."""

from typing import Any

from twisted.internet import reactor
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, readBody
from twisted.web.resource import Resource
from twisted.web.server import Site

from apptuner_relay.support.http_pool import quiet_pool


class _Hello(Resource):
    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.clients: set[tuple[str, int]] = set()

    def render_GET(self, request: Any) -> bytes:
        self.clients.add((request.client.host, request.client.port))
        return b"hello"


class Pool(TestCase):
    timeout = 60

    async def test_each_request_has_a_connection_and_none_is_logged(self) -> None:
        hello = _Hello()
        site = Site(hello)
        site.noisy = False
        site.log = lambda request: None  # type: ignore[method-assign]
        used: Any = reactor
        port = used.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        agent = Agent(used, pool=quiet_pool(used))
        url = f"http://127.0.0.1:{port.getHost().port}/".encode()
        with capturedLogs() as events:
            for _ in range(2):
                response: Any = await agent.request(b"GET", url)
                self.assertEqual(await readBody(response), b"hello")
        self.assertEqual(len(hello.clients), 2)
        self.assertEqual(events, [])
