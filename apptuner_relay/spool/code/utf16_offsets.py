"""Maps offsets between UTF-16, in which JavaScript counts, and the bytes of UTF-8. Pure.

Text comes as UTF-8 in blocks of any size, which may be cut inside a character. Blocks of ASCII,
which most are, cost next to nothing.
"""

import codecs
from collections.abc import Sequence

from apptuner_relay.wire.bundle_patch import BadPatch, PatchFault

_new_decoder = codecs.getincrementaldecoder("utf-8")
_UNIT_BYTES = 2
_LOW_SURROGATES = range(0xDC, 0xE0)
"""The upper bytes of the second half of a surrogate pair."""


def utf16_length(text: str) -> int:
    """How many UTF-16 code units ``text`` has."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // _UNIT_BYTES


class _Mapping:
    """Walks through a text once, and looks offsets up as it comes to them.

    :param offsets: ascending.
    """

    def __init__(self, offsets: Sequence[int]) -> None:
        self.found: list[int] = []
        """What the offsets are in the other form, as far as the text has come."""
        self.units = 0
        """How many UTF-16 code units the text has so far."""
        self.size = 0
        """How many bytes the text has so far, without a character that isn't complete."""
        self._offsets = offsets
        self._decoder = _new_decoder()
        self._fed = 0

    def feed(self, block: bytes, end: bool = False) -> None:
        """Take in the next bytes of the text.

        :param end: whether these are the last.
        :raises UnicodeDecodeError: they aren't UTF-8.
        :raises BadPatch: see the class.
        """
        is_ascii = self._fed == self.size and block.isascii()
        text = "" if is_ascii else self._decoder.decode(block, end)
        self._fed += len(block)
        units = self.units + (len(block) if is_ascii else utf16_length(text))
        # Without a character of which more is to come.
        size = self._fed - len(self._decoder.getstate()[0])
        first = last = len(self.found)
        stop = self._stop(units, size)
        while last < len(self._offsets) and self._offsets[last] <= stop:
            last += 1
        if first < last:
            self.found += self._find(text, self._offsets[first:last])
        self.units, self.size = units, size

    def finish(self) -> list[int]:
        """All of the text has been fed. Returns all offsets in the other form.

        :raises BadPatch: an offset is beyond the text's end, or the class says another.
        """
        self.feed(b"", end=True)
        if len(self.found) < len(self._offsets):
            raise BadPatch(PatchFault.BOUNDS)
        return self.found

    def _stop(self, units: int, size: int) -> int:
        """Up to which offset a text goes that has so much of each."""
        raise NotImplementedError

    def _find(self, text: str, offsets: Sequence[int]) -> list[int]:
        """Look up ``offsets``, which are in what comes next: ``text``, or any ASCII where that is
        empty."""
        raise NotImplementedError


class BytesOfUnits(_Mapping):
    """Finds the bytes at which UTF-16 code units are.

    :raises BadPatch: an offset is inside a surrogate pair, or beyond the text's end.
    """

    def _stop(self, units: int, size: int) -> int:
        return units

    def _find(self, text: str, offsets: Sequence[int]) -> list[int]:
        if text.isascii():
            return [self.size + offset - self.units for offset in offsets]
        utf16 = text.encode("utf-16-le")
        found = []
        before, size = 0, self.size
        for offset in offsets:
            at = (offset - self.units) * _UNIT_BYTES
            if at < len(utf16) and utf16[at + 1] in _LOW_SURROGATES:
                raise BadPatch(PatchFault.SURROGATE)
            size += len(utf16[before:at].decode("utf-16-le").encode())
            before = at
            found.append(size)
        return found


class UnitsOfBytes(_Mapping):
    """Finds the UTF-16 code units at which bytes are. Every offset is the first byte of a
    character, or the text's end."""

    def _stop(self, units: int, size: int) -> int:
        return size

    def _find(self, text: str, offsets: Sequence[int]) -> list[int]:
        if text.isascii():
            return [self.units + offset - self.size for offset in offsets]
        utf8 = text.encode()
        found = []
        before, units = 0, self.units
        for offset in offsets:
            at = offset - self.size
            units += utf16_length(utf8[before:at].decode())
            before = at
            found.append(units)
        return found
