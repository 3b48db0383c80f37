"""How a relay that stops gives a session to another one: its last bundle, and then the session.

The other end is a `takeover.Takeover`; `handover_words` has what is said.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, NoReturn

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from apptuner_relay.bundles.disk import Disk
from apptuner_relay.bundles.spooled import SpooledBundle
from apptuner_relay.cluster.handover_words import BadWords, Kept, Words, write_words
from apptuner_relay.cluster.link import LinkProtocol
from apptuner_relay.cluster.roster import Traveller
from apptuner_relay.flow import Source
from apptuner_relay.wire.frames import BINARY, CLOSE_NORMAL, Piece, Texts, frame
from apptuner_relay.wire.server_frames import ServerFrames

BLOCK_BYTES = 128 * 1024
ANSWER_S = 4.0
"""How long the other relay may take to answer, beside the bundle."""


class NotHandedOver(Exception):
    """It didn't work; the text says why."""


class Refused(NotHandedOver):
    """The other relay has said no."""


class Handover:
    """One session's, over a link that is open; a `ends.End` of it."""

    def __init__(self, link: LinkProtocol, clock: IReactorTime, node: str) -> None:
        self.source, self.sink, self.reader = link.make_ends()
        self.bytes_in = 0
        self._link, self._clock, self._node = link, clock, node
        self._words = Words()
        self._answers: list[dict[str, Any]] = []
        self._waiting: Deferred[None] | None = None
        self._why: str | None = None
        """Why nothing comes any more."""
        link.on_lost = self._lost
        link.attach(self)

    # What its connection calls

    def take_texts(self, texts: Texts) -> None:
        """See `ends.End`. There are none."""

    def take(self, piece: Piece, view: memoryview) -> None:
        """See `ends.End`."""
        opcode, end, _, payload, stop = piece
        if opcode & BINARY or self._words.is_inside:
            try:
                said = self._words.feed(bytes(view[payload:stop]), end)
            except BadWords as wrong:
                self._link.abort()
                self._lost(CLOSE_NORMAL, str(wrong), False)
                return
            if said is not None:
                self._answers.append(said)
                self._wake()

    def flush(self) -> None:
        """See `ends.End`."""
        self.source.flush()

    # What the old owner does

    async def offer(self, kept: Kept | None) -> str | None:
        """Ask whether it is ready. Why it takes no bundle; None where it does.

        :raises NotHandedOver: there is no answer.
        """
        bundle = None if kept is None else kept.to_json()
        self._say("offer", node=self._node, bundle=bundle)
        why = (await self._answer("ready")).get("keeps")
        return None if why is None else str(why)

    async def send_bundle(self, bundle: SpooledBundle, disk: Disk, until_s: float) -> str | None:
        """Send the session's last bundle at the other relay's pace. Why it can't be kept there;
        None where it is.

        :raises NotHandedOver: there is no answer, or no time.
        """
        source = Source(lambda: None, self._wake)
        lane = self.sink.open_lane(source)
        frames = ServerFrames()
        sha256 = hashlib.sha256()
        bundle.retain()
        try:
            offset = 0
            while offset < bundle.size:
                block = await disk.read(bundle.fd, offset, min(BLOCK_BYTES, bundle.size - offset))
                if not block:
                    self._give_up("its file has been cut off")
                offset += len(block)
                for opcode, end, payload in frames.feed(block):
                    sha256.update(payload)
                    self.sink.pass_on(lane, frame(opcode, payload, end), False)
                source.flush()
                while source.held and self._why is None and await self._news(until_s):
                    pass
                if self._why is not None:
                    self._give_up(self._why)
                if source.held or self._clock.seconds() >= until_s:
                    self._give_up("there was no time for it")
        except (OSError, ValueError) as wrong:
            self._give_up(f"it can't be read from the spool: {wrong}")
        finally:
            source.gone = True
            bundle.release()
        self.sink.end(lane)
        self._say("bundle_end", sha256=sha256.hexdigest())
        why = (await self._answer("kept", until_s)).get("why")
        return None if why is None else str(why)

    async def hand_over(self, epoch: int, travellers: Iterable[Traveller]) -> None:
        """Give the session away; who is in it is on its way from then on.

        :param epoch: of this relay's lease.
        :raises Refused: the other relay doesn't take it.
        :raises NotHandedOver: whether it does isn't known.
        """
        self._say("take", epoch=epoch, members=[one.to_json() for one in travellers])
        why = (await self._answer("taken")).get("why")
        if why is not None:
            raise Refused(str(why))

    def miss(self, clients: Iterable[str]) -> None:
        """These won't come: they have gone since `hand_over`."""
        self._say("missing", clients=list(clients))

    def close(self) -> LinkProtocol:
        """That was all. Returns what it is on its way over."""
        self._link.leave("The session has moved")
        return self._link

    def abort(self) -> None:
        """Cut it off."""
        self._link.abort()
        self._lost(CLOSE_NORMAL, "it was given up", False)

    def _say(self, kind: str, **more: object) -> None:
        self.sink.send(write_words(kind, **more), None)
        self.sink.flush(None)

    async def _answer(self, kind: str, until_s: float | None = None) -> dict[str, Any]:
        if until_s is None:
            until_s = self._clock.seconds() + ANSWER_S
        while not self._answers:
            if self._why is not None:
                raise NotHandedOver(self._why)
            if not await self._news(until_s):
                raise NotHandedOver("it didn't answer in time")
        said = self._answers.pop(0)
        if said["type"] != kind:
            raise NotHandedOver(f"it said {said['type']!r} for {kind!r}")
        return said

    async def _news(self, until_s: float) -> bool:
        """Wait until something has happened. Whether it has in time."""
        waiting: Deferred[None] = Deferred()
        self._waiting = waiting
        try:
            await waiting.addTimeout(max(0.0, until_s - self._clock.seconds()), self._clock)
        except (CancelledError, TimeoutError):
            return False
        finally:
            self._waiting = None
        return True

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def _lost(self, code: int, why: str, clean: bool) -> None:
        if self._why is None:
            self._why = why
            self.source.gone = True
            self.sink.close()
            self._wake()

    @staticmethod
    def _give_up(why: str) -> NoReturn:
        raise NotHandedOver(why)
