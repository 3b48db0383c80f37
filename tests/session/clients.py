"""Members of a session that exist in memory only, and what they are told."""

import json
from dataclasses import dataclass

from apptuner_relay.session.session import (
    Admission,
    Arrival,
    Device,
    Limits,
    Notice,
    Role,
    Session,
)


@dataclass(eq=False)
class Client:
    """The least that a session takes as a member."""

    role: Role
    device: Device | None = None
    arrival: Arrival = Arrival.NEW
    client: str = ""
    since_ms: int = 0
    lost_ms: int = 0
    said_s: float | None = None
    heard_s: float = 0.0

    @property
    def admission(self) -> Admission:
        return Admission(
            self.role,
            "0" * 64,
            self.device,
            "",
            arrival=self.arrival,
            client=self.client,
            since_ms=self.since_ms,
            lost_ms=self.lost_ms,
        )


LIMITS = Limits(phones=5)


def phone(device_id: str = "d1", name: str | None = None) -> Client:
    return Client(Role.MOBILE, Device(device_id, name, "ios", 5))


def come(session: Session[Client], client: Client, now_ms: int = 1) -> list[Notice[Client]]:
    """Have ``client`` come in as the service does."""
    seating = session.seat(client.admission, LIMITS, now_ms / 1000)
    return session.join(client, now_ms, seating.replaced)


def told(notices: list[Notice[Client]], client: Client) -> list[str]:
    """The types of what ``client`` is told, in order."""
    return [json.loads(notice.message)["type"] for notice in notices if notice.to is client]
