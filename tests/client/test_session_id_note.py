"""`apptuner_relay.client.session_id_note`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.session_id_note import session_id_note

ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Of the ids that AppTuner's CLI makes."""


class SessionIdNoteTests(SynchronousTestCase):
    @given(st.text(ALPHABET, min_size=6, max_size=6))
    def test_an_id_of_apptuners_gets_none(self, session: str) -> None:
        self.assertIsNone(session_id_note(session))

    @given(st.text(ALPHABET, min_size=6, max_size=6).filter(lambda text: text.lower() != text))
    def test_one_in_lower_case(self, session: str) -> None:
        note = session_id_note(session.lower())
        self.assertIn(f"{session} was probably meant", note or "")
        self.assertIn(f"{session.lower()} is used as given", note or "")

    def test_characters_that_apptuner_does_not_use(self) -> None:
        for session, words in (
            ("ABC0EF", "perhaps it is D or Q for the 0"),
            ("ABCOEF", "perhaps it is D or Q for the O"),
            ("1BCDEF", "perhaps it is 7 or L for the 1"),
            ("IBC0EF", "perhaps it is D or Q for the 0 and 7 or L for the I"),
            ("aboDEF", "perhaps it is D or Q for the o, in capitals"),
        ):
            note = session_id_note(session)
            assert note is not None, session
            self.assertIn(words, note)
            self.assertIn(f"{session} is used as given", note)
            self.assertFalse(note.endswith("."))

    @given(st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z").filter(lambda text: len(text) != 6))
    def test_ids_of_another_length_get_none(self, session: str) -> None:
        self.assertIsNone(session_id_note(session))

    def test_ids_of_another_form_get_none(self) -> None:
        for session in ("my-app", "a_b_c1", "123-45"):
            self.assertIsNone(session_id_note(session))
