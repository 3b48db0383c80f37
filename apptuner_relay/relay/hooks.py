"""What a relay asks of parts that stand above it and that it does not import.

`tap` makes the hooks before the relay and passes them in; it subscribes those parts once they are
made, before the relay starts. A relay without them is alone and has nothing to wait for.
"""

from collections.abc import Callable, Set

from apptuner_relay.relay.interfaces import Placement
from apptuner_relay.relay.member import Member

Count = Callable[[], int]
SessionHashes = Callable[[], Set[str]]


class RelayHooks:
    """The hooks of one relay."""

    def __init__(self) -> None:
        self._placement: Placement | None = None
        self._downloads: list[Count] = []
        self._silent: list[Count] = []
        self._closing: list[Count] = []
        self._undelivered: list[SessionHashes] = []
        self._channel_users: list[Callable[[Member], None]] = []
        self._relay_ends: list[Callable[[], None]] = []
        self._wants_debug: Callable[[], bool] = lambda: True

    def subscribe_placement(self, placement: Placement) -> None:
        """``placement`` knows where sessions are; there can be one only.

        :raises ValueError: there is one already.
        """
        if self._placement is not None:
            raise ValueError("the relay has a placement already")
        self._placement = placement

    def subscribe_downloads(self, count: Count) -> None:
        """``count`` tells how many bundles are on their way over HTTP."""
        self._downloads.append(count)

    def subscribe_silent_connections(self, count: Count) -> None:
        """``count`` tells on how many connections no request has arrived yet."""
        self._silent.append(count)

    def subscribe_closing(self, count: Count) -> None:
        """``count`` tells how many connections, beside those of the relay's clients, are to be
        closed before it ends."""
        self._closing.append(count)

    def subscribe_undelivered(self, sessions: SessionHashes) -> None:
        """``sessions`` gives the hashes of sessions at other relays for which messages are still on
        their way, from clients here that have disconnected."""
        self._undelivered.append(sessions)

    def subscribe_channel_users(self, joined: Callable[[Member], None]) -> None:
        """``joined`` is called with a client that has joined a session here and is connected to
        another relay, by way of a channel."""
        self._channel_users.append(joined)

    def channel_user_joined(self, member: Member) -> None:
        """See `subscribe_channel_users`."""
        for joined in self._channel_users:
            joined(member)

    def subscribe_log_level(self, wants_debug: Callable[[], bool]) -> None:
        """``wants_debug`` tells whether anybody sees the log's lines of the level debug."""
        self._wants_debug = wants_debug

    @property
    def wants_debug(self) -> bool:
        """Whether a line of the level debug is worth putting together."""
        return self._wants_debug()

    def subscribe_relay_ends(self, ended: Callable[[], None]) -> None:
        """``ended`` is called when another relay of the cluster has ended, or is lost."""
        self._relay_ends.append(ended)

    def relay_ended(self) -> None:
        """See `subscribe_relay_ends`."""
        for ended in self._relay_ends:
            ended()

    @property
    def placement(self) -> Placement | None:
        """None where this relay is alone."""
        return self._placement

    @property
    def downloads(self) -> int:
        """See `subscribe_downloads`."""
        return sum(count() for count in self._downloads)

    @property
    def silent_connections(self) -> int:
        """See `subscribe_silent_connections`."""
        return sum(count() for count in self._silent)

    @property
    def closing(self) -> int:
        """See `subscribe_closing`."""
        return sum(count() for count in self._closing)

    @property
    def undelivered(self) -> Set[str]:
        """See `subscribe_undelivered`."""
        return frozenset().union(*(sessions() for sessions in self._undelivered))
