"""One case of conformance: what a CLI sends, and what must come of it.

The numbers are those of the cases in the Autobahn test suite that ask the same; titles and bytes
are ours. Where that suite's server echoes what it gets, the phone of the session does here: what
comes back has gone through the relay both ways.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from apptuner_relay.wire.frames import CLOSE, COMPRESSED, TEXT, frame
from tests.live.conformance.peer import Message, Peer, Trouble, turn_until
from tests.memory import deflated, masked

_NOTICES = (
    b'{"type":"connected"',
    b'{"type":"mobile_connected"',
    b'{"type":"mobile_disconnected"',
    b'{"type":"device_list"',
    b'{"type":"pong"',
)
_OPENING = b'{"type":"mobile_connected"'
_APPLICATION_PING = masked(TEXT, b'{"type":"ping","timestamp":0}')
_APPLICATION_PONG = b'{"type":"pong"'
_ERROR = b'{"type":"error"'


@dataclass(frozen=True)
class Case:
    """What the CLI sends, and what must come of it."""

    number: str
    title: str
    sends: tuple[bytes, ...]
    """Each in a segment of its own, as far as TCP lets it."""
    relayed: tuple[Message, ...] = ()
    """What reaches the phone, and comes back from it while the CLI is there."""
    pongs: tuple[bytes, ...] = ()
    errors: int = 0
    """How many `error` messages the CLI gets."""
    close: int | None = None
    """The code of the relay's Close; None where it leaves closing to the CLI, which then gets back
    the 1000 that it sends."""
    phone_close: int | None = None
    """The code of the relay's Close to the phone."""
    phone_may_stay: bool = False
    """Whether the phone may as well stay: TCP decides if it had the beginning of the message."""
    unfinished: bool = False
    """Whether the CLI stops inside of a frame: it can't answer a Close then, but ends its side of
    TCP."""
    offer: str | None = None
    """What the CLI offers in ``Sec-WebSocket-Extensions``, and `phone_offer` the phone."""
    phone_offer: str | None = None
    extensions: str | None = None
    """What the CLI is granted."""

    @property
    def group(self) -> str:
        return self.number.partition(".")[0]

    @property
    def expectation(self) -> str:
        """In words."""
        words = []
        if self.relayed:
            words.append(f"{_many(len(self.relayed), 'message')} relayed and echoed")
        if self.pongs:
            words.append(_many(len(self.pongs), "pong"))
        if self.errors:
            words.append(_many(self.errors, "`error`"))
        if self.offer is not None:
            words.append("compressed" if self.extensions else "no compression")
        if self.phone_close is not None:
            when = ", if it has half of it" if self.phone_may_stay else ""
            words.append(f"phone closed with {self.phone_close}{when}")
        if self.close is not None:
            words.append(f"closed with {self.close}" if self.close != 1005 else "closed, no code")
        return ", ".join(words) or "nothing comes of it"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count > 1)}"


def run(case: Case, port: int, session: str) -> None:
    """Run a case against the relay on ``port``.

    :raises Trouble: what came of it is not what must.
    """
    with _peer(port, f"/mobile/{session}", case.phone_offer, echoes=True) as phone:
        turn_until([phone], lambda: bool(phone.seen.messages), "the phone's welcome")
        with _peer(port, f"/cli/{session}", case.offer) as cli:
            _run(case, cli, phone)


@contextmanager
def _peer(port: int, target: str, offer: str | None, echoes: bool = False) -> Iterator[Peer]:
    peer = Peer(port, target, offer, _echo if echoes else None)
    try:
        yield peer
    finally:
        peer.socket.close()


def _echo(phone: Peer, opcode: int, payload: bytes) -> None:
    if not payload.startswith(_NOTICES):
        phone.send(masked(opcode, payload))


def _run(case: Case, cli: Peer, phone: Peer) -> None:
    both = (cli, phone)
    _same("negotiated", cli.extensions, case.extensions)
    turn_until(
        both,
        lambda: any(message.payload.startswith(_OPENING) for message in cli.seen.messages),
        "the phone to be announced",
    )
    cli.answers_close = not case.unfinished
    cli.send(*case.sends)
    if case.close is None:

        def all_there() -> bool:
            if cli.seen.close is not None:
                raise Trouble(f"closed with {cli.seen.close} {cli.seen.reason!r}")
            want = len(case.relayed) + case.errors
            return (
                not cli.wants_to_write
                and len(_others(cli)) >= want
                and len(cli.seen.pongs) >= len(case.pongs)
            )

        turn_until(both, all_there, f"{len(case.relayed)} echoes and {len(case.pongs)} pongs")
        cli.close()
    turn_until(both, lambda: cli.seen.over, "the end of the CLI's connection")
    _same("close code", cli.seen.close, 1000 if case.close is None else case.close)
    if cli.answers_close:
        _same("reset", cli.seen.was_reset, False)
    _same("pongs", tuple(cli.seen.pongs), case.pongs)
    came = _others(cli)
    errors = [message for message in came if message.payload.startswith(_ERROR)]
    echoes = tuple(message for message in came if message not in errors)
    _same("error messages", len(errors), case.errors)
    if case.close is None:
        _same("echoes", echoes, case.relayed)
    else:
        _same("echoes before the close", echoes, case.relayed[: len(echoes)])
    _see_phone(case, phone)


def _see_phone(case: Case, phone: Peer) -> None:
    """What came before the pong to what it asks now is all there is."""
    phone.send(_APPLICATION_PING)
    turn_until(
        [phone],
        lambda: (
            phone.seen.over
            or any(m.payload.startswith(_APPLICATION_PONG) for m in phone.seen.messages)
        ),
        "the phone to be answered or closed",
    )
    if phone.seen.close is not None or not case.phone_may_stay:
        _same("the phone's close code", phone.seen.close, case.phone_close)
    if case.phone_offer is None:
        _same("what the phone got", tuple(_others(phone)), _plain(case.relayed))
    else:
        _same("what the phone got", tuple(_others(phone)), case.relayed)


def _plain(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    return tuple(Message(message.opcode & ~COMPRESSED, message.payload) for message in messages)


def _others(peer: Peer) -> list[Message]:
    """The messages that are none of the relay's notices."""
    return [m for m in peer.seen.messages if not m.payload.startswith(_NOTICES)]


def _same(what: str, is_: object, should: object) -> None:
    if is_ != should:
        raise Trouble(f"{what}: {_short(is_)} instead of {_short(should)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:150]}… ({len(text)} characters)"


# What cases are made of


def text_of(content: str, fill: int = 0) -> bytes:
    """A message that the relay forwards, with ``content`` in it; of ``fill`` bytes, if that is
    more."""
    body = b'{"type":"echo","content":"' + content.encode()
    return body + b"x" * max(0, fill - len(body) - 2) + b'"}'


def raw_text(content: bytes) -> bytes:
    """The same with any bytes."""
    return b'{"type":"echo","content":"' + content + b'"}'


def fragments(opcode: int, *parts: bytes) -> tuple[bytes, ...]:
    """The frames of one message."""
    last = len(parts) - 1
    return tuple(masked(opcode if i == 0 else 0, part, i == last) for i, part in enumerate(parts))


def octets(*frames: bytes) -> tuple[bytes, ...]:
    """The same stream, in segments of one byte."""
    return chops(b"".join(frames), 1)


def chops(data: bytes, step: int) -> tuple[bytes, ...]:
    return tuple(data[at : at + step] for at in range(0, len(data), step))


def closing(code: int, reason: bytes = b"") -> bytes:
    """A client's Close."""
    return masked(CLOSE, code.to_bytes(2, "big") + reason)


def compressed(opcode: int, payload: bytes, level: int = 6) -> bytes:
    """A whole message in one frame, compressed."""
    return masked(opcode | COMPRESSED, deflated(payload, level))


def unmasked(opcode: int, payload: bytes) -> bytes:
    """What no client may send."""
    return frame(opcode, payload)
