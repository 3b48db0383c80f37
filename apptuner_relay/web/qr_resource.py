"""``POST /session/qr``: the URL with which phones join a session, and its QR code."""

from twisted.web.server import Request

from apptuner_relay.access.lru_table import LRUTable
from apptuner_relay.access.tokens import TOKEN_LASTS_S, sign_token
from apptuner_relay.session.session import BadRequest, check_session_id, session_hash
from apptuner_relay.support.client_address import host_of
from apptuner_relay.support.clocks import in_ms
from apptuner_relay.support.lan_address import find_lan_address, is_loopback
from apptuner_relay.web.guard import client_address, is_secure
from apptuner_relay.web.headers import header
from apptuner_relay.web.join_link import (
    BadBase,
    Base,
    QrCode,
    find_base,
    make_link,
    make_qr_code,
)
from apptuner_relay.web.session_access import read_session
from apptuner_relay.web.session_rate import Rate, SessionRate
from apptuner_relay.web.session_resource import SessionParts, SessionResource
from apptuner_relay.web.session_state import is_known
from apptuner_relay.web.streaming import ResponseWriter, in_thread
from apptuner_relay.wire.text import parse_json

_GRAIN_S = 60
_CODES, _ALL_CODES = Rate(0.5, 10), Rate(5, 50)
"""How often a code is made, for one session and for all: it takes some 20 ms of the processor."""
_MOST_REMEMBERED = 64


class QrResource(SessionResource):
    """``POST /session/qr``: the URL with which phones join, and its QR code. The body is
    ``{"session": ID}``, with ``"relay"``, the URL by which the relay is asked, where it is known.

    Any relay answers: a session's claim is known to all.
    """

    def __init__(self, parts: SessionParts) -> None:
        super().__init__(parts)
        text = "Too many QR codes were asked for"
        self._rate = SessionRate(text, _CODES, _ALL_CODES, self.relay.clock.seconds)
        self._codes: LRUTable[str, QrCode] = LRUTable(_MOST_REMEMBERED)

    def render_POST(self, request: Request) -> int:
        return self.begin(request)

    async def answer(self, request: Request, writer: ResponseWriter) -> object | None:
        """See `SessionResource`."""
        session = read_session(request)
        visitor = await self.parts.access.let_in(request, session)
        self.parts.access.count(visitor, await self._is_there(session))
        session_id, asked = _read_body(request)
        if session_hash(session_id) != session:
            raise BadRequest(400, "AppTuner-Session is not the SHA-256 of this session's id")
        base = self._find_base(request, asked)
        token, expires_s = None, None
        claim, secret = visitor.claim, visitor.caller.secret
        if claim is not None and claim.tokens and secret is not None:
            # The same URL, and so the same QR code, for whoever asks again at once.
            expires_s = (int(self.relay.wall_s()) + TOKEN_LASTS_S) // _GRAIN_S * _GRAIN_S
            token = sign_token(secret, session, expires_s)
        url = make_link(base, session_id, token)
        code = self._codes.get(url) or await self._make_code(session, url)
        return {
            "url": url,
            "reach": base.reach.value,
            "expires_ms": None if expires_s is None else in_ms(expires_s),
            "modules": code.modules,
            "path": code.path,
        }

    async def _make_code(self, session: str, url: str) -> QrCode:
        self._rate.take(session)
        reactor = self.parts.reactor
        code = make_qr_code(url) if reactor is None else await in_thread(reactor, make_qr_code, url)
        self._codes.put(url, code)
        return code

    async def _is_there(self, session: str) -> bool:
        peers = self.parts.peers
        if is_known(self.relay, session):
            return True
        return peers is not None and await peers.is_elsewhere(session)

    def _find_base(self, request: Request, asked: str | None) -> Base:
        if asked is None:
            host = header(request, "x-forwarded-host") or header(request, "host") or "localhost"
            asked = f"http{'s' if is_secure(request) else ''}://{host}"
        public_url = self.relay.settings.listening.public_url
        try:
            return find_base(asked, public_url, lambda port: self._find_lan(request, port))
        except BadBase:
            raise BadRequest(400, "relay has to be the URL by which the relay is asked") from None

    def _find_lan(self, request: Request, port: int) -> str | None:
        """This machine's address in its network, where phones reach the relay by it."""
        trusted = self.relay.settings.listening.trusted_proxy
        peers = (client_address(request, trusted), host_of(request.getClientAddress()))
        if not all(peer is not None and is_loopback(peer) for peer in peers):
            # It was asked as localhost from elsewhere: through a port of a container, or a tunnel.
            return None
        for address in self.parts.listening():
            if getattr(address, "port", None) != port:
                continue
            host = str(getattr(address, "host", ""))
            if host in ("", "0.0.0.0", "::"):
                return find_lan_address()
            if not is_loopback(host):
                return f"[{host}]" if ":" in host else host
        return None


def _read_body(request: Request) -> tuple[str, str | None]:
    """The session's id, and the URL by which the relay is asked.

    :raises BadRequest: 400, the body is malformed.
    """
    assert request.content is not None
    try:
        body = parse_json(request.content.read())
    except ValueError:
        raise BadRequest(400, "The body has to be JSON") from None
    session_id, asked = (
        (body.get("session"), body.get("relay")) if isinstance(body, dict) else (None, None)
    )
    if not isinstance(session_id, str) or not (asked is None or isinstance(asked, str)):
        raise BadRequest(400, 'The body has to be {"session": ID}, with "relay" or without')
    return check_session_id(session_id), asked
