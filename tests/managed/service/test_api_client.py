"""`managed.service.api_client`, with a service in memory."""

from typing import Any

from twisted.internet.defer import Deferred

from apptuner_relay.config.managed_url import parse_managed_url
from apptuner_relay.managed.protocol.channel_service import ServiceRefused
from apptuner_relay.managed.protocol.signatures import Signer
from apptuner_relay.managed.service.api_client import (
    ANSWER_S,
    IDLE_S,
    MOST_ANSWER_BYTES,
    ApiClient,
    ServiceUnreached,
)
from apptuner_relay.operator.managed_counters import ManagedCounters
from tests.managed.service.fake_service import FakeApp, ably_app
from tests.managed.service.provider_case import CHANNEL, PHONE, ProviderCase


class ApiClientTest(ProviderCase):
    def setUp(self) -> None:
        super().setUp()
        self.make_api("pusher://relay-key@localhost:6001/1?prefix=/below/here")

    def make_api(self, text: str) -> None:
        url = parse_managed_url(text)
        assert url.service is not None
        self.counters = ManagedCounters()
        signer = Signer(url.key, self.service.app.secret)
        seconds = self.clock.seconds
        self.api = ApiClient(
            url.service, signer, self.make_agent(), self.counters, self.clock, seconds
        )

    def ask(self, coroutine: Any) -> Deferred[Any]:
        asking = Deferred.fromCoroutine(coroutine)
        self.wait()
        return asking

    def test_channels_with_somebody_in_them(self) -> None:
        self.service.join(CHANNEL, PHONE)
        self.service.join(CHANNEL, "cli:0123456789ab:")
        self.service.join("presence-other.x", PHONE)
        found = self.successResultOf(self.ask(self.api.channels("presence-apptuner.")))
        self.assertEqual(found, {CHANNEL: 2})
        self.assertEqual(self.service.api.requests, [("GET", "/below/here/apps/1/channels")])

    def test_users_of_a_channel(self) -> None:
        self.service.join(CHANNEL, PHONE)
        self.assertEqual(self.successResultOf(self.ask(self.api.users(CHANNEL))), [PHONE])

    def test_names_that_are_no_numbers(self) -> None:
        self.begin(ably_app(), "pusher://aB3_dE.fG-7hI@ably")
        self.make_api("pusher://aB3_dE.fG-7hI@ably")
        self.service.join(CHANNEL, PHONE)
        found = self.successResultOf(self.ask(self.api.channels("presence-apptuner.")))
        self.assertEqual(found, {CHANNEL: 1})

    def test_refusals_whichever_way_they_come(self) -> None:
        for has_errors_in_bodies in (True, False):
            self.begin(FakeApp(is_enabled=False, has_errors_in_bodies=has_errors_in_bodies))
            self.make_api("pusher://relay-key@localhost:6001/1")
            refused = self.failureResultOf(self.ask(self.api.channels("presence-")), ServiceRefused)
            self.assertEqual((refused.value.code, refused.value.is_permanent), (403, True))
            self.assertEqual(self.counters.refused, {403: 1})

    def test_answers_that_are_none(self) -> None:
        for body in (b"<html>", b"[]", b"\xff", b'{"channels":[]}', b'{"channels":{"x":1}}'):
            self.service.api.answer = 200, body
            asking = self.ask(self.api.channels("presence-"))
            if body.startswith(b'{"'):
                self.assertEqual(self.successResultOf(asking), {})
            else:
                self.assertEqual(self.failureResultOf(asking, ServiceRefused).value.code, 502)

    def test_an_answer_that_is_too_long(self) -> None:
        self.service.api.answer = 200, b" " * (MOST_ANSWER_BYTES + 1)
        asking = self.ask(self.api.channels("presence-"))
        wrong = self.failureResultOf(asking, ServiceUnreached).value
        self.assertEqual(str(wrong), "its answer is too long")

    def test_no_answer(self) -> None:
        self.service.api.is_held = True
        asking = self.ask(self.api.channels("presence-"))
        self.wait(ANSWER_S)
        wrong = self.failureResultOf(asking, ServiceUnreached).value
        self.assertEqual((str(wrong), wrong.is_sent), ("no answer within 10 s", True))

    def test_half_an_answer(self) -> None:
        self.api_network.network.tamper = lambda wire, data: data.replace(b'{"channels"', b"")
        asking = self.ask(self.api.channels("presence-"))
        self.assertNoResult(asking)
        self.wait(ANSWER_S)
        wrong = self.failureResultOf(asking, ServiceUnreached).value
        self.assertEqual(str(wrong), "no answer within 10 s")

    def test_nobody_listens(self) -> None:
        self.api_network.is_there = False
        asking = self.ask(self.api.channels("presence-"))
        self.assertFalse(self.failureResultOf(asking, ServiceUnreached).value.is_sent)

    def test_a_connection_is_used_again_but_not_for_long(self) -> None:
        for _ in range(3):
            self.successResultOf(self.ask(self.api.channels("presence-")))
        self.assertEqual(len(self.api_network.network.wires), 1)
        self.wait(IDLE_S)
        self.successResultOf(self.ask(self.api.channels("presence-")))
        self.assertEqual(len(self.api_network.network.wires), 2)
