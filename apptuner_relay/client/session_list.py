"""`sessions`: the sessions that a running relay has."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from apptuner_relay.client import address
from apptuner_relay.client.command import Command, add_quiet_argument, add_relay_argument, checked
from apptuner_relay.client.operator_api import OperatorApi
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.session_records import (
    HASH_SHOWN,
    ORDERS,
    SessionRecord,
    in_order,
    read_sessions,
)
from apptuner_relay.client.sources import Inquiry, add_token_argument
from apptuner_relay.session.session import session_hash
from apptuner_relay.support.units import show_bytes, show_count, show_duration

SESSIONS_PATH = "/api/sessions"
MAX_LIST_BYTES = 128 * 1024 * 1024
"""Of the list of all sessions: some 10,000, each with its clients and last bundles."""
UNKNOWN = "–"
"""What is shown of what a relay does not say."""

_PREFIX = re.compile(r"[0-9a-f]{4,64}")
_TITLES = ("session", "since", "clients", "phones", "last bundle", "reload", "sent", "")
_LEFT = (0, 2, 3, 4, 7)
_MOST = 1_000_000


def hash_prefix(text: str) -> str:
    """The first digits of a session's hash. Raises `ValueError` with a text for the user."""
    # Capitals would be an id as a CLI shows it, such as ABC234.
    if not _PREFIX.fullmatch(text):
        raise ValueError(
            f"{text!r} is no hash of a session: 4 to 64 lower-case hex digits, as the log shows "
            "it. For the id that a CLI shows there is --id"
        )
    return text


def most(text: str) -> int:
    """`--most`. Raises `ValueError` with a text for the user."""
    if not re.fullmatch(r"[0-9]{1,7}", text) or not 1 <= int(text) <= _MOST:
        raise ValueError(f"{text!r} is no number of sessions, 1 to {_MOST:,}")
    return int(text)


def add_named_session_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """`HASH`, and `--id` in its place.

    :param what: what becomes of the session.
    """
    parser.add_argument(
        "hash",
        metavar="HASH",
        nargs="?",
        type=checked(hash_prefix),
        help=f"{what} whose hash begins so: 4 to 64 hex digits, as the log and the status page "
        "show them",
    )
    parser.add_argument(
        "--id",
        metavar="ID",
        type=checked(address.session_id),
        help=f"{what} with this id, as the project's CLI shows it; it is hashed here, and not sent",
    )


def named_session(arguments: argparse.Namespace) -> str | None:
    """The digits by which the command line names a session, if it does. Raises `UsageError`."""
    if arguments.id is None:
        return None if arguments.hash is None else str(arguments.hash)
    if arguments.hash is not None:
        raise UsageError("HASH and --id both name a session: give one of them")
    return session_hash(arguments.id)


async def ask_sessions(
    api: OperatorApi, prefix: str | None = None, count: int | None = None
) -> list[SessionRecord]:
    """The sessions of a relay whose hashes begin with `prefix`, or so many of those that have slow
    clients, several CLIs, or were sent the most bytes. Raises `NoFigures`."""
    # A relay takes no fewer digits; those with them are picked here, and those most before that.
    query = [f"session={prefix}"] if prefix and len(prefix) >= HASH_SHOWN else []
    query += [f"most={count}"] if count and not prefix else []
    path = SESSIONS_PATH + ("?" + "&".join(query) if query else "")
    found = await api.get(path, read_sessions)
    if prefix is not None:
        # An older relay lists all of them.
        found = [one for one in found if prefix.startswith(one.session[: len(prefix)])]
    return found


def clients_of(session: SessionRecord) -> str:
    """Its clients: `cli, 3 mobiles`."""
    counts = Counter(session.roles)
    return ", ".join(role if n == 1 else show_count(n, role) for role, n in counts.items())


def marks_of(session: SessionRecord) -> str:
    """What an operator should look at."""
    marks = ["behind"] if session.is_behind else []
    if session.failed:
        marks.append(f"{session.failed:,} failed")
    if session.several_clis:
        marks.append("several CLIs")
    if session.bundle is not None and session.bundle.state == "cut":
        marks.append("cut")
    return ", ".join(marks)


def bundle_of(session: SessionRecord) -> str:
    """Its last bundle: `9.3 MB, 2 min ago`."""
    if not session.knows_bundles:
        return UNKNOWN
    if session.bundle is None:
        return "none"
    age_s = session.bundle_age_s
    # The larger unit is enough, and leaves room to other columns.
    ago = "" if age_s is None else f", {' '.join(show_duration(age_s).split()[:2])} ago"
    return f"{show_bytes(session.bundle.size_bytes)}{ago}"


def seconds_or_unknown(value: float | None) -> str:
    """A short time: `0.48 s`."""
    return UNKNOWN if value is None else f"{value:.2f} s"


def show(sessions: Sequence[SessionRecord], prefix: str | None, order: str, screen: Screen) -> Exit:
    """Print them."""
    rows = in_order(sessions, order)
    screen.result(sessions=[dict(one.row) for one in rows])
    if not rows:
        if prefix is not None:
            screen.complain(f"no session {prefix[:8]} is connected")
            return Exit.FAILED
        screen.tell("no session is connected")
        return Exit.DONE
    screen.tell_table(_TITLES, [_row(one) for one in rows], left=_LEFT)
    return Exit.DONE


def _row(session: SessionRecord) -> tuple[str, ...]:
    return (
        session.session,
        show_duration(session.age_s),
        clients_of(session),
        ", ".join(session.devices),
        bundle_of(session),
        seconds_or_unknown(session.reload_s),
        show_bytes(session.bytes_out),
        marks_of(session),
    )


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_named_session_arguments(parser, "list only the session")
    add_relay_argument(parser)
    add_token_argument(parser)
    orders = "; ".join(f"{name}: {meaning}" for name, (_, meaning) in ORDERS.items())
    parser.add_argument(
        "--sort",
        choices=tuple(ORDERS),
        default="since",
        help=f"in which order ({orders}; default: since)",
    )
    parser.add_argument(
        "--most",
        metavar="N",
        type=checked(most),
        help="no more than so many: those that have slow clients or several CLIs, then those that "
        "were sent the most bytes (default: all)",
    )
    add_quiet_argument(parser)


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Inquiry:
    prefix = named_session(arguments)
    api = OperatorApi(
        arguments.relay, arguments.admin_token, reactor, screen, max_bytes=MAX_LIST_BYTES
    )
    asked = Deferred.fromCoroutine(ask_sessions(api, prefix, arguments.most))
    return Inquiry(asked, lambda found: show(found, prefix, arguments.sort, screen), screen)


COMMAND = Command(
    "sessions",
    "Asks a running relay for its sessions: how long each has been there, its clients and phones,\n"
    "its last bundle, how long the last reload took (from the bundle's first byte until the last\n"
    "phone acknowledged it), and what was sent to its clients. Marks say what to look at: a\n"
    "client that does not keep up, failed acknowledgements, several CLIs, a bundle that was cut.\n"
    "A session is named by the hash of its id. What an older relay does not say is shown as –.",
    _add_arguments,
    _start,
)
