"""docs/reference/metrics.md has every metric that a relay exposes, and no other.

The page is made from stand-ins; these tests scrape relays.
"""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Relay
from tests.memory_store import MemoryStore
from tests.operator.fake_cluster import MadeCluster
from tests.operator.fake_managed import MadeManaged
from tests.web.http import Requester

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "metrics.md"
TROUBLESHOOTING = PAGE.parents[1] / "how-to" / "troubleshoot.md"
_ROW = re.compile(r"^\| `([a-z_]+)` \| (\w+) \| [^|]+ \| ([^|]*) \|", re.MULTILINE)
_WARNING = re.compile(r"^\| `([a-z_]+)` \| (notice|warning) \| (yes|no) \|", re.MULTILINE)


class MetricsPageTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.page = PAGE.read_text("utf-8")
        self.relay = Relay(MemoryStore, memory_limit=1 << 30)
        meters = self.relay.service.meters
        certificate: Any = SimpleNamespace(
            refused=None, reloads={}, expires_s=2e9, expires="2033-05-18", shown="relay.test"
        )
        log: Any = SimpleNamespace(dropped=0, trouble=None)
        claims_file: Any = SimpleNamespace(trouble=None, bad_lines=0)
        meters.watch_claims_file(claims_file)
        meters.watch_days(lambda: None)
        meters.watch_certificate(certificate)
        meters.watch_log(log)
        meters.watch_cluster(MadeCluster())
        managed = MadeManaged()
        managed.counters.round_trip_s = 0.01
        meters.watch_managed(managed)

    def scrape(self) -> list[Any]:
        body = Requester(self.relay.service).ask("/metrics").body.decode()
        return list(text_string_to_metric_families(body))

    def test_every_metric_with_its_type_and_labels(self) -> None:
        documented = {
            name: (kind, set(re.findall(r"`([a-z]+)`:", labels)))
            for name, kind, labels in _ROW.findall(self.page)
        }
        exposed = {}
        for family in self.scrape():
            labels = {label for sample in family.samples for label in sample.labels}
            counts = family.type == "counter"
            name = family.name + "_total" if counts else family.name
            kind = "info" if name.endswith(("_relay_info", "_build_info")) else family.type
            if name.startswith("apptuner_"):
                exposed[name] = (kind, labels)
        ours = {name: row for name, row in documented.items() if name.startswith("apptuner_")}
        self.assertEqual(ours, exposed)
        others = {family.name for family in self.scrape()} - set(exposed)
        for name in (one for one in others if one.startswith("process_")):
            self.assertIn(f"`{name}", self.page)

    def test_every_warning_has_its_place_in_troubleshooting(self) -> None:
        """The status page links to it by the warning's name."""
        section = TROUBLESHOOTING.read_text("utf-8").partition("\n## Warnings\n")[2]
        places = re.findall(r"(?m)^### `([a-z_]+)`$", section)
        self.assertEqual(sorted(places), sorted(row[0] for row in _WARNING.findall(self.page)))

    def test_every_warning(self) -> None:
        documented = {
            name: (level, degrades == "yes")
            for name, level, degrades in _WARNING.findall(self.page)
        }
        conditions = self.relay.service.meters.health.conditions
        watched = {
            name: (level.value, name in conditions.degrading)
            for name, level in conditions.levels.items()
        }
        self.assertEqual(documented, watched)
