"""The notices that nodes publish for each other: builds their texts, and parses them. Pure.

Anybody who reaches the server can publish, so a text is never trusted to be well formed.
"""

from typing import NamedTuple

from apptuner_relay.cluster.ownership.directory import check_role, check_session, clean_reason
from apptuner_relay.config.node_names import check_node


class Moved(NamedTuple):
    """A session has, or had, a new owner."""

    session: str
    by: str
    """The node that has changed it."""


class Begun(NamedTuple):
    """A node has got a session of which Redis held nothing."""

    session: str
    by: str


class Drained(NamedTuple):
    """A node takes no new sessions."""

    node: str


class Kicked(NamedTuple):
    """The clients of a role in a session are to be closed."""

    session: str
    role: str
    reason: str


class Emptied(NamedTuple):
    """The server may have lost its data."""


class Released(NamedTuple):
    """An operator has released the claim of a session, or replaced it."""

    session: str


PubSubNotice = Moved | Begun | Drained | Kicked | Emptied | Released


def parse_notice(text: str) -> PubSubNotice:
    """Parse a notice.

    :raises ValueError: the text is no notice.
    """
    kind, _, rest = text.partition(" ")
    if kind in ("moved", "begun"):
        session, _, by = rest.partition(" ")
        said = Moved if kind == "moved" else Begun
        return said(check_session(session), check_node(by))
    if kind == "drained":
        return Drained(check_node(rest))
    if kind == "kicked":
        session, _, rest = rest.partition(" ")
        role, _, reason = rest.partition(" ")
        return Kicked(check_session(session), check_role(role), clean_reason(reason))
    if kind == "released":
        return Released(check_session(rest))
    if text == "emptied":
        return Emptied()
    raise ValueError("not a notice of a relay")


def kicked_text(session: str, role: str, reason: str) -> str:
    """The text of a `Kicked`. Scripts make those of the other notices.

    :raises ValueError: the session or the role is malformed.
    """
    return f"kicked {check_session(session)} {check_role(role)} {clean_reason(reason)}"
