"""How long to wait before trying again: longer each time, and at random, so that many that have
lost a service at once don't come back at once. Pure.
"""

import random
from collections.abc import Callable


class Backoff:
    """The waits of one that tries again. Each is anything between the floor and a bound that
    doubles with every try: *full jitter*, but never no wait at all.

    :param floor_s: the shortest wait, in seconds.
    :param first_s: the bound of the first wait.
    :param most_s: the bound of all.
    :param uniform: gives a number from 0 to 1.
    """

    def __init__(
        self,
        floor_s: float,
        first_s: float,
        most_s: float,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        if not 0 < floor_s <= first_s <= most_s:
            raise ValueError("floor, first and most have to be in order, and more than nothing")
        self._floor_s = floor_s
        self._first_s = first_s
        self._most_s = most_s
        self._uniform = uniform
        self._bound_s = first_s

    def next_s(self) -> float:
        """How long to wait now, in seconds."""
        bound_s = self._bound_s
        self._bound_s = min(bound_s * 2, self._most_s)
        return self._floor_s + self._uniform() * (bound_s - self._floor_s)

    def reset(self) -> None:
        """It has succeeded: begin anew."""
        self._bound_s = self._first_s
