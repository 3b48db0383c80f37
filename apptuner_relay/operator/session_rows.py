"""The rows of sessions and of their clients, as ``/api/sessions`` shows them. They only read."""

from heapq import nlargest

from apptuner_relay.operator.bundle_phone_states import BundlePhoneState
from apptuner_relay.operator.meters import Meters
from apptuner_relay.operator.observed import ClientView, SessionView
from apptuner_relay.session.session import Role

_SHOWN_BUNDLES = 5


class SessionRows:
    """Shows the sessions of a relay."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def rows(
        self, most: int | None = None, prefix: str = "", has_bundles: bool = True
    ) -> list[dict[str, object]]:
        """A row for each session, in the order in which they began.

        :param most: no more than so many: first those that have a slow client or several CLIs, and
            then those that were sent the most bytes.
        :param prefix: only those whose hash begins with it.
        :param has_bundles: whether the rows have the last bundles, which are most of a row.
        """

        def weight(session: SessionView) -> tuple[bool, int]:
            return self._has_slow(session) or len(session.clis) > 1, _bytes_out(session)

        found = [
            (session.since_s, key, session)
            for key, session in self._meters.relay.sessions.items()
            if key.startswith(prefix)
        ]
        if most is not None and len(found) > most:
            found = nlargest(most, found, lambda one: weight(one[2]))
        return [
            self._row(key, session, has_bundles)
            for _, key, session in sorted(found, key=lambda one: one[:2])
        ]

    def _row(self, key: str, session: SessionView, has_bundles: bool) -> dict[str, object]:
        meters = self._meters
        now_s = meters.now_s
        members: list[ClientView] = [
            one for role in Role for one in session.members if one.role is role
        ]
        records = meters.bundles.recent(key)
        times = (record.acknowledged_s for record in records)
        return {
            "session": session.label,
            "since_ms": meters.wall_ms(session.since_s),
            "roles": [one.role.value for one in members],
            "devices": [
                {
                    "deviceId": phone.device.device_id,
                    "name": phone.device.name,
                    "platform": phone.device.platform,
                }
                for phone in session.mobiles
                if phone.device is not None
            ],
            "clients": [self._client(one) for one in members],
            **({"bundles": [one.row() for one in records[:_SHOWN_BUNDLES]]} if has_bundles else {}),
            "reload_s": next((time_s for time_s in times if time_s is not None), None),
            "failed": sum(
                phone.state is BundlePhoneState.FAILED
                for record in records
                for phone in record.phones
            ),
            "several_clis": len(session.clis) > 1,
            "age_s": round(now_s - session.since_s, 1),
            "idle_s": round(now_s - session.last_activity_s, 1),
            "bytes_in": session.bytes_in + sum(one.bytes_in for one in members),
            "bytes_out": _bytes_out(session),
            "slow": self._has_slow(session),
        }

    def _client(self, client: ClientView) -> dict[str, object]:
        meters, round_trip = self._meters, client.round_trip
        at_ms = None if round_trip is None else meters.wall_ms(round_trip.at_s)
        return client_row(meters, client) | {
            "address": client.admission.address,
            "round_trip_at_ms": at_ms,
        }

    def _has_slow(self, session: SessionView) -> bool:
        return any(self._meters.is_slow(one) for one in session.members)


def client_row(meters: Meters, client: ClientView) -> dict[str, object]:
    """A client, as it is shown to everybody who knows its session."""
    device, round_trip_s = client.device, client.round_trip_s
    return {
        "role": client.role.value,
        "deviceId": device and device.device_id,
        "name": device and device.name,
        "platform": device and device.platform,
        "agent": client.agent,
        "since_ms": client.since_ms,
        "round_trip_ms": None if round_trip_s is None else round(1000 * round_trip_s, 1),
        "behind": client.is_behind or meters.is_slow(client),
        "through": client.through,
    }


def _bytes_out(session: SessionView) -> int:
    return session.bytes_out + sum(member.sink.written for member in session.members)
