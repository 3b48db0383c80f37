"""`claims`: lists, releases, exports and imports the claims of sessions, as an operator may."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred

from apptuner_relay.client import address
from apptuner_relay.client.command import (
    Command,
    add_quiet_argument,
    add_relay_argument,
    checked,
)
from apptuner_relay.client.operator_api import OperatorApi
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.replacing import could_not_write, write_whole
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.session_list import MAX_LIST_BYTES, hash_prefix
from apptuner_relay.client.sources import Inquiry, add_token_argument
from apptuner_relay.session.session import session_hash
from apptuner_relay.support.clocks import in_ms
from apptuner_relay.support.units import show_count, show_duration

CLAIMS_PATH = "/api/claims"
MAX_BODY_BYTES = 900_000
"""Of one request of an import; a relay takes up to 1 MiB."""

_ACTIONS = ("list", "release", "export", "import")
_OUTCOMES = ("added", "known", "conflicting", "replaced", "expired", "full")
_STANDARD = "-"
_MOST_PAGES = 100_000
_MOST_NAMED = 5
_TITLES = ("session", "last use", "phones", "")
_EXPORTED = ("hash", "proof", "tokens", "used_ms")


class ClaimList(NamedTuple):
    """The claims of a relay."""

    rows: list[dict[str, Any]]
    """As `GET /api/claims` has them."""
    kept_in: str
    not_kept: str | None
    """Why they would be lost at a restart."""
    bad_lines: int


async def ask_claims(api: OperatorApi, prefix: str | None, *, full: bool = False) -> ClaimList:
    """All claims, or those of the sessions that begin with `prefix`. Raises `NoFigures`."""
    found: dict[str, dict[str, Any]] = {}
    query = [f"session={prefix}"] if prefix else []
    # Of two sessions whose first digits are the same, only the whole hash tells.
    query.append("full=1")
    after: str | None = None
    for _ in range(_MOST_PAGES):
        words = query + ([f"after={after}"] if after else [])
        answer = await api.get(f"{CLAIMS_PATH}?{'&'.join(words)}", _read_page)
        found |= {row["hash"]: row for row in answer["claims"]}
        after = answer["next"]
        if after is None:
            break
    rows = sorted(found.values(), key=lambda row: (-row["used_ms"], row["hash"]))
    if not full:
        rows = [{k: v for k, v in row.items() if k not in ("hash", "proof")} for row in rows]
    return ClaimList(rows, answer["kept_in"], answer["not_kept"], answer["bad_lines"])


def _read_page(value: object) -> dict[str, Any]:
    """An answer of `GET /api/claims?full=1`. Raises `ValueError` for anything else."""
    if not isinstance(value, dict) or not isinstance(value.get("claims"), list):
        raise ValueError("claims is no list")
    for at, row in enumerate(value["claims"]):
        kinds = {"session": str, "hash": str, "proof": str, "tokens": bool, "in_use": bool}
        if not isinstance(row, dict) or any(type(row.get(k)) is not t for k, t in kinds.items()):
            raise ValueError(f"claims[{at}] is none")
        if type(row.get("used_ms")) is not int:
            raise ValueError(f"claims[{at}] has no used_ms")
    after, kept_in, bad = value.get("next"), value.get("kept_in"), value.get("bad_lines")
    if not (after is None or (isinstance(after, str) and after.isalnum())):
        raise ValueError("next is no cursor")
    not_kept = value.get("not_kept")
    return {
        "claims": value["claims"],
        "next": after,
        "kept_in": kept_in if isinstance(kept_in, str) else "memory",
        "not_kept": not_kept if isinstance(not_kept, str) else None,
        "bad_lines": bad if type(bad) is int else 0,
    }


async def list_claims(api: OperatorApi, prefix: str | None, now_ms: int, screen: Screen) -> Exit:
    """Show them."""
    claims = await ask_claims(api, prefix)
    screen.result(claims=claims.rows, kept_in=claims.kept_in, bad_lines=claims.bad_lines)
    if claims.not_kept is not None:
        screen.say(f"they would be lost at a restart: {claims.not_kept}")
    if claims.bad_lines:
        screen.say(f"{show_count(claims.bad_lines, 'line')} of the file were none: claims.bad")
    if not claims.rows:
        if prefix is not None:
            screen.complain(f"no session {prefix[:8]} is claimed")
            return Exit.FAILED
        screen.tell("no session is claimed")
        return Exit.DONE
    rows = [
        (
            row["session"],
            f"{show_duration(max(0, now_ms - row['used_ms']) / 1000)} ago",
            "with a token" if row["tokens"] else "all",
            "in use" if row["in_use"] else "",
        )
        for row in claims.rows
    ]
    screen.tell_table(_TITLES, rows, left=(0, 1, 2, 3))
    return Exit.DONE


async def release(api: OperatorApi, prefix: str, force: bool, screen: Screen) -> Exit:
    """Release the claim of the one session whose hash begins so."""
    answer = await api.post(
        f"{CLAIMS_PATH}/{prefix}/release" + ("?force=1" if force else ""), _read_released
    )
    screen.result(session=answer["session"], in_use=answer["in_use"])
    screen.tell(f"released the claim of session {answer['session']}")
    if answer["in_use"]:
        screen.say(
            "clients with its secret may still be there: they claim it again when they connect "
            "again. `apptuner-relay close` closes them"
        )
    return Exit.DONE


def _read_released(value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("session"), str):
        raise ValueError("it does not say which claim it has released")
    return {"session": value["session"], "in_use": value.get("in_use") is True}


async def export(api: OperatorApi, output: str, screen: Screen) -> Exit:
    """Write all claims to a file, or to standard output."""
    claims = await ask_claims(api, None, full=True)
    lines = [json.dumps(_exported(row), separators=(",", ":")) for row in claims.rows]
    screen.result(exported=len(lines), output=None if output == _STANDARD else output)
    if output == _STANDARD:
        for line in lines:
            screen.tell_raw(line)
    else:
        try:
            write_whole(Path(output), "".join(line + "\n" for line in lines).encode())
        except OSError as error:
            screen.complain(could_not_write(error))
            return Exit.FAILED
    screen.say(f"exported {show_count(len(lines), 'claim')}")
    return Exit.DONE


def _exported(row: dict[str, Any]) -> dict[str, Any]:
    return {"session": row["hash"], **{name: row[name] for name in _EXPORTED[1:]}}


async def import_claims(api: OperatorApi, lines: bytes, replaces: bool, screen: Screen) -> Exit:
    """Have a relay take these lines of an export."""
    counts = dict.fromkeys(_OUTCOMES, 0)
    conflicts: list[str] = []
    for body in parts_of(lines):
        query = "?replace=1" if replaces else ""
        answer = await api.post(f"{CLAIMS_PATH}/import{query}", _read_imported, body)
        conflicts += answer.pop("conflicts")
        for name in _OUTCOMES:
            counts[name] += answer[name]
        screen.result(**counts, conflicts=conflicts)
    screen.result(**counts, conflicts=conflicts)
    said = [f"{counts[name]:,} {name}" for name in _OUTCOMES if counts[name]]
    screen.tell(", ".join(said) or "nothing to import")
    if conflicts:
        named = ", ".join(conflicts[:_MOST_NAMED])
        more = ", …" if len(conflicts) > _MOST_NAMED else ""
        screen.complain(
            f"{show_count(len(conflicts), 'session')} ({named}{more}) have another claim, which "
            "was not touched: --replace takes that of the file"
        )
        return Exit.FAILED
    if counts["full"]:
        screen.complain("the relay can keep no more claims")
        return Exit.FAILED
    return Exit.DONE


def parts_of(lines: bytes) -> Iterator[bytes]:
    """The lines in pieces that a relay takes at once."""
    part: list[bytes] = []
    size = 0
    for line in lines.splitlines(keepends=True):
        if part and size + len(line) > MAX_BODY_BYTES:
            yield b"".join(part)
            part, size = [], 0
        part.append(line)
        size += len(line)
    if part:
        yield b"".join(part)


def _read_imported(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it does not say what it has imported")
    conflicts = value.get("conflicts")
    if any(type(value.get(name)) is not int for name in _OUTCOMES) or not isinstance(
        conflicts, list
    ):
        raise ValueError("it does not say what it has imported")
    return {name: value[name] for name in _OUTCOMES} | {"conflicts": [str(c) for c in conflicts]}


def _read_file(path: str) -> bytes:
    try:
        if path == _STANDARD:
            return sys.stdin.buffer.read()
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        metavar="ACTION",
        nargs="?",
        choices=_ACTIONS,
        default="list",
        help="list: the claims, or that of one session; release: forget the claim of a session, "
        "whose secret is lost; export: write all claims to a file; import: take those of such a "
        "file (default: list)",
    )
    parser.add_argument(
        "what",
        metavar="HASH|FILE",
        nargs="?",
        help="for list and release: the first 4 to 64 hex digits of the session's hash; for export "
        "and import: the file, - for standard output and input (default: -)",
    )
    parser.add_argument(
        "--id",
        metavar="ID",
        type=checked(address.session_id),
        help="in place of HASH: the session's id, as the project's CLI shows it; it is hashed "
        "here, and not sent",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="release: even while somebody with the secret is there",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="import: in place of other claims that sessions have by now",
    )
    add_relay_argument(parser)
    add_token_argument(parser)
    add_quiet_argument(parser)


def _named(arguments: argparse.Namespace) -> str | None:
    """The digits of the session that the command line names, if it does."""
    if arguments.id is not None:
        if arguments.what is not None:
            raise UsageError("HASH and --id both name a session: give one of them")
        return session_hash(arguments.id)
    if arguments.what is None:
        return None
    try:
        return hash_prefix(arguments.what)
    except ValueError as wrong:
        raise UsageError(str(wrong)) from None


def _check(arguments: argparse.Namespace, screen: Screen) -> None:
    action = arguments.action
    for name, owner in (("force", "release"), ("replace", "import")):
        if getattr(arguments, name) and action != owner:
            raise UsageError(f"--{name} is for {owner}")
    if arguments.id is not None and action in ("export", "import"):
        raise UsageError(f"--id is for list and release, not for {action}")
    if action == "export" and screen.speaks_json and (arguments.what or _STANDARD) == _STANDARD:
        raise UsageError("--json has standard output to itself: give export a FILE")


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Inquiry:
    _check(arguments, screen)
    api = OperatorApi(
        arguments.relay, arguments.admin_token, reactor, screen, max_bytes=MAX_LIST_BYTES
    )
    action = arguments.action
    screen.result(action=action)
    if action == "export":
        doing = export(api, arguments.what or _STANDARD, screen)
    elif action == "import":
        lines = _read_file(arguments.what or _STANDARD)
        doing = import_claims(api, lines, arguments.replace, screen)
    else:
        prefix = _named(arguments)
        if action == "release":
            if prefix is None:
                raise UsageError("which session? HASH, or --id ID")
            doing = release(api, prefix, arguments.force, screen)
        else:
            doing = list_claims(api, prefix, in_ms(time.time()), screen)
    return Inquiry(Deferred.fromCoroutine(doing), lambda code: code, screen)


COMMAND = Command(
    "claims",
    "Lists the claims of a running relay, or of relays that share them: which sessions are\n"
    "closed to everybody without their secret, when the secret was used last, and whether phones\n"
    "need a token. It releases a claim whose secret is lost, so that the session can be claimed\n"
    "anew, and exports and imports claims: for a backup while the relay runs, or to move them to\n"
    "another relay. What is exported lets nobody in. A session is named by the hash of its id.",
    _add_arguments,
    _start,
)
