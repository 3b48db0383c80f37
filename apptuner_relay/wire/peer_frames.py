"""Reads frames of another relay."""

from apptuner_relay.wire.frames import CONTINUATION, WHOLE_TEXT, FrameReader, Texts


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
