"""A client here whose session is elsewhere: what passes in both directions, and what becomes of it
whatever happens to it, to the link, and to its session."""

import json
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from apptuner_relay.cluster.bridge.link import MOVED, ROUND_TRIP
from apptuner_relay.cluster.bridge.peer_auth import PATCHES
from apptuner_relay.cluster.bridge.peer_server import read_round_trip
from apptuner_relay.cluster.bridge.placement_states import PlacementState
from apptuner_relay.cluster.bridge.remote_member import RemoteMember
from apptuner_relay.cluster.ownership.directory import Lease
from apptuner_relay.edge.closing_states import ClosingState
from apptuner_relay.operator.views import Views
from apptuner_relay.session.session import Arrival, Role
from apptuner_relay.support.round_trip import RoundTrip
from apptuner_relay.wire.frames import CLOSE, CONTINUATION, PING, PONG, TEXT, FrameReader
from tests.cluster.bridge.cases import BridgeCase
from tests.cluster.harness import KEY, SESSION, ClusterCase
from tests.memory import masked


class RemoteCase(BridgeCase):
    """A CLI and the dashboard are at a; a phone is at b."""

    def setUp(self) -> None:
        super().setUp()
        self.cli = self.connect(self.a, "cli")
        self.phone = self.connect(self.b, "mobile?deviceId=d1")
        # As CLIs do that are told of a phone.
        self.cli.send(type="bundle_update", payload={"code": "x"})
        self.turn()
        self.received()

    def received(self) -> None:
        for one in (self.cli, self.phone, self.page):
            one.received()

    @property
    def remote(self) -> RemoteMember:
        """The phone, as b has it."""
        [remote] = self.b.placement.remotes.in_session(KEY)
        return remote

    @property
    def inbound(self) -> Any:
        """The phone's connection, as a has it."""
        [member] = self.a.service.sessions[KEY].mobiles
        return member.connection


class Passing(RemoteCase):
    def texts(self, client: Any) -> list[bytes]:
        client.read()
        taken, client.messages = client.messages, []
        return list(taken)

    def test_small_messages_both_ways(self) -> None:
        self.assertMeet(self.cli, self.phone)

    @settings(max_examples=30)
    @given(
        st.lists(st.integers(0, 100_000), min_size=1, max_size=4),
        st.integers(1, 6),
        st.booleans(),
    )
    def test_whatever_their_size_and_frames(
        self, sizes: list[int], count: int, to_phone: bool
    ) -> None:
        sender, receiver = (self.cli, self.phone) if to_phone else (self.phone, self.cli)
        self.received()
        sent = []
        for number, size in enumerate(sizes):
            text = json.dumps({"type": "talk", "n": number, "x": "y" * size}).encode()
            sent.append(text)
            step = -(-len(text) // count)
            for at in range(0, len(text), step):
                last = at + step >= len(text)
                opcode = CONTINUATION if at else TEXT
                sender.send_raw(masked(opcode, text[at : at + step], last, os.urandom(4)))
                self.turn(0.01)
        self.turn()
        self.assertEqual(self.texts(receiver), sent)

    def test_they_begin_to_arrive_before_they_have_come_whole(self) -> None:
        head = b'{"type":"talk","x":"' + b"y" * 100_000
        self.cli.send_raw(masked(TEXT, head, fin=False))
        self.turn()
        self.phone.read()
        self.assertGreater(sum(len(payload) for _, _, payload in self.phone.frames), 50_000)

    def test_a_client_that_sends_faster_than_the_link_takes_is_held(self) -> None:
        for wire in self.cluster.wires:
            wire.is_stuck = True
        window = self.b.service.settings.limits.window
        chunk = b"x" * 60_000
        self.phone.send_raw(masked(TEXT, chunk, fin=False))
        for _ in range(3 * window // len(chunk)):
            if self.phone.transport.producerState == "paused":
                break
            self.phone.send_raw(masked(CONTINUATION, chunk, fin=False))
            self.turn(0.01)
        self.assertEqual(self.phone.transport.producerState, "paused")
        for wire in self.cluster.wires:
            wire.is_stuck = False
        self.turn(1)
        self.assertEqual(self.phone.transport.producerState, "producing")

    def test_many_small_ones_at_once(self) -> None:
        self.received()
        texts = [json.dumps({"type": "talk", "n": n, "x": "é" * n}).encode() for n in range(40)]
        for sender, receiver in ((self.cli, self.phone), (self.phone, self.cli)):
            sender.send_raw(b"".join(masked(TEXT, one, True, os.urandom(4)) for one in texts))
            self.turn()
            self.assertEqual(self.texts(receiver), texts)

    def test_a_relay_that_takes_no_masks_gets_none(self) -> None:
        self.a.peers.features = frozenset({PATCHES})
        phone = self.connect(self.b, "mobile?deviceId=other")
        self.received()
        phone.received()
        readers = [one.reader for one in self.b.placement.remotes.in_session(KEY)]
        self.assertEqual({reader.passes_on for reader in readers}, {True, False})
        phone.send_raw(masked(TEXT, b'{"type":"talk"}') + masked(TEXT, b'{"type":"walk"}'))
        self.turn()
        self.assertEqual(self.texts(self.cli), [b'{"type":"talk"}', b'{"type":"walk"}'])

    def test_what_is_no_text_closes_its_sender(self) -> None:
        good = masked(TEXT, b'{"type":"talk"}')
        self.phone.send_raw(good + masked(TEXT, b'{"type":"\xff"}') + good)
        self.turn()
        self.assertEqual(self.closed(self.phone), 1007)

    def test_its_pings_are_answered_here(self) -> None:
        for wire in self.cluster.wires:
            wire.is_stuck = True
        self.phone.send_raw(masked(PING, b"hi"))
        self.phone.read()
        self.assertEqual(self.phone.pongs, [b"hi"])


class Leaving(RemoteCase):
    """The client's connection ends."""

    def gone(self) -> list[str]:
        self.turn(1)
        self.assertEqual(self.b.placement.bridged_count, 0)
        self.assertEqual(self.a.service.sessions[KEY].mobiles, ())
        return self.cli.types()

    def test_it_closes(self) -> None:
        self.talk(self.phone, 1)
        self.phone.send_raw(masked(CLOSE, b"\x03\xe8"))
        self.phone.lose()
        self.assertEqual(self.gone()[:2], ["talk", "mobile_disconnected"])

    def test_it_is_lost_between_messages(self) -> None:
        self.talk(self.phone, 1)
        self.phone.lose()
        self.assertEqual(self.gone()[:2], ["talk", "mobile_disconnected"])

    def test_it_is_lost_in_mid_message(self) -> None:
        self.phone.send_raw(masked(TEXT, b'{"type":"talk","x":"' + b"y" * 90_000, fin=False))
        self.turn()
        self.phone.lose()
        self.turn(1)
        # Who got its beginning can't be left with that.
        self.assertEqual(self.closed(self.cli), 1011)
        self.assertEqual(self.b.placement.bridged_count, 0)

    def test_it_breaks_the_protocol(self) -> None:
        self.phone.send_raw(masked(3, b""))
        self.turn(1)
        self.assertEqual(self.closed(self.phone), 1002)
        self.phone.lose()
        self.assertIn("mobile_disconnected", self.gone())


class Late(RemoteCase):
    """It is found to have no place when its connection is gone already."""

    def test_after_its_relay_has_dismissed_it(self) -> None:
        remote = self.remote
        self.b.stop()
        self.turn(0.5)
        self.assertEqual(self.closed(self.phone), 1012)
        # Without an answer to the Close.
        self.phone.lose()
        remote.refuse(1013, "The relay that has this session can't be reached now")
        self.turn(1)
        self.assertIs(remote.state, PlacementState.GONE)
        self.assertEqual(self.b.placement.bridged_count, 0)


class Ended(RemoteCase):
    """Its session closes it, or can't keep it."""

    def test_with_the_code_and_reason_that_are_said(self) -> None:
        [member] = self.a.service.sessions[KEY].mobiles
        self.a.service.registry.retire(member, 1000, "Session timeout")
        self.turn()
        self.phone.read()
        self.assertEqual(self.phone.closed, (1000, "Session timeout"))

    def test_in_good_order_it_looks_for_another_place_and_is_not_closed(self) -> None:
        for code in (MOVED, 1012):
            self.inbound.close(code, "moves")
            self.turn(2)
            self.assertIsNone(self.closed(self.phone))
            self.cli.received()
            self.assertMeet(self.cli, self.phone)


class Lost(RemoteCase):
    """The link is cut."""

    def test_between_messages_it_finds_its_place_again_and_others_are_told(self) -> None:
        self.network.reset("a", "b")
        self.turn(1)
        self.assertIn("mobile_connected", self.cli.types())
        self.assertIs(self.remote.state, PlacementState.REMOTE)
        self.assertMeet(self.cli, self.phone)

    def test_while_it_sends(self) -> None:
        self.phone.send_raw(masked(TEXT, b'{"type":"talk","x":"' + b"y" * 90_000, fin=False))
        self.turn()
        self.network.reset("a", "b")
        self.turn(1)
        self.assertEqual(self.closed(self.cli), 1011)
        # It may end its message, which goes nowhere, and is heard from the next one on.
        self.phone.send_raw(masked(CONTINUATION, b'"}'))
        self.turn(1)
        self.cli.lose()
        cli = self.connect(self.a, "cli")
        self.assertMeet(cli, self.phone)

    def test_while_it_is_sent_something(self) -> None:
        self.cli.send_raw(masked(TEXT, b'{"type":"talk","x":"' + b"y" * 90_000, fin=False))
        self.turn()
        self.network.reset("a", "b")
        self.turn(1)
        self.assertEqual(self.closed(self.phone), 1011)
        self.assertEqual(self.b.placement.bridged_count, 0)

    def test_what_it_says_meanwhile_waits(self) -> None:
        self.network.refused.add(("b", "a"))
        self.network.reset("a", "b")
        self.turn(0.5)
        self.talk(self.phone, 1, 2)
        self.assertEqual(self.phone.transport.producerState, "paused")
        self.network.refused.clear()
        self.turn(2)
        self.assertEqual(self.heard(self.cli), [1, 2])

    def test_where_no_place_is_found_it_is_closed_and_may_come_back(self) -> None:
        self.network.refused.add(("b", "a"))
        self.network.reset("a", "b")
        self.turn(15)
        self.assertEqual(self.closed(self.phone), 1013)
        self.phone.lose()
        self.turn()
        self.assertEqual(self.b.placement.bridged_count, 0)


class Presence(RemoteCase):
    """Whether the client is there, for who needs its place."""

    def test_one_that_answers(self) -> None:
        self.turn(4)
        asked_s = self.inbound.probe()
        self.assertEqual(asked_s, self.cluster.clock.seconds())
        self.turn()
        self.phone.read()
        self.assertEqual(self.phone.pings, 1)
        self.assertLess(self.inbound.last_heard_s(), asked_s)
        self.phone.send_raw(masked(PONG, b""))
        self.turn()
        self.assertGreaterEqual(self.inbound.last_heard_s(), asked_s)

    def test_one_that_was_heard_just_before_is_not_asked(self) -> None:
        self.talk(self.phone, 1)
        self.inbound.probe()
        self.turn()
        self.phone.read()
        self.assertEqual(self.phone.pings, 0)
        self.assertGreater(self.inbound.last_heard_s(), self.cluster.clock.seconds() - 1)

    def test_pings_of_the_owner_say_nothing_of_the_client(self) -> None:
        self.turn(5)
        heard_s = self.inbound.last_heard_s()
        self.assertTrue(self.remote.ping_owner())
        self.turn(1)
        self.assertEqual(self.inbound.last_heard_s(), heard_s)


class RoundTrips(RemoteCase):
    """How far a client is from the relay that it is connected to, as its session's owner knows."""

    def answer(self) -> None:
        self.phone.read()
        pings = [payload for opcode, _, payload in self.phone.frames if opcode == PING]
        self.phone.send_raw(masked(PONG, pings[-1]))
        self.turn()

    @property
    def member(self) -> Any:
        [member] = self.a.service.sessions[KEY].mobiles
        return member

    def test_the_owner_is_told(self) -> None:
        self.turn(15)
        self.assertIsNone(self.member.round_trip_s)
        self.answer()
        took_s = self.remote.round_trip_s
        assert took_s is not None
        self.assertGreater(took_s, 0.25)
        self.assertAlmostEqual(self.member.round_trip_s, took_s, 5)
        (row,) = Views(self.a.service.meters).sessions()
        shown = next(one for one in row["clients"] if one["deviceId"] == "d1")  # type: ignore[attr-defined]
        self.assertEqual((shown["round_trip_ms"], shown["through"]), (round(1000 * took_s, 1), "b"))

    def test_one_that_lies_is_passed_over(self) -> None:
        for told in (b"", b"x", b"nan", b"-1", b"1e99", b"inf"):
            self.assertIsNone(read_round_trip(ROUND_TRIP + told, 0.0), told)
        self.assertEqual(read_round_trip(ROUND_TRIP + b"0.012000", 5.0), RoundTrip(0.012, 5.0))

    @given(st.binary(max_size=40))
    def test_anything(self, told: bytes) -> None:
        found = read_round_trip(ROUND_TRIP + told, 0.0)
        self.assertTrue(found is None or 0 <= found.took_s <= 3600)


class FakeLink:
    """A link that only says what was asked of it."""

    features: frozenset[str] = frozenset()

    def __init__(self, case: "AnythingTest") -> None:
        self.closing = SimpleNamespace(state=ClosingState.OPEN)
        self.heard_s = 0.0
        self.calls: list[str] = []
        self._case = case

    def make_flow(self) -> Any:
        connection: Any = FakeConnection()
        return self._case.b.service.make_flow(connection, FrameReader)

    def attach(self, end: Any, listener: Any) -> None:
        self.calls.append("attach")

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: self.calls.append(name)


class FakeConnection:
    """A client's connection."""

    deflates = False
    takes_parts = False
    round_trip = None

    def __init__(self) -> None:
        self.closes: list[int] = []

    def close(self, code: int, reason: str) -> None:
        self.closes.append(code)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


WAYS_TO_LOSE = {
    "moved": (MOVED, True),
    "restarted": (1012, True),
    "closed": (1000, True),
    "kicked": (1008, True),
    "cut": (1006, False),
}


class AnythingTest(ClusterCase):
    """A client and whatever may happen to it, in any order: nobody is told twice, and it is read
    from exactly while what it says has a way."""

    def setUp(self) -> None:
        super().setUp()
        [self.b] = self.relays("b")

    @settings(max_examples=200)
    @given(
        st.lists(
            st.sampled_from(
                ("link", "halt", "resume", "drop", "gone", "become_local", *WAYS_TO_LOSE)
            ),
            max_size=12,
        )
    )
    def test_any_order(self, steps: list[str]) -> None:
        relay = self.b.service
        connection: Any = FakeConnection()
        admission = relay.admit(Role.MOBILE, SESSION, "")
        ends = relay.make_flow(connection, FrameReader)
        lost: list[Arrival] = []
        gone: list[RemoteMember] = []
        remote = RemoteMember(
            relay,
            admission,
            connection,
            ends,
            on_lost=lambda one: lost.append(one.admission.arrival),
            on_gone=gone.append,
        )
        link: Any = None
        for step in steps:
            looking = remote.state in (
                PlacementState.FINDING,
                PlacementState.MOVING,
                PlacementState.LOST,
            )
            count = len(lost)
            if step == "link" and looking:
                link = FakeLink(self)
                remote.connect_to(link, Lease(KEY, "a", "ws://a:1", 1))
            elif step == "become_local" and looking:
                remote.become_local()
                break
            elif step == "gone":
                remote.gone("left")
            elif step == "drop":
                has_link = remote.link is not None
                remote.drop_link()
                self.assertEqual(len(lost) - count, int(has_link))
            elif link is not None and remote.link is link:
                # What a link says while it is there.
                if step == "halt":
                    remote.on_halt()
                    self.assertIs(remote.state, PlacementState.HALTED)
                elif step == "resume":
                    remote.on_resume()
                elif step in WAYS_TO_LOSE:
                    code, clean = WAYS_TO_LOSE[step]
                    remote.on_link_lost(code, "why", clean)
                    closes = clean and code not in (MOVED, 1012)
                    self.assertEqual(len(lost) - count, int(not closes))
                    if not closes:
                        moved = Arrival.MOVED if code == MOVED else Arrival.RECOVERED
                        self.assertIs(lost[-1], moved)
            has_way = remote.state is PlacementState.REMOTE
            if remote.state not in (PlacementState.GONE, PlacementState.CLOSING):
                self.assertEqual(remote.source.held, not has_way, (step, remote.state))
            self.assertEqual(
                remote.link is not None,
                remote.state in (PlacementState.REMOTE, PlacementState.HALTED),
            )
            self.assertLessEqual(len(gone), 1)
            self.assertEqual(bool(gone), remote.is_gone)
            self.assertLessEqual(len(connection.closes), 1)
        if remote.is_gone:
            self.assertTrue(remote.sink.closed)
            self.assertFalse(remote.gone("again"))
            self.assertEqual(len(gone), 1)
