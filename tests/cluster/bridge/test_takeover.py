"""Taking a session over from a relay that stops: whatever that says, or doesn't."""

import hashlib
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apptuner_relay.cluster.bridge.handover_messages import write_message
from apptuner_relay.cluster.bridge.link import open_handover
from apptuner_relay.cluster.bridge.takeover import SILENCE_S
from apptuner_relay.wire.frames import BINARY, TEXT, frame
from tests.cluster.bridge.cases import LinkEnd
from tests.cluster.harness import KEY, SECRET, ClusterCase
from tests.memory_store import MemoryStore

CODE = "x" * 300
BUNDLE = json.dumps({"type": "bundle_update", "payload": {"code": CODE}}).encode()
DESCRIPTION = {
    "single": True,
    "chunks": 0,
    "announced": len(BUNDLE),
    "began_ms": 1,
    "size": len(frame(TEXT, BUNDLE)),
    "age_s": 1.0,
}
CLIENT = {"client": "c1", "role": "cli", "device": None, "gone": False}


class TakeoverCase(ClusterCase):
    """Relay a has the session and is about to stop; b is to take it."""

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.relays("ab", MemoryStore)
        self.page = self.connect(self.a, "dashboard")
        self.epoch = self.a.placement.directory.held()[0].epoch
        self.begin()

    def begin(self) -> None:
        """Open the connection that a hands its session over by."""
        opening = open_handover(self.a.service, "ws://127.0.0.1:98", SECRET, "a", "b", KEY)
        self.turn()
        self.link = self.successResultOf(opening)
        self.end = LinkEnd(self.link)

    def say(self, kind: str, **fields: Any) -> None:
        self.send(write_message(kind, **fields))

    def send(self, data: bytes) -> None:
        self.end.sink.send(data, None)
        self.end.sink.flush(None)
        self.turn()

    def answers(self) -> list[dict[str, Any]]:
        """What b has said since the last call."""
        texts, self.end.texts = self.end.texts, []
        return [json.loads(text) for text in texts]

    def keeps(self) -> bool:
        assert self.b.store is not None
        return self.b.store.keeps(KEY)

    def send_bundle(self) -> None:
        self.say("offer", node="a", bundle=DESCRIPTION)
        self.send(frame(TEXT, BUNDLE))
        self.say("bundle_end", sha256=hashlib.sha256(BUNDLE).hexdigest())

    def assertRefused(self) -> None:
        """It doesn't understand, says so, and has taken nothing."""
        [(code, _, clean)] = self.end.lost
        self.assertEqual((code, clean), (1008, True))
        self.assertEqual(self.owner, "a")
        self.turn(1)
        self.assertFalse(KEY in self.b.placement.barriers)


class Order(TakeoverCase):
    """What is said when."""

    def test_all_of_it(self) -> None:
        self.send_bundle()
        self.assertEqual(
            self.answers(), [{"type": "ready", "keeps": None}, {"type": "kept", "why": None}]
        )
        self.assertTrue(self.keeps())
        self.say("take", epoch=self.epoch, members=[CLIENT])
        self.assertEqual(self.answers(), [{"type": "taken", "why": None}])
        self.assertEqual(self.owner, "b")
        self.assertIn(KEY, self.b.placement.barriers)
        self.say("missing", clients=["c1"])
        self.assertNotIn(KEY, self.b.placement.barriers)
        self.link.close_when_delivered("over")
        self.turn(1)
        # Its last bundle is what there is of it.
        self.assertEqual((self.owner, self.keeps()), ("b", True))

    def test_without_a_bundle_and_with_nobody(self) -> None:
        self.say("offer", node="a", bundle=None)
        self.say("take", epoch=self.epoch, members=[])
        self.assertEqual([one["type"] for one in self.answers()], ["ready", "taken"])
        # Nothing is left of the session, and its lease is given back.
        self.turn(1)
        self.assertIsNone(self.owner)

    def test_at_the_wrong_time(self) -> None:
        offer = ("offer", {"node": "a", "bundle": None})
        take = ("take", {"epoch": self.epoch, "members": []})
        end = ("bundle_end", {"sha256": "0"})
        missing: tuple[str, dict[str, Any]] = ("missing", {"clients": []})
        for said in ([take], [end], [missing], [offer, offer], [offer, missing]):
            self.make_cluster()
            self.setUp()
            for kind, fields in said:
                self.say(kind, **fields)
            self.assertRefused()

    def test_what_only_later_versions_say(self) -> None:
        self.say("offer", node="a", bundle=None, mood="good")
        self.say("weather", rain=True)
        self.assertEqual([one["type"] for one in self.answers()], ["ready"])
        self.assertEqual(self.end.lost, [])


class Damaged(TakeoverCase):
    """What no relay says."""

    def test_no_message(self) -> None:
        for data in (b"{", b"[]", b'{"type":1}', b"\xff"):
            self.setUp()
            self.send(frame(BINARY, data))
            self.assertRefused()

    def test_wrong_fields(self) -> None:
        for said in (
            [("offer", {"node": "a b", "bundle": None})],
            [("offer", {"node": "a", "bundle": {}})],
            [("offer", {"node": "a", "bundle": DESCRIPTION | {"size": 1e999}})],
            [("offer", {"node": "a", "bundle": None}), ("take", {"epoch": "1", "members": []})],
            [("offer", {"node": "a", "bundle": None}), ("take", {"epoch": 1, "members": 5})],
            [("offer", {"node": "a", "bundle": None}), ("take", {"epoch": 1, "members": [{}]})],
        ):
            self.setUp()
            for kind, fields in said:
                self.say(kind, **fields)
            self.assertRefused()

    def test_a_list_of_who_is_missing_that_is_none(self) -> None:
        self.say("offer", node="a", bundle=None)
        self.say("take", epoch=self.epoch, members=[CLIENT])
        self.say("missing", clients=5)
        self.assertEqual([code for code, _, _ in self.end.lost], [1008])
        # It has the session all the same; nobody is waited for for ever.
        self.assertEqual(self.owner, "b")
        self.turn(10)
        self.assertNotIn(KEY, self.b.placement.barriers)

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(("offer", "bundle_end", "take", "missing", "x"))},
                optional={
                    name: st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers())
                    for name in ("node", "bundle", "sha256", "epoch", "members", "clients")
                },
            ),
            max_size=4,
        )
    )
    def test_anything(self, messages: list[dict[str, Any]]) -> None:
        self.make_cluster()
        self.setUp()
        for message in messages:
            self.send(frame(BINARY, json.dumps(message).encode()))
        self.turn(10)
        self.assertNotIn(KEY, self.b.placement.barriers)
        self.assertEqual(self.flushLoggedErrors(), [])


class Bundles(TakeoverCase):
    """The last bundle is kept whole or not at all."""

    def refused(self) -> str | None:
        *_, last = self.answers()
        self.assertEqual(last["type"], "kept")
        self.assertFalse(last["why"] is not None and self.keeps())
        why: str | None = last["why"]
        return why

    def test_in_pieces(self) -> None:
        self.say("offer", node="a", bundle=DESCRIPTION)
        for at in range(0, len(BUNDLE), 100):
            end = at + 100 >= len(BUNDLE)
            self.send(frame(0 if at else TEXT, BUNDLE[at : at + 100], end))
        self.say("bundle_end", sha256=hashlib.sha256(BUNDLE).hexdigest())
        self.assertIsNone(self.refused())

    def test_it_was_changed_on_its_way(self) -> None:
        self.say("offer", node="a", bundle=DESCRIPTION)
        self.send(frame(TEXT, BUNDLE.replace(b"x", b"y")))
        self.say("bundle_end", sha256=hashlib.sha256(BUNDLE).hexdigest())
        self.assertIn("whole", str(self.refused()))

    def test_half_of_it_has_come(self) -> None:
        self.say("offer", node="a", bundle=DESCRIPTION | {"single": False, "chunks": 2})
        sha256 = hashlib.sha256()
        for message in (
            {"type": "bundle_start", "totalChunks": 2, "totalSize": 6},
            {"type": "bundle_chunk", "index": 0, "totalChunks": 2, "data": "abc"},
        ):
            text = json.dumps(message).encode()
            sha256.update(text)
            self.send(frame(TEXT, text))
        self.say("bundle_end", sha256=sha256.hexdigest())
        self.assertIsNotNone(self.refused())
        self.assertFalse(self.keeps())

    def test_none_was_to_come(self) -> None:
        self.say("offer", node="a", bundle=None)
        self.send(frame(TEXT, BUNDLE))
        self.say("bundle_end", sha256=hashlib.sha256(BUNDLE).hexdigest())
        self.assertIsNotNone(self.refused())

    def test_it_is_too_big_for_the_spool(self) -> None:
        self.say("offer", node="a", bundle=DESCRIPTION | {"size": 10**15})
        [answer] = self.answers()
        self.assertIn("--spool-limit", answer["keeps"])

    def test_the_old_owner_dies_in_the_middle_of_it(self) -> None:
        self.say("offer", node="a", bundle=DESCRIPTION)
        self.send(frame(TEXT, BUNDLE[:100], False))
        self.network.reset("a", "b")
        self.turn(1)
        self.assertFalse(self.keeps())

    def test_the_old_owner_dies_when_it_was_kept_and_not_taken(self) -> None:
        self.send_bundle()
        self.assertTrue(self.keeps())
        self.network.reset("a", "b")
        self.turn(1)
        self.assertFalse(self.keeps())


class NotTaken(TakeoverCase):
    """The directory decides."""

    def assertDenied(self) -> None:
        *_, taken = self.answers()
        self.assertEqual(taken["type"], "taken")
        self.assertIsNotNone(taken["why"])
        self.assertNotIn(KEY, self.b.placement.barriers)
        self.assertNotEqual(self.owner, "b")
        self.assertEqual(self.end.lost, [])

    def test_the_lease_was_over(self) -> None:
        self.say("offer", node="a", bundle=None)
        self.say("take", epoch=self.epoch + 1, members=[CLIENT])
        self.assertDenied()
        # It may be asked once more.
        self.say("take", epoch=self.epoch, members=[])
        self.assertEqual(self.answers(), [{"type": "taken", "why": None}])

    def test_it_stops_as_well(self) -> None:
        self.say("offer", node="a", bundle=None)
        self.b.stop()
        self.turn()
        self.say("take", epoch=self.epoch, members=[CLIENT])
        self.assertDenied()

    def test_the_directory_is_gone(self) -> None:
        self.say("offer", node="a", bundle=None)
        self.redis.stop()
        self.say("take", epoch=self.epoch, members=[CLIENT])
        self.turn(3)
        self.assertDenied()

    def test_the_old_owner_dies_while_the_directory_is_asked(self) -> None:
        self.say("offer", node="a", bundle=None)
        for one in self.redis.links:
            one.delay_s = 0.5
        self.say("take", epoch=self.epoch, members=[CLIENT])
        self.network.reset("a", "b")
        self.turn(2)
        # It is its session, and its clients may come.
        self.assertEqual(self.owner, "b")
        self.assertIn(KEY, self.b.placement.barriers)
        self.turn(10)
        self.assertNotIn(KEY, self.b.placement.barriers)

    def test_a_fault_drops_the_bundle_with_the_session(self) -> None:
        self.send_bundle()
        self.assertTrue(self.keeps())
        self.patch(self.b.placement.directory, "take_over", lambda *_: 1 / 0)
        self.say("take", epoch=self.epoch, members=[])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.turn(1)
        [(code, _, clean)] = self.end.lost
        self.assertEqual((code, clean), (1011, True))
        self.assertFalse(self.keeps())
        self.assertEqual(self.owner, "a")
        self.assertNotIn(KEY, self.b.placement.barriers)


class Silence(TakeoverCase):
    def test_one_that_says_nothing_more_is_not_waited_for(self) -> None:
        self.say("offer", node="a", bundle=None)
        self.turn(SILENCE_S - 1)
        self.assertEqual(self.end.lost, [])
        self.turn(2)
        self.assertEqual([code for code, _, _ in self.end.lost], [1008])

    def test_until_it_says_something(self) -> None:
        self.say("offer", node="a", bundle=DESCRIPTION)
        for _ in range(3):
            self.turn(SILENCE_S - 1)
            self.send(frame(TEXT, BUNDLE[:1], False) if _ == 0 else frame(0, b"x", False))
        self.assertEqual(self.end.lost, [])
