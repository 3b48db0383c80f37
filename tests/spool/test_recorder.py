"""`apptuner_relay.spool.recorder`: bundles for which there is no file."""

from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.slow_consumers import PATIENCE_S
from apptuner_relay.wire.frames import TEXT
from tests.memory import Client, Relay, masked
from tests.spool import test_bundle_log
from tests.spool.cases import SlowCase

CODE = "c" * 1024 * 1024


class WithoutASpool(SlowCase):
    """There is nothing but memory to keep what a phone doesn't take."""

    settings: ClassVar[dict[str, Any]] = {"max_message": 50_000_000, "window": 200_000}

    def setUp(self) -> None:
        self.relay = Relay(**self.settings)
        self.cli = self.connect("cli")
        self.quick = self.connect("mobile")
        self.cli.received()
        self._sips = {}

    text = test_bundle_log.SlowPhone.text

    def drink(self, slow: Client) -> list[bytes]:
        self._sips[slow].sip(None)
        return self.texts(slow)

    def send_until_held(self) -> bytes:
        """Send a bundle until the CLI is held; returns what is left of it."""
        data = masked(TEXT, self.text)
        at = 0
        while self.cli.transport.producerState == "producing":
            self.cli.send_raw(data[at : at + 50_000])
            at += 50_000
            # It is waited for a moment in any case.
            self.relay.clock.advance(0.05)
        self.assertLess(at, len(data))
        return data[at:]

    def test_a_phone_that_takes_it_later_gets_all_of_it(self) -> None:
        slow = self.join_slow()
        rest = self.send_until_held()
        self.sip(slow, 400_000)
        self.assertEqual(self.cli.transport.producerState, "producing")
        self.cli.send_raw(rest)
        self.assertTexts(self.texts(self.quick), [self.text])
        self.assertTexts(self.drink(slow), [self.text])

    def test_a_phone_that_takes_nothing_is_cut_and_the_others_go_on(self) -> None:
        slow = self.join_slow()
        rest = self.send_until_held()
        self.relay.wait(4)
        slow.read()
        assert slow.closed is not None
        self.assertEqual(slow.closed[0], 1013)
        self.assertEqual(self.cli.transport.producerState, "producing")
        self.cli.send_raw(rest)
        self.assertTexts(self.texts(self.quick), [self.text])
        self.assertEqual(self.cli.protocol.frame_handler.source._kept_bytes, 0)

    def test_a_phone_that_goes_lets_the_cli_go_on(self) -> None:
        slow = self.join_slow()
        rest = self.send_until_held()
        slow.lose()
        self.assertEqual(self.cli.transport.producerState, "producing")
        self.cli.send_raw(rest)
        self.assertTexts(self.texts(self.quick)[-1:], [self.text])

    def test_who_comes_late_gets_nothing_of_what_has_begun(self) -> None:
        took = self.send_in_frames(self.text)
        next(took)
        late = self.connect("mobile", "replay=1")
        for _ in took:
            pass
        self.assertTexts(self.texts(late), [])
        text = self.bundle(self.cli, "next")
        self.assertTexts(self.texts(late), [text])


class UnkeptTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()
        self.cli = self.relay.connect("/cli/ABC234")
        self.frozen, self.other = (
            self.relay.connect(f"/mobile/ABC234?deviceId={name}") for name in ("frozen", "other")
        )
        self.frozen.transport.producer.pauseProducing()

    def assertCutSoon(self) -> None:
        self.relay.wait(PATIENCE_S + 1)
        self.frozen.read()
        self.assertEqual(self.frozen.closed, (1013, "too slow: read nothing for 2 s"))

    def codes(self, phone: Client) -> list[str]:
        bundles = (one for one in phone.received() if one["type"] == "bundle_update")
        return [one["payload"]["code"] for one in bundles]

    def test_a_frozen_phone_is_cut_soon_where_another_waits_for_a_bundle(self) -> None:
        self.cli.send(type="bundle_update", payload={"code": CODE}, timestamp=1)
        self.assertCutSoon()
        self.assertEqual(self.codes(self.other), [CODE])

    def test_likewise_for_one_in_chunks(self) -> None:
        self.cli.send(type="bundle_start", totalChunks=2, totalSize=2 * len(CODE))
        for index in range(2):
            self.cli.send(type="bundle_chunk", index=index, totalChunks=2, data=CODE)
        self.assertCutSoon()
        self.assertEqual(self.other.types()[-3:], ["bundle_start"] + ["bundle_chunk"] * 2)

    def test_one_that_holds_nobody_else_has_more_time(self) -> None:
        self.other.lose()
        self.cli.send(type="bundle_update", payload={"code": CODE}, timestamp=1)
        self.relay.wait(PATIENCE_S + 1)
        self.frozen.read()
        self.assertIsNone(self.frozen.closed)
