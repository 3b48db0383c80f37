"""A request on its way to another relay: what is shown and expected there, and what isn't passed on
in either direction."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.test.requesthelper import DummyRequest

from apptuner_relay.cluster.bridge.peer_auth import PASS_HEADER, PROOF_HEADER
from apptuner_relay.cluster.peer_http_proxy import PeerRequest, forward
from apptuner_relay.web.http_proxy import Unanswered

ASKED = PeerRequest("http://10.0.0.2:3000/bundles/ABC234", "the pass", "the proof")


class FakeAgent:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes, Headers]] = []
        self.answer: Deferred[Any] = Deferred()

    def request(self, method: bytes, url: bytes, headers: Headers) -> "Deferred[Any]":
        self.asked.append((method, url, headers))
        return self.answer


class FakeResponse:
    """An answer without a body."""

    def __init__(self, code: int, **headers: str) -> None:
        self.code = code
        self.phrase = b"x"
        self.length = 0
        self.headers = Headers({k.replace("_", "-"): [v] for k, v in headers.items()})
        self.request = None

    def deliverBody(self, body: Any) -> None:
        body.connectionLost(Failure(ResponseDone()))

    def abort(self) -> None: ...


class FakeOutlet:
    gone = False

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self.calls.append(name)


class Forwarding(SynchronousTestCase):
    def forward(self, **headers: str) -> "Deferred[Any]":
        self.agent, self.outlet = FakeAgent(), FakeOutlet()
        self.request: Any = DummyRequest([b"bundles"])
        for name, value in headers.items():
            self.request.requestHeaders.addRawHeader(name.replace("_", "-"), value)
        self.started: list[Any] = []
        forwarding = forward(
            self.request,
            self.outlet,  # type: ignore[arg-type]
            ASKED,
            self.agent,  # type: ignore[arg-type]
            self.started.append,
        )
        return Deferred.fromCoroutine(forwarding)

    def test_what_is_asked(self) -> None:
        self.forward(Range="bytes=0-9", Accept_Encoding="br", Cookie="c", Authorization="a")
        [(method, url, headers)] = self.agent.asked
        self.assertEqual((method, url), (b"GET", ASKED.url.encode()))
        self.assertEqual(headers.getRawHeaders(PASS_HEADER), ["the pass"])
        self.assertEqual(headers.getRawHeaders("Range"), ["bytes=0-9"])
        self.assertEqual(headers.getRawHeaders("Accept-Encoding"), ["br"])
        for name in ("Cookie", "Authorization"):
            self.assertFalse(headers.hasHeader(name))
        self.assertEqual(self.started, [self.agent.answer])

    def test_an_answer_that_shows_no_proof_or_another(self) -> None:
        for headers in ({}, {"AppTuner_Proof": "x"}, {"AppTuner_Proof": "the proof!"}):
            forwarding = self.forward()
            self.agent.answer.callback(FakeResponse(200, **headers))
            wrong = self.failureResultOf(forwarding, Unanswered).value
            self.assertEqual(wrong.status, 502)

    def test_nobody_answers(self) -> None:
        forwarding = self.forward()
        self.agent.answer.errback(Failure(ConnectionRefusedError()))
        wrong = self.failureResultOf(forwarding, Unanswered).value
        self.assertEqual(wrong.status, 503)

    def test_what_is_the_other_relays_own_is_kept_back(self) -> None:
        self.forward()
        answer = {"AppTuner_Proof": "the proof", "Date": "then", "Server": "x", "ETag": '"1"'}
        self.agent.answer.callback(FakeResponse(200, **answer))
        names = {name for name, _ in self.request.responseHeaders.getAllRawHeaders()}
        self.assertIn(b"Etag".lower(), {name.lower() for name in names})
        for name in (PROOF_HEADER.encode(), b"date", b"server"):
            self.assertNotIn(name.lower(), {one.lower() for one in names})
