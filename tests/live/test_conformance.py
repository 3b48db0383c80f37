"""Conformance to RFC 6455 and RFC 7692: every case of tests/live/conformance, over one relay."""

from twisted.internet.threads import deferToThread

from tests.live.conformance import suite
from tests.live.harness import LiveCase
from tests.live.processes import REPOSITORY

TABLE = REPOSITORY / "ops/conformance/README.md"


class ConformanceTest(LiveCase):
    skip = None

    async def test_every_case_over_a_relayed_echo(self) -> None:
        relay = await self.relay(*suite.OPTIONS)
        outcomes = await deferToThread(suite.run_all, relay.port)
        print(f"\n{suite.summary(outcomes)}")
        self.assertEqual(
            [
                f"{one.case.number} {one.case.title}: {one.problem}"
                for one in outcomes
                if one.problem
            ],
            [],
        )
        numbers = [one.case.number for one in outcomes]
        self.assertEqual(len(numbers), len(set(numbers)))
        # ops/conformance/run writes it.
        self.assertTrue(TABLE.read_text().endswith(suite.table(outcomes)), f"{TABLE} is old")
