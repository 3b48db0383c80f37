"""``POST /api/login`` and ``/api/logout``: the cookie with which a browser stays signed in.

The token comes in the Authorization header, which the page's form sets: no request of the relay
has a body.
"""

from twisted.web.server import Request

from apptuner_relay.web.cookies import LIFETIME_S, cookie_name, make_cookie
from apptuner_relay.web.guard import Credential, Guard, is_secure
from apptuner_relay.web.json_body import JsonResource, write_json


class LoginResource(JsonResource):
    """POST sets the cookie; GET tells whether the browser has one. The guard has let the request
    in."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    def render_GET(self, request: Request) -> bytes:
        signed_in = self._guard.authenticate(request) is Credential.COOKIE
        return write_json(request, {"signed_in": signed_in})

    def render_POST(self, request: Request) -> bytes:
        token = self._guard.token
        if token is None:
            return write_json(request, {"error": "This relay has no admin token"}, 404)
        _set_cookie(request, token, make_cookie(token, self._guard.wall_s()), LIFETIME_S)
        self._guard.audit(request, "sign in")
        return write_json(request, {"signed_in_s": LIFETIME_S})


class LogoutResource(JsonResource):
    """Deletes the cookie."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    def render_POST(self, request: Request) -> bytes:
        token = self._guard.token
        if token is None:
            return write_json(request, {"error": "This relay has no admin token"}, 404)
        self._guard.audit(request, "sign out")
        _set_cookie(request, token, b"", 0)
        return write_json(request, {"signed_in_s": 0})


def _set_cookie(request: Request, token: str, value: bytes, lifetime_s: int) -> None:
    request.addCookie(
        cookie_name(token),
        value,
        path=b"/",
        max_age=b"%d" % lifetime_s,
        secure=is_secure(request),
        httpOnly=True,
        sameSite=b"strict",
    )
