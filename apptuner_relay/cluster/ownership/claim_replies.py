"""What the scripts of `claim_scripts` reply of a claim, and what a relay remembers of that beside
the claim. Pure.
"""

import re
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from apptuner_relay.access.claims import Claim

_FOUND = re.compile(r"(\S{43}) ([01]) ([0-9]+) ([0-9]+)")
"""The proof is 32 bytes in base64url."""
_DROPPED_AT_ONCE = 8


class Found(NamedTuple):
    """The claim of a session in Redis."""

    claim: Claim
    left_ms: int
    """For how many more milliseconds Redis keeps it."""
    provisional_ms: int
    """For how many more milliseconds it yields to one that is put back. 0 for a claim that
    doesn't."""


def read_found(text: str) -> Found | None:
    """Parse a reply with a claim. None where there is no claim, and for what no relay has
    written."""
    match = _FOUND.fullmatch(text)
    if match is None:
        return None
    proof, tokens, left_ms, provisional_ms = match.groups()
    return Found(Claim(proof, tokens == "1"), int(left_ms), int(provisional_ms))


class ProvisionalSessions:
    """The sessions of which the claim in Redis is provisional, as this relay has heard.

    :param now_s: the monotonic clock.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._until_s: dict[str, float] = {}
        """Until when; in the order in which this was heard."""

    def __contains__(self, session: str) -> bool:
        return self._now_s() < self._until_s.get(session, 0.0)

    def list(self) -> list[str]:
        """All of them."""
        return [session for session in self._until_s if session in self]

    def note(self, session: str, left_s: float) -> None:
        """A session's claim is provisional for so many more seconds; 0 for one that is not."""
        now_s = self._now_s()
        for old, until_s in list(islice(self._until_s.items(), _DROPPED_AT_ONCE)):
            if now_s < until_s:
                break
            del self._until_s[old]
        self._until_s.pop(session, None)
        if left_s > 0:
            self._until_s[session] = now_s + left_s
