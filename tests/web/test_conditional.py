"""`apptuner_relay.web.conditional`: If-Match, If-None-Match and If-Range."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.conditional import failed_precondition, range_applies

OURS = '"' + "5e" * 32 + '-gzip"'
WEAK = "W/" + OURS
opaque = st.text(st.characters(codec="latin-1", exclude_characters='"', min_codepoint=0x21))
tags = st.builds(lambda weak, text: f'{weak}"{text}"', st.sampled_from(["", "W/"]), opaque).filter(
    lambda tag: "\x7f" not in tag and not any("\x80" > c > "\x7e" for c in tag)
)
spaces = st.text(" \t", max_size=3)
separators = st.builds(
    lambda a, b, c: f"{a},{b}{c}", spaces, st.sampled_from(["", ",", " ,"]), spaces
)


@st.composite
def lists(draw: st.DrawFn, members: st.SearchStrategy[str]) -> tuple[list[str], str]:
    """Entity tags, and the field that lists them."""
    names = draw(st.lists(members, min_size=1, max_size=5))
    field = draw(spaces) + names[0]
    for name in names[1:]:
        field += draw(separators) + name
    return names, field + draw(spaces)


class Preconditions(SynchronousTestCase):
    def test_without_any(self) -> None:
        self.assertIsNone(failed_precondition(OURS, None, None))

    def test_if_none_match(self) -> None:
        for field in (OURS, WEAK, "*", f'"other", {OURS}', f'W/"a,b",{WEAK} ', f",, {OURS},"):
            self.assertEqual(failed_precondition(OURS, None, field), 304, field)
        for field in ('"other"', "", ",", OURS.replace("-gzip", ""), '"*"', OURS.strip('"')):
            self.assertIsNone(failed_precondition(OURS, None, field), field)

    def test_if_match(self) -> None:
        for field in (OURS, "*", f'W/"x", {OURS}'):
            self.assertIsNone(failed_precondition(OURS, field, None), field)
        for field in (WEAK, '"other"', "", OURS.strip('"')):
            self.assertEqual(failed_precondition(OURS, field, None), 412, field)

    def test_order(self) -> None:
        self.assertEqual(failed_precondition(OURS, '"other"', OURS), 412)
        self.assertEqual(failed_precondition(OURS, OURS, OURS), 304)

    def test_a_tag_inside_of_another_is_none(self) -> None:
        for field in (f'"x {OURS} x"', f'"a"{OURS}', f"x{OURS}", f"{OURS} {OURS}", f"w/{OURS}"):
            self.assertIsNone(failed_precondition(OURS, None, field), field)

    @given(lists(tags | st.just(OURS) | st.just(WEAK)))
    def test_lists(self, listed: tuple[list[str], str]) -> None:
        names, field = listed
        match = 304 if OURS in names or WEAK in names else None
        self.assertEqual(failed_precondition(OURS, None, field), match)
        self.assertEqual(failed_precondition(OURS, field, None), None if OURS in names else 412)

    @given(st.text(st.sampled_from('W/"*,a \t')))
    def test_anything(self, field: str) -> None:
        # The tag is none that can come of these, and no field is an error.
        self.assertIn(failed_precondition(OURS, None, field), (None, 304 if "*" in field else None))
        self.assertIn(failed_precondition(OURS, field, None), (412, None if "*" in field else 412))

    def test_a_long_field_takes_no_long(self) -> None:
        for field in (" " * 16000 + "x", ", " * 8000 + "x", '"' * 16000, '"' + "a" * 16000):
            self.assertIsNone(failed_precondition(OURS, None, "," + field))


class IfRange(SynchronousTestCase):
    def test_only_the_same_strong_tag(self) -> None:
        self.assertTrue(range_applies(OURS, None))
        self.assertTrue(range_applies(OURS, OURS))
        for field in (WEAK, '"other"', "*", "", "Wed, 21 Oct 2015 07:28:00 GMT"):
            self.assertFalse(range_applies(OURS, field), field)
