"""A relay whose file descriptors are used up by clients: what it needs itself still works."""

import re

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.live.cluster import SECRET, ClusterCase
from tests.live.processes import MIB, RelayProcess, within_patience

LIMIT = 200
KEPT = 32
"""What `descriptors.DescriptorReserve` keeps back of that."""
HANDSHAKE = (
    "GET /mobile/A{number:05} HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n\r\n"
)


class Crowd(Protocol):
    """A client that comes and stays."""

    def __init__(self, request: str = "") -> None:
        self.data = b""
        self.answered: Deferred[bytes] = Deferred()
        self._request = request

    def connectionMade(self) -> None:
        self.transport.write(self._request.encode())  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if b"\r\n\r\n" in self.data and not self.answered.called:
            self.answered.callback(self.data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.answered.called:
            self.answered.callback(self.data)

    def leave(self) -> None:
        self.transport.abortConnection()  # type: ignore[union-attr]


class DescriptorsTest(ClusterCase):
    async def limited(self, *options: str) -> RelayProcess:
        limited = ("sh", "-c", f'ulimit -n {LIMIT}; exec "$@"', "sh")
        relay = RelayProcess(
            ["--listen", "tcp:0:interface=127.0.0.1", "--handshake-timeout", "300s", *options],
            within=limited,
        )
        self.addCleanup(relay.stop)
        await relay.listening()
        return relay

    async def one_more(self, relay: RelayProcess, request: str = "") -> Crowd:
        one = Crowd(request)
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{relay.port}")
        await connectProtocol(endpoint, one)
        self.addCleanup(one.leave)
        return one

    async def fill(self, relay: RelayProcess) -> bytes:
        """Have clients come until one is refused; returns its answer."""
        for number in range(LIMIT):
            one = await self.one_more(relay, HANDSHAKE.format(number=number + 10_000))
            answer = await within_patience(one.answered, lambda: repr(relay.child))
            if not answer.startswith(b"HTTP/1.1 101 "):
                return answer
        raise AssertionError("nobody was refused")

    async def test_clients_are_refused_and_the_rest_goes_on(self) -> None:
        relay = await self.limited("--forward", "/builds/=http://127.0.0.1:9")
        node = await self.node(relay)
        cli = await node.join("cli", "ABC234")
        phone = await node.join("mobile", "ABC234")
        answer = await self.fill(relay)
        self.assertTrue(answer.startswith(b"HTTP/1.1 503 "), answer)
        self.assertIn(b"Retry-After: ", answer)
        self.assertIn(b"no file descriptors left", answer)
        self.assertEqual((await node.refused("mobile", "ABC234")).status, 503)
        # The bundle is kept, which takes a file, and read by a process of its own.
        sent = await cli.push_filler(3 * MIB)
        self.assertEqual((await phone.bundle()).code, sent.code)
        for path in ("/bundles/ABC234", "/builds/1"):
            refused = await relay.get(path)
            self.assertEqual(refused.status, 503)
            self.assertIn("no file descriptors left", refused.json()["error"])
            self.assertIn("retry-after", refused.headers)
        await relay.logged("[Nn]ew clients are refused")
        health = await relay.get("/health")
        self.assertEqual((health.status, health.json()["status"]), (503, "degraded"))
        self.assertIn("file descriptors", " ".join(health.json()["reasons"]))
        metrics = (await relay.get("/metrics")).body
        self.assertRegex(metrics, r'apptuner_relay_worry\{.*"descriptors_used_up".*\} 1\.0')
        bundles = re.search(r"^apptuner_relay_spool_bundles (\S+)$", metrics, re.MULTILINE)
        self.assertTrue(bundles and float(bundles[1]) == 1, metrics)

    async def test_connections_that_ask_for_nothing(self) -> None:
        relay = await self.limited()
        crowd = []
        while "no file descriptor is left" not in relay.log:
            crowd.append(await self.one_more(relay))
            self.assertLess(len(crowd), 2 * LIMIT)
            await deferLater(reactor, 0)
        for one in crowd[:KEPT]:
            one.leave()
        while (await self.one_more(relay, "GET /live HTTP/1.1\r\nHost: relay\r\n\r\n")).data:
            await deferLater(reactor, 0.02)
        metrics = (await relay.get("/metrics")).body
        self.assertRegex(metrics, r'turned_away_total\{reason="descriptors"\} [1-9]')

    async def test_the_way_back_to_redis(self) -> None:
        redis = await self.redis()
        relay = await self.limited("--redis", redis.url, "--node", "a", "--cluster-secret", SECRET)
        await self.fill(relay)

        async def directory(state: str) -> None:
            while (await relay.get("/health")).json()["cluster"]["redis"] != state:
                await deferLater(reactor, 0.05)

        await directory("connected")
        await redis.kill()
        await directory("away")
        # Whoever gives up meanwhile is followed by another.
        for number in range(LIMIT):
            one = await self.one_more(relay, HANDSHAKE.format(number=number + 20_000))
            await within_patience(one.answered, lambda: repr(relay.child))
        await redis.start()
        await directory("connected")
