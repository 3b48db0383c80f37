"""The connection of an upload to its session: what its member, or its link to another relay's
session, has instead of a WebSocket. It knows no HTTP; `bundle_upload` has that.

The bundle is sent as a CLI would send it, in frames that go through the relay's buffer into the
member, and what the member is sent is read from the frames in which it comes.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, cast

from apptuner_relay.flow.receive_buffer import BLOCK_BYTES
from apptuner_relay.relay.bundle_receipt import Receipt, read_patch_refusal, read_receipt
from apptuner_relay.relay.frame_handler import FrameHandler
from apptuner_relay.relay.interfaces import ConnectedClient, Place
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import Arrival
from apptuner_relay.web.upload_body import MOST_BLOCK_BYTES
from apptuner_relay.wire.bundle_patch import PatchFault
from apptuner_relay.wire.frames import (
    CLOSE_INTERNAL_ERROR,
    CLOSE_SERVICE_RESTART,
    CONTINUATION,
    HEADROOM,
    TEXT,
    Frame,
    FrameError,
    frame_header,
)
from apptuner_relay.wire.peer_frames import PeerReader

RELAY_LOST = "The relay that has this session was lost: send the bundle again"

_NO_MASK = bytes(4)
"""The mask with which unmasking changes nothing: a client's frames have one."""
_MASKED = 0x80
_MOST_TOLD_BYTES = 64 * 1024
"""The longest message that an upload is told; its receipt is far shorter."""
assert MOST_BLOCK_BYTES + HEADROOM < BLOCK_BYTES


class UploadListener(Protocol):
    """What hears of the connection: a `bundle_upload.BundleUpload`."""

    def paused(self) -> None:
        """Nothing more is to be sent for now."""

    def resumed(self) -> None:
        """More may be sent, but not before this has returned: another connection may be in the
        middle of a block."""

    def received(self, receipt: Receipt) -> None:
        """What has become of the bundle is known. To be acted on later: the message that says it is
        still being sent."""

    def patch_refused(self, fault: PatchFault) -> None:
        """The bundle was sent as a patch, and that is refused. To be acted on later, likewise."""

    def dismissed(self, code: int, reason: str) -> None:
        """The relay stops. What was sent still arrives, and its receipt comes; nothing more is to
        be begun."""

    def closed(self, code: int, reason: str) -> None:
        """The connection is over: it was closed with a code of RFC 6455 §7.4.1."""


class UploadConnection:
    """One such connection, the `frame_handler.Connection` of its member."""

    takes_parts = False
    """See `outlet.Outlet`."""
    deflates = False
    """See `frame_handler.Connection`."""
    on_round_trip: Callable[[float], None] | None = None
    """See `frame_handler.Connection`."""
    round_trip = None
    """See `frame_handler.Connection`. HTTP has no pings."""

    def __init__(self, relay: RelayService, listener: UploadListener) -> None:
        self._relay = relay
        self._listener = listener
        self._client: ConnectedClient | None = None
        """What the frames go to, from `enter` to `end`."""
        self._opcode = TEXT
        self._told = PeerReader(_MOST_TOLD_BYTES)
        self._heard_s = relay.clock.seconds()
        self.is_paused = False
        """Whether nothing more is to be sent for now."""

    def enter(self, place: Place) -> None:
        """Become a member of the session."""
        self._client = place.enter(self)

    @property
    def has_lost_its_way(self) -> bool:
        """Whether the relay that has the session was lost in the middle of the message, so that the
        rest goes nowhere."""
        client = self._client
        is_inside = self._opcode == CONTINUATION
        return is_inside and client is not None and client.session is None and not client.in_message

    def end(self, why: str, code: int) -> None:
        """Leave the session; ``code`` is a close code of RFC 6455 §7.4.1."""
        client, self._client = self._client, None
        if client is not None:
            registry = self._relay.registry
            registry.leave(client, why)
            # Later: this may have been called while a message to the member is sent.
            self._relay.clock.callLater(0, registry.closed, client, why, code)

    def send(self, payload: bytes, end: bool) -> None:
        """Send the next part of the message, of up to `MOST_BLOCK_BYTES`; it has two parts or
        more.

        :param end: whether it is the last one.
        """
        client, buffer = self._client, self._relay.buffer
        if client is None:
            return
        header = bytearray(frame_header(self._opcode, len(payload), end))
        header[1] |= _MASKED
        block = b"".join((header, _NO_MASK, payload))
        self._opcode = CONTINUATION
        self._heard_s = self._relay.clock.seconds()
        buffer.room[: len(block)] = block
        try:
            for piece in client.reader.feed(buffer.data, buffer.START, buffer.START + len(block)):
                # Whole small messages would be lists, and this is none.
                if not isinstance(piece, list):
                    client.take(piece, buffer.view)
        except FrameError as error:
            self.close(error.code, error.reason)
        finally:
            client.bytes_in += len(block)
            client.flush()

    # What the member, its sink and its link call

    def serve(self, end: FrameHandler) -> None:
        """See `frame_handler.Connection`. A bundle that has begun does not come whole to the new
        relay of a session whose relay was lost."""
        self._client = client = cast(ConnectedClient, end)
        has_begun = self._opcode == CONTINUATION
        if has_begun and client.admission.arrival is Arrival.RECOVERED:
            # Later: the client is in the middle of joining.
            self._relay.clock.callLater(0, self.close, CLOSE_SERVICE_RESTART, RELAY_LOST)

    def offer(self, parts: Sequence[Frame]) -> int:
        """See `outlet.Outlet`."""
        data = b"".join(parts)
        self.write(data)
        return len(data)

    def write(self, data: bytes) -> None:
        """See `outlet.Outlet`."""
        buffer = bytearray(HEADROOM) + data
        for piece in self._told.feed(buffer, HEADROOM, len(buffer)):
            for text in piece if isinstance(piece, list) else ():
                receipt = read_receipt(text)
                if receipt is not None:
                    self._listener.received(receipt)
                elif (fault := read_patch_refusal(text)) is not None:
                    self._listener.patch_refused(fault)

    def unsent(self) -> int:
        """See `outlet.Outlet`."""
        return 0

    def pause(self) -> None:
        """See `frame_handler.Connection`."""
        self.is_paused = True
        self._listener.paused()

    def resume(self) -> None:
        """See `frame_handler.Connection`."""
        self.is_paused = False
        self._listener.resumed()

    def close(self, code: int, reason: str) -> None:
        """See `frame_handler.Connection`."""
        if self._client is not None:
            self._listener.closed(code, reason)

    def dismiss(self, code: int, reason: str) -> None:
        """See `frame_handler.Connection`."""
        if self._client is not None:
            self._listener.dismissed(code, reason)

    def abort(self) -> None:
        """See `frame_handler.Connection`."""
        self.close(CLOSE_INTERNAL_ERROR, "its connection was aborted")

    def check_alive(self, now_s: float) -> None:
        """See `frame_handler.Connection`. HTTP has no pings; `bundle_upload` limits how long
        nothing may come."""

    def last_heard_s(self) -> float:
        """See `frame_handler.Connection`."""
        return self._heard_s

    def probe(self, answered: Callable[[], None] | None = None) -> float | None:
        """See `frame_handler.Connection`. It is taken to be alive, as HTTP has no pings."""
        if answered is not None:
            answered()
        return None
