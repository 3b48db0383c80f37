"""Downloads of bundles: slow, cut, resumed, one after the other; with sockets and with curl."""

import os
import random
import select
import shutil
import subprocess
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogEvent, LogLevel, globalLogPublisher

from apptuner_relay.config.groups.listening_settings import ListeningSettings
from apptuner_relay.spool.bundle import CODINGS, Digest
from apptuner_relay.spool.page_cache import PageCache
from apptuner_relay.web.bundle_resource import SLOW_S
from apptuner_relay.web.streaming import BLOCK_BYTES
from tests.live.processes import Child, run, within_patience
from tests.web.bundle_cache import DictBundleCache, FileBundle
from tests.web.serving import (
    KERNEL_BYTES,
    KIB,
    MIB,
    SESSION,
    BundlesCase,
    ClockedReactor,
    SlowClient,
    WatchedSite,
)

PATH = f"/bundles/{SESSION}"
CODE = random.Random(5).randbytes(4 * MIB).hex().encode()
HANDSHAKE_TIMEOUT_S = 10
CURL = shutil.which("curl")


def writable(transport: Any) -> bool:
    """Whether the kernel would take more from a connection's server."""
    return bool(select.select([], [transport], [], 0)[1])


class Reads:
    """What is read of files, at once or by `os.pread`."""

    def __init__(self, test: BundlesCase) -> None:
        self.end = 0
        """How far the last read went."""
        self.largest = 0
        self.descriptors: set[int] = set()
        self._beyond: list[tuple[int, Deferred[None]]] = []
        self.waits = 0
        """How often a disk was waited for."""
        self._pread = os.pread
        self._read = PageCache.read
        self.is_cached = True
        """Whether the kernel has all of them in memory."""
        test.patch(os, "pread", self._record)
        test.patch(PageCache, "read", lambda cache, *arguments: self._look(cache, *arguments))

    def beyond(self, position: int) -> Deferred[None]:
        """Fires when that much of a file has been read."""
        self._beyond.append((position, Deferred()))
        return within_patience(self._beyond[-1][1], lambda: f"read up to {self.end}")

    def _look(self, cache: PageCache, descriptor: int, at: int, size: int) -> memoryview | None:
        block = self._read(cache, descriptor, at, size) if self.is_cached else None
        if block is not None:
            self._count(descriptor, at, len(block))
        return block

    def _record(self, descriptor: int, size: int, at: int) -> bytes:
        block = self._pread(descriptor, size, at)
        self.waits += 1
        self._count(descriptor, at, len(block))
        return block

    def _count(self, descriptor: int, at: int, size: int) -> None:
        self.end = at + size
        self.largest = max(self.largest, size)
        self.descriptors.add(descriptor)
        for position, waiter in self._beyond:
            if self.end >= position and not waiter.called:
                reactor.callFromThread(waiter.callback, None)  # type: ignore[attr-defined]
                self._beyond.remove((position, waiter))
                break


class DownloadCase(BundlesCase):
    def setUp(self) -> None:
        super().setUp()
        self.bundle = FileBundle(self.directory, CODE)
        self.bundle_cache = DictBundleCache(ABC234=self.bundle)
        self.reads = Reads(self)
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    async def released(self) -> None:
        await within_patience(self.bundle.unused(), lambda: "the bundle stays in use")
        for descriptor in self.reads.descriptors:
            name = f"/proc/self/fd/{descriptor}"
            self.assertNotIn(self.bundle.sha256, os.path.realpath(name))

    async def over(self, site: WatchedSite) -> None:
        await within_patience(site.connections[0], lambda: "the connection stays")

    def logged(self) -> list[Any]:
        """What was logged but for ports that open and close."""
        return [
            event
            for event in self.events
            if event.get("log_namespace", "").startswith("apptuner")
            or event["log_level"] in (LogLevel.warn, LogLevel.error, LogLevel.critical)
        ]

    async def started(self, client: SlowClient, size: int = 64 * KIB) -> bytes:
        """The first bytes of the bundle's code, as the answer to what was asked."""
        self.assertEqual((await client.head()).status, 200)
        return await client.read(size)


class SlowTest(DownloadCase):
    async def test_no_more_is_read_than_the_client_takes(self) -> None:
        self.serve(self.bundle_cache)
        client = self.client()
        client.ask(PATH)
        received = await self.started(client)
        while client.received < len(CODE):
            received += await client.read(min(512 * KIB, len(CODE) - client.received))
            ahead = self.reads.end - client.received
            self.assertTrue(ahead <= KERNEL_BYTES + BLOCK_BYTES, ahead)
        self.assertEqual(received, CODE)
        self.assertEqual(self.reads.largest, BLOCK_BYTES)
        await self.released()

    async def test_only_a_disk_is_waited_for(self) -> None:
        self.serve(self.bundle_cache)
        for is_cached in (True, False):
            self.reads.is_cached = is_cached
            client = self.client()
            client.ask(PATH)
            received = await self.started(client)
            self.assertEqual(received + await client.read(len(CODE) - len(received)), CODE)
            self.assertEqual(bool(self.reads.waits), not is_cached)

    async def test_the_idle_timeout_does_not_count(self) -> None:
        clock = Clock()
        self.serve(self.bundle_cache, site_clock=clock)
        client = self.client()
        client.ask(PATH)
        received = await self.started(client)
        for _ in range(4):
            clock.pump([5.0] * 60)
            received += await client.read(MIB)
        received += await client.read(len(CODE) - client.received)
        self.assertEqual(received, CODE)
        self.assertEqual(self.logged(), [])

    async def test_the_idle_timeout_does_not_cut_the_end_off(self) -> None:
        # The response is all written, but the client has yet to take the last of it.
        for end in (1, 60 * KIB, 65 * KIB, 127 * KIB):
            clock, waits = Clock(), ClockedReactor()
            site = self.serve(self.bundle_cache, site_clock=clock, download_reactor=waits)
            client = self.client()
            stop = MIB * 2 + end
            client.ask(PATH, Range=f"bytes=0-{stop - 1}")
            self.assertEqual((await client.head()).status, 206)
            received = b""
            while self.reads.end < stop:
                if waits.getDelayedCalls() and not writable(site.transports[0]):
                    received += await client.read(64 * KIB)
                await deferLater(reactor, 0)  # type: ignore[arg-type]
            self.assertTrue(client.received < stop - BLOCK_BYTES, "little is left to take")
            for _ in range(20):
                clock.advance(HANDSHAKE_TIMEOUT_S / 2)
                await deferLater(reactor, 0)  # type: ignore[arg-type]
            received += await client.read(stop - client.received)
            self.assertEqual(received, CODE[:stop])
            await self.released()
            clock.pump([ListeningSettings.http_keep_alive / 2] * 3)
            self.assertEqual(await client.read(1), b"")
            await self.over(site)
            self.reads.end = 0
        self.assertEqual(self.logged(), [])

    async def test_a_client_that_takes_nothing_is_cut_off(self) -> None:
        clock = ClockedReactor()
        site = self.serve(self.bundle_cache, download_reactor=clock)
        client = self.client()
        client.ask(PATH)
        await self.started(client)
        while self.bundle.users:
            clock.advance(SLOW_S / 8)
            await deferLater(reactor, 0)  # type: ignore[arg-type]
        await self.over(site)
        await self.released()
        self.assertTrue(self.reads.end < len(CODE))
        [event] = self.logged()
        self.assertEqual(event["log_level"], LogLevel.info)
        self.assertNotIn(SESSION, str(event))
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_a_client_that_takes_a_little_is_not(self) -> None:
        clock = ClockedReactor()
        self.serve(self.bundle_cache, download_reactor=clock)
        client = self.client()
        client.ask(PATH)
        received = await self.started(client)
        while client.received < len(CODE):
            clock.advance(SLOW_S / 4)
            received += await client.read(min(256 * KIB, len(CODE) - client.received))
        self.assertEqual(received, CODE)
        self.assertTrue(clock.seconds() > 4 * SLOW_S)
        await self.released()
        self.assertEqual(clock.getDelayedCalls(), [])


class LeavingTest(DownloadCase):
    async def leave_before_an_answer(self) -> None:
        """A client leaves while the bundle is prepared for it, and the bundle stays in use."""
        site = self.serve(self.bundle_cache)
        client = self.client()
        client.ask(PATH)
        await within_patience(self.bundle.in_use, lambda: "nothing was asked for")
        client.reset()
        await self.over(site)
        self.assertEqual(self.bundle.users, 1)

    async def test_in_the_middle(self) -> None:
        site = self.serve(self.bundle_cache)
        client = self.client()
        client.ask(PATH)
        await self.started(client)
        self.assertEqual(self.bundle.users, 1)
        client.close()
        await self.over(site)
        await self.released()
        self.assertTrue(self.reads.end < len(CODE))
        self.assertEqual((self.logged(), self.bundle.uses), ([], 1))

    async def test_while_the_bundle_is_made_ready(self) -> None:
        digest: Deferred[Digest] = Deferred()
        self.bundle.digest_result = digest
        await self.leave_before_an_answer()
        digest.callback(Digest(self.bundle.sha256, self.bundle.size, self.bundle.size))
        await self.released()
        self.assertEqual((self.logged(), self.bundle.asked), ([], []))

    async def test_while_its_coding_is_made(self) -> None:
        path: Deferred[Path] = Deferred()
        self.bundle.code_result = path
        await self.leave_before_an_answer()
        path.callback(self.bundle.file("identity"))
        await self.released()
        self.assertEqual((self.logged(), self.reads.end), ([], 0))

    async def test_one_that_may_still_be_reading(self) -> None:
        """A client that has closed can't be told from one that has ended its side, until it is
        sent something."""
        site = self.serve(self.bundle_cache)
        digest: Deferred[Digest] = Deferred()
        self.bundle.digest_result = digest
        client = self.client()
        client.ask(PATH)
        await within_patience(self.bundle.in_use, lambda: "nothing was asked for")
        client.close()
        digest.callback(Digest(self.bundle.sha256, self.bundle.size, self.bundle.size))
        await self.over(site)
        await self.released()
        self.assertEqual(self.logged(), [])

    async def test_many_at_once(self) -> None:
        site = self.serve(self.bundle_cache)
        clients = [self.client() for _ in range(20)]
        for client in clients:
            client.ask(PATH)
            await self.started(client)
        self.assertEqual(self.bundle.users, 20)
        for client in clients[1:]:
            client.close()
        for connection in site.connections[1:]:
            await within_patience(connection, lambda: "a connection stays")
        await clients[0].read(len(CODE) - 64 * KIB)
        await self.released()
        self.assertEqual(self.logged(), [])


class ConnectionTest(DownloadCase):
    async def test_pipelined(self) -> None:
        self.serve(self.bundle_cache)
        client = self.client()
        paths = [PATH, "/bundles/NOBODY", f"{PATH}/{self.bundle.sha256}", "/bundles/a.b", PATH]
        for path in paths:
            client.ask(path)
        for path in paths:
            reply = await client.head()
            body = await client.read(int(reply.fields["content-length"]))
            self.assertEqual((reply.status == 200, body == CODE), (SESSION in path,) * 2)
        await self.released()
        self.assertEqual(self.bundle.uses, 3)

    async def test_pipelined_without_reading(self) -> None:
        # Answers that are each too small to fill the connection, and together by far too big.
        waits = ClockedReactor()
        site = self.serve(self.bundle_cache, download_reactor=waits)
        client = self.client()
        for _ in range(600):
            client.ask(PATH, Range="bytes=0-9999")
        await within_patience(self.bundle.in_use, lambda: "nothing was asked for")
        while not waits.getDelayedCalls() or writable(site.transports[0]):
            await deferLater(reactor, 0)  # type: ignore[arg-type]
        self.assertTrue(self.bundle.uses * 10000 <= KERNEL_BYTES + BLOCK_BYTES, self.bundle.uses)
        for _ in range(600):
            reply = await client.head()
            self.assertEqual(await client.read(10000), CODE[:10000])
            self.assertEqual(reply.status, 206)
        await self.released()

    async def test_http_1_0(self) -> None:
        self.serve(self.bundle_cache)
        client = self.client()
        client.ask(PATH, version="1.0")
        reply = await client.head()
        self.assertEqual((reply.version, reply.status), ("HTTP/1.0", 200))
        self.assertEqual(reply.fields["content-length"], str(len(CODE)))
        self.assertEqual(await client.read(len(CODE) + 1), CODE)
        await self.released()

    async def test_kept_alive_for_the_next(self) -> None:
        self.serve(self.bundle_cache)
        client = self.client()
        for path, status in ((PATH, 200), ("/bundles/NOBODY", 404), (PATH, 200)):
            client.ask(path)
            reply = await client.head()
            self.assertEqual((reply.version, reply.status), ("HTTP/1.1", status))
            await client.read(int(reply.fields["content-length"]))
        await self.released()


class CurlTest(DownloadCase):
    if CURL is None:
        skip = "needs curl (Debian package curl): ops/test installs it"

    def setUp(self) -> None:
        super().setUp()
        self.site = self.serve(self.bundle_cache)
        self.output = self.directory / "got.js"

    async def curl(self, *arguments: str) -> Child:
        return await run(self._command(*arguments))

    def _command(self, *arguments: str) -> list[str]:
        url = f"http://127.0.0.1:{self.port}{PATH}"
        return [CURL or "", "--silent", "--show-error", "-o", str(self.output), *arguments, url]

    async def test_a_download(self) -> None:
        child = await self.curl("--fail")
        self.assertEqual(child.exit_code, 0, child)
        self.assertEqual(self.output.read_bytes(), CODE)

    async def test_through_a_unix_socket(self) -> None:
        # As behind a proxy on the same machine; it isn't a `RelayTransport`.
        name = str(self.directory / "relay.sock")
        port = reactor.listenUNIX(name, self.site)  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        child = await self.curl("--unix-socket", name, "--limit-rate", "32M")
        self.assertEqual(child.exit_code, 0, child)
        self.assertEqual(self.output.read_bytes(), CODE)
        await self.released()

    async def test_a_range(self) -> None:
        child = await self.curl("--range", "100000-3999999")
        self.assertEqual(child.exit_code, 0, child)
        self.assertEqual(self.output.read_bytes(), CODE[100000:4000000])

    async def test_resumed_after_the_connection_was_cut(self) -> None:
        cutting = Child(self._command("--limit-rate", "4M"))
        self.addCleanup(cutting.kill)
        await self.reads.beyond(3 * MIB)
        self.site.transports[0].abortConnection()
        await within_patience(cutting.over(), lambda: repr(cutting))
        self.assertNotEqual(cutting.exit_code, 0)
        got = self.output.stat().st_size
        self.assertTrue(0 < got < len(CODE), got)
        child = await self.curl("-C", "-", "-D", str(self.directory / "head"))
        self.assertEqual(child.exit_code, 0, child)
        self.assertIn(f"bytes {got}-", (self.directory / "head").read_text())
        self.assertEqual(self.output.read_bytes(), CODE)
        await self.released()

    async def test_resumed_at_every_kind_of_place(self) -> None:
        for got in (1, BLOCK_BYTES, len(CODE) - BLOCK_BYTES - 1, len(CODE) - 1):
            self.output.write_bytes(CODE[:got])
            child = await self.curl("-C", "-")
            self.assertEqual(child.exit_code, 0, child)
            self.assertEqual(self.output.read_bytes(), CODE)

    async def test_no_end_of_another_bundle(self) -> None:
        self.output.write_bytes(b"x" * MIB)
        child = await self.curl("-C", "-", "-H", f'If-Range: "{"0" * 64}"')
        # 33: the server sends no ranges
        self.assertEqual(child.exit_code, 33, child)
        self.assertEqual(self.output.read_bytes(), b"x" * MIB)

    async def test_every_coding(self) -> None:
        able = subprocess.run([CURL or "", "--version"], capture_output=True, text=True).stdout
        for coding in CODINGS:
            feature = {"gzip": "libz", "br": "brotli", "zstd": "zstd"}.get(coding, "")
            if feature in able.partition("Features:")[2]:
                child = await self.curl("--compressed", "-H", f"Accept-Encoding: {coding}")
                self.assertEqual(child.exit_code, 0, child)
                self.assertEqual(self.output.read_bytes(), CODE, coding)
                self.assertEqual(self.bundle.asked[-1], coding)
