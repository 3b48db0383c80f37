"""Keeps an exception in the handler of an event from disturbing the directory that calls it."""

from collections.abc import Callable

from twisted.logger import Logger

from apptuner_relay.cluster.ownership.directory import Events, Lease, NodeInfo


class GuardedEvents(Events):
    """Passes events on, and logs the exceptions of their handler."""

    log = Logger()

    def __init__(self, events: Events) -> None:
        self._events = events

    def lost(self, session: str, lease: Lease | None) -> None:
        """See `Events`."""
        self._call(self._events.lost, session, lease)

    def moved(self, session: str) -> None:
        """See `Events`."""
        self._call(self._events.moved, session)

    def drained(self, node: str) -> None:
        """See `Events`."""
        self._call(self._events.drained, node)

    def kicked(self, session: str, role: str, reason: str) -> None:
        """See `Events`."""
        self._call(self._events.kicked, session, role, reason)

    def listed(self, nodes: list[NodeInfo]) -> None:
        """See `Events`."""
        self._call(self._events.listed, nodes)

    def emptied(self) -> None:
        """See `Events`."""
        self._call(self._events.emptied)

    def released(self, session: str) -> None:
        """See `Events`."""
        self._call(self._events.released, session)

    def unreachable(self) -> None:
        """See `Events`."""
        self._call(self._events.unreachable)

    def reachable(self) -> None:
        """See `Events`."""
        self._call(self._events.reachable)

    def _call(self, event: Callable[..., None], *args: object) -> None:
        try:
            event(*args)
        except Exception:  # whatever it is, it is not the directory's fault
            self.log.failure("handling an event of the directory has failed")
