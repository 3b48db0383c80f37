"""Merges what several users are told in one turn of the reactor, as one event can reach them all.
Pure.
"""

from bisect import bisect_right
from typing import NamedTuple


class Said(NamedTuple):
    """A text, and whom it is for."""

    text: bytes
    users: list[str]
    """By ``user_id``, in the order in which they were told."""


class Merger:
    """What was said since the last `take`. Each user gets its texts in their order, and a text that
    it is told twice, twice."""

    def __init__(self) -> None:
        self._said: list[Said] = []
        self._places: dict[bytes, list[int]] = {}
        """Where in that list a text stands, in order."""
        self._last: dict[str, int] = {}
        """Where the last one stands that a user was told."""

    def __bool__(self) -> bool:
        return bool(self._said)

    def say(self, user_id: str, text: bytes) -> None:
        """Tell a user a text."""
        places = self._places.setdefault(text, [])
        # A client may say the same thousands of times in one turn.
        behind = bisect_right(places, self._last.get(user_id, -1))
        if behind == len(places):
            places.append(len(self._said))
            self._said.append(Said(text, []))
        place = places[behind]
        self._said[place].users.append(user_id)
        self._last[user_id] = place

    def take(self) -> list[Said]:
        """What was said, in order."""
        said, self._said = self._said, []
        self._places.clear()
        self._last.clear()
        return said
