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

    def feed(self, block: bytes, end: bool = False) -> None:
        """Take in the next bytes of the text.

        :param end: whether these are the last.
        :raises UnicodeDecodeError: they aren't UTF-8.
        :raises BadPatch: see the class.
        """
        text = self._decoder.decode(block, end)
        if text.isascii():
            self._ascii(len(text))
        else:
            self._other(text)

    def finish(self) -> list[int]:
        """All of the text has been fed. Returns all offsets in the other form.

        :raises BadPatch: an offset is beyond the text's end, or the class says another.
        """
        self.feed(b"", end=True)
        if len(self.found) < len(self._offsets):
            raise BadPatch(PatchFault.BOUNDS)
        return self.found

    def _due(self, stop: int) -> Sequence[int]:
        """The offsets that come next, up to ``stop``."""
        first = last = len(self.found)
        while last < len(self._offsets) and self._offsets[last] <= stop:
            last += 1
        return self._offsets[first:last]

    def _ascii(self, length: int) -> None:
        raise NotImplementedError

    def _other(self, text: str) -> None:
        raise NotImplementedError


class BytesOfUnits(_Mapping):
    """Finds the bytes at which UTF-16 code units are.

    :raises BadPatch: an offset is inside a surrogate pair, or beyond the text's end.
    """

    def _ascii(self, length: int) -> None:
        self.found += [self.size + at - self.units for at in self._due(self.units + length)]
        self.units += length
        self.size += length

    def _other(self, text: str) -> None:
        utf16 = text.encode("utf-16-le")
        before = 0
        size = self.size
        for offset in self._due(self.units + len(utf16) // _UNIT_BYTES):
            at = (offset - self.units) * _UNIT_BYTES
            if at < len(utf16) and utf16[at + 1] in _LOW_SURROGATES:
                raise BadPatch(PatchFault.SURROGATE)
            size += len(utf16[before:at].decode("utf-16-le").encode())
            before = at
            self.found.append(size)
        self.units += len(utf16) // _UNIT_BYTES
        self.size = size + len(utf16[before:].decode("utf-16-le").encode())


class UnitsOfBytes(_Mapping):
    """Finds the UTF-16 code units at which bytes are. Every offset is the first byte of a
    character, or the text's end."""

    def _ascii(self, length: int) -> None:
        self.found += [self.units + at - self.size for at in self._due(self.size + length)]
        self.units += length
        self.size += length

    def _other(self, text: str) -> None:
        utf8 = text.encode()
        before = 0
        for offset in self._due(self.size + len(utf8)):
            at = offset - self.size
            self.units += utf16_length(utf8[before:at].decode())
            before = at
            self.found.append(self.units)
        self.units += utf16_length(utf8[before:].decode())
        self.size += len(utf8)
