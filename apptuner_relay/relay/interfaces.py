"""The protocols at the border of this part: a client that is connected, the place that is found for
one, and what finds places where several relays share their sessions.
"""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred, succeed

from apptuner_relay.relay.frame_handler import Connection, FrameHandler
from apptuner_relay.relay.member import Member
from apptuner_relay.session.session import Admission, Device, Role, Session
from apptuner_relay.support.round_trip import RoundTrip


class ConnectedClient(FrameHandler, Protocol):
    """A client that is connected to this relay, or through another one: a `Member` of a session
    here, or one that is bridged to where its session is."""

    @property
    def admission(self) -> Admission: ...

    @property
    def role(self) -> Role: ...

    @property
    def device(self) -> Device | None: ...

    @property
    def session(self) -> Session[Member] | None:
        """None where that is another relay's."""

    @property
    def through(self) -> str | None:
        """See `Admission`."""

    @property
    def label(self) -> str:
        """How logs name its session."""

    @property
    def connection(self) -> Connection: ...

    @property
    def agent(self) -> str | None:
        """See `observed.ClientView`, here and below."""

    @property
    def since_ms(self) -> int: ...

    @property
    def round_trip(self) -> RoundTrip | None: ...

    @property
    def round_trip_s(self) -> float | None: ...

    @property
    def is_behind(self) -> bool: ...

    @property
    def in_message(self) -> bool:
        """Whether a message from this client is under way to others."""

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way from it or to it."""

    def gone(self, why: str) -> bool:
        """The connection is over. True if that cut a message short."""


DecideClaim = Callable[[], Deferred[None]]
"""Has the claim decided that a client makes or uses: fires, or fails with `BadRequest`."""


def no_claim() -> Deferred[None]:
    """The `DecideClaim` of a client whose claim has been decided before."""
    return succeed(None)


class Place(Protocol):
    """The place that was found for a client. `enter` or `abandon` is called, once."""

    is_here: bool
    """Whether its session is this relay's."""

    def check(self) -> None:
        """The client's handshake is about to be done: check that there is still room.

        :raises BadRequest: there is none. `abandon` is to be called.
        """

    def enter(self, connection: Connection) -> ConnectedClient:
        """The client's handshake is done: let it in."""

    def abandon(self) -> None:
        """The client has disconnected, or was refused."""


class Placement(Protocol):
    """Where sessions are, for a relay that shares them with others."""

    def find(self, admission: Admission, claim: DecideClaim) -> Deferred[Place]:
        """Find the place of a client.

        :param claim: called before the client is let in at another relay.
        :return: fails with `BadRequest`, also that of ``claim``.
        """

    def take(self, session_hash: str) -> Deferred[bool]:
        """Take a session, for a client that is about to come, unless another relay has it. Fires
        with whether it is here, and never fails."""

    def left(self, session_hash: str) -> None:
        """The last member of a session of this relay has left."""

    def drain(self, until_s: float) -> Deferred[None]:
        """Hand the sessions of this relay over to others, where there are any. Fires when none is
        left that another relay takes, and never fails.

        :param until_s: when all of the stop is to be over, in seconds of the clock.
        """

    def end_drain(self) -> None:
        """Take sessions again, as the relay doesn't stop."""
