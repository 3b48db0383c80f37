"""The states through which the migration of a session goes, in relays that stop."""

from typing import Any

from apptuner_relay.cluster.bridge import session_migration
from apptuner_relay.cluster.bridge.migration_states import MigrationState, next_state
from apptuner_relay.cluster.bridge.session_migration import SessionMigration
from apptuner_relay.cluster.ownership.directory import Lease
from apptuner_relay.wire.frames import TEXT
from tests.cluster.harness import KEY, ClusterCase, ClusterRelay
from tests.memory import masked
from tests.memory_store import MemoryStore

S = MigrationState
TAKEN = [S.HALTING_SENDERS, S.OFFERING, S.HALTING, S.HANDING_OVER, S.RELOCATING, S.OVER]


class MigrationCase(ClusterCase):
    def setUp(self) -> None:
        super().setUp()
        self.states: list[MigrationState] = []

        def note(state: Any, event: Any) -> MigrationState:
            after = next_state(state, event)
            self.states.append(after)
            return after

        self.patch(session_migration, "next_state", note)

    def free_turns(self, relay: ClusterRelay) -> int:
        return int(relay.placement._migrations._turns.tokens)


class HandedOver(MigrationCase):
    def test_the_first_relay_takes_it(self) -> None:
        a, _ = self.relays("ab")
        self.connect(a, "cli")
        a.stop()
        self.turn(0.5)
        self.assertEqual(self.states, TAKEN)
        self.assertEqual(self.owner, "b")

    def test_only_its_bundle_is_there(self) -> None:
        a, b = self.relays("ab", MemoryStore)
        cli = self.connect(a, "cli")
        cli.send(type="bundle_update", payload={"code": "x"})
        self.turn()
        cli.lose()
        a.stop()
        self.turn(0.5)
        self.assertEqual(self.states, TAKEN)
        assert b.service.store is not None
        self.assertTrue(b.service.store.keeps(KEY))

    def test_a_relay_that_is_out_of_reach_is_passed_over(self) -> None:
        a, *_ = self.relays("abc")
        self.connect(a, "cli")
        self.network.refused.add(("a", "b"))
        a.stop()
        self.turn(0.5)
        declined = [S.OFFERING] * self.states.count(S.OFFERING)
        self.assertEqual(self.states, [S.HALTING_SENDERS, *declined, *TAKEN[2:]])
        self.assertEqual(self.owner, "c")

    def test_a_relay_that_declines_at_the_end(self) -> None:
        """It has stopped as well meanwhile."""
        a, b, c = self.relays("abc")
        self.connect(a, "cli")
        first = max((b, c), key=lambda one: session_migration.weight(KEY, one.name))
        other = c if first is b else b

        def stop(wire: Any, data: bytes) -> bytes:
            if b'"take"' in data and first.service.running:
                first.stop()
            return data

        self.network.tamper = stop
        a.stop()
        self.turn(1)
        self.assertEqual(self.states[: len(TAKEN) - 2], TAKEN[:-2])
        self.assertEqual(self.states[len(TAKEN) - 2], S.OFFERING)
        self.assertEqual(self.states[-1], S.OVER)
        self.assertEqual(self.owner, other.name)


class NotHandedOver(MigrationCase):
    def test_no_relay_takes_it(self) -> None:
        a, _ = self.relays("ab")
        self.connect(a, "cli")
        self.network.refused.add(("a", "b"))
        a.stop()
        self.turn(0.5)
        untaken = [S.OFFERING, S.OFFERING, S.HALTING_UNTAKEN, S.RELOCATING, S.OVER]
        self.assertEqual(self.states, [S.HALTING_SENDERS, *untaken])

    def test_it_is_another_relays_already(self) -> None:
        a, b = self.relays("ab")
        cli = self.connect(a, "cli")
        lease = self.successResultOf(a.placement.directory.claim(KEY))
        taking = b.placement.directory.take_over(KEY, "a", lease.epoch)
        self.turn()
        self.assertIsInstance(self.successResultOf(taking), Lease)
        self.turn(15)
        self.assertEqual(self.states, [S.HALTING_LOST, S.RELOCATING, S.OVER])
        phone = self.connect(b, "mobile")
        self.assertMeet(cli, phone)


class Turns(MigrationCase):
    def test_a_bundle_under_way_gives_the_turn_away(self) -> None:
        a, _ = self.relays("ab", drain_timeout=20)
        cli = self.connect(a, "cli")
        cli.send_raw(masked(TEXT, b'{"type":"bundle_update","payload":{"code":"', fin=False))
        turns = self.free_turns(a)
        a.stop()
        self.turn(0.5)
        self.assertEqual(self.states, [S.HALTING_SENDERS])
        self.assertEqual(self.free_turns(a), turns - 1)
        self.turn(1)
        self.assertEqual(self.states, [S.HALTING_SENDERS, S.FINISHING])
        self.assertEqual(self.free_turns(a), turns)
        cli.send_raw(masked(0, b'x"}}'))
        self.turn(0.5)
        expected = [S.HALTING_SENDERS, S.FINISHING, S.REQUEUED, *TAKEN[1:]]
        self.assertEqual(self.states, expected)
        self.assertEqual(self.free_turns(a), turns)

    def test_a_fault_gives_it_back(self) -> None:
        """And the session's lease: whoever needs it may have it."""
        a, b = self.relays("ab")
        turns = self.free_turns(a)
        cli = self.connect(a, "cli")

        async def fail(*_: object) -> None:
            raise ZeroDivisionError

        self.patch(SessionMigration, "_complete", fail)
        stopping = a.stop()
        self.turn(0.5)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.states[-2:], [S.HANDING_OVER, S.OVER])
        self.assertEqual(self.free_turns(a), turns)
        self.ends(stopping, cli)
        self.successResultOf(a.end())
        self.turn()
        self.connect(b, "cli")
        self.assertEqual(self.owner, "b")
