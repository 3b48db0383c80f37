"""`apptuner_relay.config.live_settings` and `relay.config_reload`: options that change while the
relay runs."""

import os
from pathlib import Path

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.limits import Limited
from apptuner_relay.config.live_settings import LIVE, LiveSettings
from apptuner_relay.config.options import Options
from apptuner_relay.config.settings import OPTIONS, make_settings
from apptuner_relay.relay.config_reload import ConfigReload
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import Limits
from tests.log_capture import capture_log
from tests.memory import Relay
from tests.web.http import REMOTE, Requester


class LiveSettingsTest(SynchronousTestCase):
    def test_each_is_an_option(self) -> None:
        self.assertLessEqual(LIVE, {one.setting for one in OPTIONS})

    def test_what_can_change_and_what_needs_a_restart(self) -> None:
        live, told = LiveSettings(make_settings(max_mobiles=5)), []
        live.subscribe(told.append)
        wanted = make_settings(max_mobiles=7, max_pages=3, window=65536)
        now, later = live.change(wanted)
        self.assertEqual([one.setting for one in now], ["max_mobiles", "max_pages"])
        self.assertEqual([one.setting for one in later], ["window"])
        self.assertEqual(told, [make_settings(max_mobiles=7, max_pages=3)])
        self.assertEqual(live.now, told[0])
        # It is named as long as it waits for the restart.
        now, later = live.change(wanted)
        self.assertEqual((now, [one.setting for one in later]), ([], ["window"]))
        self.assertEqual(len(told), 1)


class ReloadCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.lines = capture_log(self)

    def start(self, text: str, *words: str, **environment: str) -> RelayService:
        self.file.write_text(text)
        options = Options(environment)
        options.parseOptions(["--config", str(self.file), *words])
        relay = Relay().service
        relay.live._now = options.settings
        self.relay = relay
        self.reloading = ConfigReload(options, relay.live)
        del self.lines[:]
        return relay

    def reload(self, text: str | None = None) -> list[str]:
        """The lines that are logged."""
        if text is not None:
            self.file.write_text(text)
        self.reloading.reload()
        lines, self.lines[:] = list(self.lines), []
        return lines


class Reloading(ReloadCase):
    def test_in_force_and_not_yet(self) -> None:
        relay = self.start("max-mobiles = 5")
        lines = self.reload("max-mobiles = 2\ncompression = false\n[tune]\nfailed-joins-total = 9")
        self.assertEqual(
            lines[:2],
            [
                "in force from now on: --failed-joins-total, --max-mobiles".replace(
                    "--failed-joins-total", "--tune failed-joins-total"
                ),
                "these options have changed, and need a restart: --compression",
            ],
        )
        self.assertIn("(signal): done, 2 in force, 1 not yet", lines[2])
        self.assertEqual(
            relay.registry.limits, Limits(2, 10, silence_s=relay.settings.limits.ping_interval)
        )

    def test_nothing_has_changed(self) -> None:
        self.start("max-mobiles = 5")
        self.assertEqual(self.reload()[0], "the configuration has not changed")

    def test_a_file_that_is_wrong_changes_nothing(self) -> None:
        relay = self.start("max-mobiles = 5")
        before = relay.live.now
        for text in (
            "max-mobiles = 2\nmax-pages = 0",
            "max-mobiles = 2\nno-such = 1",
            "max-mobiles = ",
            'max-mobiles = 2\nadmin-token = "short"',
        ):
            refused, audited = self.reload(text)
            self.assertIn("is refused, and nothing changes: ", refused)
            self.assertIn("(signal): refused", audited)
            self.assertNotIn("short", refused)
            self.assertIs(relay.live.now, before)
        os.remove(self.file)
        self.assertIn("No such file", self.reload()[0])

    def test_what_was_typed_still_wins(self) -> None:
        relay = self.start("", "--max-mobiles", "3", APPTUNER_MAX_PAGES="4")
        self.reload("max-mobiles = 9\nmax-pages = 9\nconnect-rate = 7")
        limits = relay.live.now.limits
        self.assertEqual((limits.max_mobiles, limits.max_pages), (3, 4))
        self.assertEqual(relay.live.now.access.connect_rate, 7)


class Effects(ReloadCase):
    def test_the_admin_token(self) -> None:
        relay = self.start('admin-token = "first-token"')
        there = Requester(relay, REMOTE)
        bearer = {"Authorization": "Bearer first-token"}
        self.assertEqual(there.ask("/api/status", **bearer).status, 200)
        lines = self.reload('admin-token = "second-token"')
        self.assertNotIn("second-token", str(lines))
        self.assertEqual(there.ask("/api/status", **bearer).status, 401)
        bearer = {"Authorization": "Bearer second-token"}
        self.assertEqual(there.ask("/api/status", **bearer).status, 200)

    def test_limits_of_addresses(self) -> None:
        relay = self.start("connect-rate = 1")
        relay.access.change_limits(relay.live.now.access)
        relay.access.count_connection("192.0.2.4")
        self.assertRaises(Limited, relay.access.count_connection, "192.0.2.4")
        self.reload("connect-rate = 3")
        for _ in range(3):
            relay.access.count_connection("192.0.2.4")
        self.assertRaises(Limited, relay.access.count_connection, "192.0.2.4")
        self.reload("connect-rate = 0")
        for _ in range(9):
            relay.access.count_connection("192.0.2.4")

    def test_clients_that_are_there_stay(self) -> None:
        relay = Relay(max_mobiles=3)
        phones = [relay.connect(f"/mobile/ABC234?deviceId=d{n}") for n in range(3)]
        relay.service.live.change(make_settings(max_mobiles=1))
        self.assertEqual([phone.closed for phone in phones], [None] * 3)
        self.assertNotEqual(relay.connect("/mobile/ABC234?deviceId=x", welcome=False).status, 101)
        self.assertIsInstance(phones[0].transport, StringTransport)
