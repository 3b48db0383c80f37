"""What a lost connection means: try again, how soon, or give up and with what words. Pure.

Not here: connecting, and timers; see `membership`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum, auto

from apptuner_relay.managed.protocol.close_codes import advise

MAX_REFUSAL_BYTES = 64 * 1024
"""Of an HTTP answer that refuses a handshake; what is beyond is not read."""

_TAKEOVER = re.compile(r"New \w+ connected")
_CLOSE_NORMAL = 1000
_CLOSE_POLICY = 1008
_CLOSE_TOO_BIG = 1009
_TOO_MANY_REQUESTS = 429
_SERVICE_UNAUTHORIZED = (401, 403)
"""Of a subscription that a service refuses: its key, or the relay's signature, is wrong."""
_LONGEST_RETRY_AFTER_SECONDS = 3600.0


class How(Enum):
    """The ways in which a connection comes to its end."""

    UNREACHABLE = auto()
    """There never was one."""
    UNTRUSTED = auto()
    """The relay's certificate could not be verified."""
    REFUSED = auto()
    """The relay answered the handshake with an HTTP status; `code` has it."""
    CLOSED = auto()
    """The relay closed; `code` is the close code, or None."""
    LOST = auto()
    """It broke, or fell silent."""
    NOT_ASKED = auto()
    """The relay could not be asked to let this client into a channel; `reason` says why."""
    SERVICE = auto()
    """A managed service closed, or refused; `code` is its own, or None."""


@dataclass(frozen=True)
class Ending:
    """How a connection ended, with what the other side said about it."""

    how: How
    reason: str = ""
    code: int | None = None
    retry_after_seconds: float = 0.0
    """How long the relay wants to be left alone."""

    @property
    def final(self) -> bool:
        """Whether trying again would only meet the same end, or do harm."""
        match self.how:
            case How.UNTRUSTED:
                return True
            case How.REFUSED:
                passing = self.code == _TOO_MANY_REQUESTS
                return self.code is None or not (500 <= self.code <= 599 or passing)
            case How.CLOSED:
                hopeless = self.code in (_CLOSE_POLICY, _CLOSE_TOO_BIG)
                return hopeless or self.taken_over or self.timed_out
            case How.SERVICE:
                return self.code in _SERVICE_UNAUTHORIZED or advise(self.code).is_permanent
        return False

    @property
    def taken_over(self) -> bool:
        """Whether another client of the same role took this one's place."""
        return self._normal_close and bool(_TAKEOVER.match(self.reason))

    @property
    def timed_out(self) -> bool:
        """Whether the relay ended the whole session for want of activity."""
        return self._normal_close and self.reason.startswith("Session timeout")

    @property
    def _normal_close(self) -> bool:
        return self.how is How.CLOSED and self.code == _CLOSE_NORMAL

    def __str__(self) -> str:
        """One line for the user; `reason` is untrusted and is quoted as it came."""
        colon_reason = f": {self.reason}" if self.reason else ""
        if self.taken_over:
            return f"another client took over this role in the session ({self.reason})"
        if self.timed_out:
            return "the relay ended the session, which nobody used (Session timeout)"
        match self.how:
            case How.UNREACHABLE:
                return f"could not connect{colon_reason}"
            case How.UNTRUSTED:
                return f"the relay's certificate could not be verified{colon_reason}"
            case How.REFUSED:
                return f"the relay refused the connection with HTTP {self.code}{colon_reason}"
            case How.CLOSED:
                code = "no code" if self.code is None else f"code {self.code}"
                return f"the relay closed the connection with {code}{colon_reason}"
            case How.NOT_ASKED:
                return f"the relay could not be asked for the channel{colon_reason}"
            case How.SERVICE:
                code = "no code" if self.code is None else f"code {self.code}"
                return f"the managed service refused, with {code}{colon_reason}"
        return f"the connection was lost{colon_reason}"


@dataclass(frozen=True)
class Patience:
    """How often to try again, and how long to wait before each."""

    tries: int
    first_seconds: float
    ceiling_seconds: float
    forgiving: bool
    """Whether a successful welcome makes all the tries good again."""

    def delay(self, tries_used: int) -> float | None:
        """Seconds to wait after `tries_used` tries, or None when there are no more."""
        if tries_used >= self.tries:
            return None
        # The exponent is bounded, for with a large --retries the power would overflow.
        return min(self.first_seconds * 2.0 ** min(tries_used, 32), self.ceiling_seconds)


def read_refusal(answer: bytes, *, at_end: bool) -> Ending | None:
    """What an HTTP answer other than 101 says, or None while there is more of it to come.

    `answer` is all that came, head and body; `at_end` says that nothing will follow.
    """
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator and not at_end:
        return None
    lines = head.decode("latin-1").split("\r\n")
    status = re.match(r"HTTP/1\.[01] (\d{3})(?: (.*))?$", lines[0])
    if status is None:
        return Ending(How.LOST, "what answered does not speak HTTP")
    if status[1] == "101":
        return Ending(How.LOST, "the handshake was cut short")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines[1:])
    }
    length = headers.get("content-length", "")
    if not at_end:
        wanted = int(length) if re.fullmatch(r"\d{1,9}", length) else MAX_REFUSAL_BYTES
        if len(body) < min(wanted, MAX_REFUSAL_BYTES - len(head)):
            return None
    reason = error_text(body) or (status[2] or "").strip()
    wait_seconds = retry_after_seconds(headers.get("retry-after", ""))
    return Ending(How.REFUSED, reason, int(status[1]), wait_seconds)


def retry_after_seconds(value: str) -> float:
    """What a `Retry-After` asks for, up to an hour; 0 where there is none, or a date."""
    seconds = float(value) if re.fullmatch(r"\d{1,9}", value) else 0.0
    return min(seconds, _LONGEST_RETRY_AFTER_SECONDS)


def error_text(body: bytes) -> str | None:
    """The reason in a relay's JSON answer, or None where there is none to be read."""
    return text_in(body, "error")


def text_in(body: bytes, field: str) -> str | None:
    """A text in a relay's JSON answer, or None where there is none to be read."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    text = answer.get(field) if isinstance(answer, dict) else None
    return text if isinstance(text, str) and text else None
