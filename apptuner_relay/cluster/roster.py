"""Who comes along when a session moves: the list that the old owner gives the new one. Pure.

A client is named by its connection (`session.Admission.client`), so one that comes back on another
connection meanwhile is another one.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

from apptuner_relay.session import Device, Role

_MOST = 1000
"""Clients on one list: more than any session may have."""


@dataclasses.dataclass(frozen=True)
class Traveller:
    """One client of a session that moves."""

    client: str
    """See `session.Admission`."""
    role: Role
    device: Device | None
    """Set for a mobile."""
    is_gone: bool = False
    """Whether its old relay has closed it, of which the others are to hear where they meet next."""

    def to_json(self) -> dict[str, object]:
        """As it is sent."""
        device = None if self.device is None else dataclasses.asdict(self.device)
        return {
            "client": self.client,
            "role": self.role.value,
            "device": device,
            "gone": self.is_gone,
        }


def read_travellers(value: object) -> list[Traveller]:
    """What another relay has sent.

    :raises ValueError: it is no such list; perhaps of a relay of another version.
    """
    if not isinstance(value, list) or len(value) > _MOST:
        raise ValueError("no list of clients")
    return [_read(one) for one in value]


def _read(value: Any) -> Traveller:
    try:
        device = value["device"]
        return Traveller(
            str(value["client"]),
            Role(value["role"]),
            None if device is None else Device(**device),
            bool(value["gone"]),
        )
    except (KeyError, TypeError) as wrong:
        raise ValueError(f"a client that can't be read: {wrong}") from None


class Roster:
    """Who has not come yet."""

    def __init__(self, travellers: Iterable[Traveller]) -> None:
        self._expected: dict[str, Traveller] = {}
        self._gone: list[Traveller] = []
        for one in travellers:
            if one.is_gone:
                self._gone.append(one)
            else:
                self._expected[one.client] = one

    @property
    def is_complete(self) -> bool:
        """Whether all have come, or are known not to."""
        return not self._expected

    @property
    def missing(self) -> tuple[Traveller, ...]:
        """Those who have not come, and may."""
        return tuple(self._expected.values())

    def expects(self, client: str) -> bool:
        """Whether that one is to come."""
        return client in self._expected

    def came(self, client: str) -> None:
        """That one is here. Harmless for one that was not expected."""
        self._expected.pop(client, None)

    def miss(self, client: str) -> None:
        """That one won't come. Harmless for one that was not expected."""
        one = self._expected.pop(client, None)
        if one is not None:
            self._gone.append(one)

    def give_up(self) -> tuple[Traveller, ...]:
        """Wait for nobody any more; returns all who didn't come."""
        for client in tuple(self._expected):
            self.miss(client)
        gone, self._gone = self._gone, []
        return tuple(gone)
