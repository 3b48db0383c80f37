"""`share`: makes a join token for phones, and shows the URL with it, as text and as a QR code.

Nothing is sent: whoever has the session's secret can sign tokens alone.
"""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from time import time as wall_s
from typing import Any

from twisted.internet.defer import Deferred, succeed

from apptuner_relay.client.command import Command, add_session_arguments, checked
from apptuner_relay.client.credentials import add_key_argument
from apptuner_relay.client.join_url import TOKEN_LASTS_S, join_token, join_url, qr_code
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.screen import Screen

_DURATION = re.compile(r"([0-9]{1,6})(m|h|d)")
_UNITS_S = {"m": 60, "h": 3600, "d": 86400}
_LONGEST_S = 366 * 86400


class Shared:
    """All was done at once."""

    def __init__(self) -> None:
        self.done: Deferred[Exit] = succeed(Exit.DONE)

    def leave(self, code: Exit) -> None:
        """There is nothing to leave."""


def lasting(text: str) -> int:
    """`30m`, `8h` or `7d` in seconds. Raises `ValueError` with a text for the user."""
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _UNITS_S[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST_S:
        raise ValueError("a time is a number with m, h or d behind it, such as 8h, up to a year")
    return seconds


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_session_arguments(parser)
    add_key_argument(parser, "the session's secret, with which its CLI connects")
    parser.add_argument(
        "--lasts",
        metavar="TIME",
        type=checked(lasting),
        default=int(TOKEN_LASTS_S),
        help="how long phones may join with it: 30m, 8h, 7d (default: 8h). A phone that has joined "
        "stays",
    )
    parser.add_argument("--no-qr", action="store_true", help="print the URL only")


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Shared:
    if arguments.key is None:
        raise UsageError("--key: the session's secret is needed to sign a token")
    expires_s = wall_s() + arguments.lasts
    token = join_token(arguments.key, arguments.session, expires_s)
    url = join_url(arguments.relay, arguments.session, token)
    screen.tell_raw(url)
    if not arguments.no_qr and screen.out_is_terminal:
        screen.tell_raw(qr_code(url))
    until = datetime.fromtimestamp(int(expires_s), UTC)
    screen.say(f"phones may join with it until {until:%Y-%m-%d %H:%M:%S} UTC")
    return Shared()


COMMAND = Command(
    "share",
    "Signs a join token with the session's secret, and prints the URL with which a phone joins,\n"
    "on a terminal as a QR code as well. The relay asks phones for a token where the session's\n"
    "CLI wants it: `push --tokens`, or `tokens=1` in its query string. No relay is asked: the\n"
    "token is good at every relay that has the session's claim.",
    _add_arguments,
    _start,
)
