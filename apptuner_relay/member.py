"""A client as its session sees it: the state machine between the frames of one connection and the
flow to the others. It knows no socket and no Autobahn; `protocol` feeds it pieces.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from apptuner_relay.bundles.fanout import BundleFanout
from apptuner_relay.bundles.playback import Playback
from apptuner_relay.bundles.tape import Tape
from apptuner_relay.clocks import WallClock, in_ms
from apptuner_relay.ends import Connection, Ends
from apptuner_relay.excess import LOG_TYPE, Line, RateLimit
from apptuner_relay.flow import Frame
from apptuner_relay.meters.traffic import BundleWatch, Traffic
from apptuner_relay.options import Settings
from apptuner_relay.passage import Joined, Way
from apptuner_relay.series import Reception
from apptuner_relay.session import Admission, Role, Session
from apptuner_relay.ways import Parcel, make_way
from apptuner_relay.wire import messages
from apptuner_relay.wire.deflate import inflate_head
from apptuner_relay.wire.frames import (
    BINARY,
    COMPRESSED,
    CONTINUATION,
    TEXT,
    TEXT_HEADERS,
    FrameError,
    Piece,
    Texts,
    frame,
)
from apptuner_relay.wire.messages import HEAD_BYTES

NO_PHONE = "Mobile device not connected"
_COMPLAINT_INTERVAL_S = 1.0


class Route(NamedTuple):
    """Where a message goes."""

    members: Sequence["Member"]
    """Nobody, where it was answered."""
    type: str | None = None
    everybody: bool = False
    """Whether it is for whoever is on the other side, late joiners included."""
    target: str | None = None
    """The device that it is for alone."""


class Member:
    """One client of a session.

    Where bundles are kept `keep` gives a desktop-side client's to a tape, and ``playback`` is given
    to a phone, which can get them later.

    :param seconds: the monotonic clock.
    :param wall_s: the time of day.
    :param on_over_rate: called when it has sent more messages than it may; `catch_up` is due then,
        every second.
    """

    def __init__(
        self,
        admission: Admission,
        session: "Session[Member]",
        connection: Connection,
        ends: Ends,
        settings: Settings,
        seconds: Callable[[], float],
        wall_s: WallClock,
        traffic: Traffic,
        on_over_rate: "Callable[[Member], None]",
    ) -> None:
        self.admission = admission
        self.role = role = admission.role
        self.device = device = admission.device
        self.through = admission.through
        self.session = session
        self.connection = connection
        self.source, self.sink, self.reader = ends
        self.sink.leave = self._leave_group
        self.playback: Playback | None = None
        self.deflates = connection.deflates
        ios = device is not None and device.platform == "ios"
        self.slices = settings.split_bundles and ios
        self.chunks = self.slices and device is not None and device.chunks
        self._limit = settings.max_message
        self._seconds = seconds
        self._wall_s = wall_s
        self._active = False
        self._opcode = CONTINUATION
        self._head: bytes | None = None
        self._way: Way | None = None
        self._usual = b""
        """How the messages begin that are forwarded to all without another look."""
        self._complained_s = -math.inf
        self._traffic = traffic
        self.reception = Reception()
        self.bundles: BundleFanout | None = None
        """Of the desktop side."""
        if role is not Role.MOBILE:
            self.keep(None)
        self._tally = self._usual_tally = traffic.tally(None)
        self._reach = 0
        self._rate = settings.message_rate
        self._excess = RateLimit(
            self._rate, seconds, self.source, traffic, lambda: on_over_rate(self)
        )
        self._allowance = self._excess.allowance
        self.bytes_in = 0
        """Bytes taken in so far."""
        self.said_s: float | None = None
        """When its last message came; None for one that has said nothing."""

    @property
    def heard_s(self) -> float:
        """When it was heard last, be it by a pong."""
        return max(self.said_s or 0.0, self.connection.last_heard_s())

    @property
    def label(self) -> str:
        """How logs name its session."""
        return self.session.label

    def keep(self, tape: Tape | None) -> None:
        """Have its bundles recorded, where ``tape`` is given. Before it sends anything."""
        watch = BundleWatch(self._traffic, self._seconds)
        self.bundles = BundleFanout(self.source, self.connection.close, self._complain, watch, tape)

    @property
    def in_message(self) -> bool:
        """Whether a message from this client is under way to others."""
        return self._way is not None

    def tell(self, message: bytes) -> None:
        """Send a message (JSON text) of the relay's own."""
        self._traffic.notices.said(len(message))
        self.sink.say(frame(TEXT, message))

    def take_texts(self, texts: Texts) -> None:
        """See `End`."""
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
            # One that begins like the last one, and has nothing that could be a target, goes where
            # that went.
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

    def _take_small(self, text: bytes) -> None:
        route = self._route(text, True)
        self._usual = b""
        tally = self._traffic.tally(route.type)
        tally.passed(1, len(text), len(route.members))
        if route.type in messages.BUNDLE_TYPES:
            data = frame(TEXT, text)
            parcel = self._parcel(route, text, len(text))
            self._begin(route, parcel).send(data, len(data) - len(text), True)
            if self.bundles is not None:
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
        """See `End`."""
        opcode, end, begin, payload, stop = piece
        self._active = True
        if opcode != CONTINUATION:
            self._opcode = opcode
            self._head = b""
        elif self._head is None:
            if self._way is not None:
                self._way.send(view[begin:stop], payload - begin, end)
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
        way: Way | None = None
        excess = self._excess
        if self._allowance.left < 0 and excess.used_up() and not excess.lets_pass(route.type):
            way = excess.collect(self._opcode, head)
            route = Route((), route.type)
        self._reach = len(route.members)
        if route.members or route.type in messages.BUNDLE_TYPES:
            size = length if end else self.reader.announced_bytes
            way = self._begin(route, self._parcel(route, head, size))
        if way is not None:
            self._way = way = way if end else Joined(way, self._limit)
            if before:
                first = frame(self._opcode, before, False)
                way.send(first, len(first) - len(before), False)
            way.send(view[begin:stop], payload - begin, end)
        if end:
            self._passed()

    def _passed(self) -> None:
        """The message has come whole."""
        self._way = None
        self._tally.passed(1, self.reader.message_bytes, self._reach)
        if self.bundles is not None:
            self.bundles.passed(self.reader.message_bytes)

    def flush(self) -> None:
        """See `End`."""
        self.source.flush()
        if self.bundles is not None:
            self.bundles.flush()
        if self._active:
            self._active = False
            self.said_s = self.session.last_activity_s = self._seconds()

    def gone(self, why: str) -> bool:
        """The connection is over. True if that cut a message or a bundle short."""
        self.source.gone = True
        if self.playback is not None:
            self.playback.close()
        self.sink.close()
        way, self._way, self._head = self._way, None, None
        if way is not None:
            way.cut(f"a message was cut short: {why}")
        cut = self.bundles is not None and self.bundles.stop(f"a bundle was cut short: {why}")
        self._tell_dropped()
        self._send_on(self._excess.rest())
        return cut or way is not None

    # When it sends more messages than it may

    def catch_up(self) -> bool:
        """Send on the logs that waited, and read on, if it may send more. Whether that is all for
        now."""
        if self.source.gone:
            return True
        self._tell_dropped()
        lines = self._excess.catch_up()
        if lines is None:
            return False
        self._send_on(lines)
        self._excess.let_go()
        return True

    def expect_logs(self, count: int) -> None:
        """It gets a message of which it will log so many lines."""
        self._excess.grant(count)

    def _tell_dropped(self) -> None:
        """Say how many logs were dropped, if any were."""
        dropped = self._excess.count_dropped()
        if not dropped:
            return
        text = f"{dropped} log messages were dropped: more than {self._rate} messages a second"
        if not self.source.gone:
            self.tell(messages.error(text, self._now_ms()))
        notice = messages.console_warning(f"AppTuner relay: {text}", self._now_ms())
        for member in self.session.audience(self):
            member.tell(notice)

    def _send_on(self, lines: Sequence[Line]) -> None:
        """Pass on logs that came before."""
        tally = self._traffic.tally(LOG_TYPE)
        audience = self.session.audience(self)
        for opcode, payload in lines if audience else ():
            size = len(payload)
            parcel = Parcel(opcode, LOG_TYPE, b"", size, self._limit, True, self._now_ms())
            data = frame(opcode, payload)
            try:
                make_way(parcel, self.source, audience, self.connection.close).send(
                    data, len(data) - size, True
                )
            except FrameError as error:
                self.connection.close(error.code, error.reason)
                return
            for _ in audience:
                tally.said(size)
        self.source.flush()

    # When the session moves to another relay

    def halt(self) -> None:
        """Read nothing more from the client, once the message and the bundle in progress have come
        whole."""
        if not self._hold_between_bundles():
            self.take = self._take_and_hold  # type: ignore[method-assign]
            self.take_texts = self._take_texts_and_hold  # type: ignore[method-assign]

    def _take_and_hold(self, piece: Piece, view: memoryview) -> None:
        Member.take(self, piece, view)
        self._hold_between_bundles()

    def _take_texts_and_hold(self, texts: Texts) -> None:
        Member.take_texts(self, texts)
        self._hold_between_bundles()

    @property
    def recording(self) -> bool:
        """Whether a bundle from it is on its way, and more of it is to come."""
        return self.bundles is not None and self.bundles.busy

    @property
    def sends_bundles(self) -> bool:
        """Whether phones may wait for it to send one when they join: it is a CLI, or it has sent
        one before."""
        return self.role is Role.CLI or (self.bundles is not None and self.bundles.has_sent)

    def give_up_stalled(self, now_s: float, limit_s: float) -> bool:
        """Give up a bundle of which no further message has come for ``limit_s``. Whether there was
        one."""
        bundles = self.bundles
        if bundles is None or bundles.stalled(now_s) < limit_s:
            return False
        return bundles.stop(f"a bundle was cut short: nothing came of it for {limit_s:g} s")

    def _hold_between_bundles(self) -> bool:
        if self.reader.between_messages and not self.recording:
            self.source.hold(self)
            self._send_on(self._excess.rest())
            return True
        return False

    @property
    def idle(self) -> bool:
        """Whether no message from it is on its way, and it needs nothing more from here for those
        that are to reach it."""
        playing = self.playback is not None and self.playback.busy
        return self.reader.between_messages and not playing and not self.sink.expects_more

    @property
    def settled(self) -> bool:
        """Whether no message and no bundle is on its way from it or to it."""
        return self.idle and not self.recording and not self.sink.busy

    def detach(self) -> Ends:
        """It is no member any more, though its connection goes on; to be called when it is
        `idle`, by who holds its source from now on."""
        if self.playback is not None:
            self.playback.close()
        if self.bundles is not None:
            self.bundles.stop("a bundle was cut short: its session moves")
        self.sink.leave = lambda: False
        self.source.let_go(self)
        self._excess.let_go()
        return Ends(self.source, self.sink, self.reader)

    def _parcel(self, route: Route, head: bytes, size: int | None) -> Parcel:
        thorough = self.role is Role.MOBILE
        return Parcel(self._opcode, route.type, head, size, self._limit, thorough, self._now_ms())

    def _begin(self, route: Route, parcel: Parcel) -> Way:
        """The way of a message that begins."""
        bundles = self.bundles
        if bundles is not None and parcel.type in messages.BUNDLE_TYPES:
            if route.everybody and parcel.type != "bundle_chunk":
                self.session.announcements.bundle_begins(self)
            return bundles.begin(parcel, route.members, route.target)
        return make_way(parcel, self.source, route.members, self.connection.close)

    def _leave_group(self) -> bool:
        return self.playback is not None and self.playback.leave_group()

    def _route(self, head: bytes, complete: bool) -> Route:
        """Where the message that begins with ``head`` goes."""
        if self._opcode & BINARY:
            audience = self.session.audience(self)
            if not audience and self.role is not Role.MOBILE:
                self._complain(NO_PHONE)
            return Route(audience)
        try:
            kind, target = messages.sniff(head, complete)
        except messages.NotAnObject as refusal:
            self._answer(messages.error(str(refusal), self._now_ms()))
            return Route(())
        if kind == "ping":
            self._answer(messages.pong(self._now_ms()))
            return Route((), kind)
        if self.role is Role.MOBILE:
            return Route(self.session.desktop_side, kind, True)
        if target is not None:
            phone = self.session.phone(target)
            if phone is not None:
                return Route((phone,), kind, target=target)
            text = f"Device {target} is not connected"
            self._answer(messages.error(text, self._now_ms()))
            return Route((), kind, target=target)
        phones = self.session.mobiles
        if not phones and kind not in messages.BUNDLE_TYPES:
            self._complain(NO_PHONE)
        return Route(phones, kind, True)

    def _answer(self, message: bytes) -> None:
        self._traffic.notices.said(len(message))
        self.sink.say(frame(TEXT, message), self.source)

    def _complain(self, text: str) -> None:
        """An error that may be due for every message, so at most once a second."""
        now_s = self._seconds()
        if now_s - self._complained_s >= _COMPLAINT_INTERVAL_S:
            self._complained_s = now_s
            self._answer(messages.error(text, self._now_ms()))

    def _now_ms(self) -> int:
        return in_ms(self._wall_s())
