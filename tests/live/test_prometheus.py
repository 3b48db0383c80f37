"""ops/prometheus and ops/grafana, against the metrics that a relay really has, and promtool."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from apptuner_relay.web.metrics import MeterCollector
from tests.live.cluster import ClusterCase
from tests.live.processes import REPOSITORY, run
from tests.live.redis import missing_redis
from tests.memory import Relay
from tests.operator.fake_managed import MadeManaged

PROMETHEUS = REPOSITORY / "ops/prometheus"
DASHBOARD = REPOSITORY / "ops/grafana/apptuner-relay.json"
# ops/test puts it beside Python.
PROMTOOL = shutil.which("promtool") or shutil.which("promtool", path=Path(sys.executable).parent)

FOREIGN = {"up"}
"""Prometheus makes this one of every target."""
TARGET_LABELS = {"job", "instance"}
"""Prometheus adds these."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


def metrics_in(query: str) -> set[str]:
    """The names of the metrics in a PromQL query."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", _GROUPING.sub("", _STRING.sub("", query)))
    found = set()
    for match in _NAME.finditer(bare):
        after = bare[match.end() :].lstrip()
        is_number = bare[: match.start()][-1:].isdigit()
        if not is_number and not after.startswith("(") and match[0].lower() not in _WORDS:
            found.add(match[0])
    return found - {"sum", "max", "min", "avg", "count"}


def alert_queries() -> dict[str, str]:
    text = (PROMETHEUS / "alerts.yml").read_text()
    return dict(re.findall(r"- alert: (\w+)\n +expr: (.+)\n", text))


def dashboard_queries() -> list[str]:
    return list(_expressions(json.loads(DASHBOARD.read_text())))


def _expressions(value: Any) -> Iterator[str]:
    """Every query, wherever it stands; a variable's is one in `label_values(…, label)`."""
    if isinstance(value, dict):
        if isinstance(value.get("expr"), str):
            yield value["expr"]
        if isinstance(value.get("definition"), str):
            found = re.fullmatch(r"label_values\((.+), \w+\)", value["definition"])
            assert found, value["definition"]
            yield found[1]
        for inner in value.values():
            yield from _expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _expressions(inner)


class QueryTest(SynchronousTestCase):
    def test_names_are_found(self) -> None:
        for query, names in (
            ('up{job="x"} == 0', {"up"}),
            ("histogram_quantile(0.5, sum by (le) (rate(a_bucket[5m])))", {"a_bucket"}),
            ("60 * a_total and on (x) b > 1e3 or time() - c", {"a_total", "b", "c"}),
            ('absent(a{b="c_d"}) unless e[$__rate_interval] offset 1d', {"a", "e"}),
        ):
            self.assertEqual(metrics_in(query), names)


def of_a_managed_service() -> Iterator[Metric]:
    """What a relay with one shows besides."""
    meters = Relay().service.meters
    managed = MadeManaged()
    managed.counters.round_trip_s = 0.01
    meters.watch_managed(managed)
    for family in MeterCollector(meters).collect():
        if "managed" in family.name or family.name == "apptuner_relay_worry":
            yield family


class MetricsTest(ClusterCase):
    skip = missing_redis()

    async def exposed(self) -> dict[str, list[dict[str, str]]]:
        """Every name that relays show, with the labels of its samples."""
        redis = await self.redis()
        one = await self.member(redis.url, "a", "--memory-limit", "512MiB")
        # It keeps claims in a file.
        alone = await self.relay("--state-dir", str(Path(self.mktemp()).absolute()))
        families = [*of_a_managed_service()]
        for relay in (one, alone):
            reply = await relay.get("/metrics")
            self.assertEqual(reply.status, 200)
            families += text_string_to_metric_families(reply.body)
        found: dict[str, list[dict[str, str]]] = {}
        for family in families:
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample.labels)
        return found

    async def test_rules_and_dashboard_use_what_there_is(self) -> None:
        exposed = await self.exposed()
        queries = [*alert_queries().values(), *dashboard_queries()]
        self.assertGreater(len(queries), 40)
        for query in queries:
            names = metrics_in(query)
            self.assertTrue(names, query)
            self.assertEqual(names - exposed.keys() - FOREIGN, set(), query)
            for name, selector in _SELECTOR.findall(query):
                for label, sign, value in _MATCHER.findall(selector):
                    if label in TARGET_LABELS:
                        continue
                    values = {labels.get(label) for labels in exposed[name]}
                    self.assertNotIn(None, values, f"{name} has no {label}: {query}")
                    wanted = value.split("|") if "~" in sign else [value]
                    self.assertLessEqual(set(wanted), values, query)

    async def test_labels_that_are_summed_by(self) -> None:
        exposed = await self.exposed()
        summed = re.findall(r"by \((\w+)\) \((?:\w+\()*(\w+)\{", "\n".join(dashboard_queries()))
        self.assertGreater(len(summed), 10)
        for label, name in summed:
            self.assertIn(label, exposed[name][0], name)

    async def test_names_and_units_are_as_prometheus_has_them(self) -> None:
        if PROMTOOL is None:
            raise SkipTest(PromtoolTest.skip)
        relay = await self.relay("--memory-limit", "512MiB")
        metrics = Path(self.mktemp()).absolute()
        metrics.write_text((await relay.get("/metrics")).body)
        command = f"{quote(PROMTOOL)} check metrics < {quote(str(metrics))}"
        child = await run(["sh", "-c", command])
        self.assertEqual((child.exit_code, child.out, child.err), (0, "", ""), repr(child))

    async def test_every_warning_has_its_alert(self) -> None:
        exposed = await self.exposed()
        warnings = {labels["name"] for labels in exposed["apptuner_relay_worry"]}
        self.assertTrue(warnings)
        alerts = " ".join(alert_queries().values())
        for name in warnings:
            self.assertIn(f'name="{name}"', alerts)


class DashboardTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.dashboard = json.loads(DASHBOARD.read_text())

    def test_what_an_import_needs(self) -> None:
        self.assertIsNone(self.dashboard["id"])
        self.assertEqual(self.dashboard["uid"], "apptuner-relay")
        variables = {each["name"]: each for each in self.dashboard["templating"]["list"]}
        self.assertEqual(variables["datasource"]["type"], "datasource")
        for query in (variables["job"], variables["instance"], *self.panels()):
            self.assertEqual(query["datasource"]["uid"], "${datasource}")

    def test_panels(self) -> None:
        ids = [panel["id"] for panel in self.dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        rows = [each["title"] for each in self.dashboard["panels"] if each["type"] == "row"]
        self.assertEqual(
            rows,
            [
                "Now",
                "Reloads",
                "Traffic",
                "Flow",
                "Process",
                "Cached bundles",
                "Several relays",
                "Managed service",
            ],
        )
        taken: set[tuple[int, int]] = set()
        for panel in self.dashboard["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            self.assertFalse(cells & taken, f"{panel['title']} lies on another")
            taken |= cells

    def panels(self) -> list[Any]:
        return [each for each in self.dashboard["panels"] if each["type"] != "row"]


class PromtoolTest(TestCase):
    timeout = 120
    skip = None if PROMTOOL else "needs promtool, of Debian's prometheus: ops/test gets it"

    async def check(self, *arguments: str, cwd: Path = PROMETHEUS) -> None:
        assert PROMTOOL is not None
        child = await run([PROMTOOL, *arguments], cwd)
        self.assertEqual(child.exit_code, 0, repr(child))

    async def test_the_example(self) -> None:
        await self.check("check", "config", "--syntax-only", "prometheus.yml")

    async def test_alerts(self) -> None:
        await self.check("check", "rules", "alerts.yml")
        await self.check("test", "rules", "alerts_test.yml")

    def test_every_alert_is_tested(self) -> None:
        tested = set(re.findall(r"alertname: (\w+)", (PROMETHEUS / "alerts_test.yml").read_text()))
        self.assertEqual(tested, set(alert_queries()))

    async def test_the_dashboards_queries(self) -> None:
        """promtool parses rules, and Grafana's variables are none of PromQL's."""
        rules = [
            {"record": f"query_{index}", "expr": query.replace("$__rate_interval", "5m")}
            for index, query in enumerate(dashboard_queries())
        ]
        file = Path(self.mktemp()).absolute()
        # JSON is YAML.
        file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
        await self.check("check", "rules", str(file))
