"""What nodes tell each other through publish/subscribe: builds the texts, and reads them. Pure.

Whoever reaches the server can publish, so nothing that is read here is trusted to be well formed.
"""

from typing import NamedTuple

from apptuner_relay.cluster.directory import (
    check_node,
    check_role,
    check_session,
    clean_reason,
)


class Moved(NamedTuple):
    """A session has, or had, a new owner."""

    session: str
    by: str
    """The node that did it."""


class Begun(NamedTuple):
    """A node has a session of which nothing was written."""

    session: str
    by: str


class Drained(NamedTuple):
    """A node takes no new sessions."""

    node: str


class Kicked(NamedTuple):
    """The clients of a role are to be closed."""

    session: str
    role: str
    reason: str


class Emptied(NamedTuple):
    """The server may have lost what was written there."""


Notice = Moved | Begun | Drained | Kicked | Emptied


def parse_notice(text: str) -> Notice:
    """Read a notice.

    :raises ValueError: it is none.
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
    if text == "emptied":
        return Emptied()
    raise ValueError("no notice of a relay")


def kicked_text(session: str, role: str, reason: str) -> str:
    """The text of a `Kicked`; the others are made by scripts.

    :raises ValueError: for a session or role that is none.
    """
    return f"kicked {check_session(session)} {check_role(role)} {clean_reason(reason)}"
