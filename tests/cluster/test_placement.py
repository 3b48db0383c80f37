"""Where clients meet, whatever becomes of the directory, of relays and of what is between them."""

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from apptuner_relay.cluster.bridge.roster import MigratingClient
from apptuner_relay.cluster.ownership.directory import Lease
from apptuner_relay.session.session import BadRequest, Role, session_hash
from apptuner_relay.wire.frames import PONG
from tests.cluster.harness import KEY, LEASE_S, SESSION, TIMING, ClusterCase, ClusterRelay
from tests.cluster.network import Wire
from tests.memory import masked
from tests.memory_store import MemoryStore

OTHER = session_hash("OTHER1")


class PlacementCase(ClusterCase):
    def hosts(self) -> list[str]:
        """The relays that have the session, as they see it."""
        relays = self.cluster.relays.values()
        return [one.name for one in relays if not one.is_dead and KEY in one.service.sessions]

    def assertNothingPending(self) -> None:
        for one in self.cluster.relays.values():
            self.assertNotIn(KEY, one.placement.pending)
            self.assertNotIn(KEY, one.placement.entering)


class Meeting(PlacementCase):
    """Everything is well."""

    def test_through_whichever_relay_they_come(self) -> None:
        a, b, c = self.relays("abc")
        cli = self.connect(b, "cli")
        phones = [self.connect(one, f"mobile?deviceId={one.name}") for one in (a, b, c)]
        self.assertEqual((self.owner, self.hosts()), ("b", ["b"]))
        for phone in phones:
            self.assertMeet(phone, cli)
            cli.received()
        self.assertNothingPending()

    def test_those_who_come_at_the_same_moment(self) -> None:
        relays = self.relays("abc")
        for link in self.redis.links:
            link.delay_s = 0.05
        self.network.delay_s = 0.02
        targets = [f"/cli/{SESSION}", f"/mobile/{SESSION}?deviceId=x", f"/dashboard/{SESSION}"]
        clients = [
            self.cluster.begin_to_connect(relay, target)
            for relay, target in zip(relays, targets, strict=True)
        ]
        self.turn(2)
        self.assertEqual([client.types()[0] for client in clients], ["connected"] * 3)
        self.assertEqual(self.hosts(), [self.owner])
        self.turn(1)
        self.assertMeet(clients[0], clients[1])

    def test_a_session_is_taken_by_one(self) -> None:
        a, b = self.relays("ab")
        self.turn()
        taking = [one.placement.take(KEY) for one in (a, b)]
        self.turn()
        self.assertEqual([self.successResultOf(one) for one in taking], [True, False])
        self.assertEqual(self.owner, "a")
        self.turn(10)
        # Nobody came.
        self.assertIsNone(self.owner)

    def test_a_session_is_not_taken_while_its_clients_arrive(self) -> None:
        (a,) = self.relays("a")
        self.turn()
        a.placement.barriers.expect(KEY, [MigratingClient("c1", Role.CLI, None)])
        taking = a.placement.take(KEY)
        self.turn()
        self.assertIs(self.successResultOf(taking), False)
        a.placement.barriers.cancel(KEY)
        taking = a.placement.take(KEY)
        self.turn()
        self.assertIs(self.successResultOf(taking), True)

    def test_a_session_is_not_taken_without_the_directory(self) -> None:
        (a,) = self.relays("a")
        self.turn()
        self.redis.stop()
        taking = a.placement.take(KEY)
        self.turn(20)
        self.assertIs(self.successResultOf(taking), False)

    def test_when_the_last_has_gone_the_session_is_nobodys(self) -> None:
        a, b = self.relays("ab")
        cli = self.connect(a, "cli")
        phone = self.connect(b, "mobile")
        cli.lose()
        self.turn(1)
        self.assertEqual(self.owner, "a")
        phone.lose()
        self.turn(1)
        self.assertIsNone(self.owner)
        self.assertEqual((self.hosts(), b.placement.bridged_count), ([], 0))

    def test_it_stays_while_its_bundle_is_kept(self) -> None:
        a, _ = self.relays("ab", MemoryStore, bundle_ttl=60)
        cli = self.connect(a, "cli")
        cli.send(type="bundle_update", payload={"code": "x"})
        self.turn()
        cli.lose()
        self.turn(30)
        self.assertEqual(self.owner, "a")
        self.turn(90)
        self.assertIsNone(self.owner)

    def test_a_client_that_leaves_before_it_has_its_place(self) -> None:
        a, b = self.relays("ab")
        self.connect(a, "cli")
        self.network.delay_s = 0.2
        for at_s in (0.0, 0.1, 0.3, 0.5, 0.7):
            client = self.cluster.begin_to_connect(b, f"/mobile/{SESSION}")
            self.turn(at_s)
            client.lose()
            self.turn(2)
            self.assertEqual(a.service.sessions[KEY].mobiles, ())
            self.assertEqual(b.placement.bridged_count, 0)
            self.assertNothingPending()

    def test_one_too_many_is_refused_by_whoever_it_asks(self) -> None:
        a, b = self.relays("ab", max_mobiles=1)
        self.connect(a, "cli")
        phone = self.connect(a, "mobile?deviceId=d1")
        answering = self.cluster.begin_to_connect(b, f"/mobile/{SESSION}?deviceId=d2")
        for _ in range(30):
            self.turn()
            phone.send_raw(masked(PONG, b""))
        answering.read()
        self.assertEqual(answering.status, 403)
        self.assertNothingPending()


class Claiming(PlacementCase):
    """What a client's claim is decided by before it enters a session of another relay."""

    def find(self, relay: ClusterRelay, claim: Any) -> "Deferred[Any]":
        admission = relay.service.admit(Role.MOBILE, SESSION, "")
        finding = relay.placement.find(admission, claim)
        self.turn(1)
        return finding

    def test_it_is_decided_once_and_before(self) -> None:
        a, b = self.relays("ab")
        self.connect(a, "cli")
        decided: list[int] = []

        def claim() -> "Deferred[None]":
            decided.append(len(a.service.sessions[KEY].mobiles))
            return succeed(None)

        self.network.refused.add(("b", "a"))
        finding = self.find(b, claim)
        self.network.refused.clear()
        self.turn(1)
        place = self.successResultOf(finding)
        self.assertFalse(place.is_here)
        self.assertEqual(decided, [0])
        place.abandon()
        self.turn()
        self.assertNothingPending()

    def test_a_client_whose_claim_is_refused(self) -> None:
        a, b = self.relays("ab")
        self.connect(a, "cli")
        finding = self.find(b, lambda: fail(BadRequest(401, "No secret")))
        self.assertEqual(self.failureResultOf(finding, BadRequest).value.status, 401)
        self.assertEqual(self.cluster.wires, [])
        self.assertNothingPending()


class OwnerGone(PlacementCase):
    """The relay that has the session fails."""

    def begin(self) -> tuple[ClusterRelay, ClusterRelay, Any, Any]:
        a, b, c = self.relays("abc")
        self.connect(a, "dashboard")
        cli = self.connect(b, "cli")
        phone = self.connect(c, "mobile?deviceId=d1")
        cli.send(type="bundle_update", payload={"code": "x"})
        self.turn()
        cli.received()
        return a, b, cli, phone

    def test_it_is_killed(self) -> None:
        a, _, cli, phone = self.begin()
        self.cluster.kill(a, at_once=False)
        self.turn(LEASE_S + 3)
        self.assertIn(self.owner, ("b", "c"))
        self.assertIsNone(self.closed(cli) or self.closed(phone))
        self.assertIn("mobile_connected", cli.types())
        self.assertMeet(cli, phone)

    def test_it_is_killed_and_nobody_waits_for_its_lease(self) -> None:
        a, b, cli, phone = self.begin()
        late = self.cluster.begin_to_connect(b, f"/mobile/{SESSION}?deviceId=new")
        self.cluster.kill(a, at_once=False)
        self.turn(1.5)
        self.assertIn(self.owner, ("b", "c"))
        self.assertIsNone(self.closed(cli) or self.closed(phone))
        self.assertMeet(cli, phone)
        self.assertEqual(late.types()[:1], ["connected"])
        self.assertEqual([info.node for info in b.placement.nodes], ["b", "c"])

    def test_it_only_refuses_connections(self) -> None:
        """It beats, and is subscribed: it keeps the session, until it is reached again."""
        _, _, cli, phone = self.begin()
        for other in "bc":
            self.network.refused.add((other, "a"))
            self.network.reset("a", other)
        self.turn(LEASE_S)
        self.assertEqual(self.owner, "a")
        self.network.refused.clear()
        self.turn(2)
        self.assertEqual(self.owner, "a")
        self.assertMeet(cli, phone)

    def test_it_refuses_connections_while_it_is_stopped(self) -> None:
        """What it hands over is not taken from it."""
        a, _, cli, phone = self.begin()
        for other in "bc":
            self.network.refused.add((other, "a"))
        ending = a.end()
        self.turn(1.5)
        self.answer_closes(*self.cluster.clients[:1])
        self.turn(1.5)
        self.successResultOf(ending)
        self.assertIn(self.owner, ("b", "c"))
        self.assertMeet(cli, phone)
        self.assertNotIn("mobile_connected", cli.types())

    def test_it_hangs(self) -> None:
        a, _, cli, phone = self.begin()
        for other in "bc":
            self.network.part("a", other)
        self.network.part("a", "redis")
        self.turn(LEASE_S + 8)
        self.assertIn(self.owner, ("b", "c"))
        self.assertMeet(cli, phone)
        # And when it is back it has it no more.
        self.network.join_all()
        self.turn(LEASE_S + 3)
        self.assertEqual(len(self.hosts()), 1)
        self.assertNotIn(KEY, a.service.sessions)

    def test_who_comes_meanwhile_waits_and_gets_in(self) -> None:
        a, b, *_ = self.begin()
        self.cluster.kill(a, at_once=False)
        client = self.cluster.begin_to_connect(b, f"/mobile/{SESSION}?deviceId=new")
        self.turn(2)
        self.assertEqual(client.status, 0)
        self.turn(LEASE_S + 3)
        self.assertEqual(client.types()[:1], ["connected"])

    def test_an_owner_that_only_one_relay_can_not_reach(self) -> None:
        """It lives, and keeps the session; who can't get there is closed, and may try another
        relay."""
        _, b, cli, phone = self.begin()
        self.network.part("a", "b")
        self.turn(20)
        self.assertEqual(self.owner, "a")
        self.assertEqual(self.closed(cli), 1013)
        self.assertIsNone(self.closed(phone))
        client = self.cluster.begin_to_connect(b, f"/cli/{SESSION}")
        self.turn(20)
        client.read()
        self.assertEqual(client.status, 503)

    def test_a_relay_that_is_none_of_the_cluster(self) -> None:
        a, b = self.relays("ab")
        self.connect(a, "cli")

        def forge(wire: Wire, data: bytes) -> bytes:
            head, found, rest = data.partition(b"AppTuner-Proof: ")
            return head + found + b"0" * 64 + rest[64:] if found else data

        self.network.tamper = forge
        client = self.cluster.begin_to_connect(b, f"/mobile/{SESSION}")
        self.turn(1)
        client.read()
        # To try again would not help.
        self.assertEqual(client.status, 503)


class DirectoryGone(PlacementCase):
    """Redis is down."""

    def begin(self) -> tuple[ClusterRelay, ClusterRelay, Any]:
        a, b = self.relays("ab")
        cli = self.connect(a, "cli")
        return a, b, cli

    def down(self) -> None:
        self.redis.stop()
        self.turn(TIMING.answer + 1)

    def test_what_is_known_goes_on(self) -> None:
        a, b, cli = self.begin()
        phone = self.connect(b, "mobile?deviceId=d1")
        self.down()
        self.assertMeet(cli, phone)
        for relay in (a, b):
            late = self.cluster.connect(relay, f"/mobile/{SESSION}?deviceId={relay.name}")
            self.turn()
            self.assertEqual(late.types()[:1], ["connected"])
            self.assertMeet(cli, late)
        self.assertEqual(self.hosts(), ["a"])

    def test_who_nothing_is_known_of_meets_where_they_are_until_it_is_back(self) -> None:
        _, b, cli = self.begin()
        self.down()
        phone = self.connect(b, "mobile?deviceId=d1")
        self.assertEqual(self.hosts(), ["a", "b"])
        self.redis.start()
        self.turn(3)
        self.assertEqual((self.hosts(), self.owner), (["a"], "a"))
        self.assertIn("mobile_connected", cli.types())
        self.assertMeet(cli, phone)

    def test_two_relays_that_have_begun_the_same_session(self) -> None:
        a, b = self.relays("ab")
        self.down()
        cli = self.connect(a, "cli")
        phone = self.connect(b, "mobile?deviceId=d1")
        self.assertEqual(self.hosts(), ["a", "b"])
        self.redis.start()
        self.turn(3)
        self.assertEqual(self.hosts(), [self.owner])
        self.assertMeet(cli, phone)

    def test_a_relay_that_has_begun_one_keeps_it_where_nobody_else_has(self) -> None:
        [a] = self.relays("a")
        self.down()
        self.connect(a, "cli")
        self.assertIsNone(self.owner)
        self.redis.start()
        self.turn(3)
        self.assertEqual(self.owner, "a")

    def test_other_relays_clients_are_let_into_one_that_was_begun(self) -> None:
        a, b = self.relays("ab")
        self.down()
        self.connect(a, "cli")
        admission = b.service.admit(Role.MOBILE, SESSION, "")
        place = self.successResultOf(a.placement.receive(admission))
        self.assertTrue(place.is_here)
        place.abandon()

    def test_it_is_slow(self) -> None:
        _, b, cli = self.begin()
        for link in self.redis.links:
            link.delay_s = 0.4
        phone = self.cluster.begin_to_connect(b, f"/mobile/{SESSION}?deviceId=d1")
        self.turn(4)
        self.assertEqual(phone.types()[:1], ["connected"])
        self.assertMeet(cli, phone)

    def test_it_loses_everything(self) -> None:
        _, b, cli = self.begin()
        phone = self.connect(b, "mobile?deviceId=d1")
        self.redis.model.empty()
        self.turn(TIMING.renew + 1)
        self.assertEqual((self.owner, self.hosts()), ("a", ["a"]))
        self.assertMeet(cli, phone)

    def test_it_drops_the_key_and_another_relay_claims_it(self) -> None:
        _, b, cli = self.begin()
        self.redis.model.evict(KEY)
        phone = self.cluster.begin_to_connect(b, f"/mobile/{SESSION}?deviceId=d1")
        self.turn(6)
        self.assertEqual(self.hosts(), [self.owner])
        phone.received()
        self.assertMeet(cli, phone)


class Told(PlacementCase):
    """What the directory tells, and what is made of it."""

    def kept(self) -> ClusterRelay:
        """A relay that keeps a bundle of a session in which nobody is."""
        [a] = self.relays("a", MemoryStore)
        cli = self.connect(a, "cli")
        cli.send(type="bundle_update", payload={"code": "x"})
        self.turn()
        cli.lose()
        self.turn()
        self.assertTrue(self.keeps(a))
        return a

    def keeps(self, relay: ClusterRelay) -> bool:
        assert relay.store is not None
        return relay.store.keeps(KEY)

    def test_a_bundle_goes_with_the_lease(self) -> None:
        """Nobody is here, but somebody may have been elsewhere, and have sent a later one."""
        a = self.kept()
        a.placement.lost(KEY, Lease(KEY, "b", "ws://b:1", 2))
        self.assertFalse(self.keeps(a))

    def test_nobody_has_had_it(self) -> None:
        a = self.kept()
        a.placement.lost(KEY, None)
        self.assertTrue(self.keeps(a))

    def test_a_kick_closes_who_has_that_role(self) -> None:
        a, b = self.relays("ab")
        cli = self.connect(a, "cli")
        phone = self.connect(b, "mobile?deviceId=d1")
        b.placement.directory.kick(KEY, "mobile", "too loud")
        self.turn()
        phone.read()
        self.assertEqual(phone.closed, (1000, "too loud"))
        self.assertIsNone(self.closed(cli))

    def test_a_kick_in_a_session_that_is_not_here(self) -> None:
        [a] = self.relays("a")
        a.placement.directory.kick(OTHER, "cli", "x")
        self.turn()

    def test_a_session_that_has_moved_without_its_owner_saying_so(self) -> None:
        """The owner can't, as it is cut off from this relay: what the directory says counts."""
        a, b, c = self.relays("abc")
        cli = self.connect(a, "cli")
        phone = self.connect(b, "mobile?deviceId=d1")
        self.network.part("a", "b")
        # The owner hands it over, as when it stops.
        lease = a.placement.directory.held()[0]
        c.placement.directory.take_over(KEY, "a", lease.epoch)
        self.turn(0.5)
        self.assertEqual(self.owner, "c")
        self.turn(6)
        remote = b.placement.remotes.in_session(KEY)
        self.assertEqual([one.lease and one.lease.node for one in remote], ["c"])
        self.network.join_all()
        self.turn(6)
        self.assertEqual(self.hosts(), ["c"])
        self.assertMeet(cli, phone)


class Draining(PlacementCase):
    """A relay that stops takes nobody in."""

    def test_newcomers_are_refused(self) -> None:
        a, _ = self.relays("ab")
        self.connect(a, "cli")
        a.stop()
        self.turn()
        client = self.cluster.begin_to_connect(a, "/cli/OTHER1")
        self.turn()
        client.read()
        self.assertEqual(client.status, 503)

    def test_a_client_whose_session_nobody_has_chooses_as_all_others_do(self) -> None:
        """All relays that drain send the clients of a session to the same one."""
        a, b, _ = self.relays("abc")
        self.connect(a, "dashboard")
        cli = self.connect(b, "cli")
        phone = self.connect(b, "mobile?deviceId=d1")
        b.placement.directory.announce_drain()
        self.cluster.kill(a)
        b.placement.look()
        self.turn(5)
        self.assertEqual((self.owner, self.hosts()), ("c", ["c"]))
        self.assertMeet(cli, phone)

    def test_the_only_one(self) -> None:
        [a] = self.relays("a")
        cli = self.connect(a, "cli")
        stopping = a.stop()
        self.ends(stopping, cli)
        self.assertEqual(self.closed(cli), 1012)


class Watching(PlacementCase):
    """The checks that are made at intervals."""

    def test_a_failed_check_is_logged_and_they_go_on(self) -> None:
        [a] = self.relays("a")
        calls: list[int] = []

        def fail_once() -> None:
            calls.append(1)
            if len(calls) == 1:
                raise ValueError("odd")

        self.patch(a.placement.directory, "held", lambda: fail_once() or [])
        self.turn(20)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertGreater(len(calls), 1)

    def test_nothing_is_checked_any_more_after_a_stop(self) -> None:
        [a] = self.relays("a")
        a.placement.stopService()
        self.turn(5)
        commands = a.placement.directory.counters.commands
        self.turn(60)
        self.assertEqual(a.placement.directory.counters.commands, commands)

    def test_the_nodes_there_are(self) -> None:
        a, b = self.relays("ab")
        self.turn(3 * TIMING.renew)
        self.assertEqual([info.node for info in a.placement.nodes], ["a", "b"])
        self.assertTrue(self.successResultOf(a.placement.look()))
        self.cluster.kill(b)
        self.turn(3 * TIMING.renew)
        self.assertEqual([info.node for info in a.placement.nodes], ["a"])
        self.redis.stop()
        looking = a.placement.look()
        self.turn(3)
        self.assertFalse(self.successResultOf(looking))
