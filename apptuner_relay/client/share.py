"""`share`: the URL with which a phone joins, as text and as a QR code; with --key it has a token.

The relay is only asked what may be wrong with it, when the URL is there: whoever has the session's
secret can sign tokens alone.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from time import time as wall_s
from typing import Any

from twisted.internet.defer import Deferred, succeed

from apptuner_relay.access.tokens import TOKEN_LASTS_S
from apptuner_relay.client.address import Relay
from apptuner_relay.client.command import Command, add_session_arguments, checked
from apptuner_relay.client.credentials import add_key_argument
from apptuner_relay.client.join_url import join_token, join_url, qr_code
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.share_check import look_at
from apptuner_relay.support.lan_address import is_loopback, own_addresses

_DURATION = re.compile(r"([0-9]{1,6})(m|h|d)")
_UNITS_S = {"m": 60, "h": 3600, "d": 86400}
_LONGEST_S = 366 * 86400


class Shared:
    """The URL is shown; the relay may still be asked what it makes of that.

    :param asked: fires when it has been.
    """

    def __init__(self, asked: Deferred[None]) -> None:
        self.done: Deferred[Exit] = Deferred()
        self._asked = asked
        asked.addBoth(lambda _: self.done.callback(Exit.DONE))

    def leave(self, code: Exit) -> None:
        """See `CommandRun`. All that was asked for is done."""
        self._asked.cancel()


def lasting(text: str) -> int:
    """`30m`, `8h` or `7d` in seconds. Raises `ValueError` with a text for the user."""
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _UNITS_S[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST_S:
        raise ValueError("a time is a number with m, h or d behind it, such as 8h, up to a year")
    return seconds


def lan_addresses() -> list[str]:
    """This machine's addresses in its networks, that of its default route first."""
    return list(dict.fromkeys(one for one in own_addresses() if not is_loopback(one)))


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_session_arguments(parser)
    add_key_argument(parser, "the session's secret, with which its CLI connects")
    parser.add_argument(
        "--lasts",
        metavar="TIME",
        type=checked(lasting),
        default=TOKEN_LASTS_S,
        help="with --key: how long phones may join with it: 30m, 8h, 7d (default: 8h). A phone "
        "that has joined stays",
    )
    parser.add_argument(
        "--loopback",
        action="store_true",
        help="leave a relay's address such as 127.0.0.1 as it is, for simulators on this machine "
        "(default: this machine's address in its network takes its place)",
    )
    parser.add_argument(
        "--offline", action="store_true", help="do not ask the relay whether the URL is good"
    )
    parser.add_argument("--no-qr", action="store_true", help="print the URL only")


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Shared:
    relay: Relay = arguments.relay
    others: list[str] = []
    if is_loopback(relay.host) and not arguments.loopback:
        addresses = lan_addresses()
        if addresses:
            relay, others = replace(relay, host=addresses[0]), addresses[1:]
    token, expires_s = None, None
    if arguments.key is not None:
        expires_s = int(wall_s() + arguments.lasts)
        token = join_token(arguments.key, arguments.session, expires_s)
    url = join_url(relay, arguments.session, token)
    if screen.speaks_json:
        screen.result(
            url=url,
            expires_ms=None if expires_s is None else expires_s * 1000,
            other_addresses=others,
        )
    else:
        screen.tell_raw(url)
        if not arguments.no_qr and screen.out_is_terminal:
            screen.tell_raw(qr_code(url))
    if expires_s is not None:
        until = datetime.fromtimestamp(expires_s, UTC)
        screen.say(f"phones may join with it until {until:%Y-%m-%d %H:%M:%S} UTC")
    for note in _notes(arguments.relay, relay, others, asked_for=arguments.loopback):
        screen.say(note)
    if arguments.offline:
        return Shared(succeed(None))
    checking = look_at(relay, arguments.session, arguments.key, reactor, screen)
    return Shared(Deferred.fromCoroutine(checking))


def _notes(given: Relay, seen: Relay, others: list[str], *, asked_for: bool) -> Iterator[str]:
    """What there is to know of the address in the URL."""
    if is_loopback(seen.host):
        why = "" if asked_for else ": this machine has no other address"
        yield f"only this machine reaches {seen.host}, and no phone{why}"
    elif seen is not given:
        yield f"phones reach this machine at {seen.host}, not at {given.host}"
        if seen.secure:
            yield f"the relay's certificate has to be good for {seen.host}"
    if others:
        yield (
            f"it has other addresses, too: {', '.join(others)}. For a phone in one of those "
            "networks, name it with --relay"
        )


COMMAND = Command(
    "share",
    "Prints the URL with which a phone joins a session, on a terminal as a QR code as well. With\n"
    "--key it has a join token, signed with the session's secret; the relay asks phones for one\n"
    "where the session's CLI wants it: `push --tokens`, or `tokens=1` in its query string. A\n"
    "token is good at every relay that has the session's claim. In place of an address that only\n"
    "this machine reaches stands that of this machine in its network. When the URL is printed,\n"
    "the relay is asked there whether phones can join with it, for 2 seconds at most; what may be\n"
    "wrong is said. --offline leaves that out.",
    _add_arguments,
    _start,
)
