"""Counts clients by session. Pure."""

from collections import Counter
from collections.abc import Callable


class SessionCounter:
    """How many clients each session has in some state.

    :param on_zero: called with a session when its count is zero again.
    """

    def __init__(self, on_zero: Callable[[str], None] = lambda session: None) -> None:
        self._counts: Counter[str] = Counter()
        self._on_zero = on_zero

    def __contains__(self, session: object) -> bool:
        return session in self._counts

    def add(self, session: str) -> None:
        """Count one more client."""
        self._counts[session] += 1

    def remove(self, session: str) -> None:
        """Count one client less."""
        self._counts[session] -= 1
        if not self._counts[session]:
            del self._counts[session]
            self._on_zero(session)
