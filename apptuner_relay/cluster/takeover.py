"""How a session comes to this relay from one that stops: its last bundle, and who is to come.

A `Takeover` is what a connection of the old owner's stands for (see `handover_words`). The bundle
is recorded as it comes, as if a client sent it, at the disk's pace. The session is this relay's
when the directory says so; from then on its clients are awaited (`gathering`).
"""

import hashlib
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.bundles.spooled import SpooledBundle, State
from apptuner_relay.bundles.tape import Tape
from apptuner_relay.cluster.directory import DirectoryError, check_node
from apptuner_relay.cluster.handover_words import (
    BadWords,
    Kept,
    Words,
    read_kept,
    write_words,
)
from apptuner_relay.cluster.roster import read_travellers
from apptuner_relay.ends import Connection, Ends
from apptuner_relay.series import chunk_index
from apptuner_relay.session import BadRequest
from apptuner_relay.ways import Parcel
from apptuner_relay.wire import messages
from apptuner_relay.wire.deflate import inflate_head
from apptuner_relay.wire.frames import (
    BINARY,
    CLOSE_INTERNAL_ERROR,
    CLOSE_POLICY,
    COMPRESSED,
    CONTINUATION,
    TEXT,
    PeerReader,
    Piece,
    Texts,
    frame,
)

if TYPE_CHECKING:
    from apptuner_relay.cluster.homes import Homes

SILENCE_S = 120.0
"""An old owner that says nothing for so long has gone: longer than its clients may take to stop."""


class Stage(Enum):
    """How far the old owner is."""

    BEGINNING = "beginning"
    READY = "ready"
    """It may send the bundle, or hand the session over."""
    TAKING = "taking"
    """The directory is asked."""
    TAKEN = "taken"
    OVER = "over"


class _Nowhere:
    """The `service.Place` of who comes with no client."""

    is_here = True

    def check(self) -> None:
        """See `service.Place`."""

    def enter(self, connection: Connection) -> NoReturn:
        """See `service.Place`."""
        raise TypeError("there is no client")

    def abandon(self) -> None:
        """See `service.Place`."""


NOWHERE = _Nowhere()


class Takeover:
    """The receiving end; a `ends.End`."""

    log = Logger()

    def __init__(self, homes: "Homes", session: str, connection: Connection) -> None:
        relay = homes.relay
        ends: Ends = relay.make_ends(connection, PeerReader, hurried=False)
        self.source, self.sink, self.reader = ends
        self.bytes_in = 0
        self.stage = Stage.BEGINNING
        self._homes, self._relay, self._session = homes, relay, session
        self._connection = connection
        self._node = ""
        self._words = Words()
        self._recording: _Recording | None = None
        self._silence: IDelayedCall | None = None
        self._listen()

    # What its connection calls

    def take_texts(self, texts: Texts) -> None:
        """See `ends.End`."""
        for text in texts:
            self._piece(TEXT, True, frame(TEXT, bytes(text)), bytes(text))

    def take(self, piece: Piece, view: memoryview) -> None:
        """See `ends.End`."""
        opcode, end, begin, payload, stop = piece
        if opcode & BINARY or self._words.is_inside:
            self._hear(bytes(view[payload:stop]), end)
        else:
            self._piece(opcode, end, view[begin:stop], view[payload:stop])

    def flush(self) -> None:
        """See `ends.End`."""
        self.source.flush()
        if self._recording is not None:
            self._recording.tape.flush()
        if self.stage is not Stage.OVER:
            self._listen()

    def lost(self) -> None:
        """The connection is over. Harmless when it was said before."""
        if self.stage is Stage.OVER:
            return
        stage, self.stage = self.stage, Stage.OVER
        if self._silence is not None and self._silence.active():
            self._silence.cancel()
        self.sink.close()
        if self._recording is not None and stage is not Stage.TAKING:
            self._recording.end(keep=stage is Stage.TAKEN)

    # What the old owner says

    def _hear(self, payload: bytes, end: bool) -> None:
        try:
            said = self._words.feed(payload, end)
            if said is not None:
                self._do(said)
        except (BadWords, ValueError) as wrong:
            self._refuse(str(wrong))

    def _do(self, said: dict[str, Any]) -> None:
        kind = said["type"]
        if kind == "offer" and self.stage is Stage.BEGINNING:
            self._node = check_node(str(said.get("node")))
            kept = said.get("bundle")
            why = self._prepare(None if kept is None else read_kept(kept))
            self.stage = Stage.READY
            self._say("ready", keeps=why)
        elif kind == "bundle_end" and self.stage is Stage.READY:
            self._bundle_has_come(str(said.get("sha256")))
        elif kind == "take" and self.stage is Stage.READY:
            travellers = read_travellers(said.get("members"))
            epoch = said.get("epoch")
            if not isinstance(epoch, int):
                raise BadWords("no epoch")
            self.stage = Stage.TAKING
            self._homes.gatherings.expect(self._session, travellers)
            taking = Deferred.fromCoroutine(self._take(epoch, len(travellers)))
            taking.addErrback(self._failed)
        elif kind == "missing" and self.stage in (Stage.TAKING, Stage.TAKEN):
            for client in said.get("clients", ()):
                self._homes.gatherings.miss(self._session, str(client))
        elif kind in ("offer", "bundle_end", "take", "missing"):
            raise BadWords(f"{kind} at the wrong time")
        # Whatever else a later version may say.

    def _prepare(self, kept: Kept | None) -> str | None:
        """Get ready for a bundle. Why there is no room for it; None where there is, or none
        comes."""
        store = self._relay.store
        if kept is None:
            return None
        if store is None:
            return "the other relay keeps none (--spool-dir off)"
        if store.off is not None:
            return f"the other relay keeps none now: {store.off}"
        if kept.size > store.limit_bytes:
            return f"the other relay keeps no more than {store.limit_bytes} bytes (--spool-limit)"
        tape = Tape(store, self._session, self.source, self._relay.buffer)
        self._recording = _Recording(tape, kept, store.max_message)
        return None

    def _piece(self, opcode: int, end: bool, data: Any, payload: Any) -> None:
        if self._recording is not None and self.stage is Stage.READY:
            self._recording.take(opcode, end, data, payload)

    def _bundle_has_come(self, sha256: str) -> None:
        recording = self._recording
        if recording is None:
            self._say("kept", why="no bundle was to come")
            return
        recording.tape.flush()

        def kept(why: str | None) -> None:
            if why is not None:
                self._recording = None
            if self.stage is Stage.READY:
                self._say("kept", why=why)

        recording.when_kept(sha256, self._relay.clock.seconds(), kept)

    async def _take(self, epoch: int, count: int) -> None:
        homes, key = self._homes, self._session
        try:
            if homes.is_draining or not homes.running:
                raise DirectoryError("it stops as well")
            lease = await homes.directory.take_over(key, self._node, epoch)
            if lease.node != homes.node:
                raise DirectoryError(f"the session is {lease.node}'s")
        except DirectoryError as wrong:
            homes.gatherings.call_off(key)
            if self.stage is Stage.TAKING:
                self.stage = Stage.READY
                self._say("taken", why=str(wrong))
            elif self._recording is not None:
                self._recording.end(keep=False)
            return
        # Should the old owner have gone meanwhile, its clients come all the same.
        if self.stage is Stage.TAKING:
            self.stage = Stage.TAKEN
            self._say("taken", why=None)
        self.log.info(
            "session {session}: taken over from {node}, with {count} clients to come{bundle}",
            session=key[:8],
            node=self._node,
            count=count,
            bundle=" and its last bundle" if self._keeps else "",
        )
        homes.gatherings.begin(key)
        homes.left(key)

    @property
    def _keeps(self) -> bool:
        store = self._relay.store
        return store is not None and store.latest(self._session) is not None

    # Talking

    def _say(self, kind: str, **more: object) -> None:
        self.sink.send(write_words(kind, **more), None)
        self.sink.flush(None)

    def _refuse(self, why: str) -> None:
        self.log.warn(
            "session {session}: a relay that hands it over says what can't be understood: {why}",
            session=self._session[:8],
            why=why,
        )
        self._connection.close(CLOSE_POLICY, why)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("taking a session over has failed", failure)
        self._homes.gatherings.call_off(self._session)
        self._connection.close(CLOSE_INTERNAL_ERROR, "The relay has failed at this")

    def _listen(self) -> None:
        if self._silence is None:
            self._silence = self._relay.clock.callLater(SILENCE_S, self._silent)
        elif self._silence.active():
            self._silence.reset(SILENCE_S)

    def _silent(self) -> None:
        self._connection.close(CLOSE_POLICY, f"Nothing came for {SILENCE_S:g} s")


class _Recording:
    """A bundle that comes."""

    def __init__(self, tape: Tape, kept: Kept, max_message: int) -> None:
        self.tape = tape
        self._kept = kept
        self._limit = max_message
        self._sha256 = hashlib.sha256()
        self._head: bytes | None = None
        self._opcode = TEXT
        self._is_taken = False
        self._bundle: SpooledBundle | None = None

    def take(self, opcode: int, end: bool, data: Any, payload: Any) -> None:
        """The next frame, and the payload in it: views that are good until the tape's flush."""
        self._sha256.update(payload)
        if opcode != CONTINUATION:
            self._opcode, self._head = opcode, b""
        if self._head is None:
            if self._is_taken:
                self.tape.send(data, len(data) - len(payload), end)
            return
        before = self._head
        if len(before) + len(payload) < messages.HEAD_BYTES and not end:
            self._head = before + bytes(payload)
            return
        self._head = None
        head = before + bytes(payload[: messages.HEAD_BYTES - len(before)])
        self._begin(head, end and len(head) == len(before) + len(payload))
        if not self._is_taken:
            return
        if before:
            first = frame(self._opcode, before, False)
            self.tape.send(first, len(first) - len(before), False)
        self.tape.send(data, len(data) - len(payload), end)

    def _begin(self, head: bytes, complete: bool) -> None:
        if self._opcode & COMPRESSED:
            head, complete = inflate_head(head, messages.HEAD_BYTES, complete)
        form = self._kept.form
        try:
            kind = messages.sniff(head, complete).type
        except messages.NotAnObject:
            kind = None
        parcel = Parcel(self._opcode, kind, head, form.size, self._limit, False, form.began_ms)
        series = form.series
        if kind == "bundle_chunk":
            series.count(chunk_index(head))
            self._is_taken = self.tape.records(series)
        else:
            is_first = kind in messages.BUNDLE_TYPES and self._bundle is None
            self._is_taken = is_first and self.tape.begin(parcel, series)
        if self.tape.bundle is not None:
            self._bundle = self.tape.bundle

    def when_kept(self, sha256: str, now_s: float, call: Callable[[str | None], None]) -> None:
        """Call back when it is on the disk, with None, or with why it isn't kept."""
        bundle = self._bundle
        if bundle is None or bundle.state is State.CUT:
            call("there is no room for it, or the disk has failed")
            return
        if self.tape.bundle is not None or self._sha256.hexdigest() != sha256:
            self.end(keep=False)
            call("it has not come whole")
            return

        def look() -> None:
            if bundle.state is State.GROWING:
                bundle.watch(look)
            elif bundle.state is State.COMPLETE:
                # Its time goes on from where it was.
                bundle.last_use_s = now_s - self._kept.age_s
                call(None)
            else:
                call("there is no room for it, or the disk has failed")

        look()

    def end(self, keep: bool) -> None:
        """Nothing more comes; ``keep`` says whether what has come is good for anything."""
        self.tape.stop()
        bundle = self._bundle
        if bundle is not None and not keep:
            if bundle.state is State.GROWING:
                bundle.cut()
            else:
                bundle.unreadable()


def check_room(homes: "Homes") -> None:
    """:raises BadRequest: 503, when no session can be taken over."""
    if homes.is_draining or not homes.running:
        raise BadRequest(503, "It stops as well")
