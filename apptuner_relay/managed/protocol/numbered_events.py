"""What an event in a session's channel carries: messages, and a number by which a receiver finds
out that it has missed some. Pure.

The ``data`` of an event is a JSON object. ``epoch`` and ``n`` number the events of one sender in
one channel, from 1 on; a sender that begins anew takes a new epoch. ``to`` says who of those in the
channel a relay's event is for. ``messages`` are those of the wire (docs/reference/protocol.md),
byte for byte.
"""

import re
import secrets
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeAlias

from apptuner_relay.managed.protocol.raw_json import array_items, object_fields
from apptuner_relay.managed.protocol.user_ids import BadMember, parse_user_id
from apptuner_relay.session.roles import Role
from apptuner_relay.wire.messages import compact_json
from apptuner_relay.wire.text import parse_json

EVENT_NAME = "client-apptuner"
"""The name of all events in sessions' channels."""

PHONES: Final = "phones"
DESKTOP: Final = "desktop"
"""All of the channel that are phones, and all that are of the desktop side."""

Recipients: TypeAlias = Literal["phones", "desktop"] | tuple[str, ...]
"""One of those, or some by their ``user_id``."""

MOST_N = 2**53 - 1
"""The largest integer that JavaScript has exactly."""

_EPOCH_BYTES = 4
_EPOCH = re.compile(r"[0-9a-f]{8}")
_MOST_RECIPIENTS = 1000


class BadEvent(ValueError):
    """The data of an event is not what it has to be; the text says why, and repeats nothing."""


class NumberedEvent(NamedTuple):
    """The data of an event."""

    epoch: str
    n: int
    to: Recipients | None
    """None from a client: such an event is for the relay."""
    messages: tuple[bytes, ...]
    """Each the text of a JSON object."""


def is_message(message: bytes) -> bool:
    """Whether that can stand among the messages of an event: a JSON object, in UTF-8."""
    try:
        return isinstance(parse_json(message), dict)
    except ValueError:
        return False


def encode_event(epoch: str, n: int, to: Recipients | None, messages: Iterable[bytes]) -> str:
    """The data of an event, a JSON text.

    :param messages: each of them `is_message`; they aren't looked at again.
    """
    recipients = b"" if to is None else b'"to":%b,' % compact_json(to)
    start = b'{"epoch":"%b","n":%d,%b"messages":[' % (epoch.encode(), n, recipients)
    return b"".join((start, b",".join(messages), b"]}")).decode()


def parse_event(text: str) -> NumberedEvent:
    """The reverse of `encode_event`. Fields that it doesn't know are ignored.

    :raises BadEvent: the text comes from none of ours.
    """
    try:
        fields = object_fields(text)
        items = array_items(fields["messages"])
        epoch, n, to = (
            parse_json(fields.get(name, "null").encode()) for name in ("epoch", "n", "to")
        )
    except (KeyError, ValueError):
        raise BadEvent("no JSON object with messages") from None
    if not isinstance(epoch, str) or not _EPOCH.fullmatch(epoch):
        raise BadEvent("no epoch")
    if type(n) is not int or not 1 <= n <= MOST_N:
        raise BadEvent("no number")
    if not all(item.startswith("{") for item in items):
        raise BadEvent("a message that is no object")
    try:
        messages = tuple(item.encode() for item in items)
    except UnicodeEncodeError:
        raise BadEvent("half a character") from None
    return NumberedEvent(epoch, n, _recipients(to), messages)


def _recipients(value: object) -> Recipients | None:
    if value is None:
        return None
    if value == PHONES:
        return PHONES
    if value == DESKTOP:
        return DESKTOP
    if not isinstance(value, list) or not 1 <= len(value) <= _MOST_RECIPIENTS:
        raise BadEvent("nobody whom it is to")
    if not all(isinstance(one, str) for one in value):
        raise BadEvent("somebody without a name whom it is to")
    return tuple(value)


def is_to(recipients: Recipients | None, user_id: str) -> bool:
    """Whether an event of a relay is for that one."""
    if isinstance(recipients, tuple):
        return user_id in recipients
    try:
        role = parse_user_id(user_id).role
    except BadMember:
        return False
    if recipients is None or role is None:
        return False
    return (role is Role.MOBILE) == (recipients == PHONES)


def new_epoch() -> str:
    """The epoch of a sender that begins anew."""
    return secrets.token_hex(_EPOCH_BYTES)


class Numbering:
    """The numbers of what one sender sends in one channel."""

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self._last = 0

    @property
    def next_n(self) -> int:
        """The number of the next event, until that is `count`-ed."""
        return self._last + 1

    def count(self) -> None:
        """An event was sent."""
        self._last += 1


class Heard(Enum):
    """What the number of an event says about those before it."""

    NEXT = "next"
    """None is missing."""
    GAP = "gap"
    """Some are missing, or come later."""
    NEW_EPOCH = "new epoch"
    """It is the first one that is heard of that sender, or of its new epoch. There may have been
    others before it."""
    REPEATED = "repeated"
    """It was heard already, or was taken for lost."""


class Hearing(NamedTuple):
    """What the number of an event says."""

    heard: Heard
    lost: int = 0
    """How many events are missing, of a `Heard.GAP`."""

    @property
    def wants_state(self) -> bool:
        """Whether the receiver has to ask for the state."""
        return self.heard in (Heard.GAP, Heard.NEW_EPOCH)


class GapFinder:
    """Finds what is missing of one sender's events."""

    def __init__(self) -> None:
        self._epoch: str | None = None
        self._last = 0

    @property
    def position(self) -> tuple[str | None, int]:
        """The epoch and the number of the last event that was heard; None and 0 before the
        first."""
        return self._epoch, self._last

    def hear(self, epoch: str, n: int) -> Hearing:
        """An event has come. Its messages count unless it is `Heard.REPEATED`."""
        if epoch != self._epoch:
            self._epoch, self._last = epoch, n
            return Hearing(Heard.NEW_EPOCH)
        lost = n - self._last - 1
        if lost < 0:
            return Hearing(Heard.REPEATED)
        self._last = n
        return Hearing(Heard.GAP, lost) if lost else Hearing(Heard.NEXT)


@lru_cache(maxsize=256)
def event_overhead(to: Recipients | None) -> int:
    """How many bytes the data of an event has at most besides its messages and the commas between
    them."""
    return len(encode_event("0" * (2 * _EPOCH_BYTES), MOST_N, to, ()).encode())
