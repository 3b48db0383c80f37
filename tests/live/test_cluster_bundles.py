"""Bundles over HTTP from a relay that does not cache them: it has the relay that does answer."""

import contextlib
import gzip
import hashlib
import socket
import sys
import time
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from apptuner_relay.cluster.bridge.peer_auth import write_request_pass
from tests.live.clients import TYPESCRIPT, Sent
from tests.live.cluster import SECRET, ClusterCase, Wire
from tests.live.ports import free_port
from tests.live.processes import (
    MIB,
    PATIENCE_S,
    RelayProcess,
    checkout_env,
    exchange,
    run,
    within_patience,
)
from tests.live.redis import RedisProcess
from tests.live.test_directory import Authority

SESSION = "ABC234"
PATH = f"/bundles/{SESSION}"
SHA256 = hashlib.sha256(TYPESCRIPT.read_bytes()).hexdigest()


async def download(relay: RelayProcess, path: str, *fields: str, method: str = "GET") -> bytes:
    """All that comes, as it comes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: relay", "Connection: close", *fields, "", ""]
    return await exchange(f"tcp:127.0.0.1:{relay.port}", "\r\n".join(lines))


def parsed(raw: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *rest = head.decode("ascii").split("\r\n")
    pairs = (line.split(": ", 1) for line in rest)
    return int(status.split()[1]), {name.lower(): value for name, value in pairs}, body


def connections(relay: RelayProcess) -> int:
    """How many connections to its port a relay has not closed."""
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        # ESTABLISHED and CLOSE_WAIT of include/net/tcp_states.h.
        count += int(local.rpartition(":")[2], 16) == relay.port and state in ("01", "08")
    return count


async def pause(seconds: float) -> None:
    """For waiting on what can only be looked at again and again."""
    await deferLater(reactor, seconds)  # type: ignore[arg-type]


class BundleClusterCase(ClusterCase):
    async def begin(
        self, *options: str
    ) -> tuple[RedisProcess, RelayProcess, RelayProcess, RelayProcess]:
        """Relay a keeps a bundle; b has a client of the session, and c has none."""
        redis, (a, b, c), node = await self.cluster(3, *options)
        cli = await self.join(node, a, "cli")
        await self.join(node, b, "dashboard")
        await cli.push(TYPESCRIPT)
        await cli.settle()
        return redis, a, b, c


class DownloadTest(BundleClusterCase):
    async def test_the_same_from_everywhere(self) -> None:
        _, *relays = await self.begin()
        etag = f'"{SHA256}"'
        for fields, method, expected in (
            ((), "GET", 200),
            ((), "HEAD", 200),
            (("Accept-Encoding: gzip",), "GET", 200),
            (("Accept-Encoding: br, gzip;q=0.5",), "HEAD", 200),
            (("Range: bytes=100-299",), "GET", 206),
            (("Range: bytes=999999999-",), "GET", 416),
            ((f"If-Range: {etag}", "Range: bytes=-7"), "GET", 206),
            (('If-Range: "other"', "Range: bytes=-7"), "GET", 200),
            ((f"If-None-Match: {etag}",), "GET", 304),
            (('If-Match: "other"',), "GET", 412),
            (("Accept-Encoding: identity;q=0",), "GET", 406),
        ):
            for path in (PATH, f"{PATH}/{SHA256}"):
                answers = [parsed(await download(one, path, *fields, method=method))
                           for one in relays]  # fmt: skip
                for _, headers, _ in answers:
                    headers.pop("date", None)
                self.assertEqual(answers[0][0], expected, (fields, method))
                self.assertEqual(answers[1], answers[0], (fields, method))
                self.assertEqual(answers[2], answers[0], (fields, method))
        status, headers, body = parsed(await download(relays[2], PATH, "Accept-Encoding: gzip"))
        self.assertEqual(status, 200)
        self.assertNotIn("apptuner-proof", headers)
        self.assertEqual(gzip.decompress(body), TYPESCRIPT.read_bytes())

    async def test_what_there_is_not(self) -> None:
        _, a, b, c = await self.begin()
        for path, status, says in (
            ("/bundles/NOBODY", 404, "No bundle of this session is kept"),
            (f"{PATH}/{'0' * 64}", 404, "has another SHA-256"),
            (f"{PATH}/{'g' * 64}", 400, "Bad SHA-256"),
            ("/bundles/a.b", 400, "session"),
            (f"{PATH}/{SHA256}/x", 404, "Not found"),
        ):
            for relay in (a, b, c):
                reply = await relay.get(path)
                self.assertEqual(reply.status, status, path)
                self.assertIn(says, reply.json()["error"])
        # Nobody has a session because somebody asked for its bundle.
        for relay in (a, b, c):
            figures = (await relay.get("/api/nodes")).json()
            owned = {one["node"]: one["sessions"] for one in figures["cluster"]["nodes"]}
            self.assertEqual((owned["b"], owned["c"]), (0, 0))

    async def test_the_program(self) -> None:
        _, _, _, c = await self.begin()
        file = Path(self.mktemp()).absolute()
        program = [sys.executable, "-m", "apptuner_relay.client.main", "fetch", "--output"]
        where = ["--relay", f"ws://127.0.0.1:{c.port}", "--session", SESSION]
        fetched = await run([*program, str(file), *where], env=checkout_env())
        self.assertEqual(fetched.exit_code, 0, repr(fetched))
        self.assertEqual(file.read_bytes(), TYPESCRIPT.read_bytes())

    async def test_where_a_phone_is_told_to_look(self) -> None:
        _, (a, b), node = await self.cluster(2)
        cli = await self.join(node, a, "cli")
        phone = await self.join(node, b, "mobile", query="announce=1")
        await cli.push(TYPESCRIPT)
        message = await phone.expect("bundle_available")
        self.assertEqual(message.data["sha256"], SHA256)
        status, _, body = parsed(await download(b, message.data["url"]))
        self.assertEqual((status, hashlib.sha256(body).hexdigest()), (200, SHA256))

    async def test_a_relay_that_keeps_nothing_itself(self) -> None:
        redis = await self.redis()
        a = await self.member(redis.url, "a")
        b = await self.member(redis.url, "b", "--spool-dir", "off")
        node = await self.node(a)
        cli = await self.join(node, a, "cli")
        await cli.push(TYPESCRIPT)
        await cli.settle()
        self.assertEqual(parsed(await download(b, PATH))[2], TYPESCRIPT.read_bytes())
        self.assertEqual((await b.get("/bundles/NOBODY")).status, 404)


class TlsTest(BundleClusterCase):
    async def test_relays_that_speak_tls_to_each_other(self) -> None:
        redis = await self.redis()
        ours, others = Authority(Path(self.mktemp())), Authority(Path(self.mktemp()))
        certificate, key = ours.sign("127.0.0.1")
        port = free_port()
        endpoint = f"ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        address = f"wss://127.0.0.1:{port}"
        a = await self.member(redis.url, "a", "--node-address", address, "--listen", endpoint)
        b = await self.member(redis.url, "b", "--node-ca", str(ours.path))
        c = await self.member(redis.url, "c", "--node-ca", str(others.path))
        node = await self.node(a)
        cli = await self.join(node, a, "cli")
        phone = await self.join(node, b, "mobile")
        sent = await cli.push(TYPESCRIPT)
        self.assertEqual((await phone.bundle()).code, sent.code)
        self.assertEqual(parsed(await download(b, PATH))[2], TYPESCRIPT.read_bytes())
        reply = await c.get(PATH)
        self.assertEqual(reply.status, 503, reply.body)
        await c.logged("relay a does not deliver its bundle: .*certificate verify failed")


class SlowTest(BundleClusterCase):
    async def big(self, *options: str) -> tuple[RelayProcess, RelayProcess, Sent]:
        """Relay a keeps a bundle that is more than all buffers on the way take."""
        _, (a, b), node = await self.cluster(2, *options)
        cli = await self.join(node, a, "cli")
        sent = await cli.push_filler(45 * MIB)
        await cli.settle()
        return a, b, sent

    async def stalling(self, relay: RelayProcess) -> "Stalling":
        """A client who has been sent something, and has not read it."""
        client = Stalling(relay.port)
        self.addCleanup(client.close)
        client.ask(PATH)
        await client.first()
        return client

    async def test_a_client_that_does_not_read(self) -> None:
        """What it does not take stays where it is kept."""
        a, b, sent = await self.big()
        await download(b, PATH, method="HEAD")
        for relay in (a, b):
            relay.reset_peak()
        before = {relay: relay.rss() for relay in (a, b)}
        client = await self.stalling(b)
        # Meanwhile both are there for others.
        for relay in (a, b):
            for _ in range(5):
                self.assertEqual((await relay.get("/health")).status, 200)
        body = await client.rest()
        self.assertEqual(len(body), sent.code.chars)
        self.assertEqual(hashlib.sha256(body).hexdigest(), sent.code.sha256)
        for relay in (a, b):
            self.assertLess(relay.peak_rss() - before[relay], 8 * MIB)

    async def test_a_client_that_never_reads(self) -> None:
        """It is cut off by the relay that it is connected to, as anywhere."""
        a, b, sent = await self.big("--slow-time", "2s")
        client = await self.stalling(b)
        await b.logged("aborted a download: its client read nothing for 2 s")
        self.assertLess(len(await client.rest()), sent.code.chars)
        self.assertNotIn("can't be had", b.log)
        self.assertNotIn("aborted a download", a.log)

    async def test_a_client_that_leaves(self) -> None:
        a, b, _ = await self.big()
        client = await self.stalling(b)
        self.assertEqual((connections(a), connections(b)), (2, 1))
        client.close()
        # Of a's there is the CLI's left.
        for _ in range(int(PATIENCE_S / 0.05)):
            if (connections(a), connections(b)) == (1, 0):
                break
            await pause(0.05)
        self.assertEqual((connections(a), connections(b)), (1, 0))
        self.assertNotIn("can't be had", b.log)

    async def test_the_owner_is_killed_meanwhile(self) -> None:
        a, b, sent = await self.big()
        client = await self.stalling(b)
        a.child.signal("KILL")
        a.forget()
        self.assertLess(len(await client.rest()), sent.code.chars)
        await b.logged("relay a does not deliver its bundle: the connection to it was lost")


class FaultTest(BundleClusterCase):
    async def unreachable(self, relay: RelayProcess) -> None:
        reply = await relay.get(PATH)
        self.assertEqual(reply.status, 503, reply.body)
        self.assertEqual(reply.headers["retry-after"], "5")
        self.assertIn("can't be reached now", reply.json()["error"])
        await relay.logged("relay a does not deliver its bundle: ")

    async def owner_at(self, address: str) -> tuple[RelayProcess, RelayProcess]:
        """Relay a keeps a bundle, and is to be reached at this address; c has no client."""
        redis = await self.redis()
        a = await self.member(redis.url, "a", "--node-address", address)
        c = await self.member(redis.url, "c")
        node = await self.node(a)
        cli = await self.join(node, a, "cli")
        await cli.push_filler(MIB)
        await cli.settle()
        return a, c

    async def test_the_owner_is_not_reached(self) -> None:
        wire = Wire()
        a, c = await self.owner_at(wire.address)
        wire.lead_to(a)
        self.assertEqual(parsed(await download(c, PATH, method="HEAD"))[0], 200)
        await wire.remove()
        await self.unreachable(c)

    async def test_the_owner_takes_a_request_and_dies(self) -> None:
        hole = Hole()
        self.addCleanup(hole.remove)
        a, c = await self.owner_at(hole.address)
        answer = ensureDeferred(c.get(PATH))
        await within_patience(hole.asked, lambda: c.log)
        a.child.signal("KILL")
        a.forget()
        self.assertEqual((await answer).status, 503)
        why = "it doesn't own the session any more"
        await c.logged(f"relay a does not deliver its bundle: {why}")

    async def test_redis_is_away(self) -> None:
        """Then only a relay that is connected to the owner knows where to ask."""
        redis, a, b, c = await self.begin()
        await redis.kill()
        for relay, status in ((a, 200), (b, 200), (c, 404)):
            self.assertEqual(parsed(await download(relay, PATH, method="HEAD"))[0], status)

    async def test_another_secret(self) -> None:
        redis = await self.redis()
        a = await self.member(redis.url, "a")
        options = ("--redis", redis.url, "--node", "b", "--cluster-secret", SECRET + "!")
        b = await self.relay(*options)
        node = await self.node(a)
        cli = await self.join(node, a, "cli")
        await cli.push(TYPESCRIPT)
        await cli.settle()
        reply = await b.get(PATH)
        self.assertEqual(reply.status, 502, reply.body)
        await a.logged("refused a request of another relay: it is not signed")
        await b.logged("its answer, 401, is not that of a relay of this cluster")

    async def test_it_goes_no_further(self) -> None:
        """Whoever is asked by a relay answers from what it keeps itself, so nothing goes round."""
        _, a, _, c = await self.begin()
        for name, relay, status in (("a", a, 200), ("c", c, 404)):
            shown, proof = write_request_pass(SECRET, "b", name, PATH, time.time())
            reply = parsed(await download(relay, PATH, f"AppTuner-Pass: {shown}", method="HEAD"))
            self.assertEqual((reply[0], reply[1]["apptuner-proof"]), (status, proof))
            again = await relay.get(PATH, headers={"AppTuner-Pass": shown})
            self.assertEqual(again.status, 401)

    async def test_who_only_says_that_it_is_a_relay(self) -> None:
        _, a, _, _ = await self.begin()
        for shown in ("x", "e30=.00", "ž"):
            reply = await a.get(PATH, headers={"AppTuner-Pass": shown.encode().decode("latin-1")})
            self.assertEqual(reply.status, 401)
            self.assertNotIn("apptuner-proof", reply.headers)


class Hole(Factory):
    """Takes a request, and answers nothing."""

    noisy = False

    def __init__(self) -> None:
        self.asked: Deferred[None] = Deferred()
        self._ends: list[Protocol] = []
        self._port = reactor.listenTCP(0, self, interface="127.0.0.1")  # type: ignore[attr-defined]

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self._port.getHost().port}"

    def buildProtocol(self, addr: object) -> Protocol:
        end = Protocol()
        self._ends.append(end)
        end.dataReceived = self._heard  # type: ignore[method-assign]
        return end

    def _heard(self, data: bytes) -> None:
        if not self.asked.called:
            self.asked.callback(None)

    async def remove(self) -> None:
        await self._port.stopListening()
        for end in self._ends:
            if end.transport is not None:
                end.transport.abortConnection()  # type: ignore[attr-defined]


class Stalling:
    """A client that reads nothing until it is told to."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.settimeout(30)

    def ask(self, path: str) -> None:
        request = f"GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n"
        self._socket.sendall(request.encode())

    async def first(self) -> None:
        """Wait for a first byte, and leave it there."""
        await deferToThread(self._socket.recv, 1, socket.MSG_PEEK)

    async def rest(self) -> bytes:
        raw = await deferToThread(self._read)
        return raw.partition(b"\r\n\r\n")[2]

    def _read(self) -> bytes:
        parts = []
        with contextlib.suppress(ConnectionResetError):
            while part := self._socket.recv(1 << 20):
                parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        self._socket.close()
