"""`managed.gateway.merging`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.gateway.merging import Merger, Said

SPOKEN = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([b"1", b"2", b"3"])))


class Merging(SynchronousTestCase):
    def test_what_all_are_told_is_told_once(self) -> None:
        merger = Merger()
        for user in "ab":
            for text in (b"1", b"2"):
                merger.say(user, text)
        self.assertEqual(merger.take(), [Said(b"1", ["a", "b"]), Said(b"2", ["a", "b"])])
        self.assertFalse(merger)

    def test_a_text_that_is_repeated_without_end_takes_no_longer_each_time(self) -> None:
        # As many as a client can send in one block. It would take minutes.
        merger, count = Merger(), 60_000
        for _ in range(count):
            merger.say("a", b"{}")
            merger.say("b", b"{}")
        self.assertEqual(merger.take(), [Said(b"{}", ["a", "b"])] * count)

    @given(SPOKEN)
    def test_everybody_gets_its_own_in_order(self, spoken: list[tuple[str, bytes]]) -> None:
        merger = Merger()
        for user, text in spoken:
            merger.say(user, text)
        said = merger.take()
        for user in "abc":
            got = [one.text for one in said if user in one.users]
            self.assertEqual(got, [text for name, text in spoken if name == user])
        for one in said:
            self.assertEqual(len(set(one.users)), len(one.users))
