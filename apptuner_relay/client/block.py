"""`block`: refuses clients of an address, lifts that, and lists what is blocked."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import Deferred

from apptuner_relay.client.command import Command, add_quiet_argument, add_relay_argument
from apptuner_relay.client.operator_api import OperatorApi
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.printable import printable
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.sources import Inquiry, add_token_argument

BLOCK_PATH = "/api/block"

Rows = Sequence[Mapping[str, Any]]

_TITLES = ("address", "since", "until", "reason")
_LEFT = (0, 1, 2, 3)
_MOST_REASON = 60


async def show_blocked(api: OperatorApi, screen: Screen) -> Exit:
    """Print what is blocked."""
    rows = await api.get(BLOCK_PATH, _read)
    screen.result(blocked=list(rows))
    if rows:
        screen.tell_table(_TITLES, [_cells(row) for row in rows], left=_LEFT)
    else:
        screen.tell("no address is blocked")
    return Exit.DONE


async def block(api: OperatorApi, body: Mapping[str, str], screen: Screen) -> Exit:
    """Block an address."""
    rows = await api.post(BLOCK_PATH, _read, json.dumps(body).encode())
    screen.result(blocked=list(rows))
    until = f"for {body['for']}" if "for" in body else "until that is lifted"
    screen.tell(f"{printable(body['address'])} is blocked {until}")
    return Exit.DONE


async def lift(api: OperatorApi, address: str, screen: Screen) -> Exit:
    """Block it no more."""
    rows = await api.delete(BLOCK_PATH, _read, json.dumps({"address": address}).encode())
    screen.result(blocked=list(rows))
    screen.tell(f"{printable(address)} is not blocked any more")
    return Exit.DONE


def _read(value: object) -> Rows:
    rows = value.get("blocked") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it does not say what is blocked")
    return rows


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    until = row.get("until_ms")
    return (
        printable(str(row.get("address", ""))),
        _time(row.get("since_ms")),
        "lifted" if until is None else _time(until),
        printable(str(row.get("reason", "")), limit=_MOST_REASON),
    )


def _time(ms: object) -> str:
    try:
        return f"{datetime.fromtimestamp(int(str(ms)) / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return "–"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "address",
        metavar="ADDRESS",
        nargs="?",
        help="what to block: 192.0.2.4, or a network such as 2001:db8::/64; without it, what is "
        "blocked is listed",
    )
    add_relay_argument(parser)
    add_token_argument(parser)
    parser.add_argument(
        "--for",
        dest="for_time",
        metavar="TIME",
        help="for how long: 30m, 1h, 7d (default: until it is lifted)",
    )
    parser.add_argument("--reason", metavar="TEXT", help="a few words for the list")
    parser.add_argument("--lift", action="store_true", help="block ADDRESS no more")
    add_quiet_argument(parser)


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Inquiry:
    address, more = arguments.address, {"for": arguments.for_time, "reason": arguments.reason}
    given = {name: text for name, text in more.items() if text is not None}
    if given and (address is None or arguments.lift):
        raise UsageError("--for and --reason are for an ADDRESS that is to be blocked")
    if address is None and arguments.lift:
        raise UsageError("which one? --lift ADDRESS")
    api = OperatorApi(arguments.relay, arguments.admin_token, reactor, screen)
    if address is None:
        asking = show_blocked(api, screen)
    elif arguments.lift:
        asking = lift(api, address, screen)
    else:
        asking = block(api, {"address": address, **given}, screen)
    return Inquiry(Deferred.fromCoroutine(asking), lambda code: code, screen)


COMMAND = Command(
    "block",
    "Has a running relay refuse an address or a network, and close the clients that it has there\n"
    "(with code 1008). --lift ends that. Without an address it lists what is blocked. This is for\n"
    "one relay: of a cluster, each has its own list. A relay's own machine and its trusted\n"
    "proxies are never blocked.",
    _add_arguments,
    _start,
)
