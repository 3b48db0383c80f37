"""The users that were authorized, and have not come into their channel yet. Pure."""

from collections.abc import Callable
from typing import NamedTuple

from apptuner_relay.session.session import Admission

EXPECTED_S = 60.0
"""How long a user is expected after its authorization."""
MOST_EXPECTED = 10_000
"""Of how many users it is remembered how they were let in. One that comes when it is forgotten is
known by what was signed, as one that comes late is."""


class _Expected(NamedTuple):
    admission: Admission
    until_s: float


class ExpectedUsers:
    """Those of one relay.

    :param seconds: the monotonic clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._users: dict[str, _Expected] = {}
        """By ``user_id``; who has been expected for longest comes first."""

    def __len__(self) -> int:
        return len(self._users)

    def add(self, user_id: str, admission: Admission) -> None:
        """Expect a user from now on."""
        self.sweep()
        self._users.pop(user_id, None)
        self._users[user_id] = _Expected(admission, self._seconds() + EXPECTED_S)
        if len(self._users) > MOST_EXPECTED:
            del self._users[next(iter(self._users))]

    def take(self, user_id: str) -> Admission | None:
        """A user has come. Returns how it is let in; None where it is not expected."""
        self.sweep()
        expected = self._users.pop(user_id, None)
        return None if expected is None else expected.admission

    def of_session(self, session_hash: str) -> list[Admission]:
        """How those are let in that are expected in a session."""
        self.sweep()
        admissions = (one.admission for one in self._users.values())
        return [one for one in admissions if one.session_hash == session_hash]

    def sweep(self) -> None:
        """Forget those that have not come in time."""
        now_s = self._seconds()
        while self._users:
            user_id, oldest = next(iter(self._users.items()))
            if oldest.until_s > now_s:
                break
            del self._users[user_id]
