"""Splits one big ``bundle_update`` into ``bundle_start`` and ``bundle_chunk`` messages, as a
stream.

This is for phones that handle big messages badly and say ``chunks=1``. The code's JSON literal is
cut where no escape sequence and no character is split, and is passed on as it stands. A source map
is left out, as it is when the CLI sends chunks.

``bundle_start`` says how many chunks there are, so their number has to be fixed before the end of
the message is known. The length of a compressed message is unknown: it is estimated from the
beginning, and the `Plan` is made for that estimate. A plan holds for any length: if it has too many
chunks, the last ones are empty; if it has too few, the last ones are longer.
"""

import re
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

CHUNK_BYTES = 128 * 1024
"""The most that a chunk holds of the code's JSON literal, where the literal's length is known."""
LOOK_AHEAD_BYTES = 512 * 1024
"""How much of a literal of unknown length is read before the plan is made."""
_MOST_GUESSED = 64
"""The most chunks of a guessed length. A longer literal has longer chunks: they stay below 1 MiB up
to the limit of 50 MiB for a message."""
_RESERVE = 5
"""How many more chunks there are in case the literal is longer than was guessed. Each may be twice
as long as the one before, and the last may have any length."""
_MARGIN_OF = 16
"""A guess is raised by one part in this many, as it may be too small."""

_SHORTEST_PART_BYTES = 64
"""A chunk that has room for no more bytes than these is full."""
_LONGEST_ESCAPE = 6
_MOST_SHORTENED_BYTES = 8
_BACKSLASH = ord("\\")
_START = re.compile(
    rb'\s*\{\s*"type"\s*:\s*"bundle_update"\s*,\s*'
    rb'(?:"(?:timestamp|targetDeviceId)"\s*:\s*(?:\d+|"[^"\\]*")\s*,\s*)*'
    rb'"payload"\s*:\s*\{\s*"code"\s*:\s*"'
)


class NotABundle(ValueError):
    """The message ended before its code did."""


def begins_bundle(head: bytes) -> bool:
    """Whether a message that begins with ``head`` is a ``bundle_update`` of the usual form."""
    return _START.match(head) is not None


class Plan(NamedTuple):
    """How a literal is cut into chunks, whatever its length turns out to be."""

    total: int
    """How many chunks there are."""
    chunk_bytes: int
    """The most that a chunk has of the literal."""
    reserve: int
    """How many of the last chunks may be longer: each twice as long as the one before, and the very
    last of any length. 0 where the length is known."""
    most_bytes: int
    """The most that the literal may have, in bytes."""

    def room(self, index: int) -> int | None:
        """The most bytes that a chunk may have; None for any number."""
        if self.reserve and index == self.total - 1:
            return None
        return self.chunk_bytes << max(0, index + 1 + self.reserve - self.total)


def plan_known(most_bytes: int) -> Plan:
    """For a literal of at most ``most_bytes``."""
    total = max(1, -(-most_bytes // (CHUNK_BYTES - _MOST_SHORTENED_BYTES)))
    return Plan(total, CHUNK_BYTES, 0, most_bytes)


def plan_guessed(length: int, most_bytes: int) -> Plan:
    """For a literal of perhaps ``length`` bytes, and at most ``most_bytes``."""
    expected = min(length + length // _MARGIN_OF, most_bytes)
    chunks = min(_MOST_GUESSED, max(1, -(-expected // CHUNK_BYTES)))
    return Plan(chunks + _RESERVE, max(CHUNK_BYTES, -(-expected // chunks)), _RESERVE, most_bytes)


class TextPart(NamedTuple):
    """A piece of one of the messages."""

    text: bytes
    first: bool
    """Whether the message begins with it."""
    last: bool


class _Stage(Enum):
    """How far a `Rechunker` has come."""

    BEGIN = "begin"
    """It has not found the beginning of the literal."""
    LOOK = "look"
    """It has the beginning of the literal, and no plan."""
    CUT = "cut"
    """It has a plan, and cuts the literal."""
    OVER = "over"
    """It has cut all of the literal."""


class Rechunker:
    """Splits one ``bundle_update``.

    The output does not depend on the pieces in which the message is fed, except for a plan that was
    guessed. With that plan, another `Rechunker` makes the same chunks of the same message.

    :param now_ms: the timestamp of ``bundle_start``.
    :param most_bytes: the most bytes that the message may have.
    :param known: whether it has exactly as many.
    :param guess: estimates the message's length from what was fed so far. It is called once, and
        only where the length is not known.
    :param plan: the plan of another `Rechunker`, to make the same chunks.
    """

    def __init__(
        self,
        now_ms: int,
        most_bytes: int,
        known: bool = True,
        guess: Callable[[], int] | None = None,
        plan: Plan | None = None,
    ) -> None:
        self._now_ms = now_ms
        self._most_bytes = most_bytes
        self._known = known
        self._guess = guess
        self.plan = plan
        """None until it is made."""
        self._text = bytearray()
        """What was fed of the literal and is in no chunk yet."""
        self._scanned = 0
        self._prefix_bytes = 0
        self._stage = _Stage.BEGIN
        self._code_ended = False
        self._index = 0
        self._sent = 0
        """How many bytes of the literal the current chunk has so far."""

    def feed(self, text: bytes | memoryview, end: bool) -> list[TextPart]:
        """Take in the next bytes of a message for which `begins_bundle` is true; returns the parts
        that are ready.

        :param end: whether these are the message's last bytes.
        :raises NotABundle: the message has ended before its code has.
        """
        parts: list[TextPart] = []
        if not self._code_ended:
            self._text += text
            if self._stage is _Stage.BEGIN:
                self._strip_prefix()
            if self._stage is not _Stage.BEGIN:
                self._find_end()
        if self._stage is _Stage.LOOK and self._decide():
            parts.append(self._start())
        if self._stage is _Stage.CUT:
            self._cut(parts, end)
        if end:
            if self._stage is not _Stage.OVER or self.plan is None:
                raise NotABundle("the bundle has no end")
            while self._index < self.plan.total:
                parts.append(self._part(0, True))
        return parts

    def _strip_prefix(self) -> None:
        """Drop what is in front of the code, once all of that is there."""
        match = _START.match(self._text)
        if match is None:
            return
        self._prefix_bytes = match.end()
        del self._text[: match.end()]
        self._stage = _Stage.LOOK

    def _find_end(self) -> None:
        """Look for the quote that ends the code. Drop it and what follows."""
        text = self._text
        scanned = self._scanned
        while (quote := text.find(b'"', scanned)) >= 0:
            scanned = quote + 1
            # Nearly every quote belongs to a string in the code.
            if quote > 1 and text[quote - 1] == _BACKSLASH != text[quote - 2]:
                continue
            if _backslashes_before(text, quote) % 2 == 0:
                del text[quote:]
                self._code_ended = True
                break
        else:
            self._scanned = len(text)

    def _decide(self) -> bool:
        """Make the plan. Returns False where that needs more of the message."""
        most = self._most_bytes - self._prefix_bytes
        if self.plan is not None:
            pass
        elif self._known:
            self.plan = plan_known(most)
        elif self._code_ended:
            self.plan = plan_known(len(self._text))
        elif len(self._text) > LOOK_AHEAD_BYTES:
            guessed = most if self._guess is None else self._guess() - self._prefix_bytes
            self.plan = plan_guessed(max(guessed, len(self._text)), most)
        return self.plan is not None

    def _start(self) -> TextPart:
        self._stage = _Stage.CUT
        plan = self.plan
        assert plan is not None
        text = b'{"type":"bundle_start","totalChunks":%d,"totalSize":%d,"timestamp":%d}' % (
            plan.total,
            plan.most_bytes,
            self._now_ms,
        )
        return TextPart(text, True, True)

    def _cut(self, parts: list[TextPart], end: bool) -> None:
        """Cut off all that can be cut; at the end of the message, the rest. Until then something is
        always left, so that the last part can say that it is the last."""
        assert self.plan is not None
        while True:
            room = self.plan.room(self._index)
            left = CHUNK_BYTES if room is None else min(CHUNK_BYTES, room - self._sent)
            if len(self._text) <= left:
                break
            at = _safe_cut(self._text, left)
            full = room is not None and room - self._sent - at <= _SHORTEST_PART_BYTES
            parts.append(self._part(at, full))
        if self._code_ended and end:
            parts.append(self._part(len(self._text), True))
            self._stage = _Stage.OVER

    def _part(self, length: int, last: bool) -> TextPart:
        """The next ``length`` bytes of the literal, as a part of the chunk's message."""
        assert self.plan is not None
        text = bytes(self._text[:length])
        del self._text[:length]
        self._scanned = max(0, self._scanned - length)
        first = not self._sent
        if first:
            head = b'{"type":"bundle_chunk","index":%d,"totalChunks":%d,"data":"'
            text = head % (self._index, self.plan.total) + text
        self._sent += length
        if last:
            text += b'"}'
            self._index += 1
            self._sent = 0
        return TextPart(text, first, last)


def _safe_cut(literal: bytearray, at: int) -> int:
    """The last place up to ``at`` that is not inside an escape sequence or a character."""
    while literal[at] & 0xC0 == 0x80:
        at -= 1
    slash = literal.rfind(b"\\", at - _LONGEST_ESCAPE + 1, at)
    if slash < 0:
        return at
    if _backslashes_before(literal, slash) % 2:
        return at
    length = _LONGEST_ESCAPE if literal[slash + 1] == ord("u") else 2
    return slash if slash + length > at else at


def _backslashes_before(text: bytearray, at: int) -> int:
    run = 0
    while run < at and text[at - run - 1] == _BACKSLASH:
        run += 1
    return run
