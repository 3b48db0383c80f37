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


class Drained(NamedTuple):
    """A node takes no new sessions."""

    node: str


class Kicked(NamedTuple):
    """The clients of a role are to be closed."""

    session: str
    role: str
    reason: str


Notice = Moved | Drained | Kicked


def parse_notice(text: str) -> Notice:
    """Read a notice.

    :raises ValueError: it is none.
    """
    kind, _, rest = text.partition(" ")
    if kind == "moved":
        session, _, by = rest.partition(" ")
        return Moved(check_session(session), check_node(by))
    if kind == "drained":
        return Drained(check_node(rest))
    if kind == "kicked":
        session, _, rest = rest.partition(" ")
        role, _, reason = rest.partition(" ")
        return Kicked(check_session(session), check_role(role), clean_reason(reason))
    raise ValueError("no notice of a relay")


def kicked_text(session: str, role: str, reason: str) -> str:
    """The text of a `Kicked`; the others are made by scripts.

    :raises ValueError: for a session or role that is none.
    """
    return f"kicked {check_session(session)} {check_role(role)} {clean_reason(reason)}"
