"""The clients of a session that moves: the list that the old owner sends the new one, and which of
them have arrived. Pure.

A client is named by its connection (`session.Admission.client`). One that reconnects meanwhile is
another client.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

from apptuner_relay.session.session import Device, Role

_MOST = 1000
"""The longest list: more clients than any session may have."""


@dataclasses.dataclass(frozen=True)
class MigratingClient:
    """One client of a session that moves."""

    client: str
    """See `session.Admission`."""
    role: Role
    device: Device | None
    """Set for a mobile."""
    is_gone: bool = False
    """Whether its old relay has closed it. The others are told so by the new owner."""

    def to_json(self) -> dict[str, object]:
        """As it is sent."""
        device = None if self.device is None else self.device.to_dict()
        return {
            "client": self.client,
            "role": self.role.value,
            "device": device,
            "gone": self.is_gone,
        }


def read_migrating_clients(value: object) -> list[MigratingClient]:
    """Parse the list that another relay has sent.

    :raises ValueError: it is malformed, or of a relay of another version.
    """
    if not isinstance(value, list) or len(value) > _MOST:
        raise ValueError("the list of clients is malformed")
    return [_read(one) for one in value]


def _read(value: Any) -> MigratingClient:
    try:
        device = value["device"]
        return MigratingClient(
            str(value["client"]),
            Role(value["role"]),
            None if device is None else Device.read(device),
            bool(value["gone"]),
        )
    except (KeyError, TypeError) as wrong:
        raise ValueError(f"a client on the list is malformed: {wrong}") from None


class Roster:
    """Which clients of a list have arrived."""

    def __init__(self, clients: Iterable[MigratingClient]) -> None:
        self._expected: dict[str, MigratingClient] = {}
        self._gone: list[MigratingClient] = []
        for one in clients:
            if one.is_gone:
                self._gone.append(one)
            else:
                self._expected[one.client] = one

    @property
    def is_complete(self) -> bool:
        """Whether each client has arrived, or is known not to arrive."""
        return not self._expected

    @property
    def missing(self) -> tuple[MigratingClient, ...]:
        """The clients that may still arrive."""
        return tuple(self._expected.values())

    def expects(self, client: str) -> bool:
        """Whether a client may still arrive."""
        return client in self._expected

    def arrived(self, client: str) -> None:
        """A client has arrived. Harmless for one that was not expected."""
        self._expected.pop(client, None)

    def mark_absent(self, client: str) -> None:
        """A client won't arrive. Harmless for one that was not expected."""
        one = self._expected.pop(client, None)
        if one is not None:
            self._gone.append(one)

    def close(self) -> tuple[MigratingClient, ...]:
        """Expect no client any more. Returns all that have not arrived."""
        for client in tuple(self._expected):
            self.mark_absent(client)
        gone, self._gone = self._gone, []
        return tuple(gone)
