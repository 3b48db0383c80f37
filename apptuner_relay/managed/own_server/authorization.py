"""``POST /pusher/auth``: lets a client into the channel of its session.

A client of a managed service first connects there, and then shows the relay what a client on the
relay's own WebSocket shows in its handshake. It is checked the same way, and gets a signature by
which the service lets it into the channel. The service then tells the gateway that it has come.

Where relays share their sessions, the relay that has the session signs, as its gateway speaks in
the channel: see `PeerAuthorizations`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from apptuner_relay.access.caller import read_caller
from apptuner_relay.managed.gateway.gateway_interface import GatewayInterface
from apptuner_relay.managed.own_server.authorization_request import read_request
from apptuner_relay.managed.protocol.channel_names import channel_of, start_of_channels
from apptuner_relay.managed.protocol.signatures import Signer
from apptuner_relay.managed.protocol.user_ids import (
    MemberInfo,
    UserId,
    make_channel_data,
    new_tag,
)
from apptuner_relay.relay.admission import AdmissionControl
from apptuner_relay.relay.closing_groups import RESTARTS
from apptuner_relay.relay.interfaces import DecideClaim, no_claim
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import Admission, BadRequest
from apptuner_relay.web.cors import allow_origin, answer_preflight
from apptuner_relay.web.guard import client_address
from apptuner_relay.web.headers import header
from apptuner_relay.web.json_body import JsonResource, write_json

PATH = "/pusher/auth"
MOST_BODY_BYTES = 8 * 1024

_RETRY_AFTER_S = 5
"""When a client that is refused with 503 may try again."""
_NO_HEADERS: Mapping[str, str] = {}


class SignedEntry(NamedTuple):
    """What lets a client into a channel, in the form of the Pusher protocol."""

    auth: str
    channel_data: str


class PeerAuthorizationRequest(NamedTuple):
    """What another relay asks for, which has admitted one of its clients already."""

    admission: Admission
    socket_id: str


class PeerAuthorizations(Protocol):
    """The relays that share their sessions with this one, as
    `authorization_proxy.AuthorizationProxy` asks them."""

    def read(self, request: Request) -> PeerAuthorizationRequest | None:
        """What another relay asks for, which has found that this one owns the session. None for the
        request of a client.

        :raises BadRequest: 401, the request has no valid proof of that.
        """

    def ask(self, admission: Admission, socket_id: str) -> Deferred[SignedEntry | None]:
        """Have the relay sign that owns the session; None if only this relay can own it.

        :return: fails with `BadRequest`: the other relay refuses, or can't be reached.
        """


class AuthorizationResource(JsonResource):
    """To be put at ``/pusher/auth``.

    :param prefix: of the channels' names.
    :param expect_own: called with the ``socket_id`` of a client and its channel. Returns whether
        it is connected to this relay itself, and has to wait for nothing at a provider.
    :param peers: None where this relay is alone.
    """

    isLeaf = True
    body_limit = MOST_BODY_BYTES
    log = Logger()

    def __init__(
        self,
        relay: RelayService,
        gateway: GatewayInterface,
        signer: Signer,
        prefix: str,
        expect_own: Callable[[str, str], bool] = lambda socket_id, channel: False,
        peers: PeerAuthorizations | None = None,
    ) -> None:
        super().__init__()
        self._relay = relay
        self._gateway = gateway
        self._signer = signer
        self._prefix = prefix
        self._expect_own = expect_own
        self._peers = peers
        self._admission_control = AdmissionControl(relay)
        self._origins = relay.settings.access.allowed_origin

    def render(self, request: Request) -> bytes | int:
        request.setHeader(b"x-content-type-options", b"nosniff")
        return super().render(request)

    def render_OPTIONS(self, request: Request) -> bytes:
        return answer_preflight(request, self._origins, ["POST"], ["authorization", "content-type"])

    def render_POST(self, request: Request) -> int:
        allow_origin(request, self._origins)
        answer = _Answer(request)
        signing = ensureDeferred(self._answer(request))
        signing.addCallback(lambda entry: answer.write(entry._asdict()))
        signing.addErrback(self._refuse, answer)
        signing.addErrback(self._fail, answer)
        return NOT_DONE_YET

    async def _answer(self, request: Request) -> SignedEntry:
        """:raises BadRequest: the client may not come in."""
        asked = None if self._peers is None else self._peers.read(request)
        if asked is not None:
            if not self._relay.running:
                raise BadRequest(503, RESTARTS)
            # It will be connected to none of them.
            admission = replace(asked.admission, through=None)
            await self._keep_place(admission, no_claim)
            return await self._sign(admission, asked.socket_id)
        address = client_address(request, self._relay.settings.listening.trusted_proxy)
        try:
            return await self._admit(request, address)
        except BadRequest as refusal:
            self._relay.refused(refusal.status, address, str(refusal))
            raise

    async def _admit(self, request: Request, address: str | None) -> SignedEntry:
        relay = self._relay
        relay.access.count_connection(address)
        assert request.content is not None
        wish = read_request(header(request, "content-type"), request.content.read())
        origin, authorization = header(request, "origin"), header(request, "authorization")
        caller = read_caller(address, origin, authorization, wish.query)
        agent = header(request, "user-agent")
        admission = relay.admit(
            wish.role, wish.session_id, wish.query, address=address, agent=agent
        )
        if wish.channel != channel_of(self._prefix, admission.session_hash):
            raise BadRequest(
                403,
                f"channel_name is not that of the session: {start_of_channels(self._prefix)} and "
                "the SHA-256 of its id, 64 hex digits",
            )
        entry: SignedEntry | None = None

        async def reserve(admission: Admission, claim: DecideClaim) -> bool:
            nonlocal entry
            if self._peers is not None:
                await claim()
                entry = await self._peers.ask(admission, wish.socket_id)
            if entry is None:
                await self._keep_place(admission, claim)
            return entry is None

        admission = await self._admission_control.admit_later(admission, caller, reserve)
        return entry or await self._sign(admission, wish.socket_id)

    async def _keep_place(self, admission: Admission, claim: DecideClaim) -> None:
        """See that there is room for a client that comes in later.

        :raises BadRequest: there is none.
        """
        relay = self._relay
        if self._peers is None and relay.hooks.placement is not None:
            # Its session may be another relay's, and a place that is found there is taken.
            await claim()
            relay.registry.check_room(admission)
            self._check_expected(admission)
            return
        place = await relay.find_place(admission, claim)
        try:
            place.check()
            self._check_expected(admission)
        finally:
            place.abandon()

    def _check_expected(self, admission: Admission) -> None:
        """Whether there is room for a phone beside those that are about to come."""
        if admission.device is None:
            return
        key, most = admission.session_hash, self._relay.live.now.limits.max_mobiles
        session = self._relay.sessions.get(key)
        there = () if session is None else session.mobiles
        admissions = [*self._gateway.expected(key), *(phone.admission for phone in there)]
        devices = {one.device.device_id for one in admissions if one.device is not None}
        if len(devices - {admission.device.device_id}) >= most:
            raise BadRequest(
                403,
                f"This session already has {most} phones, the most it may have, or expects them",
            )

    async def _sign(self, admission: Admission, socket_id: str) -> SignedEntry:
        """Let a client in that has been admitted."""
        device = admission.device
        user_id = UserId(admission.role, new_tag(), "" if device is None else device.device_id)
        info = MemberInfo(
            admission.since_ms,
            None if device is None else device.name,
            None if device is None else device.platform,
            None if device is None else device.have,
            admission.authorized,
            admission.tokens,
            admission.proof,
            admission.acks,
        )
        data = make_channel_data(user_id, info)
        channel = channel_of(self._prefix, admission.session_hash)
        auth = self._signer.sign_channel(socket_id, channel, data)
        self._gateway.expect(str(user_id), admission)
        if not self._expect_own(socket_id, channel):
            await self._gateway.ready(admission.session_hash)
        return SignedEntry(auth, data)

    def _refuse(self, failure: Failure, answer: "_Answer") -> None:
        """Answer a request that is refused, which is no fault of the relay."""
        failure.trap(BadRequest)
        refusal = failure.value
        assert isinstance(refusal, BadRequest)
        headers = dict(refusal.headers)
        if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.setdefault("Retry-After", str(_RETRY_AFTER_S))
        answer.write({"error": str(refusal)}, refusal.status, headers)

    def _fail(self, failure: Failure, answer: "_Answer") -> None:
        self.log.failure("a client of a managed service could not be let in", failure)
        answer.write({"error": "The relay has failed at this"}, 500)


class _Answer:
    """The answer to a request whose client may have left."""

    def __init__(self, request: Request) -> None:
        self._request: Request | None = request
        request.notifyFinish().addErrback(self._lost)

    def write(
        self, value: object, status: int = 200, headers: Mapping[str, str] = _NO_HEADERS
    ) -> None:
        request = self._request
        if request is None:
            return
        for name, text in headers.items():
            request.setHeader(name.encode(), text.encode())
        request.write(write_json(request, value, status))
        request.finish()

    def _lost(self, reason: Failure) -> None:
        self._request = None
