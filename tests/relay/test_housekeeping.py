"""`apptuner_relay.relay.housekeeping`: what a relay looks for at intervals, on a clock."""

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.session.session import session_hash
from apptuner_relay.wire.frames import CONTINUATION, TEXT
from tests.memory import Relay, masked

SECRET = "0123456789abcdef-secret"


class Checks(SynchronousTestCase):
    def test_an_idle_session_is_closed(self) -> None:
        relay = Relay(session_timeout=60, ping_interval=1000, ping_timeout=1000)
        idle, busy = relay.connect("/cli/IDLE"), relay.connect("/cli/BUSY")
        for _ in range(80):
            relay.wait(1)
            busy.send(type="reload")
        idle.read()
        busy.read()
        self.assertEqual(idle.closed, (1000, "Session timeout"))
        self.assertIsNone(busy.closed)

    def test_a_client_that_stalls_in_mid_message_is_closed(self) -> None:
        relay = Relay(stall_timeout=10)
        cli, phone = relay.connect("/cli/ABC234"), relay.connect("/mobile/ABC234")
        cli.send_raw(masked(TEXT, b'{"type":"bundle_update","payload":"' + b"x" * 9000, False))
        relay.wait(8)
        cli.send_raw(masked(CONTINUATION, b"x", fin=False))
        relay.wait(8)
        cli.read()
        self.assertIsNone(cli.closed)
        relay.wait(4)
        cli.read()
        phone.read()
        self.assertEqual(cli.closed, (1008, "Nothing came for 10 s in mid-message"))
        self.assertEqual(phone.closed and phone.closed[0], 1011)

    def test_claims_are_renewed_while_a_client_has_shown_its_secret(self) -> None:
        relay = Relay(claims=True, claim_ttl=100)
        cli = relay.connect(f"/cli/ABC234?key={SECRET}")
        relay.connect("/mobile/ABC234")
        claims = relay.service.access.claims
        assert claims is not None
        key = session_hash("ABC234")
        for _ in range(60):
            relay.wait(10, 5)
            cli.send(type="ping")
        self.assertIsNotNone(self.successResultOf(claims.look(key)))
        cli.lose()
        relay.wait(300, 5)
        self.assertIsNone(self.successResultOf(claims.look(key)))

    def test_a_check_that_fails_goes_on(self) -> None:
        relay = Relay(session_timeout=60, ping_interval=1000, ping_timeout=1000)
        cli = relay.connect("/cli/IDLE")
        registry = relay.service.registry
        failing = True
        retire = registry.close_session

        def fail(session: object, reason: str) -> None:
            if failing:
                raise RuntimeError("as it happens")
            retire(session, reason)  # type: ignore[arg-type]

        self.patch(registry, "close_session", fail)
        with capturedLogs() as events:
            relay.wait(80)
        self.assertTrue(self.flushLoggedErrors(RuntimeError))
        self.assertIn("a check has failed; it will be made again", map(formatEvent, events))
        failing = False
        relay.wait(20)
        cli.read()
        self.assertEqual(cli.closed, (1000, "Session timeout"))

    def test_nothing_is_left_when_the_relay_has_stopped(self) -> None:
        relay = Relay()
        relay.wait(3)
        self.successResultOf(relay.service.stopService())
        self.assertEqual(relay.clock.getDelayedCalls(), [])


class Unfinished(SynchronousTestCase):
    """Whom the relay looks at every second: no client that has sent all."""

    def setUp(self) -> None:
        self.relay = Relay(stall_timeout=10)
        self.unfinished = self.relay.service.unfinished
        self.cli = self.relay.connect("/cli/ABC234")
        self.relay.connect("/mobile/ABC234")

    def test_nobody_that_says_nothing_or_little(self) -> None:
        self.cli.send(type="reload")
        self.assertEqual(self.unfinished, set())

    def test_until_a_message_is_whole(self) -> None:
        self.cli.send_raw(masked(TEXT, b'{"type":"theme","payload":"' + b"x" * 9000, False))
        self.relay.wait(3)
        self.assertEqual(len(self.unfinished), 1)
        self.cli.send_raw(masked(CONTINUATION, b'"}'))
        self.relay.wait(3)
        self.assertEqual(self.unfinished, set())

    def test_until_a_bundle_has_all_its_chunks(self) -> None:
        self.cli.send(type="bundle_start", totalChunks=2)
        self.cli.send(type="bundle_chunk", chunkIndex=0, data="x")
        self.relay.wait(3)
        self.assertEqual(len(self.unfinished), 1)
        self.cli.send(type="bundle_chunk", chunkIndex=1, data="x")
        self.relay.wait(3)
        self.assertEqual(self.unfinished, set())

    def test_until_it_has_gone(self) -> None:
        self.cli.send_raw(masked(TEXT, b'{"type":"theme","payload":"' + b"x" * 9000, False))
        self.cli.lose()
        self.relay.wait(3)
        self.assertEqual(self.unfinished, set())
