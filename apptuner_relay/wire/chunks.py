"""Turns one big ``bundle_update`` into ``bundle_start`` and ``bundle_chunk`` messages, as it comes.

For phones that cope badly with big messages and say ``chunks=1``. The code's JSON literal is cut
where no escape and no character is split, and passed on as it stands; a source map is left out, as
it is when the CLI sends chunks.

How many chunks there will be has to be said first. Where the message's length is not known, as it
is compressed, its beginning is looked at, and the `Plan` is made of what that lets expect. It holds
for whatever comes: chunks that turn out too many are empty, and where they would be too few the
last ones grow.
"""

import re
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

CHUNK_BYTES = 128 * 1024
"""How much of the code's JSON literal a chunk holds at most, where its length was known."""
LOOK_AHEAD_BYTES = 512 * 1024
"""How much of a literal of unknown length is looked at before anything is said."""
_MOST_GUESSED = 64
"""How many chunks there may be of a guessed length; longer literals go in longer chunks, of less
than 1 MiB up to the wire's limit of 50 MiB."""
_RESERVE = 5
"""How many chunks more there are for what is longer than was guessed, each twice as long as the one
before, the last as long as it takes."""
_MARGIN_OF = 16
"""A guess may be too small by this part of it."""

_SHORTEST_PART_BYTES = 64
"""A chunk that has room for no more is full."""
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
    """How a literal is cut, whatever its length turns out to be."""

    total: int
    """How many chunks there are."""
    chunk_bytes: int
    """How long they are, at most."""
    reserve: int
    """How many of the last ones may be longer, each twice as long as the one before, and the very
    last as long as it takes. 0 where the length is known."""
    most_bytes: int
    """The most that the literal may have."""

    def room(self, index: int) -> int | None:
        """How long a chunk may be; None for any length."""
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


class Part(NamedTuple):
    """A piece of one of the messages."""

    text: bytes
    first: bool
    """Whether the message begins with it."""
    last: bool


class _Stage(Enum):
    """How far a `Rechunker` is."""

    BEGIN = "begin"
    LOOK = "look"
    """It has the beginning of the literal, and no plan."""
    CUT = "cut"
    OVER = "over"
    """It has cut all of the literal."""


class Rechunker:
    """One ``bundle_update`` on its way into chunks.

    What comes out does not depend on the pieces in which the message came, but for the plan, where
    that was guessed: somebody else can go on with that.

    :param now_ms: the timestamp of ``bundle_start``.
    :param most_bytes: how long the message may be.
    :param known: whether it is as long as that.
    :param guess: tells how long it may be expected to be, by what has come of it so far; asked
        once, where its length is not known.
    :param plan: how somebody else has begun to cut it.
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
        """How it is cut; None until that is decided."""
        self._text = bytearray()
        """What has come of the literal and has not gone."""
        self._scanned = 0
        self._prefix_bytes = 0
        self._stage = _Stage.BEGIN
        self._code_ended = False
        self._index = 0
        self._sent = 0
        """How much of the chunk has gone."""

    def feed(self, text: bytes, end: bool) -> list[Part]:
        """Take in the next bytes of a message of which `begins_bundle` holds; returns what is
        ready.

        :raises NotABundle: at the end, when there was no end of the code.
        """
        parts: list[Part] = []
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
        """Drop what is before the code, once all of that has come."""
        match = _START.match(self._text)
        if match is None:
            return
        self._prefix_bytes = match.end()
        del self._text[: match.end()]
        self._stage = _Stage.LOOK

    def _find_end(self) -> None:
        """Look for the quote that ends the code, and drop it and what follows."""
        text = self._text
        while (quote := text.find(b'"', self._scanned)) >= 0:
            if _backslashes_before(text, quote) % 2 == 0:
                del text[quote:]
                self._code_ended = True
                break
            self._scanned = quote + 1
        else:
            self._scanned = len(text)

    def _decide(self) -> bool:
        """Make the plan. False where more has to come for that."""
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

    def _start(self) -> Part:
        self._stage = _Stage.CUT
        plan = self.plan
        assert plan is not None
        text = b'{"type":"bundle_start","totalChunks":%d,"totalSize":%d,"timestamp":%d}' % (
            plan.total,
            plan.most_bytes,
            self._now_ms,
        )
        return Part(text, True, True)

    def _cut(self, parts: list[Part], end: bool) -> None:
        """Cut off what can be cut; all, at the end of the message. Something is left until then, so
        that the last part tells those who pass it on that it is the last."""
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

    def _part(self, length: int, last: bool) -> Part:
        """The next so many bytes of the literal, as a part of its chunk's message."""
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
        return Part(text, first, last)


def _safe_cut(literal: bytearray, at: int) -> int:
    """The last place up to ``at`` that is inside of no escape and no character."""
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
