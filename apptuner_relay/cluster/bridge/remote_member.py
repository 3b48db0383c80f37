"""A client of this relay whose session is another relay's: its frames pass as they are.

There are two flows, client to owner and owner to client, with the same windows as any other. A
`RemoteMember` is the client's end of both, a `_LinkEnd` the other relay's. When the session moves,
nothing is read from the client, between two messages, until the `RemoteMember` has a new link or is
replaced with a `Member`. `placement_states` has the states.
"""

import dataclasses
from collections.abc import Callable

from apptuner_relay.cluster.bridge.link import MOVED, LinkProtocol
from apptuner_relay.cluster.bridge.peer_auth import MASKS, PATCHES
from apptuner_relay.cluster.bridge.placement_states import (
    READS_NO_MORE,
    PlacementEvent,
    PlacementState,
    leaving_event,
    next_state,
)
from apptuner_relay.cluster.bridge.streams import BundleStream, Stream
from apptuner_relay.cluster.ownership.directory import Lease
from apptuner_relay.edge.closing_states import ClosingState
from apptuner_relay.flow.sink import Sink
from apptuner_relay.relay.client_facts import ClientFacts
from apptuner_relay.relay.frame_handler import Connection, ConnectionFlow
from apptuner_relay.relay.member import Member
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import Admission, Arrival, Device, Role, Session
from apptuner_relay.support.clocks import in_ms
from apptuner_relay.wire.frames import (
    CLOSE_INTERNAL_ERROR,
    CLOSE_SERVICE_RESTART,
    PING,
    Piece,
    Texts,
    frame,
)

NO_PATCHES = "The session moves to a relay that takes no patches"
_REMOTE = PlacementState.REMOTE
"""Compared for every piece: an enumeration's attributes and hashes take time."""


class _LinkEnd:
    """The other relay's end of a link."""

    def __init__(self, flow: ConnectionFlow, sink: Sink, role: Role, longest: int) -> None:
        self.source, self.sink, self.reader = flow
        self.reader.passes_on = True
        self.bytes_in = 0
        kind = BundleStream if role is Role.MOBILE else Stream
        self.incoming = kind(self.source, longest)
        self.incoming.flow_to(sink)

    @property
    def in_bundle(self) -> bool:
        """Whether a phone has got part of a bundle, and not its last message."""
        return isinstance(self.incoming, BundleStream) and self.incoming.in_bundle

    def take_texts(self, texts: Texts) -> None:
        """See `frame_handler.FrameHandler`."""
        self.incoming.send_texts(texts)

    def take_alone(self, text: bytearray, now_s: float) -> bool:
        """See `frame_handler.FrameHandler`."""
        return self.incoming.send_alone(text)

    def take(self, piece: Piece, view: memoryview) -> None:
        """See `frame_handler.FrameHandler`."""
        self.incoming.send(piece, view)

    def flush(self) -> None:
        """See `frame_handler.FrameHandler`."""
        self.source.flush()


class RemoteMember(ClientFacts):
    """A client whose session is elsewhere.

    :param admission: with which it was admitted. The next link begins with it.
    :param flow: of its connection.
    :param on_lost: called when it has lost its link, and needs a place. Its `admission` says how it
        arrives there.
    :param on_gone: called when it is disconnected.
    :param state: the first one.
    """

    through: str | None = None
    session: Session[Member] | None = None

    def __init__(
        self,
        relay: RelayService,
        admission: Admission,
        connection: Connection,
        flow: ConnectionFlow,
        on_lost: Callable[["RemoteMember"], None],
        on_gone: Callable[["RemoteMember"], None],
        state: PlacementState = PlacementState.FINDING,
    ) -> None:
        self.state = state
        self.admission = admission
        self.connection = connection
        self.source, self.sink, self.reader = flow
        self.bytes_in = 0
        self.link: LinkProtocol | None = None
        self.closing_link: LinkProtocol | None = None
        """The link that it had when it was disconnected."""
        self.lease: Lease | None = None
        """The last known lease of its session."""
        self.heard_s = relay.clock.seconds()
        """When its session's owner was last heard."""
        self._relay = relay
        self._on_lost = on_lost
        self._on_gone = on_gone
        self._longest = relay.settings.limits.max_message
        self._outgoing = Stream(self.source, self._longest)
        self._may_patch = admission.patches and state is not PlacementState.FINDING
        """Whether a relay has told it that it may send patches."""
        self._link_end: _LinkEnd | None = None
        self.source.hold(self)

    @property
    def is_gone(self) -> bool:
        """Whether its connection is over."""
        return self.state is PlacementState.GONE

    @property
    def role(self) -> Role:
        return self.admission.role

    @property
    def device(self) -> Device | None:
        return self.admission.device

    @property
    def in_message(self) -> bool:
        """Whether a message from this client is under way."""
        return self._outgoing.in_message

    @property
    def settled(self) -> bool:
        """Whether no message is on its way from it or to it, and it has a link."""
        if self.is_gone:
            return True
        if self.link is None or self._link_end is None or self._link_end.in_bundle:
            return False
        is_between = self.reader.between_messages and not self._link_end.incoming.in_message
        return is_between and not self.sink.busy

    def connect_to(self, link: LinkProtocol, lease: Lease) -> None:
        """Let it go on: its session is at the other end of ``link``.

        A CLI that may send patches is closed where that relay is of a version which would pass them
        on unread: it isn't welcomed again as it moves, but as it comes back.
        """
        takes_patches = PATCHES in link.features
        if self._may_patch and not takes_patches:
            link.abort()
            self.refuse(CLOSE_SERVICE_RESTART, NO_PATCHES)
            return
        self._may_patch = self.admission.patches and takes_patches
        self._advance(PlacementEvent.LINKED)
        self.link, self.lease = link, lease
        self.connection.on_round_trip = self._tell_round_trip
        if self.round_trip_s is not None:
            self._tell_round_trip(self.round_trip_s)
        self._link_end = end = _LinkEnd(link.make_flow(), self.sink, self.role, self._longest)
        self._outgoing.flow_to(end.sink)
        self.reader.passes_on = MASKS in link.features
        link.attach(end, self)
        self.source.let_go(self)
        if link.closing.state is not ClosingState.OPEN:
            # It was lost before it was attached.
            self.on_link_lost(
                CLOSE_SERVICE_RESTART, "the connection to the other relay was lost", False
            )

    def drop_link(self) -> None:
        """Drop the link, whose other end isn't the owner any more: it needs another place."""
        if self.link is not None:
            self.link.abort()
            self.on_link_lost(CLOSE_SERVICE_RESTART, "the session has moved", False)

    def become_local(self) -> None:
        """It has become a member of a session here, with the same connection: let it go on."""
        self._advance(PlacementEvent.ENTERED)
        self.connection.on_round_trip = None
        self.reader.passes_on = False
        self.source.let_go(self)

    def refuse(self, code: int, why: str) -> None:
        """Close it: there is no place for it."""
        self._advance(PlacementEvent.REFUSED)
        self.connection.close(code, why)

    def ping_owner(self) -> bool:
        """Ping the other relay. False where the ping would wait behind data that the other relay
        doesn't read, or where the answer could not be read."""
        link, end = self.link, self._link_end
        if link is None or end is None or end.source.held or end.sink.full or end.sink.closed:
            return False
        end.sink.control(frame(PING, b""), None)
        return True

    # What the client's connection calls

    def take_texts(self, texts: Texts) -> None:
        """See `frame_handler.FrameHandler`."""
        self._outgoing.send_texts(texts)
        if self.state is not _REMOTE and self.state in READS_NO_MORE:
            self._hold_between_messages()

    def take_alone(self, text: bytearray, now_s: float) -> bool:
        """See `frame_handler.FrameHandler`."""
        return self.state is _REMOTE and self._outgoing.send_alone(text)

    def take(self, piece: Piece, view: memoryview) -> None:
        """See `frame_handler.FrameHandler`."""
        self._outgoing.send(piece, view)
        if not piece[1]:
            self._relay.unfinished.add(self)
        if self.state is not _REMOTE and piece[1] and self.state in READS_NO_MORE:
            self._hold_between_messages()

    def flush(self) -> None:
        """See `frame_handler.FrameHandler`."""
        self.source.flush()

    def gone(self, why: str) -> bool:
        """The client is disconnected. True if that has cut a message short."""
        if self.is_gone:
            return False
        self._advance(PlacementEvent.DISCONNECTED)
        self.source.gone = True
        cut = self._outgoing.in_message
        # Messages in one block with its Close go before that.
        self.source.send_early()
        self.closing_link = link = self.link
        self.link = None
        if link is not None:
            if cut:
                # By the missing Close the other relay sees that the message was cut short.
                link.abort()
            else:
                link.close_when_delivered(why)
        self._outgoing.stop(why)
        self.sink.close()
        if self._link_end is not None:
            self._link_end.incoming.stop(why)
        self._on_gone(self)
        return cut

    # What the link calls

    def on_halt(self) -> None:
        """See `LinkListener`. The session is about to move: pass on the message that is under way,
        and nothing more."""
        self._advance(PlacementEvent.HALT)
        self._hold_between_messages()

    def on_probe(self) -> None:
        """See `LinkListener`. Ping the client."""
        if self.link is not None:
            self.connection.probe(self.link.confirm_present)

    def _tell_round_trip(self, took_s: float) -> None:
        """Tell the session's owner how far the client is from here."""
        if self.link is not None:
            self.link.tell_round_trip(took_s)

    def on_resume(self) -> None:
        """See `LinkListener`. The rest of a bundle has to come first."""
        self._advance(PlacementEvent.RESUME)
        self.source.let_go(self)

    def _hold_between_messages(self) -> None:
        """Read nothing more from the client, once its message is complete."""
        if not self.reader.between_messages:
            return
        self.source.hold(self)
        if self.link is not None and self._link_end is not None and not self._link_end.sink.closed:
            self._link_end.sink.when_idle(self.link.confirm_halted)

    def on_link_lost(self, code: int, why: str, clean: bool) -> None:
        """See `LinkListener`."""
        if self.is_gone:
            return
        if self.link is not None:
            self.heard_s = self.link.heard_s
        self.link = None
        end, self._link_end = self._link_end, None
        moves = not clean or code in (MOVED, CLOSE_SERVICE_RESTART)
        cut = "its relay was lost"
        in_bundle = end is not None and end.in_bundle
        if end is not None:
            end.source.gone = True
            end.incoming.stop(cut)
            end.sink.close()
        self._outgoing.stop(cut)
        if not moves:
            self.refuse(code, why)
            return
        if self.is_gone:
            # It had got part of a message, so it could only be closed.
            return
        if in_bundle:
            # The rest may never come, and the next bundle's chunks would be taken for it.
            self.refuse(CLOSE_INTERNAL_ERROR, "a bundle was cut short: its relay was lost")
            return
        arrival = Arrival.MOVED if clean and code == MOVED else Arrival.RECOVERED
        lost_ms = in_ms(self._relay.wall_s())
        self.admission = dataclasses.replace(self.admission, arrival=arrival, lost_ms=lost_ms)
        self._advance(leaving_event(arrival))
        self._hold_between_messages()
        self._on_lost(self)

    def _advance(self, event: PlacementEvent) -> None:
        self.state = next_state(self.state, event)
