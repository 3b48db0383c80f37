"""`apptuner_relay.operator.bundle_outcomes`: what metrics tell of real bundles in memory."""

from apptuner_relay.operator.bundle_records import ANSWER_S
from tests.operator.test_bundle_records import HASH, RecordsCase
from tests.spool.cases import some_code

CODE = some_code(300_000)


class OutcomeTest(RecordsCase):
    def setUp(self) -> None:
        super().setUp()
        self.outcomes = self.relay.service.meters.outcomes

    def assertCounted(self, **results: int) -> None:
        """So many of each result so far; of others none."""
        self.assertEqual(+self.outcomes.acknowledgements, results)

    def answers(self, device: str, error: str | None = None) -> None:
        """A phone says whether it runs the newest bundle."""
        phones = self.records.recent(HASH)[0].phones
        [phone] = [one for one in phones if one.device.device_id == device]
        phone.answer(error is None, error)

    def test_phones_that_were_there(self) -> None:
        cli = self.connect("cli")
        for device in ("ann", "ben"):
            self.phone(device)
        self.bundle(cli, CODE)
        self.relay.clock.advance(0.4)
        self.answers("ann")
        self.assertCounted()
        self.relay.clock.advance(0.4)
        self.answers("ben")
        self.assertCounted(success=2)
        self.assertEqual(self.outcomes.phones, {"live": 2})
        self.assertEqual(self.outcomes.reloads.count, 1)
        self.assertAlmostEqual(self.outcomes.reloads.total, 0.8)
        self.assertEqual(self.outcomes.deliveries["live"].count, 1)
        self.assertEqual(self.outcomes.deliveries["kept"].count, 0)

    def test_a_phone_that_fails(self) -> None:
        cli, _ = self.connect("cli"), self.phone("ann")
        self.bundle(cli, CODE)
        self.answers("ann", "SyntaxError: …")
        self.assertCounted(failure=1)
        self.assertEqual(self.outcomes.reloads.count, 0)
        self.assertEqual(self.outcomes.phones, {"live": 1})

    def test_a_phone_that_says_nothing_and_one_that_leaves(self) -> None:
        cli, _, ben = self.connect("cli"), self.phone("ann"), self.phone("ben")
        self.bundle(cli, CODE)
        ben.lose()
        self.relay.clock.advance(ANSWER_S - 1)
        self.assertCounted()
        self.relay.clock.advance(1)
        self.assertCounted(none=1, left=1)
        self.assertEqual(self.outcomes.phones, {"live": 2})

    def test_who_answers_after_all_or_changes_its_mind(self) -> None:
        cli, _ = self.connect("cli"), self.phone("ann")
        self.bundle(cli, CODE)
        self.relay.clock.advance(ANSWER_S)
        self.answers("ann")
        self.assertCounted(none=1, success=1)
        self.answers("ann", "it crashes a moment later")
        self.assertCounted(none=1, success=1, failure=1)
        self.assertEqual(self.outcomes.phones, {"live": 1})
        # The reload was given up, and is no figure of how long reloads take.
        self.assertEqual(self.outcomes.reloads.count, 0)

    def test_from_the_log(self) -> None:
        self.bundle(self.connect("cli"), CODE)
        self.relay.clock.advance(100)
        self.phone("late", "&replay=1")
        self.assertCounted()
        self.assertEqual(self.outcomes.phones, {})
        self.answers("late")
        self.assertCounted(success=1)
        self.assertEqual(self.outcomes.phones, {"kept": 1})
        self.assertEqual(self.outcomes.deliveries["kept"].count, 1)
        self.assertLess(self.outcomes.deliveries["kept"].total, 1)
        self.answers("late", "it crashes a moment later")
        self.assertCounted(success=1, failure=1)
        self.assertEqual(self.outcomes.phones, {"kept": 1})

    def test_a_bundle_that_is_cut(self) -> None:
        cli, _ = self.connect("cli"), self.phone("ann")
        cli.send(type="bundle_start", payload={"totalChunks": 2, "totalSize": 20})
        cli.send(type="bundle_chunk", payload={"index": 0, "data": "x" * 10})
        cli.lose()
        self.assertCounted(cut=1)
        self.assertEqual(self.outcomes.phones, {})
        self.assertEqual(self.outcomes.deliveries["live"].count, 0)

    def test_a_newer_bundle(self) -> None:
        cli, _ = self.connect("cli"), self.phone("ann")
        self.bundle(cli, CODE)
        self.bundle(cli, CODE)
        self.answers("ann")
        self.assertCounted(superseded=1, success=1)

    def test_nobody_was_there(self) -> None:
        self.bundle(self.connect("cli"), CODE)
        self.assertCounted()
        self.assertEqual(self.outcomes.deliveries["live"].count, 0)
