"""A relay of several that stops, or dies: what becomes of its sessions, and of what is on its way
in them."""

import hashlib
from typing import Any

from twisted.internet.defer import succeed

from apptuner_relay.cluster.bridge.arrival_barrier import ARRIVAL_TIMEOUT_S
from apptuner_relay.cluster.ownership.rendezvous import weight
from apptuner_relay.session.session import Role
from apptuner_relay.wire.frames import CLOSE, CONTINUATION, TEXT
from tests.cluster.harness import KEY, SESSION, TIMING, ClusterCase, ClusterClient, ClusterRelay
from tests.memory import masked
from tests.memory_store import MemoryStore, code_of
from tests.spool.test_bundle_file import LateStore


class LeavingCase(ClusterCase):
    """Relays that keep bundles, or don't."""

    def keeps(self, relay: ClusterRelay) -> bool:
        store = relay.service.store
        return store is not None and store.keeps(KEY)


class Traffic(LeavingCase):
    """Nothing that is sent meanwhile is lost."""

    def test_at_every_step_of_it(self) -> None:
        a, b, c = self.relays("abc")
        here = self.connect(a, "mobile?deviceId=d1")
        cli = self.connect(b, "cli")
        phone = self.connect(c, "mobile?deviceId=d2")
        self.assertEqual(self.owner, "a")
        stopping = a.stop()
        for n in range(60):
            self.talk(cli, n)
            self.talk(phone, n)
            self.turn(0.01)
            self.answer_closes(here)
        self.assertIn(self.owner, ("b", "c"))
        self.assertEqual(self.heard(phone), list(range(60)))
        self.assertEqual(self.heard(cli), list(range(60)))
        self.assertEqual(here.closed and here.closed[0], 1012)
        self.ends(stopping)

    def three(self) -> tuple[ClusterRelay, ClusterClient, ClusterClient]:
        """A session of a's that b is to have, and a phone of c's that can't get there for now."""
        a, b, c = self.relays("abc")
        self.connect(a, "dashboard")
        cli = self.connect(b, "cli")
        self.connect(b, "mobile?deviceId=d1")
        phone = self.connect(c, "mobile?deviceId=d2")
        self.network.refused.add(("c", "b"))
        a.stop()
        self.turn(0.5)
        self.assertEqual(self.owner, "b")
        return a, cli, phone

    def test_who_has_come_waits_for_the_others(self) -> None:
        _, cli, phone = self.three()
        self.talk(cli, 1, 2)
        self.talk(phone, 3, 4)
        self.turn(ARRIVAL_TIMEOUT_S - 2)
        self.assertEqual(self.heard(cli), [])
        self.network.refused.clear()
        self.turn(1.2)
        self.assertEqual(self.heard(phone), [1, 2])
        told = cli.received()
        self.assertEqual([one["n"] for one in told if one["type"] == "talk"], [3, 4])
        self.assertNotIn("mobile_connected", [one["type"] for one in told])

    def test_but_not_for_ever(self) -> None:
        _, cli, phone = self.three()
        self.talk(cli, 1)
        self.turn(ARRIVAL_TIMEOUT_S)
        told = [one for one in cli.received() if one["type"] == "mobile_disconnected"]
        self.assertEqual([one["deviceId"] for one in told], ["d2"])
        # Who is late has missed something, and so the CLI is told to send again.
        self.network.refused.clear()
        self.turn(1.5)
        told = [one for one in cli.received() if one["type"] == "mobile_connected"]
        self.assertEqual([one["deviceId"] for one in told], ["d2"])
        self.talk(cli, 2)
        self.turn()
        self.assertEqual(self.heard(phone), [2])

    def test_nor_for_one_that_has_gone(self) -> None:
        _, cli, phone = self.three()
        phone.lose()
        self.talk(cli, 1)
        self.network.refused.clear()
        self.turn(1.2)
        told = [one for one in cli.received() if one["type"] == "mobile_disconnected"]
        self.assertEqual([one["deviceId"] for one in told], ["d2"])

    def test_last_words_with_a_close(self) -> None:
        _, cli, phone = self.three()
        self.talk(phone, 1)
        phone.send_raw(masked(CLOSE, b"\x03\xe8"))
        self.network.refused.clear()
        self.turn(1.2)
        self.assertEqual(self.heard(cli), [1])

    def test_a_newcomer_waits_as_well(self) -> None:
        _, cli, phone = self.three()
        late = self.cluster.connect(self.cluster.relays["b"], f"/mobile/{SESSION}?deviceId=d3")
        self.assertIn("connected", late.types())
        self.talk(late, 7)
        self.turn()
        self.assertEqual(self.heard(cli), [])
        self.network.refused.clear()
        self.turn(1.2)
        self.assertEqual(self.heard(cli), [7])
        self.talk(cli, 8)
        self.turn()
        self.assertEqual((self.heard(late), self.heard(phone)), ([8], [8]))

    def test_bundles_in_chunks_are_not_split(self) -> None:
        for at in range(10):
            self.make_cluster()
            a, b, c = self.relays("abc")
            self.connect(a, "dashboard")
            cli = self.connect(b, "cli")
            phone = self.connect(c, "mobile?deviceId=d2")
            a.stop()
            self.turn(0.01 * at)
            before = self.owner
            cli.send(type="bundle_start", totalChunks=3, totalSize=9)
            cli.send(type="bundle_chunk", index=0, totalChunks=3, data="abc")
            self.turn(0.3)
            owner = self.owner
            for index in (1, 2):
                cli.send(type="bundle_chunk", index=index, totalChunks=3, data="abc")
                self.turn(0.1)
            got = [one.get("index") for one in phone.received() if "bundle" in one["type"]]
            self.assertEqual(got, [None, 0, 1, 2], f"from {before} to {owner} at {at}")
            self.turn(0.3)
            self.assertIn(self.owner, ("b", "c"))


class Entering(LeavingCase):
    """Who has a place in a session that is about to leave, and isn't in it yet."""

    def test_it_is_waited_for(self) -> None:
        a, _ = self.relays("ab")
        self.connect(a, "cli")
        admission = a.service.admit(Role.MOBILE, SESSION, "")
        place = self.successResultOf(a.placement.find(admission, lambda: succeed(None)))
        a.stop()
        self.turn(0.5)
        self.assertEqual(self.owner, "a")
        place.abandon()
        self.turn(0.5)
        self.assertEqual(self.owner, "b")


class Giving(LeavingCase):
    """Which relay has it then."""

    def session(self, **settings: Any) -> list[ClusterRelay]:
        self.all = self.relays("abc", **settings)
        a, b, c = self.all
        self.connect(a, "dashboard")
        self.cli = self.connect(b, "cli")
        self.phone = self.connect(c, "mobile?deviceId=d2")
        return self.all

    def works(self) -> None:
        self.turn(1.5)
        for client in (self.cli, self.phone):
            client.received()
        self.talk(self.cli, 1)
        self.talk(self.phone, 2)
        self.turn()
        self.assertEqual((self.heard(self.phone), self.heard(self.cli)), ([1], [2]))

    def test_another_one_if_the_first_does_not_answer(self) -> None:
        a, *_ = self.session()
        first = max("bc", key=lambda node: weight(KEY, node))
        self.network.refused.add(("a", first))
        a.stop()
        self.works()
        self.assertNotIn(self.owner, ("a", first))

    def test_nobody_takes_it(self) -> None:
        a, *_ = self.session()
        self.network.refused |= {("a", "b"), ("a", "c")}
        a.stop()
        self.turn(0.5)
        # As after a failure: somebody may have missed something.
        self.assertIn("mobile_connected", self.cli.types())
        self.works()
        self.assertIn(self.owner, ("b", "c"))

    def test_its_answer_is_lost(self) -> None:
        a, *_ = self.session()

        def cut(wire: Any, data: bytes) -> bytes:
            if b'"taken"' in data:
                wire.cut()
                return b""
            return data

        self.network.tamper = cut
        a.stop()
        self.turn(0.5)
        self.assertNotIn("mobile_connected", self.cli.types())
        self.works()

    def test_two_that_stop_at_once(self) -> None:
        a, b, _ = self.session()
        a.stop()
        b.stop()
        self.turn(1)
        self.assertEqual(self.owner, "c")

    def test_the_directory_is_away(self) -> None:
        a, *_ = self.session()
        self.redis.stop()
        stopping = a.stop()
        self.turn(TIMING.answer)
        self.ends(stopping, *self.cluster.clients)


class Bundles(LeavingCase):
    """The last one goes along."""

    CODE = "x" * 400_000

    def push(self, relay: ClusterRelay, chunked: bool = False) -> None:
        cli = self.connect(relay, "cli")
        if chunked:
            cli.send(type="bundle_start", totalChunks=2, totalSize=len(self.CODE))
            for index in range(2):
                half = self.CODE[index::2]
                cli.send(type="bundle_chunk", index=index, totalChunks=2, data=half)
        else:
            cli.send(type="bundle_update", payload={"code": self.CODE})
        self.turn()
        cli.lose()
        self.turn()
        self.assertTrue(self.keeps(relay))

    def code(self, relay: ClusterRelay) -> str:
        assert relay.service.store is not None
        bundle = relay.service.store.latest(KEY)
        assert bundle is not None
        return hashlib.sha256(code_of(bundle.path)).hexdigest()  # type: ignore[attr-defined]

    def test_where_nobody_is_in_the_session(self) -> None:
        for chunked in (False, True):
            self.make_cluster()
            a, b = self.relays("ab", MemoryStore)
            self.push(a, chunked)
            self.assertEqual(self.owner, "a")
            stopping = a.stop()
            self.ends(stopping)
            self.assertEqual(self.owner, "b")
            self.assertFalse(self.keeps(a))
            self.assertEqual(self.code(b), hashlib.sha256(self.CODE.encode()).hexdigest(), chunked)
            late = self.cluster.connect(b, f"/mobile/{SESSION}")
            self.turn()
            self.assertIn("bundle_start" if chunked else "bundle_update", late.types())

    def test_that_the_disk_does_not_have_yet(self) -> None:
        a, b = self.relays("ab", LateStore)
        disk: Any = a.service.store and a.service.store.disk
        disk.late = True
        self.push(a)
        stopping = a.stop()
        self.turn(1)
        disk.late = False
        disk.work()
        self.ends(stopping)
        self.assertEqual(self.owner, "b")
        self.assertEqual(self.code(b), hashlib.sha256(self.CODE.encode()).hexdigest())

    def test_its_time_goes_on(self) -> None:
        a, b = self.relays("ab", MemoryStore, bundle_ttl=60)
        self.push(a)
        self.cluster.clock.pump([1] * 40)
        self.ends(a.stop())
        self.assertTrue(self.keeps(b))
        self.cluster.clock.pump([1] * 12)
        self.assertTrue(self.keeps(b))
        self.cluster.clock.pump([1] * 12)
        self.assertFalse(self.keeps(b))
        # And with it the session.
        self.cluster.clock.pump([1] * 12)
        self.assertIsNone(self.owner)

    def moves_without(self, b: ClusterRelay, a: ClusterRelay) -> None:
        self.ends(a.stop())
        self.assertFalse(self.keeps(a) or self.keeps(b))

    def test_where_the_other_relay_keeps_none(self) -> None:
        a = self.cluster.relay("a", MemoryStore)
        b = self.cluster.relay("b")
        self.push(a)
        self.moves_without(b, a)

    def test_where_it_has_no_room(self) -> None:
        a = self.cluster.relay("a", MemoryStore)
        b = self.cluster.relay("b", MemoryStore, spool_limit=300_000)
        self.push(a)
        self.moves_without(b, a)

    def test_what_has_changed_on_its_way(self) -> None:
        a, b = self.relays("ab", MemoryStore)
        self.push(a)
        self.network.tamper = lambda wire, data: data.replace(b"xxxxxxxx", b"xxxxyxxx", 1)
        self.moves_without(b, a)

    def test_the_way_is_cut_in_the_middle_of_it(self) -> None:
        a, b = self.relays("ab", MemoryStore)
        phone = self.connect(b, "mobile?deviceId=d1")
        self.assertEqual(self.owner, "b")
        self.push(b)
        done = []

        def cut(wire: Any, data: bytes) -> bytes:
            if b"xxxxxxxx" in data and not done:
                done.append(wire)
                self.cluster.clock.callLater(0, wire.cut)
            return data

        self.network.tamper = cut
        stopping = b.stop()
        self.turn(1)
        self.assertEqual(len(done), 1)
        self.assertEqual(self.owner, "a")
        self.assertFalse(self.keeps(a))
        self.ends(stopping, phone)

    def test_while_a_phone_still_gets_it(self) -> None:
        a, b = self.relays("ab", MemoryStore)
        self.push(a)
        assert isinstance(a.store, MemoryStore)
        a.store.disk.patient = True
        late = self.cluster.connect(a, f"/mobile/{SESSION}?deviceId=d1")
        stopping = a.stop()
        self.turn(1)
        self.assertEqual(self.owner, "a")
        a.store.disk.patient = False
        a.store.disk.give()
        self.turn()
        self.assertIn("bundle_update", late.types())
        self.ends(stopping, late)
        self.assertEqual(self.owner, "b")
        self.assertTrue(self.keeps(b))


class Deadline(LeavingCase):
    """One for all of it."""

    def test_who_never_finishes_a_message(self) -> None:
        a, b = self.relays("ab", drain_timeout=10, close_timeout=2)
        cli = self.connect(a, "cli")
        far = self.connect(b, "mobile?deviceId=d1")
        half = b'{"type":"bundle_update","payload":{"code":"' + b"x" * 1000
        cli.send_raw(masked(TEXT, half, fin=False))
        stopping = a.stop()
        self.turn(7.5)
        self.assertIsNone(cli.closed)
        self.assertNoResult(stopping)
        # Whatever it does.
        self.turn(4.6)
        self.assertTrue(cli.transport.disconnected)
        cli.lose()
        self.turn()
        self.successResultOf(stopping)
        cli.read()
        self.assertEqual(cli.closed and cli.closed[0], 1012)
        # Who got half of it is told.
        far.read()
        self.assertEqual(far.closed and far.closed[0], 1011)

    def test_others_do_not_wait_for_that(self) -> None:
        a, _ = self.relays("ab", drain_timeout=10)
        busy = self.cluster.connect(a, "/cli/BUSY")
        busy.send_raw(masked(TEXT, b'{"type":"bundle_update","payload":{"code":"', fin=False))
        self.connect(a, "cli")
        a.stop()
        self.turn(0.5)
        self.assertEqual(self.owner, "b")

    def test_a_guest_that_leaves_in_mid_message(self) -> None:
        a, b = self.relays("ab")
        self.connect(b, "mobile?deviceId=d1")
        cli = self.connect(a, "cli")
        self.assertEqual(self.owner, "b")
        cli.send_raw(masked(TEXT, b'{"type":"bundle_update","payload":{"code":"', fin=False))
        stopping = a.stop()
        self.turn(0.3)
        self.assertNoResult(stopping)
        cli.lose()
        self.turn(0.3)
        self.successResultOf(stopping)

    def test_what_a_guest_has_sent_is_out_before_the_end(self) -> None:
        a, b = self.relays("ab")
        phone = self.connect(b, "mobile?deviceId=d1")
        cli = self.connect(a, "cli")
        for wire in self.cluster.wires:
            wire.is_stuck = True
        stopping = a.stop()
        self.turn(0.1)
        self.talk(cli, 1)
        self.answer_closes(cli)
        self.turn(1)
        self.assertNoResult(stopping)
        for wire in self.cluster.wires:
            wire.is_stuck = False
        self.ends(stopping)
        self.assertEqual(self.heard(phone), [1])

    def test_guests_of_one_session_go_in_order(self) -> None:
        a, b = self.relays("ab")
        self.connect(b, "dashboard")
        cli = self.connect(a, "cli")
        phone = self.connect(a, "mobile?deviceId=d1")
        stopping = a.stop()
        self.turn(0.2)
        for client in (cli, phone):
            client.read()
        self.assertEqual(cli.closed and cli.closed[0], 1012)
        self.assertIsNone(phone.closed)
        self.talk(cli, 1)
        self.answer_closes(cli)
        self.turn(0.3)
        self.assertEqual(self.heard(phone), [1])
        self.assertEqual(self.closed(phone), 1012)
        self.ends(stopping, phone)

    def test_a_bundle_that_is_not_kept_is_not_waited_for(self) -> None:
        a, _ = self.relays("ab", MemoryStore, spool_limit=1000)
        cli = self.connect(a, "cli")
        cli.send(type="bundle_update", payload={"code": "x" * 5000})
        self.turn()
        stopping = a.stop()
        self.turn(0.5)
        self.assertEqual(self.owner, "b")
        self.ends(stopping, cli)

    def test_chunks_that_never_come(self) -> None:
        a, b = self.relays("ab", stall_timeout=5)
        cli = self.connect(a, "cli")
        phone = self.connect(b, "mobile?deviceId=d1")
        cli.send(type="bundle_start", totalChunks=3, totalSize=9)
        stopping = a.stop()
        self.turn(4)
        self.assertEqual(self.owner, "a")
        self.turn(4)
        self.assertEqual(self.owner, "b")
        phone.read()
        self.assertEqual(phone.closed and phone.closed[0], 1011)
        cli.send(type="bundle_chunk", index=0, totalChunks=3, data="abc")
        cli.send_raw(masked(TEXT, b"", fin=False) + masked(CONTINUATION, b"{}"))
        self.ends(stopping, cli)


class Lost(LeavingCase):
    """The owner dies in the middle of a bundle in chunks."""

    def chunks(self, cli: ClusterClient, *indices: int) -> None:
        for index in indices:
            cli.send(type="bundle_chunk", index=index, totalChunks=4, data="x" * 600)
            self.turn(0.02)

    def begin(self) -> tuple[ClusterRelay, ClusterClient, ClusterClient]:
        a, b, c = self.relays("abc")
        self.connect(a, "dashboard")
        cli = self.connect(b, "cli")
        phone = self.connect(c, "mobile?deviceId=d1")
        cli.send(type="bundle_start", totalChunks=4, totalSize=2400)
        return a, cli, phone

    def bundles(self, client: ClusterClient) -> list[Any]:
        return [one.get("index") for one in client.received() if "bundle" in one["type"]]

    def test_a_phone_that_has_part_of_it_is_closed(self) -> None:
        a, cli, phone = self.begin()
        self.chunks(cli, 0, 1)
        self.assertEqual(self.bundles(phone), [None, 0, 1])
        self.cluster.kill(a)
        self.chunks(cli, 2, 3)
        self.turn(0.5)
        self.assertEqual(self.bundles(phone), [])
        self.assertEqual(phone.closed and phone.closed[0], 1011)
        self.assertIn("cut short", phone.closed[1] if phone.closed else "")
        phone.lose()
        # It comes back, and the CLI, which was not closed, sends again.
        again = self.connect(self.cluster.relays["c"], "mobile?deviceId=d1")
        cli.send(type="bundle_start", totalChunks=4, totalSize=2400)
        self.chunks(cli, 0, 1, 2, 3)
        self.assertEqual(self.bundles(again), [None, 0, 1, 2, 3])

    def test_a_phone_that_has_all_of_it_stays(self) -> None:
        a, cli, phone = self.begin()
        self.chunks(cli, 0, 1, 2, 3)
        self.cluster.kill(a)
        self.turn(0.5)
        self.assertIsNone(phone.closed)
        self.assertIn("mobile_connected", cli.types())
        cli.send(type="bundle_update", payload={"code": "y"})
        self.turn()
        self.assertEqual(self.bundles(phone), [None, 0, 1, 2, 3, None])

    def test_a_guest_gets_its_rest_before_its_own_relay_ends(self) -> None:
        _, cli, phone = self.begin()
        self.chunks(cli, 0, 1)
        self.cluster.relays["c"].stop()
        self.turn(0.5)
        phone.read()
        self.assertIsNone(phone.closed)
        self.chunks(cli, 2, 3)
        self.turn(0.1)
        self.assertEqual(self.bundles(phone), [None, 0, 1, 2, 3])
        self.assertEqual(self.closed(phone), 1012)
