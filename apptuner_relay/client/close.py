"""`close`: closes a session's connections, as an operator may."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from apptuner_relay.client.command import Command, add_quiet_argument, add_relay_argument
from apptuner_relay.client.keyboard import ask_line
from apptuner_relay.client.operator_api import NoFigures, OperatorApi
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.session_list import (
    MAX_LIST_BYTES,
    SESSIONS_PATH,
    add_named_session_arguments,
    ask_sessions,
    named_session,
)
from apptuner_relay.client.session_records import HASH_SHOWN, SessionRecord
from apptuner_relay.client.sources import Inquiry, add_token_argument
from apptuner_relay.support.units import show_count

_YES = ("y", "yes")
_NOUNS = {"cli": "CLI", "mobile": "phone"}
_MOST_NAMED = 5

Asking = Callable[[], Deferred[str]]


def who(session: SessionRecord) -> str:
    """Whom closing a session disconnects: `1 CLI and 2 phones (Pixel 9, Pixel 8)`."""
    counts = Counter(session.roles)
    parts = [show_count(n, _NOUNS.get(role, role)) for role, n in counts.items()]
    text = " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:]))) or "nobody"
    names = list(session.devices[:_MOST_NAMED])
    if len(session.devices) > _MOST_NAMED:
        names.append("…")
    return f"{text} ({', '.join(names)})" if names else text


async def close_session(
    api: OperatorApi, prefix: str, screen: Screen, confirm: Asking | None
) -> Exit:
    """Close the one session whose hash begins so.

    :param confirm: where somebody is to be asked first: gets a line from them.
    """
    session = _only(await ask_sessions(api, prefix), prefix)
    if confirm is not None:
        screen.ask(f"Close session {session.session}, with {who(session)}? [y/N] ")
        if (await confirm()).strip().lower() not in _YES:
            screen.complain("nothing was closed")
            return Exit.FAILED
    # Of a shorter prefix the relay might know another session by now.
    name = prefix if len(prefix) > len(session.session) else session.session
    closed = await api.post(f"{SESSIONS_PATH}/{name}/close", _read_closed)
    screen.result(
        session=session.session, closed=closed, clients=list(session.row.get("clients", ()))
    )
    screen.tell(f"closed session {session.session}: {who(session)}")
    return Exit.DONE


def _only(found: list[SessionRecord], prefix: str) -> SessionRecord:
    if not found:
        raise NoFigures(f"no session {prefix[:HASH_SHOWN]} is connected")
    if len(found) > 1:
        hashes = ", ".join(one.session for one in found[:_MOST_NAMED])
        more = ", …" if len(found) > _MOST_NAMED else ""
        raise NoFigures(
            f"{len(found):,} sessions begin with {prefix}: say more digits ({hashes}{more})"
        )
    return found[0]


def _read_closed(value: object) -> int:
    closed = value.get("closed") if isinstance(value, dict) else None
    if type(closed) is not int:
        raise ValueError("it does not say how many it has closed")
    return closed


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_named_session_arguments(parser, "close the session")
    add_relay_argument(parser)
    add_token_argument(parser)
    parser.add_argument(
        "--yes", action="store_true", help="do not ask first, as is done at a terminal"
    )
    add_quiet_argument(parser)


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Inquiry:
    prefix = named_session(arguments)
    if prefix is None:
        raise UsageError("which session? HASH, or --id ID")
    api = OperatorApi(
        arguments.relay, arguments.admin_token, reactor, screen, max_bytes=MAX_LIST_BYTES
    )
    confirm: Asking | None = None
    if not arguments.yes and _is_terminal():
        confirm = lambda: ask_line(reactor, sys.stdin.fileno())  # noqa: E731
    closing = Deferred.fromCoroutine(close_session(api, prefix, screen, confirm))
    return Inquiry(closing, lambda code: code, screen)


def _is_terminal() -> bool:
    try:
        return os.isatty(sys.stdin.fileno())
    except (AttributeError, OSError, ValueError):
        return False


COMMAND = Command(
    "close",
    "Closes all connections of a session (with code 1000), and says whose they were. At a\n"
    "terminal it asks first. Clients may connect again, and most do so by themselves; the\n"
    "session's cached bundle and its claim stay. Ends with 1 when there is no such session, or\n"
    "when the digits fit several.",
    _add_arguments,
    _start,
)
