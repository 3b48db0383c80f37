"""Logs the handshakes and uploads that are refused.

The log is throttled, so that refused clients can't fill the disk: a line in 10 seconds for each
client and reason, so that one who tries for ever doesn't hide the others, and a few lines a second
for all of them. It shows no path, which may hold a session id.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from twisted.logger import Logger

from apptuner_relay.access.bucket import TokenBucket
from apptuner_relay.access.limits import customer
from apptuner_relay.session.session import (
    BadRequest,
    Role,
    check_session_id,
    parse_path,
    session_hash,
)
from apptuner_relay.support.client_address import UNKNOWN
from apptuner_relay.support.log_throttle import INTERVAL_S
from apptuner_relay.support.printable_text import printable_line

MOST_LINES_A_SECOND = 2.0
MOST_LINES_AT_ONCE = 20
_MOST_KINDS = 1000
_WHY_CHARACTERS = 200
_UPLOADS = "/bundles/"


class Refusal(NamedTuple):
    """A handshake or an upload that was refused."""

    status: int
    """Of HTTP."""
    address: str | None
    """The client's."""
    why: str
    """For people; without anything that the client has sent."""
    role: Role | None
    """As which it wanted to connect, where it said so."""
    session: str | None
    """How logs name the session, where it named one."""


def make_refusal(status: int, address: str | None, why: str, target: str) -> Refusal:
    """:param target: of the request, with the session's id; see RFC 9112 §3.2."""
    role: Role | None = None
    session: str | None = None
    path = target.partition("?")[0]
    try:
        if path.startswith(_UPLOADS):
            role, session_id = Role.UPLOAD, check_session_id(path.removeprefix(_UPLOADS))
        else:
            role, session_id = parse_path(path)
        session = session_hash(session_id)[:8]
    except BadRequest:
        # It is for no session, which may be why it is refused.
        pass
    return Refusal(status, address, printable_line(why, _WHY_CHARACTERS), role, session)


class _Kind:
    """The refusals of one client, with one status and reason."""

    __slots__ = ("count", "logged_s")

    def __init__(self) -> None:
        self.count = 0
        """Those that no line has told of."""
        self.logged_s: float | None = None


def _more(count: int, untold: int) -> str:
    """What a line has to tell of beside its own refusal."""
    others = f", and {untold} others" if untold else ""
    return f" ({count} such since the last such line{others})" if count > 1 or others else ""


class RefusalLog:
    """The refusals of one relay.

    :param seconds: the monotonic clock.
    """

    log = Logger()

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._kinds: OrderedDict[object, _Kind] = OrderedDict()
        self._lines = TokenBucket(MOST_LINES_A_SECOND, MOST_LINES_AT_ONCE, seconds())
        self._untold = 0
        """Refusals of kinds that are forgotten, of which no line has told."""

    def add(self, refusal: Refusal) -> None:
        """A handshake or an upload was refused."""
        now_s = self._seconds()
        kind = self._find((customer(refusal.address), refusal.status, refusal.why))
        kind.count += 1
        if kind.logged_s is not None and now_s - kind.logged_s < INTERVAL_S:
            return
        if not self._lines.take(now_s):
            return
        count, kind.count, kind.logged_s = kind.count, 0, now_s
        untold, self._untold = self._untold, 0
        self._write(refusal, count, untold)

    def _find(self, key: object) -> _Kind:
        kind = self._kinds.get(key)
        if kind is not None:
            self._kinds.move_to_end(key)
            return kind
        if len(self._kinds) >= _MOST_KINDS:
            _, oldest = self._kinds.popitem(last=False)
            self._untold += oldest.count
        kind = self._kinds[key] = _Kind()
        return kind

    def _write(self, refusal: Refusal, count: int, untold: int) -> None:
        fields: dict[str, object] = {}
        what, asked = "a handshake", ""
        if refusal.role is not None:
            fields = {"role": refusal.role.value, "session": refusal.session}
            asked = f" as {refusal.role.value} of session {refusal.session}"
        if refusal.role is Role.UPLOAD:
            what, asked = "an upload", f" to session {refusal.session}"
        self.log.info(
            "{what} from {address}{asked} was refused with {status}: {why}{more}",
            what=what,
            address=refusal.address or UNKNOWN,
            asked=asked,
            status=refusal.status,
            why=refusal.why,
            count=count,
            more=_more(count, untold),
            **fields,
        )
