"""`drain`: has a relay take no new sessions without stopping it, and take them again."""

from __future__ import annotations

import argparse
import json
from typing import Any

from twisted.internet.defer import Deferred

from apptuner_relay.client.command import Command, add_quiet_argument, add_relay_argument
from apptuner_relay.client.operator_api import OperatorApi
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.sources import Inquiry, add_token_argument
from apptuner_relay.support.units import show_count

DRAIN_PATH = "/api/drain"


async def drain(api: OperatorApi, on: bool, screen: Screen) -> Exit:
    """Have the relay drain, or not any more."""
    state, sessions, connections = await api.post(
        DRAIN_PATH, _read, json.dumps({"on": on}).encode()
    )
    screen.result(drain=on, state=state, sessions=sessions, connections=connections)
    left = f"{show_count(sessions, 'session')}, {show_count(connections, 'connection')}"
    if on:
        screen.tell(f"{api.site} is {state} and takes no new sessions: {left} now")
    else:
        screen.tell(f"{api.site} takes sessions again: {left} now")
    return Exit.DONE


def _read(value: object) -> tuple[str, int, int]:
    row = value if isinstance(value, dict) else {}
    state, sessions, connections = (row.get(key) for key in ("state", "sessions", "connections"))
    if not isinstance(state, str) or type(sessions) is not int or type(connections) is not int:
        raise ValueError("it does not say whether it drains")
    return state, sessions, connections


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_relay_argument(parser)
    add_token_argument(parser)
    parser.add_argument("--off", action="store_true", help="take new sessions again")
    add_quiet_argument(parser)


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Inquiry:
    api = OperatorApi(arguments.relay, arguments.admin_token, reactor, screen)
    draining = Deferred.fromCoroutine(drain(api, not arguments.off, screen))
    return Inquiry(draining, lambda code: code, screen)


COMMAND = Command(
    "drain",
    "Has a running relay take no new sessions, without stopping it: load balancers that ask\n"
    "/ready or /health send clients elsewhere, and the other relays of its cluster take its\n"
    "sessions. Those that stay go on, and their clients may come back. --off ends that, and so\n"
    "does a restart.",
    _add_arguments,
    _start,
)
