"""Downloads of bundles that are on their way: from their sender, or to the disk."""

import errno
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred

from apptuner_relay.session.session import session_hash
from apptuner_relay.spool.bundle import Bundle
from tests.live.processes import within_patience
from tests.memory import Relay
from tests.spool.test_bundle_file import LateDisk, LateStore
from tests.web.serving import SESSION, BundlesCase, Reply

PATH = f"/bundles/{SESSION}"
CODE = "let é = 1;\n" * 50_000
KEY = session_hash(SESSION)


class WatchedCache:
    """A store that says when it is asked for a bundle."""

    def __init__(self, store: LateStore) -> None:
        self.asked: Deferred[None] = Deferred()
        self._store = store

    @property
    def off(self) -> str | None:
        return self._store.off

    def latest(self, session_hash: str) -> Bundle | None:
        asked, self.asked = self.asked, Deferred()
        # When what is asked for the bundle has been asked.
        reactor.callLater(0, asked.callback, None)  # type: ignore[attr-defined]
        return self._store.latest(session_hash)

    def lend(self, bundle: Bundle) -> None:
        self._store.lend(bundle)

    async def base(self, session_hash: str, sha256: str) -> Bundle | None:
        return await self._store.base(session_hash, sha256)


class ArrivalCase(BundlesCase):
    """A relay whose CLI sends bundles, and a client of HTTP that wants the last one."""

    def setUp(self) -> None:
        super().setUp()
        self.relay = Relay(LateStore)
        store = self.relay.store
        assert isinstance(store, LateStore) and isinstance(store.disk, LateDisk)
        self.store, self.disk = store, store.disk
        self.cache = WatchedCache(store)
        self.site = self.serve(self.cache)
        self.cli = self.relay.connect(f"/cli/{SESSION}")

    def bundle(self, code: str) -> bytes:
        return self.cli.send(type="bundle_update", payload={"code": code})

    def start_chunks(self, code: str) -> None:
        """Send the first half of a bundle in two chunks."""
        self.cli.send(type="bundle_start", totalChunks=2, totalSize=len(code))
        self.chunk(code, 0)

    def chunk(self, code: str, index: int) -> None:
        half = len(code) // 2
        data = code[half:] if index else code[:half]
        self.cli.send(type="bundle_chunk", index=index, totalChunks=2, data=data)

    async def begin(self, path: str = PATH, **fields: str) -> Deferred[Reply]:
        """A request that the relay is about to answer."""
        asked = self.cache.asked
        reply = ensureDeferred(self.fetch(path, **fields))
        await within_patience(asked, lambda: "the request does not arrive")
        return reply

    def assertCode(self, reply: Reply, code: str) -> None:
        self.assertEqual((reply.status, reply.body), (200, code.encode()))


class ToTheDiskTest(ArrivalCase):
    """All of a bundle has come, and the disk is late."""

    async def test_who_comes_as_a_phone_or_over_http_gets_the_same(self) -> None:
        self.disk.late = True
        self.bundle(CODE)
        self.cli.lose()
        phone = self.relay.connect(f"/mobile/{SESSION}")
        self.assertIn(CODE, [code_in(one) for one in phone.received()])
        reply = await self.begin()
        self.assertFalse(reply.called)
        self.disk.work()
        self.assertCode(await reply, CODE)

    async def test_it_is_the_last_one_already(self) -> None:
        self.bundle("before")
        self.disk.late = True
        self.bundle(CODE)
        reply = await self.begin()
        self.disk.work()
        self.assertCode(await reply, CODE)

    async def test_the_disk_fails(self) -> None:
        self.bundle("before")
        self.disk.late = True
        self.bundle(CODE)
        reply = await self.begin()
        self.disk.error = OSError(errno.EIO, "Input/output error")
        self.disk.work()
        # What was cached before would mislead.
        self.assertError(await reply, 404, "No bundle")

    async def test_its_client_leaves(self) -> None:
        self.disk.late = True
        self.bundle(CODE)
        client, asked = self.client(), self.cache.asked
        client.ask(PATH)
        await within_patience(asked, lambda: "the request does not arrive")
        bundle = self.store.last(KEY)
        assert bundle is not None
        client.reset()
        await within_patience(self.site.connections[0], lambda: "the connection stays")
        self.disk.work()
        self.assertCode(await self.fetch(PATH), CODE)
        self.assertFalse(bundle.in_use)


class FromItsSenderTest(ArrivalCase):
    """A bundle has begun."""

    async def test_the_first_one_of_a_session(self) -> None:
        self.start_chunks(CODE)
        reply = await self.begin()
        self.chunk(CODE, 1)
        self.assertCode(await reply, CODE)

    async def test_the_one_before_is_the_last_one_still(self) -> None:
        self.bundle("before")
        self.start_chunks(CODE)
        self.assertCode(await self.fetch(PATH), "before")

    async def test_it_is_cut_short(self) -> None:
        self.start_chunks(CODE)
        reply = await self.begin()
        self.cli.lose()
        self.assertError(await reply, 404, "No bundle")

    async def test_another_takes_its_place(self) -> None:
        self.start_chunks(CODE)
        reply = await self.begin()
        self.bundle("another")
        self.assertCode(await reply, "another")

    async def test_it_is_not_the_one_that_was_asked_for(self) -> None:
        self.start_chunks(CODE)
        reply = await self.begin(f"{PATH}/{'0' * 64}")
        self.chunk(CODE, 1)
        self.assertError(await reply, 404, "another SHA-256")

    async def test_it_has_no_code(self) -> None:
        self.cli.send(type="bundle_start", totalChunks=2, totalSize=9)
        reply = await self.begin()
        self.cli.send(type="bundle_chunk", index=0, totalChunks=2)
        self.cli.send(type="bundle_chunk", index=1, totalChunks=2)
        self.assertError(await reply, 404, "no code to be had")


def code_in(message: dict[str, Any]) -> object:
    payload = message.get("payload")
    return payload.get("code") if isinstance(payload, dict) else None
