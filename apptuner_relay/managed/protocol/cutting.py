"""Cuts console logs that are longer than an event may be. Pure."""

import json
import re

from apptuner_relay.managed.protocol.raw_json import array_items, object_fields
from apptuner_relay.wire.messages import compact_json

_LEVELS = ('"log"', '"info"', '"warn"', '"error"', '"debug"')
_NUMBER = re.compile(r"-?[0-9.eE+-]{1,32}")
CUT_MARK = "… [cut: {} bytes]"
"""Stands for what was cut."""
_MOST_MARK = CUT_MARK.format(10**12)


class NotCuttable(ValueError):
    """A message that is no console log, or for which there is no room even when cut."""


def cut_log(message: bytes, most_bytes: int) -> bytes:
    """A console log in at most ``most_bytes``. Its ``args`` are kept as far as they fit; the first
    that does not becomes a string with the mark ``… [cut: N bytes]`` at its end, which counts what
    is missing of it and of those behind it. No character is split. ``level`` and ``timestamp`` are
    kept, other fields are not.

    :raises NotCuttable: it can't be.
    """
    try:
        fields = object_fields(message.decode())
        payload = object_fields(fields.get("payload", ""))
        args = array_items(payload.get("args", ""))
    except ValueError:
        raise NotCuttable("the message has no payload with args") from None
    if fields.get("type") != '"console_log"':
        raise NotCuttable("the message is no console log")
    level = payload.get("level", "")
    start = '{"type":"console_log","payload":{"level":%s,"args":[' % (
        level if level in _LEVELS else _LEVELS[0]
    )
    timestamp = payload.get("timestamp", "")
    end = f'],"timestamp":{timestamp}}}}}' if _NUMBER.fullmatch(timestamp) else "]}}"
    kept = _fit(args, most_bytes - len(start) - len(end))
    return f"{start}{kept}{end}".encode()


def _fit(args: list[str], most_bytes: int) -> str:
    """As many of ``args``, which are JSON texts, as fit, with commas between them."""
    whole = ",".join(args)
    if _size(whole) <= most_bytes:
        return whole
    texts = [_text(arg) for arg in args]
    missing = sum(map(_size, texts))
    # Of which there has to be room for the mark, in quotes.
    room = most_bytes - _size(_MOST_MARK) - 2
    if room < 0:
        raise NotCuttable("there is no room")
    kept: list[str] = []
    for arg, text in zip(args, texts, strict=True):
        # With the comma that will stand behind it.
        size = _size(arg) + 1
        if size > room:
            start = _start(text, room)
            mark = CUT_MARK.format(missing - _size(start))
            kept.append(compact_json(start + mark).decode())
            break
        kept.append(arg)
        room -= size
        missing -= _size(text)
    return ",".join(kept)


def _text(arg: str) -> str:
    """What an argument shows: what is in a string, and the JSON of anything else."""
    return str(json.loads(arg)) if arg.startswith('"') else arg


def _size(text: str) -> int:
    # An escape can stand for half a character.
    return len(text.encode("utf-8", "backslashreplace"))


def _start(text: str, room: int) -> str:
    """The longest start of ``text`` that takes at most ``room`` bytes within a JSON string."""
    low, high = 0, min(len(text), room)
    while low < high:
        middle = (low + high + 1) // 2
        if len(compact_json(text[:middle])) - 2 <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low]
