"""The groups of clients that a relay closes together when it stops: a session here, or the clients
here of a session that another relay has.

In a group the desktop side goes first. Its messages still reach the phones until each of its
clients has answered the Close, as it believes them sent. Then the phones go.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from apptuner_relay.relay.interfaces import ConnectedClient
from apptuner_relay.session.session import Role
from apptuner_relay.wire.frames import CLOSE_SERVICE_RESTART

RESTARTS = "The relay restarts"


class ClosingGroup(Protocol):
    """Clients that are closed together: a `session.Session`, or an `OutboundGroup`."""

    @property
    def desktop_side(self) -> Sequence[ConnectedClient]: ...

    @property
    def mobiles(self) -> Sequence[ConnectedClient]: ...

    @property
    def has_undelivered(self) -> bool:
        """Whether messages are still on their way from desktop-side clients that have
        disconnected."""


class OutboundGroup:
    """The clients here of a session that another relay has."""

    def __init__(self) -> None:
        self.desktop_side: list[ConnectedClient] = []
        self.mobiles: list[ConnectedClient] = []
        self.has_undelivered = False
        """See `ClosingGroup`."""

    def add(self, client: ConnectedClient) -> None:
        """``client`` is one of them."""
        phone = client.admission.role is Role.MOBILE
        (self.mobiles if phone else self.desktop_side).append(client)

    def clear(self) -> None:
        """Forget all clients."""
        self.desktop_side.clear()
        self.mobiles.clear()


class OutboundGroups:
    """Those groups, by the hashes of their sessions. A group stays the same object for as long as
    the shutdown lasts, though its clients change."""

    def __init__(self) -> None:
        self._groups: dict[str, OutboundGroup] = {}

    def update(self, clients: Iterable[ConnectedClient], undelivered: Iterable[str]) -> None:
        """Sort the clients that are connected now.

        :param undelivered: see `hooks.RelayHooks.undelivered`.
        """
        sessions = frozenset(undelivered)
        for session, group in self._groups.items():
            group.clear()
            group.has_undelivered = session in sessions
        for client in clients:
            session = client.admission.session_hash
            if session not in self._groups:
                self._groups[session] = OutboundGroup()
            self._groups[session].add(client)

    def list(self) -> list[OutboundGroup]:
        """The groups in which somebody is."""
        return [one for one in self._groups.values() if one.desktop_side or one.mobiles]


class GroupClosing:
    """Closes one group."""

    def __init__(self, group: ClosingGroup) -> None:
        self._group = group
        self._dismissed: dict[ConnectedClient, int] = {}
        """How many bytes each had sent when it was dismissed."""

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way between the clients that were not dismissed."""
        return all(one.settled for one in self._clients() if one not in self._dismissed)

    @property
    def is_to_be_cut(self) -> bool:
        """Whether messages are lost if it is cut now: some are on their way, or a client that was
        dismissed is still sending, or has sent some that wait to be taken in."""
        if not self.settled:
            return True
        return any(
            one.source.held or one.bytes_in > self._dismissed.get(one, one.bytes_in)
            for one in self._clients()
        )

    def proceed(self) -> None:
        """Dismiss the clients that nothing keeps any more."""
        group = self._group
        if not self.settled:
            return
        if not group.desktop_side and group.has_undelivered:
            return
        # A desktop-side client is in the group until it has answered its Close.
        for client in group.desktop_side or group.mobiles:
            if client not in self._dismissed:
                self._dismissed[client] = client.bytes_in
                client.connection.dismiss(CLOSE_SERVICE_RESTART, RESTARTS)

    def cut(self) -> None:
        """Close every client, whatever is on its way: with 1012, but with 1011 the one that is left
        with half a message."""
        for client in self._clients():
            client.connection.close(CLOSE_SERVICE_RESTART, RESTARTS)

    def _clients(self) -> Sequence[ConnectedClient]:
        return (*self._group.desktop_side, *self._group.mobiles)
