"""``PUT /bundles/{session}``: a bundle is uploaded over HTTP, and goes to the phones as it arrives.

The body is the bundle's code, or a patch of the bundle that is kept (`patch_body`). Its upload is a
member of the session, of the role `Role.UPLOAD`, admitted as a client that connects by WebSocket
is, and so may be at another relay than its session. It is answered once the bundle is kept.
`upload_connection` is its connection to the session, and `upload_states` has the states.
"""

import dataclasses
from collections import deque
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from apptuner_relay.relay.admission import AdmissionControl
from apptuner_relay.relay.bundle_receipt import Receipt
from apptuner_relay.relay.interfaces import Place
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import BadRequest, Role
from apptuner_relay.support.clocks import in_ms
from apptuner_relay.web.cors import allow_origin, answer_preflight
from apptuner_relay.web.headers import header
from apptuner_relay.web.json_body import write_json
from apptuner_relay.web.patch_body import PatchBody
from apptuner_relay.web.request_body import RequestBody
from apptuner_relay.web.upload_answers import (
    LOST,
    PatchRefusal,
    UploadAnswer,
    answer_receipt,
    answer_refusal,
    refusal_of_close,
)
from apptuner_relay.web.upload_body import UploadBody, too_large
from apptuner_relay.web.upload_connection import RELAY_LOST, UploadConnection
from apptuner_relay.web.upload_request import client_address, is_upload, read_upload
from apptuner_relay.web.upload_states import TRANSITIONS, UploadEvent, UploadState
from apptuner_relay.wire.bundle_patch import PatchFault
from apptuner_relay.wire.frames import CLOSE_ABNORMAL, CLOSE_NORMAL

METHODS = ("GET", "HEAD", "PUT")
FIELDS = (
    *("Authorization", "Content-Type", "Content-Encoding"),
    *("If-Match", "If-None-Match", "If-Range", "Range"),
)
"""What a page may set in the head of a request for a bundle, or of an upload."""
RECEIPT_S = 60.0
"""How long the receipt may take. A relay that is lost sends none, and one whose disk hangs gives
the bundle up within seconds."""

_MOST_BLOCKS = 4
"""How many blocks of an upload are passed on before others have their turn."""


class Uploads:
    """The uploads to one relay."""

    def __init__(self, relay: RelayService) -> None:
        self.relay = relay
        self.admission_control = AdmissionControl(relay)
        self.max_message = relay.settings.limits.max_message
        self._answered: set[BundleUpload] = set()

    def take(self, request: Request, target: bytes, length: int | None) -> "BundleUpload | None":
        """Take a request whose head has arrived; None for one that is no upload.

        :param target: see RFC 9112 §3.2.
        :param length: of its body, in bytes; None where it is unknown.
        """
        if not is_upload(request.method, target):
            return None
        return BundleUpload(self, request, target, length)

    @property
    def active(self) -> int:
        """How many answers the kernel hasn't taken all of. Uploads that are not answered yet are
        clients of the relay."""
        self._answered = {one for one in self._answered if one.is_answer_pending}
        return len(self._answered)

    def answered(self, upload: "BundleUpload") -> None:
        """An upload was answered just now."""
        self._answered = {one for one in (*self._answered, upload) if one.is_answer_pending}


@implementer(IConsumer)
class BundleUpload:
    """One upload: the request, and what consumes its body. A preflight (``OPTIONS``) is one that
    ends as it begins."""

    log = Logger()

    def __init__(
        self, uploads: Uploads, request: Request, target: bytes, length: int | None
    ) -> None:
        channel: Any = request.channel
        self._uploads = uploads
        self._relay = uploads.relay
        self._request = request
        self._channel = channel
        self._transport = channel.transport
        self._target = target
        self._length = length
        self.state = UploadState.CHECKING
        self._bundles_url = ""
        self._connection = UploadConnection(self._relay, self)
        self._timer: IDelayedCall | None = None
        self._body: RequestBody | None = None
        self._code: UploadBody | PatchBody | None = None
        """What the body is fed to."""
        self._expects_continue = False
        self._arrived: deque[bytes] = deque()
        """What has arrived of the body, and was not passed on."""
        self._blocks: Iterator[bytes] = iter(())
        """What is being passed on."""
        self._is_whole = False
        """Whether all of the body has arrived."""
        self._turn: IDelayedCall | None = None
        """The call that goes on passing it on."""
        if length != 0:
            self._body = RequestBody(
                channel.transport, length, uploads.max_message, self._moved, self._exceeded
            )
            channel.expect_body()

    # What the request calls: `request.BodyTaker`

    asks_for_body = True
    """See `request.BodyTaker`: once it has come in."""

    @property
    def has_body(self) -> bool:
        """See `request.BodyTaker`."""
        return self._body is not None

    def begin(self) -> None:
        """See `request.BodyTaker`."""
        self._request.notifyFinish().addErrback(self._lost)
        Deferred.fromCoroutine(self._run()).addErrback(self._failed)

    def take(self, data: bytes) -> None:
        """See `request.BodyTaker`."""
        if self._body is not None:
            self._body.take(data)

    def end(self) -> None:
        """See `request.BodyTaker`."""
        if self._body is not None:
            self._body.end()

    def half_closed(self) -> None:
        """See `request.BodyTaker`. The client waits for its answer."""

    # Coming in

    async def _run(self) -> None:
        origins = self._relay.settings.access.allowed_origin
        if self._request.method == b"OPTIONS":
            answer = answer_preflight(self._request, origins, METHODS, FIELDS)
            self._happens(UploadEvent.REFUSED)
            self._finish(answer)
            return
        allow_origin(self._request, origins)
        try:
            place = await self._find_place()
            if self.state is UploadState.OVER:
                place.abandon()
                return
            try:
                place.check()
            except BadRequest:
                place.abandon()
                raise
            self._enter(place)
        except BadRequest as wrong:
            self._refuse_entry(wrong)

    def _refuse_entry(self, wrong: BadRequest) -> None:
        address = client_address(self._request, self._relay.settings.listening.trusted_proxy)
        target = self._target.decode("ascii", "replace")
        self._relay.upload_refused(wrong.status, address, str(wrong), target)
        self._refuse(wrong)

    async def _find_place(self) -> Place:
        """:raises BadRequest: the upload may not come in."""
        relay = self._relay
        address = client_address(self._request, relay.settings.listening.trusted_proxy)
        relay.access.count_connection(address)
        limit = self._uploads.max_message
        head = read_upload(self._request, self._target, self._length, address, limit)
        self._code, self._expects_continue = head.body, head.expects_continue
        agent = header(self._request, "user-agent")
        admission = relay.admit(
            Role.UPLOAD, head.session_id, head.query, address=address, agent=agent
        )
        admission = dataclasses.replace(admission, patches=isinstance(head.body, PatchBody))
        self._bundles_url = admission.bundles_url
        return await self._uploads.admission_control.find(admission, head.caller)

    def _enter(self, place: Place) -> None:
        self._happens(UploadEvent.ADMITTED)
        self._connection.enter(place)
        body = self._body
        assert body is not None
        self._moved()
        if self._expects_continue and not body.has_ended:
            self._channel.ask_for_body()
        body.startProducing(self).addCallback(self._arrived_whole)

    # Passing the body on

    def write(self, data: bytes) -> None:
        """See `IConsumer`: the next of the body."""
        self._arrived.append(data)
        self._pass_on()

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """See `IConsumer`. `RequestBody` doesn't register itself."""

    def unregisterProducer(self) -> None:
        """See `IConsumer`."""

    def _arrived_whole(self, _: None) -> None:
        self._is_whole = True
        self._pass_on()

    def _pass_on(self) -> None:
        """Pass on some of what has arrived; the client is read once all of that is done."""
        if self._turn is None and self.state is UploadState.SENDING:
            try:
                self._pass_blocks_on()
            except BadRequest as wrong:
                self._refuse(wrong)

    def _pass_blocks_on(self) -> None:
        code, body, connection = self._code, self._body, self._connection
        assert code is not None and body is not None
        for _ in range(_MOST_BLOCKS):
            if connection.is_paused:
                break
            block = next(self._blocks, None)
            while block is None and self._arrived:
                self._blocks = code.feed(self._arrived.popleft())
                block = next(self._blocks, None)
            if block is None:
                if self._is_whole:
                    self._end_message(code)
                else:
                    body.resumeProducing()
                return
            connection.send(block, False)
            if self.state is not UploadState.SENDING:
                return
            if connection.has_lost_its_way:
                raise BadRequest(503, RELAY_LOST)
        body.pauseProducing()
        if not connection.is_paused:
            self._go_on_later()

    def _go_on_later(self) -> None:
        if self._turn is None and self.state is UploadState.SENDING:
            self._turn = self._relay.clock.callLater(0, self._go_on)

    def _go_on(self) -> None:
        self._turn = None
        self._pass_on()

    def _end_message(self, code: UploadBody | PatchBody) -> None:
        end = code.finish(in_ms(self._relay.wall_s()))
        self._happens(UploadEvent.PASSED_ON)
        self._restart_timer(RECEIPT_S, self._late_receipt)
        self._connection.send(end, True)

    def _moved(self) -> None:
        """The body has made progress."""
        if self.state is UploadState.SENDING:
            self._restart_timer(self._relay.settings.limits.stall_timeout, self._stalled)

    def _stalled(self) -> None:
        assert self._body is not None
        if self._body.is_held:
            # It is the phones or the disk that take nothing.
            self._moved()
            return
        limit_s = self._relay.settings.limits.stall_timeout
        self._refuse(
            BadRequest(408, f"Nothing came of the body for {limit_s:g} s (--stall-timeout)")
        )

    def _exceeded(self) -> None:
        self._refuse(too_large(self._uploads.max_message))

    # What its connection calls: `upload_connection.UploadListener`

    def paused(self) -> None:
        """See `UploadListener`."""
        if self._body is not None:
            self._body.pauseProducing()

    def resumed(self) -> None:
        """See `UploadListener`."""
        self._go_on_later()

    def received(self, receipt: Receipt) -> None:
        """See `UploadListener`."""
        self._relay.clock.callLater(0, self._receive, receipt)

    def patch_refused(self, fault: PatchFault) -> None:
        """See `UploadListener`."""
        self._relay.clock.callLater(0, self._refuse, PatchRefusal(fault))

    def dismissed(self, code: int, reason: str) -> None:
        """See `UploadListener`."""
        if self.state is UploadState.SENDING:
            self.closed(code, reason)

    def closed(self, code: int, reason: str) -> None:
        """See `UploadListener`."""
        self._refuse(refusal_of_close(code, reason), code)

    # The answer

    def _receive(self, receipt: Receipt) -> None:
        code = self._code
        if self.state is UploadState.AWAITING and code is not None:
            self._happens(UploadEvent.RECEIPT)
            answer = answer_receipt(receipt, code.sha256, code.size, self._bundles_url)
            self._answer(answer, f"it was answered with {answer.status}")

    def _late_receipt(self) -> None:
        self._refuse(
            BadRequest(503, "Whether the bundle is kept is not known: the relay gave no answer")
        )

    def _refuse(self, wrong: BadRequest, code: int = CLOSE_NORMAL) -> None:
        if self.state is not UploadState.OVER:
            self._happens(UploadEvent.REFUSED)
            self._answer(answer_refusal(wrong), str(wrong), code)

    def _answer(self, answer: UploadAnswer, why: str, code: int = CLOSE_NORMAL) -> None:
        self._leave(why, code)
        self._relay.meters.counters.count_upload(str(answer.status))
        for name, value in answer.headers:
            self._request.setHeader(name.encode(), value.encode())
        if self._channel.is_body_due:
            self._request.setHeader(b"connection", b"close")
        self._finish(write_json(self._request, answer.fields, answer.status))

    def _finish(self, body: bytes) -> None:
        self._request.write(body)
        self._request.finish()
        self._uploads.answered(self)
        if self._body is not None:
            # What is left of the body is read, and dropped.
            self._body.stopProducing()

    @property
    def is_answer_pending(self) -> bool:
        """Whether the kernel hasn't taken all of the answer, as far as the connection knows."""
        return bool(getattr(self._transport, "pending", False))

    def _lost(self, reason: Failure) -> None:
        """The client has disconnected."""
        if self.state is not UploadState.OVER:
            self._happens(UploadEvent.LOST)
            self._relay.meters.counters.count_upload(LOST)
            self._leave("its client has disconnected", CLOSE_ABNORMAL)

    def _leave(self, why: str, code: int) -> None:
        for call in (self._timer, self._turn):
            if call is not None and call.active():
                call.cancel()
        self._timer = self._turn = None
        self._arrived.clear()
        self._connection.end(why, code)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("taking an upload has failed", failure)
        self._refuse(BadRequest(500, "The relay has failed at this"))

    def _restart_timer(self, delay_s: float, call: Any) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._relay.clock.callLater(delay_s, call)

    def _happens(self, event: UploadEvent) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)
