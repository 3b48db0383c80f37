"""Reads the frames of a client that is connected to another relay."""

from apptuner_relay.wire.frames import BINARY, TEXT, FrameReader, Texts
from apptuner_relay.wire.peer_frames import PeerReader

_MASKED = 0x80


class BridgedReader(PeerReader):
    """Reads what another relay passes on of a client: small messages in the client's own frames,
    with masks, which nobody has looked into; and all others as a `PeerReader` does.

    So a small message is unmasked and checked once, by the relay that has its session.
    """

    def lone_text(self, buffer: bytearray, start: int, stop: int) -> bytearray | None:
        """See `FrameReader`."""
        if start + 1 < stop and buffer[start + 1] >= _MASKED:
            return FrameReader.lone_text(self, buffer, start, stop)
        return super().lone_text(buffer, start, stop)

    def _header_bytes(self, buffer: bytearray, at: int, stop: int) -> int:
        if at + 1 < stop:
            is_masked = buffer[at + 1] >= _MASKED
            self._mask_bytes = 4 if is_masked else 0
            if buffer[at] & 0x0F in (TEXT, BINARY):
                self._checks_text = is_masked
        return super()._header_bytes(buffer, at, stop)

    def _small_texts(self, buffer: bytearray, start: int, stop: int) -> tuple[Texts, int]:
        if start + 1 < stop and buffer[start + 1] >= _MASKED:
            return FrameReader._small_texts(self, buffer, start, stop)
        return super()._small_texts(buffer, start, stop)
