"""`apptuner_relay.flow.interleaved`: what goes between the messages of a log."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.follower_states import FollowerState
from apptuner_relay.flow.interleaved import Interleaved, Waiting
from apptuner_relay.wire.frames import TEXT, frame
from tests.flow.parts import messages
from tests.flow.test_follower import Case


class Between(Case):
    """What goes between the messages of a log."""

    def say(self, text: bytes) -> None:
        self.sink.say(frame(TEXT, text))

    def send(self, text: bytes) -> None:
        self.sink.send(frame(TEXT, text), None)

    def test_is_sent_behind_what_has_begun(self) -> None:
        follower = self.follow(room=0)
        self.send(b"before")
        self.writing.write(b"one")
        self.send(b"after one")
        self.writing.write(b"two", end=False)
        self.send(b"after two")
        self.writing.write(b"!", begins=False)
        self.writing.write(b"three")
        self.make_room()
        got, _, _ = messages(self.wire.got)
        self.assertEqual(got, [b"before", b"one", b"after one", b"two!", b"after two", b"three"])
        self.assertEqual((self.sink.waiting, follower.state), (0, FollowerState.HEAD))

    def test_notice_goes_behind_the_message_that_is_on_its_way(self) -> None:
        self.follow(room=5)
        self.writing.write(b"one" * 9)
        self.send(b"after one")
        self.writing.write(b"two")
        self.send(b"after two")
        self.say(b"notice")
        self.make_room()
        got, _, _ = messages(self.wire.got)
        self.assertEqual(got, [b"one" * 9, b"after one", b"notice", b"two", b"after two"])

    def test_notice_goes_before_what_has_not_begun(self) -> None:
        self.follow(room=0)
        self.sink.pauseProducing()
        self.writing.write(b"one")
        self.say(b"notice")
        self.make_room()
        self.assertEqual(messages(self.wire.got)[0], [b"notice", b"one"])

    def test_stays_when_the_log_ends_before(self) -> None:
        for end in ("complete", "cut", "supersede"):
            with self.subTest(end):
                self.setUp()
                follower = self.follow(room=1)
                self.writing.write(b"one")
                self.writing.write(b"two", end=False)
                self.send(b"after two")
                if end == "complete":
                    self.writing.write(b"!", begins=False)
                    self.log.complete()
                elif end == "cut":
                    self.log.cut("gone")
                else:
                    follower.supersede()
                self.make_room()
                got, _, _ = messages(self.wire.got)
                two = [b"two!"] if end == "complete" else []
                self.assertEqual(got, [b"one", *two, b"after two"])
                self.assertEqual(self.sink.waiting, 0)

    def test_room_ends_within_it(self) -> None:
        follower = self.follow()
        self.writing.write(b"one")
        self.wire.room = 3
        self.send(b"after")
        self.assertIs(follower.state, FollowerState.FULL)
        self.writing.write(b"two")
        self.make_room()
        self.assertEqual(messages(self.wire.got)[0], [b"one", b"after", b"two"])

    def test_several_stay_in_order(self) -> None:
        follower = self.follow(room=0)
        self.writing.write(b"one")
        for number in range(3):
            follower.add(Waiting(frame(TEXT, b"%d" % number), None))
            self.sink.count(Waiting(frame(TEXT, b"%d" % number), None))
        self.make_room()
        self.assertEqual(messages(self.wire.got)[0], [b"one", b"0", b"1", b"2"])


class Order(SynchronousTestCase):
    def taken(self, interleaved: Interleaved, messages: int) -> list[bytes]:
        """What goes when ``messages`` messages have been sent."""
        taken = []
        while interleaved.has_due(messages):
            taken.append(interleaved.take().data)
        return taken

    def test_frame_waits_for_the_messages_before_it(self) -> None:
        interleaved = Interleaved()
        self.assertFalse(interleaved.has_due(9))
        interleaved.add(1, Waiting(b"a", None))
        interleaved.add(3, Waiting(b"b", None))
        self.assertEqual(self.taken(interleaved, 0), [])
        self.assertEqual(self.taken(interleaved, 2), [b"a"])
        self.assertEqual(self.taken(interleaved, 3), [b"b"])
        self.assertFalse(interleaved)

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=12))
    def test_notice_passes_what_goes_later_and_nothing_else(
        self, added: list[tuple[bool, int]]
    ) -> None:
        interleaved, model, begun = Interleaved(), [], 0
        for number, (is_notice, count) in enumerate(added):
            waiting = Waiting(b"%d" % number, None)
            if is_notice:
                interleaved.add_notice(count, waiting)
                model.append((count, waiting))
                # Sorting keeps the order of those behind the same message.
                model.sort(key=lambda one: one[0])
            else:
                begun = max(begun, count, *(one[0] for one in model))
                interleaved.add(begun, waiting)
                model.append((begun, waiting))
        self.assertEqual(list(interleaved), model)
        self.assertEqual(interleaved.frames(), [waiting for _, waiting in model])
