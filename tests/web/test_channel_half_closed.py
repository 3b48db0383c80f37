"""Clients that end their side of the connection once they have asked (RFC 9112 §9.6)."""

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from apptuner_relay.spool.bundle import Digest
from apptuner_relay.web.bundle_resource import SLOW_S
from tests.live.processes import within_patience
from tests.web.serving import ClockedReactor
from tests.web.test_bundle_downloads import CODE, PATH, DownloadCase


class HalfClosed(DownloadCase):
    """A client that sends nothing more, and says so."""

    async def test_all_of_the_answer_comes(self) -> None:
        site = self.serve(self.bundle_cache)
        digest: Deferred[Digest] = Deferred()
        self.bundle.digest_result = digest
        client = self.client()
        client.ask(PATH)
        client.end_sending()
        await within_patience(self.bundle.in_use, lambda: "nothing was asked for")
        digest.callback(Digest(self.bundle.sha256, self.bundle.size, self.bundle.size))
        received = await self.started(client)
        received += await client.read(2 * len(CODE))
        self.assertEqual(received, CODE)
        await self.over(site)
        self.assertEqual(self.logged(), [])

    async def test_all_of_several_answers(self) -> None:
        site = self.serve(self.bundle_cache)
        client = self.client()
        for _ in range(3):
            client.ask(PATH)
        client.end_sending()
        for _ in range(3):
            await client.head()
            self.assertEqual(await client.read(len(CODE)), CODE)
        self.assertEqual(await client.read(1), b"")
        await self.over(site)

    async def test_one_that_reads_nothing_is_cut_off(self) -> None:
        clock = ClockedReactor()
        site = self.serve(self.bundle_cache, download_reactor=clock)
        client = self.client()
        client.ask(PATH)
        client.end_sending()
        await self.started(client)
        while self.bundle.users:
            clock.advance(SLOW_S / 8)
            await deferLater(reactor, 0)  # type: ignore[arg-type]
        await self.over(site)
        await self.released()

    async def test_before_its_request_is_there(self) -> None:
        for sent in (b"", b"GET /bundles/X HTTP/1.1\r\nHost: x\r\n"):
            site = self.serve(self.bundle_cache)
            client = self.client()
            client.socket.sendall(sent)
            client.end_sending()
            self.assertEqual(await client.read(1), b"")
            await self.over(site)
