"""What nodes tell each other through publish/subscribe, however damaged."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership.directory import clean_reason
from apptuner_relay.cluster.ownership.pubsub import (
    Begun,
    Drained,
    Emptied,
    Kicked,
    Moved,
    kicked_text,
    parse_notice,
)

SESSION = "0" * 63 + "a"


class Notices(SynchronousTestCase):
    def test_each_kind(self) -> None:
        self.assertEqual(parse_notice(f"moved {SESSION} n1"), Moved(SESSION, "n1"))
        self.assertEqual(parse_notice(f"begun {SESSION} n1"), Begun(SESSION, "n1"))
        self.assertEqual(parse_notice("drained n1"), Drained("n1"))
        self.assertEqual(parse_notice("emptied"), Emptied())
        self.assertEqual(
            parse_notice(f"kicked {SESSION} cli too loud"), Kicked(SESSION, "cli", "too loud")
        )

    @given(st.text())
    def test_what_was_kicked_arrives_and_fits_a_close_frame(self, reason: str) -> None:
        notice = parse_notice(kicked_text(SESSION, "mobile", reason))
        assert isinstance(notice, Kicked)
        self.assertEqual(notice.reason, clean_reason(reason))
        self.assertLessEqual(len(notice.reason.encode()), 123)
        self.assertTrue(not notice.reason or notice.reason.isprintable())

    def test_junk_is_refused(self) -> None:
        for text in (
            "",
            "moved",
            "moved x n1",
            f"moved {SESSION}",
            f"moved {SESSION} n 1",
            f"moved {SESSION.upper()} n1",
            "drained a/b",
            f"kicked {SESSION} CLI x",
            "shutdown",
        ):
            self.assertRaises(ValueError, parse_notice, text)

    def test_a_session_id_is_no_hash_and_is_not_repeated(self) -> None:
        wrong = self.assertRaises(ValueError, kicked_text, "ABC234", "cli", "")
        self.assertNotIn("ABC234", str(wrong))
