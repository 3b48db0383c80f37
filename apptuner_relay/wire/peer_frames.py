"""Reads frames of another relay."""

from apptuner_relay.wire.frame_runs import find_rest
from apptuner_relay.wire.frames import CONTINUATION, WHOLE_TEXT, FrameReader, Texts

_READ_BYTES = 16 * 1024
"""So much of a message is read in any case: it says what the message is."""


class PeerReader(FrameReader):
    """Reads frames of another relay: they have no masks, and that relay has checked their texts.

    Masks (RFC 6455 §5.3) keep scripts in browsers from sending bytes that a proxy takes for
    requests. Between relays there are no scripts and no such proxies, so both sides agree to leave
    masks out.
    """

    _mask_bytes = 0
    _checks_text = False

    def lone_text(self, buffer: bytearray, start: int, stop: int) -> bytearray | None:
        """See `FrameReader`."""
        if self._opcode != CONTINUATION or self._held or self._skipping or self.unreadable:
            return None
        texts, at = self._small_texts(buffer, start, stop)
        if at != stop or len(texts) != 1:
            return None
        self.stopped_at = stop
        return texts[0]

    def _take_rest(self, buffer: bytearray, start: int, stop: int) -> int:
        if self._opcode == CONTINUATION or self._skipping or self.message_bytes < _READ_BYTES:
            return start
        at, size, end = find_rest(buffer, start, stop)
        if self.message_bytes + size > self._max_message:
            # It is read up to the limit.
            return start
        self.message_bytes += size
        if end:
            self._opcode = CONTINUATION
        return at

    def _small_texts(self, buffer: bytearray, start: int, stop: int) -> tuple[Texts, int]:
        at = start
        texts: Texts = []
        most, most_texts = self._most_small, self.most_texts
        while at + 4 <= stop and buffer[at] == WHOLE_TEXT and len(texts) < most_texts:
            length = buffer[at + 1]
            begin = at + 2
            if length == 126:
                length = buffer[at + 2] << 8 | buffer[at + 3]
                begin = at + 4
                if length < 126:
                    break
            elif length > 126:
                break
            until = begin + length
            if until > stop or length > most:
                break
            texts.append(buffer[begin:until])
            at = until
        return texts, at
