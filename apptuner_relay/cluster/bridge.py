"""A client of this relay whose session is another's: its frames go there and back as they are.

There are two flows, client to owner and owner to client, each with the same windows as any other.
A `Bridged` is the client's end of both, and a `_Far` the other relay's. When the session moves, the
client waits (nothing is read from it, between messages) until `Bridged` has a link again or gives
way to a `Member`.
"""

import dataclasses
from collections.abc import Callable

from apptuner_relay.clocks import in_ms
from apptuner_relay.cluster.directory import Lease
from apptuner_relay.cluster.link import MOVED, LinkProtocol
from apptuner_relay.cluster.streams import BundleStream, Stream
from apptuner_relay.ends import Connection, Ends
from apptuner_relay.flow import Sink
from apptuner_relay.member import Member
from apptuner_relay.service import RelayService
from apptuner_relay.session import Admission, Arrival, Device, Role, Session
from apptuner_relay.wire.frames import (
    CLOSE_INTERNAL_ERROR,
    CLOSE_SERVICE_RESTART,
    PING,
    Piece,
    Texts,
    frame,
)


class _Far:
    """The other relay's end of a link."""

    def __init__(self, ends: Ends, sink: Sink, role: Role, longest: int) -> None:
        self.source, self.sink, self.reader = ends
        self.bytes_in = 0
        kind = BundleStream if role is Role.MOBILE else Stream
        self.back = kind(self.source, longest)
        self.back.flow_to(sink)

    @property
    def in_bundle(self) -> bool:
        """Whether a phone has part of a bundle, and not its last message."""
        return isinstance(self.back, BundleStream) and self.back.in_bundle

    def take_texts(self, texts: Texts) -> None:
        """See `ends.End`."""
        self.back.send_texts(texts)

    def take(self, piece: Piece, view: memoryview) -> None:
        """See `ends.End`."""
        self.back.send(piece, view)

    def flush(self) -> None:
        """See `ends.End`."""
        self.source.flush()


class Bridged:
    """A client whose session is elsewhere, or whose place is being looked for.

    :param admission: what it came in with; the next link begins with it.
    :param ends: of its connection.
    :param on_lost: called when it has no link any more, and needs a place: its `admission` says
        how it arrives there.
    :param on_gone: called when the client has gone.
    """

    through: str | None = None
    session: Session[Member] | None = None

    def __init__(
        self,
        relay: RelayService,
        admission: Admission,
        connection: Connection,
        ends: Ends,
        on_lost: Callable[["Bridged"], None],
        on_gone: Callable[["Bridged"], None],
    ) -> None:
        self.admission = admission
        self.connection = connection
        self.source, self.sink, self.reader = ends
        self.bytes_in = 0
        self.link: LinkProtocol | None = None
        self.parting: LinkProtocol | None = None
        """What it had when it left."""
        self.lease: Lease | None = None
        """Whose its session is, as far as it was found out."""
        self.heard_s = relay.clock.seconds()
        """When its session was last heard of."""
        self.is_gone = False
        self._relay = relay
        self._on_lost = on_lost
        self._on_gone = on_gone
        self._longest = relay.settings.max_message
        self._there = Stream(self.source, self._longest)
        self._far: _Far | None = None
        self._is_halting = False
        self.source.hold(self)

    @property
    def role(self) -> Role:
        return self.admission.role

    @property
    def device(self) -> Device | None:
        return self.admission.device

    @property
    def label(self) -> str:
        """How logs name its session."""
        return self.admission.session_hash[:8]

    @property
    def in_message(self) -> bool:
        """Whether a message from this client is under way."""
        return self._there.in_message

    @property
    def settled(self) -> bool:
        """Whether no message is on its way from it or to it, and what it sends has a way."""
        if self.is_gone:
            return True
        if self.link is None or self._far is None or self._far.in_bundle:
            return False
        return self.reader.between_messages and not self.sink.busy

    def cross(self, link: LinkProtocol, lease: Lease) -> None:
        """Its session is at the other end of ``link``: let it go on."""
        self.link, self.lease = link, lease
        self._far = far = _Far(link.make_ends(), self.sink, self.role, self._longest)
        self._there.flow_to(far.sink)
        link.on_halt, link.on_go_on, link.on_lost = self._halt, self._go_on, self._lost
        link.on_probe = lambda: self._probe(link)
        link.attach(far)
        self._is_halting = False
        self.source.let_go(self)
        if link.state != link.STATE_OPEN:
            # It was lost before anybody minded.
            self._lost(CLOSE_SERVICE_RESTART, "the connection to the other relay was lost", False)

    def cut_off(self) -> None:
        """The other end of the link isn't where its session is: it needs another place."""
        if self.link is not None:
            self.link.abort()
            self._lost(CLOSE_SERVICE_RESTART, "the session has moved", False)

    def ask(self) -> bool:
        """Ping the other relay; false where that would wait behind what it doesn't read, or its
        answer could not be read."""
        link, far = self.link, self._far
        if link is None or far is None or far.source.held or far.sink.full or far.sink.closed:
            return False
        far.sink.control(frame(PING, b""), None)
        return True

    # What its connection calls

    def take_texts(self, texts: Texts) -> None:
        """See `ends.End`."""
        self._there.send_texts(texts)
        if self._is_halting:
            self._hold_between_messages()

    def take(self, piece: Piece, view: memoryview) -> None:
        """See `ends.End`."""
        self._there.send(piece, view)
        if self._is_halting and piece[1]:
            self._hold_between_messages()

    def flush(self) -> None:
        """See `ends.End`."""
        self.source.flush()

    def gone(self, why: str) -> bool:
        """The connection is over. True if that cut a message short."""
        if self.is_gone:
            return False
        self.is_gone = True
        self.source.gone = True
        cut = self._there.in_message
        # What came in one block with its Close goes before that.
        self.source.flush()
        self.parting = link = self.link
        self.link = None
        if link is not None:
            if cut:
                # Without a Close the other relay sees that it was cut short.
                link.abort()
            else:
                link.leave(why)
        self._there.stop(why)
        self.sink.close()
        if self._far is not None:
            self._far.back.stop(why)
        self._on_gone(self)
        return cut

    # What the link calls

    def _halt(self) -> None:
        """The session is about to move: pass on what is under way, and nothing more."""
        self._is_halting = True
        self._hold_between_messages()

    def _probe(self, link: LinkProtocol) -> None:
        """Find out whether the client is there."""
        self.connection.probe(link.present)

    def _go_on(self) -> None:
        """The rest of a bundle is missing: it has to come first."""
        self._is_halting = False
        self.source.let_go(self)

    def _hold_between_messages(self) -> None:
        """Read nothing more from the client, once its message is complete."""
        if not self.reader.between_messages:
            return
        self.source.hold(self)
        if self.link is not None and self._far is not None and not self._far.sink.closed:
            self._far.sink.when_idle(self.link.halted)

    def _lost(self, code: int, why: str, clean: bool) -> None:
        """There is no link any more."""
        if self.is_gone:
            return
        if self.link is not None:
            self.heard_s = self.link.heard_s
        self.link = None
        far, self._far = self._far, None
        moves = not clean or code in (MOVED, CLOSE_SERVICE_RESTART)
        cut = "a message was cut short: its relay was lost"
        in_bundle = far is not None and far.in_bundle
        if far is not None:
            far.source.gone = True
            far.back.stop(cut)
            far.sink.close()
        self._there.stop(cut)
        if not moves:
            self.connection.close(code, why)
            return
        if self.is_gone:
            # It was given part of a message, and could only be closed.
            return
        if in_bundle:
            # Its rest may never come; with the next one's it would make a mixture.
            self.connection.close(
                CLOSE_INTERNAL_ERROR, "a bundle was cut short: its relay was lost"
            )
            return
        arrival = Arrival.MOVED if clean and code == MOVED else Arrival.RECOVERED
        lost_ms = in_ms(self._relay.wall_s())
        self.admission = dataclasses.replace(self.admission, arrival=arrival, lost_ms=lost_ms)
        self._is_halting = True
        self._hold_between_messages()
        self._on_lost(self)
