"""Reads a client's URL: its role, the session's id and, of a phone, the device. Pure."""

import hashlib
import re
from collections.abc import Sequence
from urllib.parse import parse_qs

from apptuner_relay.session.roles import SOCKET_ROLES, Device, Role
from apptuner_relay.support.printable_text import printable_line

_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DEVICE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
NAME_CHARACTERS = 64
AGENT_CHARACTERS = 64
_QUERY_FIELDS = 32
_ROLES = {role.value: role for role in SOCKET_ROLES}
PLATFORMS = frozenset({"ios", "android"})


class BadRequest(ValueError):
    """A client asked for something that it can't have. Text for people, an HTTP status, and header
    fields that go with it."""

    def __init__(self, status: int, text: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


def check_session_id(session_id: str) -> str:
    """:raises BadRequest: 400, when it is not 1 to 64 of ``A-Za-z0-9_-``."""
    if not _SESSION_ID.fullmatch(session_id):
        raise BadRequest(400, "Bad session id: 1 to 64 of the characters A-Z a-z 0-9 _ -")
    return session_id


def parse_path(path: str) -> tuple[Role, str]:
    """Role and session id of a path such as ``/cli/ABC234``.

    :raises BadRequest: 404 for no role, 400 for a bad session id.
    """
    _, _, rest = path.partition("/")
    name, _, session_id = rest.partition("/")
    role = _ROLES.get(name)
    if role is None:
        raise BadRequest(
            404, "Not found: connect to /ROLE/SESSION, ROLE being one of " + ", ".join(_ROLES)
        )
    return role, check_session_id(session_id)


def session_hash(session_id: str) -> str:
    """The hex SHA-256 by which the wire's welcome names a session."""
    return hashlib.sha256(session_id.encode("ascii")).hexdigest()


def parse_device(query: str, fallback_id: str, now_ms: int) -> Device:
    """Read a phone's query string (``deviceId``, ``name``, ``platform``, ``model``, ``chunks``,
    ``replay``, ``have``, ``announce``, ``patch``; all optional).

    ``fallback_id`` names a phone that doesn't name itself. A name is cut to 64 printable
    characters; without one, ``model`` serves.

    :raises BadRequest: 400, for a ``deviceId``, ``platform`` or ``have`` that is malformed.
    """
    fields = _parse_query(query)

    def first(key: str) -> str | None:
        return fields[key][0] if key in fields else None

    device_id = first("deviceId")
    if device_id is not None and not _DEVICE_ID.fullmatch(device_id):
        raise BadRequest(400, "Bad deviceId: 1 to 64 of the characters A-Z a-z 0-9 . _ : -")
    platform = first("platform")
    if platform is not None and platform not in PLATFORMS:
        raise BadRequest(400, "Bad platform: ios or android")
    name = _clean_name(first("name")) or _clean_name(first("model"))
    chunks = platform == "ios" and first("chunks") == "1"
    have = first("have")
    if have is not None and not _SHA256.fullmatch(have):
        raise BadRequest(400, "Bad have: the SHA-256 of a bundle's code, 64 hex digits")
    return Device(
        device_id or fallback_id,
        name,
        platform,
        now_ms,
        chunks,
        replay=first("replay") == "1",
        have=have and have.lower(),
        announce=first("announce") == "1",
        patch=first("patch") == "1",
    )


def asks_for_patches(query: str) -> bool:
    """Whether the query string of a CLI says ``patch=1``: it may send patches.

    :raises BadRequest: 400, there are too many fields.
    """
    return _says(query, "patch")


def asks_for_names(query: str) -> bool:
    """Whether the query string of a CLI says ``acks=1``: it is told which phone an acknowledgement
    is from.

    :raises BadRequest: 400, there are too many fields.
    """
    return _says(query, "acks")


def read_agent(query: str, header: str | None) -> str | None:
    """The program that a client is, and its version: the ``agent`` of its query string, for
    programs that can't set a header, or else its ``User-Agent``. Printable ASCII, cut to
    `AGENT_CHARACTERS`; None where it says neither.

    :raises BadRequest: 400, there are too many fields.
    """
    text = header
    if "agent=" in query:
        fields = _parse_query(query)
        text = fields.get("agent", [""])[0] or header
    if text is None:
        return None
    if not text.isascii():
        text = text.encode("ascii", "replace").decode()
    return printable_line(text, AGENT_CHARACTERS, ending="") or None


def _says(query: str, name: str) -> bool:
    return bool(query) and _parse_query(query).get(name, [""])[0] == "1"


def _parse_query(query: str) -> dict[str, list[str]]:
    if not query:
        return {}
    try:
        return parse_qs(query, max_num_fields=_QUERY_FIELDS)
    except ValueError:
        raise BadRequest(400, f"Bad query string: more than {_QUERY_FIELDS} fields") from None


def _clean_name(name: str | None) -> str | None:
    if name is None:
        return None
    return "".join(c for c in name if c.isprintable())[:NAME_CHARACTERS].strip() or None
