"""`managed.service.publisher`, with a service in memory."""

import json
from typing import Any

from apptuner_relay.config.managed_url import parse_managed_url
from apptuner_relay.managed.protocol.signatures import Signer
from apptuner_relay.managed.service.api_client import ANSWER_S, ApiClient
from apptuner_relay.managed.service.publisher import (
    MOST_REQUESTS,
    MOST_WAITING,
    REFUSED_S,
    ApiPublisher,
)
from apptuner_relay.managed.service.publisher_states import (
    TRANSITIONS,
    PublisherEvent,
    PublisherState,
)
from apptuner_relay.managed.service.service_problem import ServiceProblem
from apptuner_relay.operator.managed_counters import ManagedCounters
from tests.managed.service.fake_service import FakeApp, pusher_app
from tests.managed.service.provider_case import CHANNEL, ProviderCase
from tests.tables import check_every_pair

OTHER = "presence-apptuner." + "cd" * 32


class PublisherCase(ProviderCase):
    """A publisher and a service."""

    def begin(self, app: FakeApp, *arguments: Any, **named: Any) -> None:
        super().begin(pusher_app(has_errors_in_bodies=app.has_errors_in_bodies))
        url = parse_managed_url("pusher://relay-key@pusher:eu/1").service
        assert url is not None
        self.counters = ManagedCounters()
        signer = Signer("relay-key", self.service.app.secret)
        seconds = self.clock.seconds
        api = ApiClient(url, signer, self.make_agent(), self.counters, self.clock, seconds)
        self.members: dict[str, int] = {CHANNEL: 3, OTHER: 2}
        self.problems: list[ServiceProblem] = []
        self.successes = 0
        self.publisher = ApiPublisher(api, self, self, self.counters, self.clock, 10, 20_000)

    def tearDown(self) -> None:
        self.publisher.stop()
        super().tearDown()

    def member_count(self, channel: str) -> int | None:
        return self.members.get(channel)

    def socket_id(self, channel: str) -> str | None:
        return "1.7" if channel == CHANNEL else None

    def publishing_failed(self, problem: ServiceProblem) -> None:
        self.problems.append(problem)

    def publishing_works(self) -> None:
        self.successes += 1

    def publish(self, number: int, channel: str = CHANNEL, size: int = 0) -> bool:
        data = json.dumps({"n": number, "x": "x" * size})
        return self.publisher.publish(channel, "client-apptuner", data)

    def numbers(self, channel: str = CHANNEL) -> list[int]:
        """The numbers of the events that were published in a channel."""
        found = [data for where, _, data in self.service.delivered if where == channel]
        return [json.loads(data)["n"] for data in found]


class PublishingTest(PublisherCase):
    def test_what_is_published_in_one_turn_is_one_request(self) -> None:
        for number in range(3):
            self.publish(number)
            self.publish(number, OTHER)
        self.wait()
        self.assertEqual([len(batch) for batch in self.service.api.batches], [6])
        self.assertEqual(self.numbers(), [0, 1, 2])
        self.assertEqual(self.counters.published["http"], 6)
        self.assertEqual(self.counters.deliveries, 9)
        self.assertEqual(self.counters.requests, 1)
        self.assertEqual(self.service.api.batches[0][0]["socket_id"], "1.7")
        self.assertNotIn("socket_id", self.service.api.batches[0][-1])

    def test_a_channel_has_one_request_in_flight(self) -> None:
        self.service.api.is_held = True
        for number in range(30):
            self.publish(number)
            self.clock.advance(0.01)
        self.publish(0, OTHER)
        self.wait()
        self.assertEqual(len(self.service.api.requests), 2)
        self.service.api.is_held = False
        self.service.api.release()
        self.wait()
        self.assertEqual(self.numbers(), list(range(30)))
        self.assertEqual(self.numbers(OTHER), [0])
        self.assertEqual(self.service.api.most_in_flight, {CHANNEL: 1, OTHER: 1})

    def test_requests_are_limited_for_all_channels(self) -> None:
        self.service.api.is_held = True
        for number in range(20):
            self.members[f"presence-{number}"] = 2
            self.publish(number, f"presence-{number}", size=15_000)
        self.wait()
        self.assertEqual(len(self.service.api.requests), MOST_REQUESTS)
        self.service.api.is_held = False
        self.service.api.release()
        self.wait()
        self.assertEqual(len(self.service.api.requests), 20)

    def test_a_request_has_no_more_bytes_than_the_service_takes(self) -> None:
        for number in range(10):
            self.publish(number, size=6000)
        self.wait()
        self.assertEqual([len(batch) for batch in self.service.api.batches], [3, 3, 3, 1])
        self.assertEqual(self.numbers(), list(range(10)))

    def test_no_channel_waits_for_a_busier_one(self) -> None:
        for number in range(100):
            self.publish(number)
        self.publish(0, OTHER)
        self.service.api.is_held = True
        self.wait()
        self.assertEqual(self.numbers(OTHER), [0])
        self.service.api.release()

    def test_what_waits_is_bounded(self) -> None:
        self.service.api.is_held = True
        taken = [self.publish(number) for number in range(MOST_WAITING + 30)]
        self.assertEqual(taken.count(True), MOST_WAITING)
        # Who is to publish it keeps it, and offers it again.
        self.assertEqual(self.counters.dropped["full"], 0)
        self.service.api.is_held = False
        self.wait(2)
        self.assertEqual(self.numbers(), list(range(MOST_WAITING)))
        self.service.api.is_held = True
        taken = [self.publish(number, size=10_000) for number in range(200)]
        self.assertEqual(taken.count(True), 104)

    def test_nothing_for_a_channel_that_the_relay_is_not_in(self) -> None:
        self.assertFalse(self.publish(1, "presence-apptuner.x"))
        self.assertEqual(self.counters.dropped["away"], 0)


class RefusedTest(PublisherCase):
    def test_one_that_is_too_large_costs_no_other(self) -> None:
        for has_errors_in_bodies in (True, False):
            self.begin(FakeApp(has_errors_in_bodies=has_errors_in_bodies))
            for number in range(5):
                self.publish(number, size=11_000 if number == 2 else 10)
            self.wait()
            self.assertEqual(self.numbers(), [0, 1, 3, 4])
            self.assertEqual(self.counters.dropped["large"], 1)
            (line,) = [line for line in self.log() if "dropped an event" in line]
            self.assertIn("--managed-event-limit", line)

    def test_over_the_quota(self) -> None:
        self.service.app.is_over_quota = True
        for number in range(30):
            self.publish(number)
        self.wait()
        self.assertTrue(self.publisher.is_refused)
        self.assertEqual(self.counters.dropped["refused"], 30)
        self.assertFalse(self.publish(0))
        self.assertEqual(self.counters.dropped["refused"], 30)
        self.assertEqual([problem.code for problem in self.problems], [403])
        self.service.app.is_over_quota = False
        self.wait(REFUSED_S)
        self.assertTrue(self.publish(7))
        self.wait()
        self.assertEqual(self.numbers(), [7])
        self.assertEqual(self.successes, 1)

    def test_too_many_requests(self) -> None:
        self.service.api.answer = 429, b'{"error":"slow down","code":429}'
        self.service.api.retry_after = 7
        self.publish(1)
        self.wait()
        self.publish(2)
        self.wait(6)
        self.assertEqual(len(self.service.api.requests), 1)
        self.service.api.answer = None
        self.wait(2)
        self.assertEqual(self.numbers(), [1, 2])
        self.assertEqual([problem.code for problem in self.problems], [None])

    def test_a_service_that_fails(self) -> None:
        self.service.api.answer = 500, b"<html>"
        self.publish(1)
        self.wait()
        self.service.api.answer = None
        self.publish(2)
        self.wait(2)
        # The first one may have been published. It is not sent twice.
        self.assertEqual(self.numbers(), [2])
        self.assertEqual(self.counters.dropped["refused"], 1)
        self.assertEqual(self.counters.refused, {500: 1})

    def test_a_service_that_can_t_be_reached(self) -> None:
        self.api_network.is_there = False
        self.publish(1)
        self.wait(10)
        self.assertEqual(self.numbers(), [])
        self.api_network.is_there = True
        self.publish(2)
        self.wait(40)
        self.assertEqual(self.numbers(), [1, 2])
        self.assertTrue(2 <= len(self.problems) <= 12, len(self.problems))

    def test_an_answer_that_does_not_come(self) -> None:
        self.service.api.is_held = True
        self.publish(1)
        self.wait(ANSWER_S)
        self.assertIn("no answer within 10 s", str(self.problems[0]))
        self.assertEqual(self.counters.dropped["away"], 1)
        self.service.api.is_held = False
        self.publish(2)
        self.wait(2)
        self.assertEqual(self.numbers(), [1, 2])

    def test_a_connection_that_is_cut_before_the_answer(self) -> None:
        self.service.api.is_held = True
        self.publish(1)
        self.wait()
        self.api_network.cut()
        self.wait(2)
        self.assertEqual(self.counters.dropped["away"], 1)
        self.assertEqual(len(self.service.api.requests), 1)


class PublisherStatesTest(PublisherCase):
    def test_every_pair(self) -> None:
        check_every_pair(self, TRANSITIONS, PublisherState, PublisherEvent, lambda: self.publisher)
        self.publisher.state = PublisherState.OPEN
