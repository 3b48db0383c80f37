"""`apptuner_relay.operator.thresholds`: what an operator is warned of."""

import errno
from types import SimpleNamespace
from typing import Any

from prometheus_client.core import Metric
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.conditions import Level
from apptuner_relay.operator.views import Views
from apptuner_relay.web.metrics import MeterCollector
from tests.memory import Relay
from tests.memory_store import MemoryStore
from tests.operator.made_times import MadeTimes

NO_LIMITS = {"connect_rate": 0, "sessions_per_address": 0, "failed_joins": 0, "ping_timeout": 9e9}


class ThresholdTest(SynchronousTestCase):
    """What `Meters` watches by itself."""

    def relay(self, **settings: object) -> Relay:
        self.made = Relay(warning_time=60.0, ping_timeout=9999.0, **settings)
        return self.made

    def names(self) -> list[str]:
        return [condition.name for condition in self.made.service.meters.health.conditions.active]

    def check(self, after_s: float) -> list[bool]:
        self.made.clock.advance(after_s)
        return [change.started for change in self.made.service.meters.health.check()]

    def test_sessions(self) -> None:
        relay = self.relay(notice_sessions=1, warning_sessions=2)
        for name in "ab":
            relay.connect(f"/cli/{name}")
        self.check(0)
        self.assertEqual(self.check(0), [])
        self.assertEqual(self.check(60), [True])
        self.assertEqual(self.names(), ["sessions_notice"])
        relay.connect("/cli/c")
        # There were only two for a part of this time.
        self.check(10)
        self.check(10)
        (notice,) = relay.service.meters.health.conditions.active
        self.assertEqual(notice.text, "3 sessions, consistently above --notice-sessions, 1")
        self.assertEqual(self.check(60), [False, True])
        (warning,) = relay.service.meters.health.conditions.active
        self.assertEqual((notice.level, warning.level), (Level.NOTICE, Level.WARNING))
        self.assertEqual(warning.text, "3 sessions, consistently above --warning-sessions, 2")
        # That is a matter for the operator, not for a load balancer.
        self.assertEqual(relay.service.meters.health.state, "ok")

    def test_consistently_is_the_minimum(self) -> None:
        """Sessions that are fewer for a moment, between two looks, are fewer."""
        relay = self.relay(notice_sessions=1)
        relay.connect("/cli/a")
        other = relay.connect("/cli/b")
        self.check(0)
        self.check(0)
        self.check(50)
        other.lose()
        relay.connect("/cli/b")
        self.assertEqual(self.check(10), [])
        self.assertEqual(self.check(59), [])
        self.assertEqual(self.check(60), [True])

    def test_idle_sessions_are_no_matter(self) -> None:
        """However many there are, and for however long."""
        self.made = Relay(memory_limit=0, session_timeout=9e9, **NO_LIMITS)
        times = self.times()
        for number in range(301):
            self.made.connect(f"/cli/s{number}")
        for _ in range(6 * 60 * 4):
            times.passes(10, 0.04)
            self.assertEqual(self.made.service.meters.health.check(), [])
        self.assertEqual(self.made.service.meters.session_count, 301)

    def times(self) -> MadeTimes:
        """The CPU times that the relay reads from now on."""
        times = MadeTimes(self.made.clock)
        self.made.service.meters.process.cpu = times.use
        return times

    def test_cpu(self) -> None:
        self.made = Relay(memory_limit=0, warning_time=600.0)
        times = self.times()
        changes: list[tuple[float, str, bool]] = []

        def pass_minutes(count: int, loop: float) -> None:
            for _ in range(6 * count):
                times.passes(10, loop)
                for change in self.made.service.meters.health.check():
                    at_s = self.made.clock.seconds() - 1000
                    changes.append((at_s, change.condition.name, change.started))

        pass_minutes(11, 0.9)
        # The first minute has to be measured.
        self.assertEqual(changes, [(660, "cpu_warning", True)])
        meters = self.made.service.meters
        (warning,) = meters.health.conditions.active
        self.assertEqual(warning.level, Level.WARNING)
        self.assertEqual(
            warning.text,
            "The event loop takes 90% of its core, consistently above 80%, and is 0 ms late: start "
            "another relay",
        )
        # Where there is no other relay, clients can go nowhere else.
        self.assertEqual(meters.health.state, "ok")
        # A calm minute ends the warning, which hides the notice, and a calmer one the notice.
        changes.clear()
        pass_minutes(1, 0.6)
        self.assertEqual(
            [(name, started) for _, name, started in changes],
            [("cpu_notice", True), ("cpu_warning", False)],
        )
        (notice,) = meters.health.conditions.active
        self.assertEqual(notice.level, Level.NOTICE)
        self.assertIn("above 50%, and is 0 ms late: plan another relay", notice.text)
        pass_minutes(1, 0.1)
        self.assertEqual(
            [(name, started) for _, name, started in changes][2:], [("cpu_notice", False)]
        )

    def test_a_busy_minute_is_no_warning(self) -> None:
        self.made = Relay(memory_limit=0, warning_time=600.0)
        times = self.times()
        for number in range(6 * 60):
            times.passes(10, 1.0 if number % 30 < 15 else 0.0)
            self.assertEqual(self.made.service.meters.health.check(), [])

    def test_cpu_of_all_threads_and_processes(self) -> None:
        self.made = Relay(memory_limit=0, warning_time=60.0, **NO_LIMITS)
        times = self.times()
        for number in range(40):
            self.made.connect(f"/cli/s{number}")
        for _ in range(12):
            times.passes(10, 0.5, threads=0.7, workers=0.6)
            self.made.service.meters.health.check()
        (warning,) = self.made.service.meters.health.conditions.active
        self.assertEqual(
            warning.text,
            "The relay takes 90% of the 2 cores that it may use, consistently above 80%, and is "
            "0 ms late; it carries about 35 sessions that do as much: start another relay",
        )
        self.assertEqual(warning.name, "cpu_warning")

    def test_memory_degrades(self) -> None:
        relay = self.relay(memory_limit=1024)
        self.check(0)
        self.assertEqual(self.check(60), [True])
        self.assertEqual(self.names(), ["memory"])
        meters = relay.service.meters
        self.assertEqual(meters.health.state, "degraded")
        self.assertRegex(
            meters.health.reasons[0], r"^\d+\.\d [MG]iB of memory, above 90% of its limit, 1.0 KiB"
        )

    def test_memory_without_a_limit(self) -> None:
        relay = self.relay(memory_limit=0)
        self.assertIsNone(relay.service.meters.process.memory_limit)
        self.check(0)
        self.assertEqual(self.check(60), [])

    def test_what_is_turned_off_is_no_warning(self) -> None:
        relay = self.relay(
            notice_sessions=None,
            warning_sessions=None,
            notice_cpu=None,
            warning_cpu=None,
            lag_limit=None,
            descriptors_limit=None,
            memory_limit=0,
        )
        relay.connect("/cli/a")
        self.check(0)
        # The event loop is late by all of this, and busy all the time.
        self.times().passes(60, 1.0)
        self.assertEqual([self.check(600) for _ in range(3)], [[], [], []])

    def test_descriptors_degrade(self) -> None:
        self.relay(descriptors_limit=0.00001, memory_limit=0)
        self.check(0)
        self.assertEqual(self.check(60), [True])
        self.assertEqual(self.names(), ["descriptors"])

    def test_resources_are_told_within_a_minute(self) -> None:
        self.made = Relay(warning_time=600.0, memory_limit=1024)
        self.check(0)
        self.assertEqual(self.check(60), [True])


class SpoolTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay(MemoryStore, spool_limit=1 << 20)
        self.meters = self.relay.service.meters
        cli = self.relay.connect("/cli/ABC234")
        cli.send(type="bundle_update", payload={"code": "x" * 990_000})

    def warnings(self) -> dict[str, str]:
        self.meters.health.check()
        return {
            condition.name: condition.text for condition in self.meters.health.conditions.active
        }

    def test_what_is_cached(self) -> None:
        spool = Views(self.meters).status()["spool"]
        assert isinstance(spool, dict)
        self.assertEqual((spool["off"], spool["bundles"], spool["evicted"]), (None, 1, 0))
        self.assertGreater(spool["used_bytes"], 990_000)
        self.assertEqual(spool["limit_bytes"], 1 << 20)

    def test_near_its_budget(self) -> None:
        self.assertIn("above 90% of --spool-limit", self.warnings()["spool_budget"])
        self.relay.wait(601)
        self.assertEqual(self.warnings(), {})

    def test_too_small_for_the_bundles(self) -> None:
        self.relay.wait(601)
        for session in ("ABC234", "XYZ789"):
            cli = self.relay.connect(f"/cli/{session}")
            cli.send(type="bundle_update", payload={"code": "x" * 600_000})
        self.assertIn("1.0 MiB, is too small", self.warnings()["spool_budget"])
        self.relay.wait(599)
        self.assertEqual(list(self.warnings()), ["spool_budget"])
        self.relay.wait(1)
        self.assertEqual(self.warnings(), {})

    def test_off(self) -> None:
        store = self.relay.store
        assert isinstance(store, MemoryStore)
        store.disk.error = OSError(errno.ENOSPC, "No space left on device")
        self.relay.connect("/cli/ABC234").send(type="bundle_update", payload={})
        self.assertIn("No space left on device", self.warnings()["spool"])
        spool = Views(self.meters).status()["spool"]
        assert isinstance(spool, dict)
        self.assertEqual(spool["off"], "No space left on device")
        self.flushLoggedErrors()

    def test_a_relay_without_a_spool(self) -> None:
        self.assertIsNone(Views(Relay().service.meters).status()["spool"])


DAY_S = 86400


class StateWarnings(SynchronousTestCase):
    def setUp(self) -> None:
        self.meters = Relay().service.meters
        self.file: Any = SimpleNamespace(trouble=None, bad_lines=0)
        self.days: str | None = None
        self.meters.watch_claims_file(self.file)
        self.meters.watch_days(lambda: self.days)

    def warnings(self) -> dict[str, str]:
        self.meters.health.check()
        return {one.name: one.text for one in self.meters.health.conditions.active}

    def test_claims_that_are_not_kept_degrade_it_and_divert_nobody(self) -> None:
        self.assertEqual(self.warnings(), {})
        self.file.trouble = "/state/claims: Permission denied"
        text = "Claims of sessions would be lost at a restart: /state/claims: Permission denied"
        self.assertEqual(self.warnings(), {"claims_file": text})
        health = self.meters.health
        self.assertEqual((health.state, health.diverts), ("degraded", False))
        self.assertEqual(health.reasons, [text])
        self.file.trouble = None
        self.assertEqual(self.warnings(), {})

    def test_days_that_are_not_saved(self) -> None:
        self.days = "/state: another relay has it"
        text = "Daily metrics are not saved: /state: another relay has it"
        self.assertEqual(self.warnings(), {"state_dir": text})
        self.assertEqual(self.meters.health.state, "ok")
        self.file.trouble = "/state/claims: another relay has it"
        self.assertEqual(list(self.warnings()), ["claims_file"], "that says enough")


class CertificateWarnings(SynchronousTestCase):
    def setUp(self) -> None:
        self.watch(14)

    def watch(self, days: int | None) -> None:
        self.relay = Relay(tls_expiry_days=days)
        self.meters = self.relay.service.meters
        self.certificate: Any = SimpleNamespace(
            refused=None,
            reloads={},
            expires_s=self.relay.clock.seconds() + 20 * DAY_S,
            expires="2026-12-24",
            shown="relay.test",
        )
        self.meters.watch_certificate(self.certificate)

    def warnings(self) -> dict[str, str]:
        self.meters.health.check()
        return {
            condition.name: condition.text for condition in self.meters.health.conditions.active
        }

    def metrics(self) -> dict[str, Metric]:
        return {metric.name: metric for metric in MeterCollector(self.meters).collect()}

    def expires_in(self, days: float) -> None:
        self.certificate.expires_s = self.relay.clock.seconds() + days * DAY_S

    def test_expiry(self) -> None:
        self.assertEqual(self.warnings(), {})
        self.expires_in(13.9)
        self.assertEqual(
            self.warnings()["certificate"],
            "The TLS certificate of relay.test expires in 13 days, on 2026-12-24",
        )
        self.expires_in(1.5)
        self.assertIn("expires in 1 day,", self.warnings()["certificate"])
        self.expires_in(0)
        self.assertIn("has expired on 2026-12-24", self.warnings()["certificate"])
        self.assertEqual(self.meters.health.state, "ok")
        self.expires_in(90)
        self.assertEqual(self.warnings(), {})

    def test_expiry_is_not_looked_at_where_that_is_off(self) -> None:
        self.watch(None)
        self.expires_in(-1)
        self.assertEqual(self.warnings(), {})

    def test_a_renewal_that_is_refused(self) -> None:
        self.certificate.refused = "the key has a passphrase"
        self.assertEqual(
            self.warnings()["certificate_renewal"],
            "The new TLS certificate is refused: the key has a passphrase. The old one is used "
            "until it expires on 2026-12-24",
        )
        self.certificate.refused = None
        self.assertEqual(self.warnings(), {})

    def test_metrics(self) -> None:
        self.certificate.reloads = {"refused": 2}
        self.meters.counters.count_turned_away("plain_http")
        metrics = self.metrics()
        expiry = metrics["apptuner_relay_certificate_expiry_timestamp_seconds"].samples[0]
        self.assertEqual(expiry.value, self.certificate.expires_s)
        reloads = metrics["apptuner_relay_certificate_reloads"].samples
        self.assertEqual(
            {one.labels["result"]: one.value for one in reloads}, {"taken": 0, "refused": 2}
        )
        away = {one.labels["reason"]: one.value for one in metrics[TURNED_AWAY].samples}
        self.assertEqual((away["plain_http"], away["timeout"]), (1, 0))

    def test_a_relay_without_tls(self) -> None:
        names = {metric.name for metric in MeterCollector(Relay().service.meters).collect()}
        self.assertNotIn("apptuner_relay_certificate_reloads", names)
        self.assertIn(TURNED_AWAY, names)


TURNED_AWAY = "apptuner_relay_turned_away"
