"""Bundles that curl uploads over HTTP, to phones that Node plays."""

import gzip
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Protocol

from apptuner_relay.wire.bundle_patch import PATCH_MEDIA_TYPE
from tests.live.clients import TYPESCRIPT, missing
from tests.live.cluster import ClusterCase
from tests.live.harness import LiveCase, together
from tests.live.processes import MIB, RelayProcess, run
from tests.live.redis import missing_redis
from tests.live.slow_phone import SlowPhone
from tests.live.test_cluster_bundles import pause
from tests.relay.test_sent_patches import patch_text
from tests.spool.cases import sha256

SESSION = "ABC234"
SHA256 = hashlib.sha256(TYPESCRIPT.read_bytes()).hexdigest() if TYPESCRIPT.exists() else ""
SECRET = "a-secret-of-these-tests"
BIG_BYTES = 48 * 1000 * 1000


def missing_curl() -> str | None:
    """Why curl can't upload here, or None."""
    return None if shutil.which("curl") else "needs curl: ops/test installs it"


async def curl(relay: RelayProcess, file: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Upload a file. Returns the status and the JSON of the answer."""
    url = f"http://127.0.0.1:{relay.port}/bundles/{SESSION}"
    command = ["curl", "-sS", "-w", "\n%{http_code}", "-T", str(file), *options, url]
    child = await run(command)
    body, _, status = child.out.strip().rpartition("\n")
    return int(status), json.loads(body)


class Sender(Protocol):
    """Sends the beginning of an upload of which the rest never comes."""

    @classmethod
    async def begin(cls, relay: RelayProcess, length: int, body: bytes) -> "Sender":
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{relay.port}")
        one: Sender = await connectProtocol(endpoint, cls())
        head = f"PUT /bundles/{SESSION} HTTP/1.1\r\nHost: relay\r\nContent-Length: {length}\r\n\r\n"
        one.transport.write(head.encode() + body)  # type: ignore[union-attr]
        return one

    def kill(self) -> None:
        self.transport.abortConnection()  # type: ignore[union-attr]


async def sent_bytes(relay: RelayProcess) -> int:
    """How many bytes the relay has sent to its clients."""
    metrics = (await relay.get("/metrics")).body
    found = re.search(r'^apptuner_relay_bytes_total\{direction="out"\} (\S+)$', metrics, re.M)
    assert found, metrics
    return int(float(found[1]))


async def joined(relay: RelayProcess, count: int) -> None:
    """So many clients are in sessions."""
    while (await relay.get("/health")).json()["connections"] < count:
        await pause(0.05)


class UploadTest(LiveCase):
    skip = missing() or missing_curl()

    async def test_to_two_phones_of_which_one_is_slow(self) -> None:
        relay, node = await self.stage()
        quick = await node.join("mobile", SESSION)
        slow = await SlowPhone.join(relay, SESSION)
        await joined(relay, 2)
        status, found = await curl(relay, TYPESCRIPT)
        self.assertEqual(status, 201, found)
        self.assertEqual((found["sha256"], found["phones"]), (SHA256, 2))
        self.assertEqual(found["size"], TYPESCRIPT.stat().st_size)
        self.assertEqual(sha_of(await quick.bundle()), SHA256)
        slow.hurry()
        self.assertEqual((await slow.bundle(0)).sha256, SHA256)
        slow.leave()
        reply = await relay.get(found["url"])
        self.assertEqual(hashlib.sha256(reply.body.encode()).hexdigest(), SHA256)

    async def test_in_chunks_and_gzip(self) -> None:
        relay, node = await self.stage()
        phone = await node.join("mobile", SESSION)
        chunked = await curl(relay, TYPESCRIPT, "-H", "Transfer-Encoding: chunked")
        self.assertEqual(chunked[0], 201, chunked)
        self.assertEqual(sha_of(await phone.bundle()), SHA256)
        packed = Path(self.mktemp()).resolve()
        packed.write_bytes(gzip.compress(TYPESCRIPT.read_bytes(), 1))
        status, found = await curl(relay, packed, "-H", "Content-Encoding: gzip")
        self.assertEqual((status, found["sha256"]), (201, SHA256))
        self.assertEqual(sha_of(await phone.bundle()), SHA256)

    async def test_a_patch(self) -> None:
        relay, node = await self.stage()
        old = TYPESCRIPT.read_text("utf-8")
        new = old.replace("TypeScript", "TypeScript 🛒", 1) + "// é"
        patch = Path(self.mktemp()).resolve()
        patch.write_bytes(patch_text(old, new))
        head = ("-H", f"Content-Type: {PATCH_MEDIA_TYPE}", "-H", f'If-Match: "{SHA256}"')
        status, found = await curl(relay, patch, *head)
        self.assertEqual((status, found["reason"]), (412, "base"))
        await curl(relay, TYPESCRIPT)
        phone = await node.join("mobile", SESSION, "replay=1")
        self.assertEqual(sha_of(await phone.bundle()), SHA256)
        status, found = await curl(relay, patch, *head)
        self.assertEqual((status, found["phones"]), (201, 1), found)
        self.assertEqual(sha_of(await phone.bundle()), sha256(new))
        reply = await relay.get(found["url"])
        self.assertEqual(hashlib.sha256(reply.body.encode()).hexdigest(), sha256(new))

    async def test_a_big_one_is_never_whole_in_memory(self) -> None:
        relay, node = await self.stage("--max-message", "60MB")
        phone = await node.join("mobile", SESSION)
        slow = await SlowPhone.join(relay, SESSION)
        await joined(relay, 2)
        await curl(relay, TYPESCRIPT)
        await phone.bundle()
        big = Path(self.mktemp()).resolve()
        code = TYPESCRIPT.read_bytes().replace(b'"', b"'").replace(b"\n", b";")
        big.write_bytes((code * 6)[:BIG_BYTES].decode(errors="ignore").encode())
        relay.reset_peak()
        before = relay.rss()
        status, found = await curl(relay, big)
        self.assertEqual(status, 201, found)
        self.assertLess(relay.peak_rss() - before, 16 * MIB)
        bundle = await phone.bundle()
        self.assertEqual(sha_of(bundle), found["sha256"])
        self.assertIsNone(slow.close)
        slow.leave()

    async def test_one_at_a_time(self) -> None:
        relay, _ = await self.stage()
        first = await Sender.begin(relay, 1000, b"x")
        await relay.logged("upload connected")
        status, found = await curl(relay, TYPESCRIPT)
        self.assertEqual(status, 409, found)
        first.kill()
        await relay.logged("upload disconnected")
        self.assertEqual((await curl(relay, TYPESCRIPT))[0], 201)

    async def test_killed_in_the_middle(self) -> None:
        relay, node = await self.stage()
        phone = await node.join("mobile", SESSION)
        one = await Sender.begin(relay, 10 * MIB, b"x" * 2 * MIB)
        while await sent_bytes(relay) < MIB:
            await pause(0.05)
        one.kill()
        code, reason = await phone.closed()
        self.assertEqual(code, 1011, reason)
        await relay.logged("a message from upload was cut short")
        again = await node.join("mobile", SESSION)
        self.assertEqual((await curl(relay, TYPESCRIPT))[0], 201)
        self.assertEqual(sha_of(await again.bundle()), SHA256)

    async def test_one_that_stops(self) -> None:
        relay, node = await self.stage("--stall-timeout", "1s")
        await node.join("mobile", SESSION)
        await Sender.begin(relay, 1000, b"x")
        await relay.logged("upload disconnected: Nothing came of the body")

    async def test_who_may(self) -> None:
        relay, _ = await self.stage()
        for options, expected in (
            (("-H", f"Authorization: Bearer {SECRET}"), 201),
            ((), 401),
            (("-H", "Authorization: Bearer another-secret-here"), 403),
            (("--oauth2-bearer", SECRET), 201),
        ):
            status, found = await curl(relay, TYPESCRIPT, *options)
            self.assertEqual(status, expected, found)

    async def test_several_sessions_at_once(self) -> None:
        relay, node = await self.stage()
        names = [f"{SESSION}{n}" for n in range(4)]
        phones = [await node.join("mobile", name) for name in names]

        async def push(name: str) -> str:
            url = f"http://127.0.0.1:{relay.port}/bundles/{name}"
            return (await run(["curl", "-sS", "-T", str(TYPESCRIPT), url])).out

        for text in await together(*map(push, names)):
            self.assertEqual(json.loads(text)["sha256"], SHA256)
        for phone in phones:
            self.assertEqual(sha_of(await phone.bundle()), SHA256)


class UploadAcrossABridgeTest(ClusterCase):
    skip = missing() or missing_curl() or missing_redis()

    async def test_to_a_relay_without_the_session(self) -> None:
        _, (a, b), node = await self.cluster(2)
        near = await self.join(node, a, "mobile", query="deviceId=near")
        far = await self.join(node, b, "mobile", query="deviceId=far")
        status, found = await curl(b, TYPESCRIPT)
        self.assertEqual(status, 201, found)
        self.assertEqual((found["sha256"], found["phones"]), (SHA256, 2))
        for phone in (near, far):
            self.assertEqual(sha_of(await phone.bundle()), SHA256)
        for relay in (a, b):
            reply = await relay.get(found["url"])
            self.assertEqual(hashlib.sha256(reply.body.encode()).hexdigest(), SHA256)


def sha_of(message: Any) -> str:
    """The SHA-256 of a bundle's code."""
    code = message.code
    assert code is not None, message
    sha256: str = code.sha256
    return sha256
