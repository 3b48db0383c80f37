"""What the companion program and the relay both know is the same; neither imports the other."""

from dataclasses import fields

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client import address, bundles, projection, records, sources
from apptuner_relay.config import settings as table
from apptuner_relay.config.settings import Settings
from apptuner_relay.operator import day_book as days
from apptuner_relay.operator import state_file as state
from apptuner_relay.session import client_url as session


class Agreement(SynchronousTestCase):
    def test_limits(self) -> None:
        self.assertEqual(bundles.MAX_MESSAGE_BYTES, Settings().limits.max_message)
        self.assertEqual(address.MAX_NAME_CHARACTERS, session.NAME_CHARACTERS)

    def test_session_ids(self) -> None:
        for text in ("ABC234", "a-b_C", "A" * 64):
            self.assertEqual(address.session_id(text), session.check_session_id(text))
        for text in ("", "a b", "A" * 65, "é", "a/b", "a\n"):
            self.assertRaises(ValueError, address.session_id, text)
            self.assertRaises(session.BadRequest, session.check_session_id, text)

    def test_device_ids(self) -> None:
        for text in ("join-1a2b3c4d", "a.b:c_d-e", "D" * 64):
            self.assertEqual(address.device_id(text), text)
            self.assertEqual(session.parse_device(f"deviceId={text}", "x", 0).device_id, text)
        for text in ("a b", "D" * 65, "a/b"):
            self.assertRaises(ValueError, address.device_id, text)
            self.assertRaises(session.BadRequest, session.parse_device, f"deviceId={text}", "x", 0)

    def test_the_state_directory(self) -> None:
        home = {"HOME": "/home/ann"}
        for environment in (
            home,
            home | {"XDG_STATE_HOME": "/state"},
            home | {"XDG_STATE_HOME": "relative"},
            home | {"STATE_DIRECTORY": "/var/lib/one:/var/lib/two", "XDG_STATE_HOME": "/state"},
        ):
            for setting in ("auto", "/some/where"):
                self.assertEqual(
                    sources.find_state_dir(setting, environment),
                    state.find_directory(setting, environment),
                )
        self.assertEqual(sources.DAYS_FILE, state.DAYS_FILE)

    def test_a_day(self) -> None:
        day = days.Day("2026-11-23", 1, 2, 3, 4, 5, 6)
        told = {field.name for field in fields(day)} - {"date", *records.COUNTS}
        # Of reloads there is no sum of a month: the status page has them, and `top` those of today.
        self.assertEqual(told, {"reloads", "failed", "reload_median_ms", "reload_p95_ms"})
        [read] = records.read_days({"days": {day.date: day.row()}})
        self.assertEqual([getattr(read, name) for name in records.COUNTS], [1, 2, 3, 4, 5, 6])

    def test_tokens(self) -> None:
        [option] = [option for option in table.OPTIONS if option.name == "admin-token"]
        for text in ("", "none", "swordfish", "x" * 256):
            self.assertEqual(sources.read_token(text), option.parse(text))
        for text in ("short", "x" * 257, "with a space", "ümlaut-in-it", "@/nonexistent"):
            self.assertRaises(ValueError, sources.read_token, text)
            self.assertRaises(ValueError, option.parse, text)

    def test_thresholds(self) -> None:
        self.assertEqual(projection.BUSIEST_CORE_SHARE, Settings().warnings.notice_cpu)
