"""A client as a member of its session: it takes in the frames of one connection and sends its
messages to the other members. It knows no socket and no Autobahn; `edge.websocket` feeds it pieces.
"""

from operator import attrgetter

from apptuner_relay.flow.dispatch import Dispatch
from apptuner_relay.flow.intake import SHORT_BYTES, Intake
from apptuner_relay.flow.pipeline import MessageInfo
from apptuner_relay.flow.reception import Reception
from apptuner_relay.relay.bundle_parts import make_bundle_parts
from apptuner_relay.relay.client_facts import ClientFacts
from apptuner_relay.relay.delayed_logs import DelayedLogs
from apptuner_relay.relay.frame_handler import Connection, ConnectionFlow
from apptuner_relay.relay.halting_states import TRANSITIONS, HaltingEvent, HaltingState
from apptuner_relay.relay.member_context import MemberContext
from apptuner_relay.relay.notices import Notices
from apptuner_relay.relay.rate_limit import RateLimit
from apptuner_relay.relay.routing import Routing, route_message
from apptuner_relay.relay.sent_patches import outdate
from apptuner_relay.session.session import Admission, Role, Session
from apptuner_relay.wire import messages
from apptuner_relay.wire.bundle_patch import PATCH_TYPE
from apptuner_relay.wire.deflate import inflate_head
from apptuner_relay.wire.frames import (
    BINARY,
    COMPRESSED,
    CONTINUATION,
    TEXT,
    TEXT_HEADERS,
    Frame,
    Piece,
    Texts,
    frame,
)
from apptuner_relay.wire.messages import HEAD_BYTES

_MOBILE, _READING, _HALTING = Role.MOBILE, HaltingState.READING, HaltingState.HALTING
_SINK_OF = attrgetter("sink")
_FEW_TEXTS = 4  # one that is part of a bundle may take as long as hundreds of others
_MOVES = "its session moves"


class Member(ClientFacts):
    """One client of a session."""

    __slots__ = (
        "__weakref__", "_acks", "_active", "_allowance", "_deflates", "_dispatch", "_excess",
        "_halting", "_head", "_intake", "_limit", "_notices", "_now_ms", "_on_over_rate",
        "_on_unfinished", "_opcode", "_own_types", "_patches", "_reach", "_seconds", "_store",
        "_tally", "_traffic", "_trial", "_usual", "_usual_tally", "admission", "bundles",
        "bytes_in", "chunks", "connection", "delayed", "delivery", "device", "has_left", "reader",
        "reception", "role", "said_s", "session", "sink", "source", "through",
    )  # fmt: skip

    def __init__(
        self,
        admission: Admission,
        session: "Session[Member]",
        connection: Connection,
        flow: ConnectionFlow,
        context: MemberContext,
    ) -> None:
        self.admission = admission
        self.device = device = admission.device
        self.role, self.through = admission.role, admission.through
        self.session = session
        self.connection = connection
        self.source, self.sink, self.reader = flow
        self._dispatch = Dispatch(self.source, session.hash, context.logs, connection.close)
        self._deflates = connection.deflates
        self.chunks = context.splits_bundles and device is not None and device.chunks
        self._limit = context.limits.max_message
        self._seconds = context.seconds
        self._now_ms = now_ms = context.now_ms
        self._store = context.store
        self._active = False
        self._opcode = CONTINUATION
        self._head: bytes | None = None
        self._intake: Intake | None = None
        self._usual = b""
        """How a message begins that goes where the last one went, without being parsed."""
        self._traffic = traffic = context.traffic
        self._notices = Notices(self.sink, self.source, traffic, context.seconds, now_ms)
        self.reception = Reception()
        parts = make_bundle_parts(
            self, session, self.source, connection, context, self._notices, self._dispatch
        )
        self.bundles, self.delivery = parts.bundles, parts.delivery
        """Of the desktop side, and of a phone."""
        self._patches, self._trial, self._acks = parts.patches, parts.trial, parts.acks
        self._own_types = parts.types
        """See `BundleParts`."""
        self._tally = self._usual_tally = traffic.tally(None)
        self._reach = 0
        rate = context.limits.message_rate
        self._on_over_rate, self._on_unfinished = context.on_over_rate, context.on_unfinished
        self._excess = RateLimit(rate, context.seconds, self.source, traffic, self._exceeds_rate)
        self._allowance = self._excess.allowance
        self.delayed = DelayedLogs(
            self, session, self._excess, self._limit, self._dispatch, traffic, self._notices
        )
        self._halting = _READING
        self.has_left = False
        self.bytes_in = 0
        """Bytes taken in so far."""
        self.said_s: float | None = None
        """When its last message came, in seconds of the clock; None before the first one."""

    @property
    def heard_s(self) -> float:
        """When it was heard last, be it by a Pong: seconds of the clock."""
        return max(self.said_s or 0.0, self.connection.last_heard_s())

    @property
    def deflates(self) -> bool:
        """Whether it takes compressed messages."""
        trial = self._trial
        return self._deflates and (trial is None or not trial.wants_plain)

    @property
    def in_message(self) -> bool:
        """Whether a message from this client is under way to others."""
        return self._intake is not None

    def tell(self, *those: bytes) -> None:
        """Send messages (JSON text) of the relay's own, together."""
        self._notices.tell(*those)

    def take_texts(self, texts: Texts) -> None:
        """See `FrameHandler`."""
        self._active = True
        self._opcode = TEXT
        self._allowance.left -= len(texts)
        if self._allowance.left < 0 and self._excess.used_up():
            texts = self._excess.pick(texts)
        frames: list[Frame] = []
        size = 0
        mobile = self.role is Role.MOBILE
        usual = self._usual if self.session.audience(self) else b""
        for text in texts:
            # A message that begins like the last one, and has nothing that could be a target, goes
            # where that one went.
            if usual and text.startswith(usual) and (mobile or b"D" not in text):
                length = len(text)
                size += length
                frames.append(TEXT_HEADERS[length] + text)
                continue
            self._send_all(frames, size)
            frames, size = [], 0
            self._take_small(bytes(text))
            usual = self._usual
        self._send_all(frames, size)
        if self._halting is _HALTING:
            self._hold_between_bundles()

    def take_alone(self, text: bytearray, now_s: float) -> bool:
        """See `FrameHandler`."""
        usual, allowance, session = self._usual, self._allowance, self.session
        if allowance.left < 1 or self._halting is not _READING:
            return False
        if usual and text.startswith(usual):
            is_mobile = self.role is _MOBILE
            audience = session.listeners if is_mobile else session.mobiles
            if not audience or (not is_mobile and b"D" in text):
                return False
            self._usual_tally.passed(1, len(text), len(audience))
            data = TEXT_HEADERS[len(text)] + text
            self.source.feeds = sinks = tuple(map(_SINK_OF, audience))
            for sink in sinks:
                sink.send_now(data, self.source)
        elif messages.is_ping(text):
            self._notices.answer_ping(len(text))
        else:
            return False
        allowance.left -= 1
        self.said_s = session.last_activity_s = now_s
        return True

    def _take_small(self, text: bytes) -> None:
        route = self._route(text, True)
        self._usual = b""
        tally = self._traffic.tally(route.type)
        tally.passed(1, len(text), len(route.members))
        if route.type in self._own_types:
            intake = self._open(route, self._describe(route, text, len(text)))
            if intake is not None:
                intake.write(text, True)
            if self.bundles is not None:
                self._on_unfinished(self)
                self.reader.most_texts = _FEW_TEXTS
                self.bundles.passed(len(text))
            return
        if not route.members:
            return
        self.source.feeds = sinks = [member.sink for member in route.members]
        for sink in sinks:
            sink.send(frame(TEXT, text), self.source)
        if route.everybody:
            self._usual = messages.usual_start(text)
            self._usual_tally = tally

    def _send_all(self, frames: list[Frame], size: int) -> None:
        if not frames:
            return
        self.source.feeds = sinks = [member.sink for member in self.session.audience(self)]
        self._usual_tally.passed(len(frames), size, len(sinks))
        for sink in sinks:
            sink.send_all(frames, self.source)

    def take(self, piece: Piece, view: memoryview) -> None:
        """See `FrameHandler`."""
        opcode, end, begin, payload, stop = piece
        self._active = True
        if opcode != CONTINUATION:
            self._opcode = opcode
            self._head = b""
        elif self._head is None:
            if self._intake is not None:
                self._intake.write(view[payload:stop], end)
            if end:
                self._passed()
            return
        before = self._head or b""
        length = len(before) + stop - payload
        if length < HEAD_BYTES and not end:
            self._head = before + view[payload:stop]
            return
        self._head = None
        compressed = self._opcode & COMPRESSED
        head = before + view[payload : min(stop, payload + HEAD_BYTES - len(before))]
        complete = end and length == len(head)
        if compressed:
            head, complete = inflate_head(head, HEAD_BYTES, complete)
        route = self._route(head, complete)
        binary = self._opcode & BINARY
        self._tally = self._traffic.binary if binary else self._traffic.tally(route.type)
        self._allowance.left -= 1
        intake: Intake | None = None
        excess = self._excess
        if self._allowance.left < 0 and excess.used_up() and not excess.lets_pass(route.type):
            intake = excess.collect(self._opcode, head)
            route = Routing[Member]((), route.type)
        self._reach = len(route.members)
        if route.members or route.type in self._own_types:
            message = self._describe(route, head, length if end else self.reader.announced_bytes)
            if end and not before and length <= SHORT_BYTES and message.type not in self._own_types:
                self._dispatch.send_short(
                    message, route.members, view[payload:stop], view[begin:stop]
                )
            else:
                intake = self._open(route, message)
        if intake is not None:
            self._intake = intake
            self._on_unfinished(self)
            if before:
                intake.write(before, False)
            intake.write(view[payload:stop], end)
        if end:
            self._passed()

    def _passed(self) -> None:
        """A message has come whole."""
        self._intake = None
        self._tally.passed(1, self.reader.message_bytes, self._reach)
        if self.bundles is not None:
            self.bundles.passed(self.reader.message_bytes)
        if self._halting is _HALTING:
            self._hold_between_bundles()

    def flush(self) -> None:
        """See `FrameHandler`."""
        self.source.flush()
        if self._active:
            self._active = False
            self.said_s = self.session.last_activity_s = self._seconds()

    def gone(self, why: str) -> bool:
        """The connection is over. True if that cut a message or a bundle short."""
        self.source.gone = self.has_left = True
        if self.delivery is not None and self._trial is not None:
            self._trial.disconnected(self.delivery.is_inside_compressed, self.said_s)
        self.sink.close()
        if self.delivery is not None:
            self.delivery.close(why)
        intake, self._intake, self._head = self._intake, None, None
        if intake is not None:
            intake.cut(why)
        cut = self.bundles is not None and self.bundles.close(why)
        self.delayed.end()
        # What refers to this member goes, so that it needs no garbage collector to go.
        self.source.leave()
        self.delivery = self._trial = self._acks = self._patches = None
        return cut or intake is not None

    def _exceeds_rate(self) -> None:
        self._on_over_rate(self.delayed)

    def expect_logs(self, count: int) -> None:
        """Allow ``count`` messages more: the client logs as many of a message that it gets."""
        self._excess.grant(count)

    # Moving to another relay

    def halt(self) -> None:
        """Stop reading from the client, once what is in progress has come whole. Harmless again."""
        self._on(HaltingEvent.HALT)
        self._hold_between_bundles()

    @property
    def is_halted(self) -> bool:
        """Whether `halt` was called, and the client is not read from any more."""
        return self._halting is HaltingState.HALTED

    def _hold_between_bundles(self) -> None:
        is_between = self.reader.between_messages and not self.recording
        if is_between and self._halting is _HALTING:
            self._on(HaltingEvent.BETWEEN_BUNDLES)
            self.source.hold(self)
            self.delayed.send_rest()

    def patched(self) -> None:
        """See `PatchingMember`."""
        self._hold_between_bundles()

    def _on(self, event: HaltingEvent) -> None:
        self._halting = TRANSITIONS.get((self._halting, event), self._halting)

    @property
    def recording(self) -> bool:
        """Whether a bundle from the client is in progress, or a patch."""
        patching = self._patches is not None and self._patches.busy
        return patching or (self.bundles is not None and self.bundles.busy)

    @property
    def sends_bundles(self) -> bool:
        """Whether phones may expect a bundle from it when they join: it is a CLI, or a page that
        has sent one before. An upload sends one only, which they get from the cache."""
        if self.role in (Role.CLI, Role.UPLOAD):
            return self.role is Role.CLI
        return self.bundles is not None and self.bundles.has_sent

    @property
    def idle(self) -> bool:
        """Whether no message from it is in progress, and the messages to it can be sent without
        anything more from its sender or the disk."""
        getting = self.delivery is not None and self.delivery.busy
        return self.reader.between_messages and not getting and not self.sink.expects_more

    @property
    def settled(self) -> bool:
        """Whether no message and no bundle is in progress from it or to it."""
        return self.idle and not self.recording and not self.sink.busy

    def detach(self) -> ConnectionFlow:
        """Be no member any more, though the connection goes on. To be called when the member is
        `idle`, by the client that is served next and holds the source."""
        if self.delivery is not None:
            self.delivery.close(_MOVES)
        if self.bundles is not None:
            self.bundles.stop(_MOVES)
        self.source.let_go(self)
        self._excess.let_go()
        return ConnectionFlow(self.source, self.sink, self.reader)

    def _describe(self, route: "Routing[Member]", head: bytes, size: int | None) -> MessageInfo:
        kind, now_ms = route.type, self._now_ms()
        thorough = self.role is Role.MOBILE
        return MessageInfo(self._opcode, kind, head, size, self._limit, thorough, now_ms)

    def _open(self, route: "Routing[Member]", message: MessageInfo) -> Intake | None:
        """Open the intake of a message that begins; None where it goes nowhere."""
        if self._patches is not None and message.type == PATCH_TYPE:
            return self._patches.open(message, route.target)
        if self._acks is not None and message.type in self._own_types:
            return self._acks.open(message, route.members)
        if self.bundles is not None and message.type in self._own_types:
            if route.everybody and message.type != "bundle_chunk":
                self.session.membership_notices.bundle_begins(self)
            return self.bundles.begin(message, route.members, route.target)
        return self._dispatch.open(message, route.members)

    def _route(self, head: bytes, complete: bool) -> "Routing[Member]":
        """Where the message that begins with ``head`` goes. The sender is answered here."""
        binary = bool(self._opcode & BINARY)
        route = route_message(self, self.session, head, complete, binary)
        if route.type == messages.BUNDLE_WANTED and self.delivery is not None:
            taken = self.delivery.want_whole()
            route = route._replace(members=() if taken else route.members, everybody=False)
        elif route.type == PATCH_TYPE and self._patches is not None:
            return Routing((), PATCH_TYPE, target=route.target)
        if route.answer is not None:
            self._notices.answer(route.answer(self._now_ms()))
            return route
        if route.complaint is not None:
            self._notices.complain(route.complaint)
        if self.bundles and not binary and messages.may_change_code(route.type, complete):
            outdate(self._store, self.session.hash, route.members, route.target)
            route = route._replace(everybody=False)
        return route
