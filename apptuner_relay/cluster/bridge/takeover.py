"""The new owner's end of a handover: records a session's last bundle, and takes the session over.

The old owner's end is a `handover.Handover`. `handover_messages` has the protocol,
`takeover_states` the states. The bundle is recorded as if a client sent it, as fast as the disk
takes it. The session is this relay's when the directory says so. From then on it waits for its
clients (`arrival_barrier`).
"""

from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.cluster.bridge.bundle_receiver import BundleReceiver
from apptuner_relay.cluster.bridge.handover_messages import (
    BadHandoverMessage,
    BundleDescription,
    MessageAssembler,
    read_description,
    write_message,
)
from apptuner_relay.cluster.bridge.hosts import PeerHost
from apptuner_relay.cluster.bridge.roster import read_migrating_clients
from apptuner_relay.cluster.bridge.takeover_states import (
    MESSAGES,
    TRANSITIONS,
    TakeoverEvent,
    TakeoverState,
    next_state,
)
from apptuner_relay.cluster.ownership.directory import DirectoryError
from apptuner_relay.config.node_names import check_node
from apptuner_relay.relay.frame_handler import Connection, ConnectionFlow
from apptuner_relay.session.session import BadRequest
from apptuner_relay.spool.bundle_log import BundleLog
from apptuner_relay.spool.recorder import Recorder
from apptuner_relay.wire.frames import (
    BINARY,
    CLOSE_INTERNAL_ERROR,
    CLOSE_POLICY,
    TEXT,
    Frame,
    Piece,
    Texts,
)
from apptuner_relay.wire.peer_frames import PeerReader

SILENCE_S = 120.0
"""An old owner that is silent for longer has failed. Its clients may not take as long to stop."""
_OVER = (TakeoverState.ORPHANED, TakeoverState.OVER)
"""Where the connection to the old owner is over."""


class _NoClientPlace:
    """The `Place` of a connection that stands for no client."""

    is_here = True

    def check(self) -> None:
        """See `Place`."""

    def enter(self, connection: Connection) -> NoReturn:
        """See `Place`."""
        raise TypeError("there is no client")

    def abandon(self) -> None:
        """See `Place`."""


NO_CLIENT_PLACE = _NoClientPlace()


class Takeover:
    """The takeover of one session. It is the `FrameHandler` of the old owner's connection."""

    log = Logger()

    def __init__(self, host: PeerHost, session: str, connection: Connection) -> None:
        relay = host.relay
        flow: ConnectionFlow = relay.make_flow(connection, PeerReader, hurried=False)
        self.source, self.sink, self.reader = flow
        self.bytes_in = 0
        self.state = TakeoverState.BEGINNING
        self._host, self._relay, self._session = host, relay, session
        self._connection = connection
        self._node = ""
        self._assembler = MessageAssembler()
        self._receiver: BundleReceiver | None = None
        self._records: tuple[object, object] = None, None
        """Of the session's last bundles, and the number of the one that is kept; as they came."""
        self._silence_timer: IDelayedCall | None = None
        self._restart_timer()

    # What the connection calls

    def take_texts(self, texts: Texts) -> None:
        """See `frame_handler.FrameHandler`."""
        for text in texts:
            self._record(TEXT, True, bytes(text))

    def take_alone(self, text: bytearray, now_s: float) -> bool:
        """See `frame_handler.FrameHandler`."""
        return False

    def take(self, piece: Piece, view: memoryview) -> None:
        """See `frame_handler.FrameHandler`."""
        opcode, end, _, payload, stop = piece
        if opcode & BINARY or self._assembler.is_inside:
            self._receive(bytes(view[payload:stop]), end)
        else:
            self._record(opcode, end, view[payload:stop])

    def flush(self) -> None:
        """See `frame_handler.FrameHandler`."""
        self.source.flush()
        if self.state not in _OVER:
            self._restart_timer()

    def lost(self) -> None:
        """The connection is over. Harmless when that was said before."""
        if self.state in _OVER:
            return
        was_taken = self.state is TakeoverState.TAKEN
        self.state = next_state(self.state, TakeoverEvent.DISCONNECTED)
        if self._silence_timer is not None and self._silence_timer.active():
            self._silence_timer.cancel()
        self.sink.close()
        if self._receiver is not None and self.state is TakeoverState.OVER:
            self._receiver.end(keep=was_taken)

    # Messages of the old owner

    def _receive(self, payload: bytes, end: bool) -> None:
        try:
            message = self._assembler.feed(payload, end)
            if message is not None:
                self._handle(message)
        except (BadHandoverMessage, ValueError) as wrong:
            self._refuse(str(wrong))

    def _handle(self, message: dict[str, Any]) -> None:
        event = MESSAGES.get(message["type"])
        if event is None:
            # A later version may send more.
            return
        if (self.state, event) not in TRANSITIONS:
            raise BadHandoverMessage(f"{message['type']} at the wrong time")
        if event is TakeoverEvent.OFFER:
            self._node = check_node(str(message.get("node")))
            bundle = message.get("bundle")
            why = self._prepare(None if bundle is None else read_description(bundle))
            self.state = next_state(self.state, event)
            self._send("ready", keeps=why)
        elif event is TakeoverEvent.BUNDLE_END:
            self._end_bundle(str(message.get("sha256")))
        elif event is TakeoverEvent.TAKE:
            clients = read_migrating_clients(message.get("members"))
            epoch = message.get("epoch")
            if not isinstance(epoch, int):
                raise BadHandoverMessage("no epoch")
            self.state = next_state(self.state, event)
            self._host.barriers.expect(self._session, clients)
            self._records = message.get("records"), message.get("kept")
            taking = Deferred.fromCoroutine(self._take(epoch, len(clients)))
            taking.addErrback(self._failed)
        else:
            absent = message.get("clients")
            if not isinstance(absent, list):
                raise BadHandoverMessage("no list of clients")
            for client in absent:
                self._host.barriers.mark_absent(self._session, str(client))

    def _prepare(self, bundle: BundleDescription | None) -> str | None:
        """Get ready to record a bundle. Why it can't be stored; None where it can, or where there
        is none."""
        store = self._relay.store
        if bundle is None:
            return None
        if store is None:
            return "the other relay keeps none (--spool-dir off)"
        if store.off is not None:
            return f"the other relay keeps none now: {store.off}"
        if bundle.size > store.limit_bytes:
            return f"the other relay keeps no more than {store.limit_bytes} bytes (--spool-limit)"
        logs = self._relay.logs
        refuse = self._connection.close
        recorder = Recorder(store, self._session, self.source, logs, True, refuse)
        self._receiver = BundleReceiver(recorder, self.source, bundle, store.max_message)
        return None

    def _record(self, opcode: int, end: bool, payload: Frame) -> None:
        if self._receiver is not None and self.state is TakeoverState.READY:
            self._receiver.take(opcode, end, payload)

    def _end_bundle(self, sha256: str) -> None:
        receiver = self._receiver
        if receiver is None:
            self._send("kept", why="no bundle was offered")
            return
        self.source.send_early()

        def stored(why: str | None) -> None:
            if why is not None:
                self._receiver = None
            if self.state is TakeoverState.READY:
                self._send("kept", why=why)

        receiver.when_stored(sha256, self._relay.clock.seconds(), stored)

    async def _take(self, epoch: int, count: int) -> None:
        host, key = self._host, self._session
        try:
            if not host.takes_sessions:
                raise DirectoryError("this relay stops as well")
            lease = await host.directory.take_over(key, self._node, epoch)
            if lease.node != host.directory.node:
                raise DirectoryError(f"the session is {lease.node}'s")
        except DirectoryError as wrong:
            host.barriers.cancel(key)
            self.state = next_state(self.state, TakeoverEvent.DENIED)
            if self.state is TakeoverState.READY:
                self._send("taken", why=str(wrong))
            elif self._receiver is not None:
                self._receiver.end(keep=False)
            return
        self.state = next_state(self.state, TakeoverEvent.GRANTED)
        # Where the old owner has failed meanwhile, its clients find their way all the same.
        if self.state is TakeoverState.TAKEN:
            # An earlier version sends no records, and expects no word of them.
            more = {"records": True} if isinstance(self._records[0], list) else {}
            self._send("taken", why=None, **more)
        self._adopt_records()
        self.log.info(
            "session {session}: taken over from {node}, with {count} clients{bundle}",
            session=key[:8],
            node=self._node,
            count=count,
            bundle=" and its last bundle" if self._keeps else "",
        )
        host.barriers.lift_if_complete(key)
        host.release_unused(key)

    def _adopt_records(self) -> None:
        """Go on with the records of the session's bundles."""
        rows, kept = self._records
        if not isinstance(rows, list):
            return
        bundles, store = self._relay.meters.bundles, self._relay.store
        bundles.adopt(self._session, rows)
        file = None if store is None else store.last(self._session)
        if file is not None and isinstance(file.content, BundleLog):
            records = bundles.recent(self._session)
            file.content.record = next((one for one in records if one.number == kept), None)

    @property
    def _keeps(self) -> bool:
        store = self._relay.store
        return store is not None and store.last(self._session) is not None

    # Messages to the old owner

    def _send(self, kind: str, **more: object) -> None:
        self.sink.send(write_message(kind, **more), None)
        self.sink.flush(None)

    def _refuse(self, why: str) -> None:
        self.log.warn(
            "session {session}: refused its handover by relay {node}: {why}",
            session=self._session[:8],
            node=self._node or "unknown",
            why=why,
        )
        self._connection.close(CLOSE_POLICY, why)

    def _failed(self, failure: Failure) -> None:
        self.log.failure(
            "session {session}: taking it over has failed", failure, session=self._session[:8]
        )
        self.state = next_state(self.state, TakeoverEvent.DENIED)
        self._host.barriers.cancel(self._session)
        self._connection.close(CLOSE_INTERNAL_ERROR, "The relay has failed at this")

    def _restart_timer(self) -> None:
        if self._silence_timer is None:
            self._silence_timer = self._relay.clock.callLater(SILENCE_S, self._timed_out)
        elif self._silence_timer.active():
            self._silence_timer.reset(SILENCE_S)

    def _timed_out(self) -> None:
        self._connection.close(CLOSE_POLICY, f"Nothing was received for {SILENCE_S:g} s")


def check_room(host: PeerHost) -> None:
    """Check that sessions can be taken over.

    :raises BadRequest: 503, where they can't.
    """
    if not host.takes_sessions:
        raise BadRequest(503, "This relay stops as well")
