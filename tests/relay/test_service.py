"""`apptuner_relay.relay.service`: who is admitted, and when the relay takes anybody."""

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.settings import Settings
from apptuner_relay.relay.interfaces import DecideClaim, Place
from apptuner_relay.relay.service import LocalPlace, RelayService
from apptuner_relay.session.session import Admission, BadRequest, Role, session_hash
from tests.memory import Relay
from tests.workers import Inline


def decide_nothing() -> Deferred[None]:
    return succeed(None)


class Admitting(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay(public_url="https://relay.example")
        self.service = self.relay.service

    def test_a_phone(self) -> None:
        query = "deviceId=d1&name=Ann&platform=ios"
        admission = self.service.admit(Role.MOBILE, "ABC234", query, True, "203.0.113.9")
        device = admission.device
        assert device is not None
        self.assertEqual((device.device_id, device.name, device.platform), ("d1", "Ann", "ios"))
        self.assertEqual(admission.session_hash, session_hash("ABC234"))
        self.assertEqual(admission.bundles_url, "https://relay.example/bundles/ABC234")
        self.assertEqual((admission.deflates, admission.address), (True, "203.0.113.9"))

    def test_the_desktop_side_has_no_device(self) -> None:
        for role in (Role.CLI, Role.DASHBOARD, Role.DESKTOP):
            self.assertIsNone(self.service.admit(role, "ABC234", "deviceId=d1").device)

    def test_connections_have_names_of_their_own(self) -> None:
        names = {self.service.admit(Role.CLI, "ABC234", "").client for _ in range(9)}
        self.assertEqual(len(names), 9)

    def test_a_bad_query(self) -> None:
        wrong = self.assertRaises(
            BadRequest, self.service.admit, Role.MOBILE, "ABC234", "platform=symbian"
        )
        self.assertEqual(wrong.status, 400)

    def test_before_the_start(self) -> None:
        service = RelayService(Settings(), Clock(), Inline())
        wrong = self.assertRaises(BadRequest, service.admit, Role.CLI, "ABC234", "")
        self.assertEqual(wrong.status, 503)

    def test_after_a_stop_and_a_start(self) -> None:
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.relay.connect("/cli/ABC234", welcome=False).status, 503)
        self.service.startService()
        self.relay.connect("/cli/ABC234")


class Placing(SynchronousTestCase):
    def test_here_where_the_relay_is_alone(self) -> None:
        service = Relay().service
        admission = service.admit(Role.CLI, "ABC234", "")
        place = self.successResultOf(service.find_place(admission, decide_nothing))
        self.assertTrue(place.is_here)

    def test_a_full_session(self) -> None:
        relay = Relay(max_mobiles=1)
        relay.connect("/mobile/ABC234")
        admission = relay.service.admit(Role.MOBILE, "ABC234", "")
        # The one that is there may be dead, and is asked.
        finding = relay.service.find_place(admission, decide_nothing)
        relay.wait(2, 0.1)
        self.assertEqual(self.failureResultOf(finding, BadRequest).value.status, 403)

    def test_wherever_the_placement_says(self) -> None:
        relay = Relay()
        asked: list[tuple[Admission, DecideClaim]] = []
        there = LocalPlace(relay.service.registry, Admission(Role.CLI, "", None, ""))

        class Elsewhere:
            def find(self, admission: Admission, claim: DecideClaim) -> Deferred[Place]:
                asked.append((admission, claim))
                place: Place = there
                return succeed(place)

            def left(self, session_hash: str) -> None: ...

            def drain(self, until_s: float) -> Deferred[None]:
                return succeed(None)

        relay.hooks.subscribe_placement(Elsewhere())
        admission = relay.service.admit(Role.CLI, "ABC234", "")
        place = self.successResultOf(relay.service.find_place(admission, decide_nothing))
        self.assertIs(place, there)
        self.assertEqual(asked, [(admission, decide_nothing)])
