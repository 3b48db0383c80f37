"""``GET /api/sessions`` and ``POST /api/sessions/{prefix}/close``: how an operator lists and closes
sessions. ``prefix`` is that of the session's hash, as logs show it; ids are neither shown nor
accepted.
"""

import re

from twisted.web.resource import Resource
from twisted.web.server import Request

from apptuner_relay.operator.views import Views
from apptuner_relay.relay.member import Member
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import BadRequest, Session
from apptuner_relay.support.units import show_count
from apptuner_relay.web.guard import Guard
from apptuner_relay.web.json_body import ErrorResource, JsonResource, write_json

CLOSE_REASON = "Closed by the operator"

_MOST = re.compile(rb"0*[1-9][0-9]{0,8}")
_HASH = re.compile(rb"[0-9a-f]{8,64}")
_PREFIX = re.compile(r"[0-9a-f]{4,64}")


class SessionsResource(JsonResource):
    """``{"sessions":[{"session":"1f2e3d4c","roles":["cli","mobile"],…}]}``, in the order in which
    they began; with ``?most=100`` at most so many: those with slow clients or several CLIs, then
    those that were sent most. With ``?session=1f2e3d4c`` those whose hash begins with that.
    With ``?bundles=0`` without their bundles."""

    def __init__(self, relay: RelayService, views: Views, guard: Guard) -> None:
        super().__init__()
        self._guard = guard
        self._relay = relay
        self._views = views

    def getChild(self, path: bytes, request: Request) -> Resource:
        if not path:
            return ErrorResource(404, "Not found")
        session = ErrorResource(404, "Not found: only POST …/close is here")
        session.isLeaf = False
        prefix = path.decode("ascii", "replace")
        session.putChild(b"close", CloseResource(self._relay, prefix, self._guard))
        return session

    def render_GET(self, request: Request) -> bytes:
        (text, *_) = request.args.get(b"most", [b""])
        if text and not _MOST.fullmatch(text):
            return write_json(request, {"error": "most is a number, 1 or more"}, 400)
        (prefix, *_) = request.args.get(b"session", [b""])
        if prefix and not _HASH.fullmatch(prefix):
            return write_json(
                request, {"error": "session is 8 to 64 lower-case hex digits of a hash"}, 400
            )
        has_bundles = request.args.get(b"bundles", [b""])[0] != b"0"
        rows = self._views.sessions(
            int(text) if text else None, prefix.decode("ascii"), has_bundles
        )
        return write_json(request, {"sessions": rows})


class CloseResource(JsonResource):
    """Closes every client of a session with 1000. Clients may connect again."""

    def __init__(self, relay: RelayService, prefix: str, guard: Guard) -> None:
        super().__init__()
        self._guard = guard
        self._relay = relay
        self._prefix = prefix

    def render_POST(self, request: Request) -> bytes:
        try:
            session = find_session(self._relay, self._prefix)
        except BadRequest as wrong:
            self._guard.audit(request, "close", f"refused: {wrong}")
            return write_json(request, {"error": str(wrong)}, wrong.status)
        closed = len(session.members)
        told = f"done, {show_count(closed, 'client')}"
        self._guard.audit(request, "close", told, session.label)
        self._relay.registry.close_session(session, CLOSE_REASON)
        return write_json(request, {"session": session.label, "closed": closed})


def find_session(relay: RelayService, prefix: str) -> Session[Member]:
    """The one session whose hash begins with ``prefix``.

    :raises BadRequest: 400 for a malformed prefix, 404 for no session, 409 for several.
    """
    if not _PREFIX.fullmatch(prefix):
        raise BadRequest(400, "Name a session by 4 to 64 lower-case hex digits of its hash")
    found = [session for key, session in relay.sessions.items() if key.startswith(prefix)]
    if not found:
        raise BadRequest(404, f"No session {prefix} is connected")
    if len(found) > 1:
        raise BadRequest(409, f"{len(found)} sessions begin with {prefix}: say more digits")
    return found[0]
