"""The audit log: one line for each thing that an operator does, and for each sign-in.

All lines have the logger ``audit`` and, with ``--log-format json``, the same fields: ``action``,
``address``, ``via``, ``session`` and ``result``. No line has a token or a session's id.
"""

from typing import NamedTuple

from twisted.logger import Logger, LogLevel

from apptuner_relay.support.client_address import UNKNOWN
from apptuner_relay.support.printable_text import printable_line

DONE = "done"
_MOST_TEXT = 200

# That of a class would have the name of the class.
_log = Logger("audit")


class Actor(NamedTuple):
    """Who does something."""

    address: str | None
    """None where it isn't known."""
    via: str
    """How it was let in: ``token``, ``cookie``, ``loopback``, ``secret`` (that of the session),
    ``signal``; or ``nothing``."""


class Audit:
    """Writes the lines."""

    def record(
        self, actor: Actor, action: str, result: str = DONE, session: str | None = None
    ) -> None:
        """Something was done, or was to be done.

        :param action: a few words for people: ``close``, ``drain on``, ``sign in``.
        :param result: what came of it, likewise. What doesn't begin with ``done`` is a refusal.
        :param session: the session that it was done to: the first digits of its hash.
        """
        level = LogLevel.info if result.startswith(DONE) else LogLevel.warn
        facts = {
            "address": actor.address or UNKNOWN,
            "via": actor.via,
            "action": printable_line(action, _MOST_TEXT),
            "result": printable_line(result, _MOST_TEXT),
            "session": None if session is None else session[:8],
        }
        if session is None:
            _log.emit(level, "{action}, from {address} ({via}): {result}", **facts)
        else:
            _log.emit(
                level, "session {session}: {action}, from {address} ({via}): {result}", **facts
            )
