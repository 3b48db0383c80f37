"""`apptuner_relay.web.metrics`, read as Prometheus reads it."""

import platform
from typing import Any

import autobahn
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from twisted.trial.unittest import SynchronousTestCase

import twisted
from apptuner_relay import __version__
from apptuner_relay.support.version import commit
from tests.memory import Relay
from tests.operator.made_times import MadeTimes
from tests.web.http import REMOTE, Requester

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class MetricsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay(memory_limit=1 << 30, warning_sessions=0, warning_time=60.0)
        self.requester = Requester(self.relay.service)

    def scrape(self) -> dict[str, float]:
        """Every sample by its name and labels."""
        answer = self.requester.ask("/metrics")
        self.assertEqual(answer.status, 200)
        samples = {}
        for family in parse_text(answer.body.decode()):
            for sample in family.samples:
                labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
                name = f"{sample.name}{{{labels}}}" if labels else sample.name
                self.assertNotIn(name, samples)
                samples[name] = sample.value
        return samples


class ValueTest(MetricsCase):
    def test_traffic(self) -> None:
        cli = self.relay.connect("/cli/ABC234")
        phones = [self.relay.connect(f"/mobile/ABC234?deviceId=d{i}") for i in range(2)]
        text = cli.send(type="bundle_update", payload={"code": "x" * 300_000})
        phones[0].send(type="bundle_ack", success=True)
        self.relay.connect("/cli/bad.id", welcome=False)
        phones[1].lose()
        self.relay.service.meters.counters.closes[4321] += 2
        self.relay.service.meters.counters.closes[4322] += 1
        self.relay.service.meters.counters.traffic.patched(400, 9_000)
        self.relay.service.meters.counters.traffic.patches["base"] += 1
        got = self.scrape()
        prefix = "apptuner_relay_"
        for name, value in {
            "connections{role=cli}": 1,
            "connections{role=mobile}": 1,
            "connections_accepted_total{role=mobile}": 2,
            "sessions": 1,
            "messages_total{direction=in,kind=bundle_update}": 1,
            "messages_total{direction=out,kind=bundle_update}": 2,
            "messages_total{direction=out,kind=bundle_ack}": 1,
            "message_bytes_total{direction=in,kind=bundle_update}": len(text),
            "message_bytes_total{direction=out,kind=bundle_update}": 2 * len(text),
            "bundles_total": 1,
            "messages_total{direction=out,kind=bundle_patch}": 1,
            "patches_total{result=base}": 1,
            "patches_total{result=taken}": 0,
            "patch_saved_bytes_total": 8_600,
            "bundle_size_bytes_sum": len(text),
            "bundle_size_bytes_count": 1,
            "bundle_size_bytes_bucket{le=100000.0}": 0,
            "bundle_size_bytes_bucket{le=500000.0}": 1,
            "bundle_size_bytes_bucket{le=+Inf}": 1,
            "bundle_duration_seconds_count": 1,
            "closes_total{code=1006}": 1,
            "closes_total{code=1013}": 0,
            "closes_total{code=other}": 3,
            "handshakes_refused_total{reason=bad_request}": 1,
            "handshakes_refused_total{reason=forbidden}": 0,
            "paused_sources": 0,
            "slow_sinks": 0,
            "state{state=ok}": 1,
            "state{state=degraded}": 0,
            "worry{level=warning,name=sessions_warning}": 0,
            "alerts_total{result=delivered}": 0,
            "memory_limit_bytes": 1 << 30,
        }.items():
            self.assertEqual(got[prefix + name], value, name)
        meters = self.relay.service.meters
        self.assertEqual(got[prefix + "bytes_total{direction=in}"], meters.counters.bytes_in)
        self.assertEqual(got[prefix + "bytes_total{direction=out}"], meters.counters.bytes_out)

    def test_a_warning(self) -> None:
        cli = self.relay.connect("/cli/ABC234")
        for _ in range(3):
            cli.send(type="ping")
            self.relay.service.meters.health.check()
            self.relay.clock.advance(50)
        self.relay.service.meters.health.check()
        got = self.scrape()
        self.assertEqual(got["apptuner_relay_worry{level=warning,name=sessions_warning}"], 1)

    def test_what_became_of_bundles(self) -> None:
        outcomes = self.relay.service.meters.outcomes
        outcomes.reloads.observe(0.8)
        outcomes.deliveries["kept"].observe(0.2)
        outcomes.acknowledgements["failure"] += 1
        outcomes.phones["kept"] += 1
        self.relay.service.meters.counters.traffic.compression_saved_bytes = 700
        got = self.scrape()
        for name, value in {
            "reload_seconds_bucket{le=0.75}": 0,
            "reload_seconds_bucket{le=1.0}": 1,
            "reload_seconds_sum": 0.8,
            "delivery_seconds_bucket{le=0.2,source=kept}": 1,
            "delivery_seconds_count{source=live}": 0,
            "acknowledgements_total{result=failure}": 1,
            "acknowledgements_total{result=success}": 0,
            "acknowledgements_total{result=none}": 0,
            "phones_served_total{source=kept}": 1,
            "phones_served_total{source=live}": 0,
            "compression_saved_bytes_total": 700,
        }.items():
            self.assertEqual(got[f"apptuner_relay_{name}"], value, name)

    def test_downloads(self) -> None:
        downloads = self.relay.service.meters.counters.downloads
        downloads.count_sent("dcz", 9_000)
        downloads.count_sent("gzip", 100)
        # What is small gets larger.
        downloads.count_sent("gzip", -30)
        downloads.unchanged += 2
        downloads.aborted += 1
        got = self.scrape()
        for name, value in {
            "downloads_total{coding=dcz}": 1,
            "downloads_total{coding=gzip}": 2,
            "downloads_total{coding=identity}": 0,
            "download_saved_bytes_total{coding=dcz}": 9_000,
            "download_saved_bytes_total{coding=gzip}": 100,
            "downloads_unchanged_total": 2,
            "downloads_aborted_total": 1,
        }.items():
            self.assertEqual(got[f"apptuner_relay_{name}"], value, name)

    def test_cpu(self) -> None:
        times = MadeTimes()
        times.passes(60, 0.5, threads=0.25, workers=0.125)
        self.relay.service.meters.process.cpu = times.use
        got = self.scrape()
        for name, value in {
            "loop_cpu_seconds_total": 34,
            "worker_cpu_seconds_total": 8.5,
            "usable_cores": 2,
            "busy_ratio": 0.5,
        }.items():
            self.assertEqual(got[f"apptuner_relay_{name}"], value, name)

    def test_loop_delay(self) -> None:
        lag = self.relay.service.meters.sampler.lag
        for delay_s in (0.0005, 0.02, 0.02, 9.0):
            lag.delays.observe(delay_s)
        got = self.scrape()
        name = "apptuner_relay_loop_delay_seconds"
        self.assertEqual(got[f"{name}_bucket{{le=0.001}}"], 1)
        self.assertEqual(got[f"{name}_bucket{{le=0.025}}"], 3)
        self.assertEqual(got[f"{name}_count"], 4)

    def test_the_process(self) -> None:
        got = self.scrape()
        self.assertGreater(got["process_resident_memory_bytes"], 1e6)
        self.assertGreater(got["process_open_fds"], 3)
        self.assertIn("process_cpu_seconds_total", got)

    def test_no_session_is_named(self) -> None:
        self.relay.connect("/cli/ABC234")
        before = set(self.scrape())
        self.relay.connect("/cli/XYZ234")
        self.assertEqual(set(self.scrape()), before)
        self.assertNotIn(b"ABC234", self.requester.ask("/metrics").body)


class FormatTest(MetricsCase):
    def families(self, accept: str, parse: Any) -> list[Any]:
        answer = self.requester.ask("/metrics", Accept=accept)
        return list(parse(answer.body.decode()))

    def test_content_types(self) -> None:
        plain = self.requester.ask("/metrics")
        self.assertTrue(plain.headers["content-type"].startswith("text/plain; version=0.0.4"))
        head = self.requester.ask("/metrics", "HEAD")
        self.assertEqual((head.status, head.body), (200, b""))
        openmetrics = self.requester.ask("/metrics", Accept=OPENMETRICS)
        self.assertIn("application/openmetrics-text", openmetrics.headers["content-type"])
        self.assertTrue(openmetrics.body.endswith(b"# EOF\n"))

    def test_what_asks_for_no_format(self) -> None:
        for accept in (
            "\udcff",
            "text/plain;version=abc",
            "text/plain;version=1.x",
            "application/openmetrics-text; version=\udcff; escaping=\udcff",
        ):
            answer = self.requester.ask("/metrics", Accept=accept)
            self.assertEqual(answer.status, 200, accept)
            self.assertEqual(answer.headers["content-type"].partition(";")[0], "text/plain")

    def test_both_formats_have_the_same(self) -> None:
        plain = {family.name for family in self.families("", parse_text)}
        other = {family.name for family in self.families(OPENMETRICS, parse_openmetrics)}
        ours = {name.removesuffix("_info") for name in plain if name.startswith("apptuner")}
        self.assertLessEqual(ours - {"apptuner_relay"}, other)

    def test_the_release(self) -> None:
        (info,) = [
            one for one in self.families("", parse_text) if one.name == "apptuner_relay_info"
        ]
        (sample,) = info.samples
        self.assertEqual(
            (sample.labels["version"], sample.labels["commit"]), (__version__, commit() or "")
        )

    def test_what_it_was_made_from(self) -> None:
        (info,) = [
            one for one in self.families("", parse_text) if one.name == "apptuner_relay_build_info"
        ]
        (sample,) = info.samples
        self.assertEqual(
            sample.labels,
            {
                "version": __version__,
                "commit": commit() or "",
                "python": platform.python_version(),
                "twisted": twisted.__version__,
                "autobahn": autobahn.__version__,
            },
        )
        self.assertEqual(sample.value, 1)

    def test_every_family_is_explained_and_has_its_unit_last(self) -> None:
        for family in self.families("", parse_text):
            self.assertTrue(family.documentation, family.name)
            if family.type == "counter":
                self.assertTrue(all(one.name.endswith("_total") for one in family.samples))
            for wrong in ("_ms", "_milliseconds", "_mb", "_minutes"):
                self.assertFalse(family.name.endswith(wrong), family.name)


class AccessTest(MetricsCase):
    def test_guarded_by_default(self) -> None:
        self.assertEqual(Requester(self.relay.service, REMOTE).ask("/metrics").status, 403)
        service = Relay(admin_token="correct-horse").service
        self.assertEqual(Requester(service, REMOTE).ask("/metrics").status, 401)
        let_in = Requester(service, REMOTE).ask("/metrics", Authorization="Bearer correct-horse")
        self.assertEqual(let_in.status, 200)

    def test_open(self) -> None:
        service = Relay(admin_token="correct-horse", metrics="open").service
        self.assertEqual(Requester(service, REMOTE).ask("/metrics").status, 200)
