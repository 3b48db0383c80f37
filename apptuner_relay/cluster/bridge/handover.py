"""The old owner's end of a handover: sends another relay a session's last bundle, and then the
session.

The new owner's end is a `takeover.Takeover`. `handover_messages` has the protocol.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from apptuner_relay.cluster.bridge.handover_messages import (
    BadHandoverMessage,
    BundleDescription,
    MessageAssembler,
    write_message,
)
from apptuner_relay.cluster.bridge.link import LinkProtocol
from apptuner_relay.cluster.bridge.roster import MigratingClient
from apptuner_relay.flow.source import Source
from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.wire.frames import BINARY, Piece, Texts, frame
from apptuner_relay.wire.server_frames import ServerFrames

BLOCK_BYTES = 128 * 1024
ANSWER_S = 4.0
"""How long the other relay may take to answer, except for storing the bundle."""


class NotHandedOver(Exception):
    """The handover has failed. The text says why."""


class Refused(NotHandedOver):
    """The other relay has declined."""


class Handover:
    """The handover of one session, over an open link of which it is the `FrameHandler`."""

    def __init__(self, link: LinkProtocol, clock: IReactorTime, node: str) -> None:
        self.source, self.sink, self.reader = link.make_flow()
        self.bytes_in = 0
        self._link, self._clock, self._node = link, clock, node
        self._assembler = MessageAssembler()
        self._answers: list[dict[str, Any]] = []
        self._waiting: Deferred[None] | None = None
        self._why: str | None = None
        """Why the link is over. None while it isn't."""
        link.attach(self, self)

    # What its connection calls

    def take_texts(self, texts: Texts) -> None:
        """See `frame_handler.FrameHandler`. The other relay sends no text messages."""

    def take_alone(self, text: bytearray, now_s: float) -> bool:
        """See `frame_handler.FrameHandler`."""
        return False

    def take(self, piece: Piece, view: memoryview) -> None:
        """See `frame_handler.FrameHandler`."""
        opcode, end, _, payload, stop = piece
        if opcode & BINARY or self._assembler.is_inside:
            try:
                message = self._assembler.feed(bytes(view[payload:stop]), end)
            except BadHandoverMessage as wrong:
                self._link.abort()
                self._end(str(wrong))
                return
            if message is not None:
                self._answers.append(message)
                self._wake()

    def flush(self) -> None:
        """See `frame_handler.FrameHandler`."""
        self.source.flush()

    # What its link calls

    def on_halt(self) -> None:
        """See `LinkListener`. There is no client."""

    def on_resume(self) -> None:
        """See `LinkListener`. There is no client."""

    def on_probe(self) -> None:
        """See `LinkListener`. There is no client."""

    def on_link_lost(self, code: int, why: str, clean: bool) -> None:
        """See `LinkListener`."""
        self._end(why)

    # What the old owner does

    async def offer(self, bundle: BundleDescription | None) -> str | None:
        """Ask whether the other relay is ready.

        :return: why it can't store the bundle; None where it can, or where there is none.

        :raises NotHandedOver: there is no answer.
        """
        described = None if bundle is None else bundle.to_json()
        self._send("offer", node=self._node, bundle=described)
        why = (await self._answer("ready")).get("keeps")
        return None if why is None else str(why)

    async def send_bundle(self, bundle: BundleFile, until_s: float) -> str | None:
        """Send the session's last bundle, as fast as the other relay takes it.

        :return: why it wasn't stored; None where it was.
        :raises NotHandedOver: there was no answer, or no time.
        """
        source = Source(lambda: None, self._wake)
        frames = ServerFrames()
        sha256 = hashlib.sha256()
        bundle.retain()
        try:
            offset = 0
            while offset < bundle.size:
                block = await bundle.fetch(offset, min(BLOCK_BYTES, bundle.size - offset))
                if not block:
                    self._fail("its file has been cut off")
                offset += len(block)
                for opcode, end, payload in frames.feed(block):
                    sha256.update(payload)
                    self.sink.send(frame(opcode, payload, end), source)
                source.flush()
                while source.held and self._why is None and await self._wait_for_event(until_s):
                    pass
                if self._why is not None:
                    self._fail(self._why)
                if source.held or self._clock.seconds() >= until_s:
                    self._fail("there was no time for it")
        except (OSError, ValueError) as wrong:
            self._fail(f"it can't be read from the spool: {wrong}")
        finally:
            source.gone = True
            bundle.release()
        self._send("bundle_end", sha256=sha256.hexdigest())
        why = (await self._answer("kept", until_s)).get("why")
        return None if why is None else str(why)

    async def hand_over(
        self,
        epoch: int,
        clients: Iterable[MigratingClient],
        records: Sequence[Mapping[str, object]] = (),
        kept: int | None = None,
    ) -> bool:
        """Hand over the session. Returns whether the new owner goes on with its records.

        :param epoch: that of this relay's lease.
        :param clients: the clients that the new owner is to wait for.
        :param records: the rows of its last bundles, the newest first.
        :param kept: the number of the one that is sent with it.
        :raises Refused: the other relay has not taken it.
        :raises NotHandedOver: whether it has is unknown.
        """
        members = [one.to_json() for one in clients]
        self._send("take", epoch=epoch, members=members, records=records, kept=kept)
        answer = await self._answer("taken")
        why = answer.get("why")
        if why is not None:
            raise Refused(str(why))
        # A relay of an earlier version knows of no records.
        return answer.get("records") is True

    def report_absent(self, clients: Iterable[str]) -> None:
        """These clients have disconnected since `hand_over`."""
        self._send("missing", clients=list(clients))

    def close(self) -> LinkProtocol:
        """Close the link as soon as everything is delivered. Returns it."""
        self._link.close_when_delivered("The session has moved")
        return self._link

    def abort(self) -> None:
        """Drop the link."""
        self._link.abort()
        self._end("the handover was aborted")

    def _send(self, kind: str, **more: object) -> None:
        self.sink.send(write_message(kind, **more), None)
        self.sink.flush(None)

    async def _answer(self, kind: str, until_s: float | None = None) -> dict[str, Any]:
        if until_s is None:
            until_s = self._clock.seconds() + ANSWER_S
        while not self._answers:
            if self._why is not None:
                raise NotHandedOver(self._why)
            if not await self._wait_for_event(until_s):
                raise NotHandedOver("it didn't answer in time")
        answer = self._answers.pop(0)
        if answer["type"] != kind:
            raise NotHandedOver(f"it answered {answer['type']!r} instead of {kind!r}")
        return answer

    async def _wait_for_event(self, until_s: float) -> bool:
        """Wait until there is an answer, room in the link, or its end. Whether that was in time."""
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

    def _end(self, why: str) -> None:
        if self._why is None:
            self._why = why
            self.source.gone = True
            self.sink.close()
            self._wake()

    @staticmethod
    def _fail(why: str) -> NoReturn:
        raise NotHandedOver(why)
