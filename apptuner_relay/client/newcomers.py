"""Phones that come while a bundle is there for them: who of them has to be sent it.

Most wait for the CLI to send it. Some get it from the relay, which keeps it, and say so: they are
given time for that.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

GRACE_SECONDS = 1.0
"""For a phone to say that it got the bundle from the relay, or has it."""
LONG_GRACE_SECONDS = 60.0
"""For one that did so before: over a slow line it takes long."""


class Newcomers:
    """Those of one connection. `due` is called when one has to be sent the bundle.

    A phone is given by its id, or as None where the relay does not name phones.
    """

    def __init__(self, clock: IReactorTime, due: Callable[[], None]) -> None:
        self._clock = clock
        self._due = due
        self._graces: dict[str | None, IDelayedCall] = {}
        self._waiting: list[str | None] = []
        self._have: set[str] = set()
        """Phones that have said what became of the bundle."""
        self._sent_to: set[str] = set()
        """Phones that were sent it over this connection."""
        self._helps_itself: set[str] = set()
        """Phones that have got a bundle from the relay."""

    def came(self, phone: str | None) -> None:
        """A phone has connected, perhaps again: what it has is not known."""
        if phone is not None:
            self._have.discard(phone)
            self._sent_to.discard(phone)
        self.look(phone)

    def look(self, phone: str | None) -> None:
        """A phone is there."""
        if phone in self._graces or phone in self._waiting:
            return
        if phone in self._have or phone in self._sent_to:
            return
        grace = LONG_GRACE_SECONDS if phone in self._helps_itself else GRACE_SECONDS
        self._graces[phone] = self._clock.callLater(grace, self._grace_ends, phone)

    def went(self, phone: str) -> None:
        """A phone is gone."""
        self._forget(phone)

    def answered(self, phone: str) -> None:
        """A phone has said what became of the bundle."""
        if phone in self._graces:
            self._helps_itself.add(phone)
        self._forget(phone)
        self._have.add(phone)

    def sent_to(self, phones: set[str]) -> None:
        """A new bundle goes to all who are here, and to nobody else."""
        self.connection_lost()
        self._have.clear()
        self._sent_to = set(phones)

    def next(self) -> tuple[str | None] | None:
        """The next phone that has to be sent the bundle, and counts as sent to; None: nobody."""
        if not self._waiting:
            return None
        phone = self._waiting.pop(0)
        if phone is not None:
            self._sent_to.add(phone)
        return (phone,)

    def connection_lost(self) -> None:
        """Nobody is here any more, and what was sent may not have arrived."""
        self._sent_to.clear()
        for call in self._graces.values():
            call.cancel()
        self._graces.clear()
        self._waiting.clear()

    def _grace_ends(self, phone: str | None) -> None:
        del self._graces[phone]
        self._waiting.append(phone)
        self._due()

    def _forget(self, phone: str) -> None:
        call = self._graces.pop(phone, None)
        if call is not None:
            call.cancel()
        if phone in self._waiting:
            self._waiting.remove(phone)
