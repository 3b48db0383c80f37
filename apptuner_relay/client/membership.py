"""Being a member of a session, for as long as it takes: connects, reconnects, and leaves.

A `MembershipPart` says what to do in the session. This module says neither that, nor when a lost
connection is worth another try (`policy` does).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from apptuner_relay.client.connection import RelayConnection
from apptuner_relay.client.member_connection import MemberConnection, MemberFactory, Target
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.policy import Ending, How, Patience
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.upload import Upload
from apptuner_relay.support.socket_errors import describe, is_untrusted


class MembershipPart(Protocol):
    """What a member does in its session."""

    def welcomed(self) -> None:
        """A connection is there, the first or another."""

    def received(self, message: dict[str, Any]) -> None:
        """A message came."""

    def disconnected(self) -> None:
        """The connection is gone. Another try may follow."""


class Membership:
    """Keeps a `MembershipPart` connected until somebody calls `leave`, or there is no hope.

    `done` fires once, with the exit code.
    """

    def __init__(
        self,
        reactor: Any,
        factory: MemberFactory,
        patience: Patience,
        screen: Screen,
    ) -> None:
        self.done: Deferred[Exit] = Deferred()
        self._reactor = reactor
        self._patience = patience
        self._screen = screen
        self._factory = factory
        factory.listener = self
        self._part: MembershipPart | None = None
        self._connecting: Deferred[Any] | None = None
        self._connection: MemberConnection | None = None
        self._retry: IDelayedCall | None = None
        self._tries_used = 0
        self._leaving: Exit | None = None

    def start(self, part: MembershipPart) -> Deferred[Exit]:
        """Connect for the first time; returns `done`."""
        self._part = part
        self._connect()
        return self.done

    def leave(self, code: Exit) -> None:
        """Close the connection properly, then fire `done` with `code`.

        Asked a second time, drop it: the other side may not be answering. The first code stays.
        """
        again = self.leaving
        if not again:
            self._leaving = code
        if self._connection is not None:
            if again:
                self._connection.abort("left")
            else:
                self._connection.leave()
        elif self._connecting is not None:
            self._connecting.cancel()
        else:
            if self._retry is not None and self._retry.active():
                self._retry.cancel()
            self._finish()

    def aim(self, target: Target) -> None:
        """Ask for something else of the same relay, from the next connection on."""
        self._factory.target = target

    @property
    def leaving(self) -> bool:
        """Whether `leave` was called."""
        return self._leaving is not None

    def send(self, kind: str, body: Mapping[str, object]) -> None:
        """Send a small message, if there is a connection."""
        if self._connection is not None:
            self._connection.send(kind, body)

    def stream(self, messages: Iterable[bytes], progress: Callable[[int], None]) -> Upload:
        """Send messages at the pace of the socket. There has to be a connection to a relay."""
        assert isinstance(self._connection, RelayConnection), "nothing to stream over"
        return self._connection.stream(messages, progress)

    # As the listener of a connection.

    def made(self, connection: MemberConnection) -> None:
        self._connection = connection

    def welcomed(self) -> None:
        if self._patience.forgiving:
            self._tries_used = 0
        assert self._part is not None
        self._part.welcomed()

    def received(self, message: dict[str, Any]) -> None:
        assert self._part is not None
        if self._factory.target.claims and message["type"] == "connected":
            self._heed_claim(message.get("claimed") is True)
        if not self.leaving:
            self._part.received(message)

    def ended(self, ending: Ending) -> None:
        self._connection = None
        assert self._part is not None
        if not self.leaving:
            self._part.disconnected()
        self._try_again_after(ending)

    def _heed_claim(self, is_claimed: bool) -> None:
        if not is_claimed:
            self._screen.complain(
                "the relay takes no secrets: whoever knows the session's id may take this place"
            )

    # Connecting.

    def _connect(self) -> None:
        self._retry = None
        attempt = self._connecting = self._factory.endpoint.connect(self._factory)
        attempt.addCallbacks(self._connected, self._not_connected)

    def _connected(self, connection: object) -> None:
        self._connecting = None

    def _not_connected(self, failure: Failure) -> None:
        self._connecting = None
        if self.leaving or failure.check(CancelledError):
            self._finish()
            return
        error: BaseException = failure.value  # type: ignore[assignment]
        how = How.UNTRUSTED if is_untrusted(error) else How.UNREACHABLE
        self._try_again_after(Ending(how, describe(error)))

    def _try_again_after(self, ending: Ending) -> None:
        if self.leaving:
            self._finish()
            return
        delay = None if ending.final else self._patience.delay(self._tries_used)
        if delay is not None:
            delay = max(delay, ending.retry_after_seconds)
        if delay is None:
            self._leaving = Exit.NO_CONNECTION
            self._screen.complain(str(ending))
            self._finish()
            return
        self._tries_used += 1
        self._screen.event(
            "reconnecting",
            reason=str(ending),
            in_s=delay,
            tries_used=self._tries_used,
            tries=self._patience.tries,
        )
        self._screen.say(
            f"{ending}; trying again in {delay:g} s ({self._tries_used} of {self._patience.tries})"
        )
        self._retry = self._reactor.callLater(delay, self._connect)

    def _finish(self) -> None:
        assert self._leaving is not None
        if not self.done.called:
            self.done.callback(self._leaving)
