"""`apptuner_relay.operator.moved_records`: records of a session that goes to another relay."""

import json
from math import inf, nan
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.bundle_records import BundleRecords
from apptuner_relay.operator.moved_records import MOST_BYTES, write_records
from tests.operator.test_bundle_records import HASH, RecordsCase
from tests.spool.cases import some_code

ROWS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["whole", "cli"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


class Moved(RecordsCase):
    def there(self) -> BundleRecords:
        """The records of a relay that was given all of this one's."""
        clock = Clock()
        clock.advance(5)
        records = BundleRecords(clock, self.relay.wall)
        records.adopt(HASH, write_records(self.records.recent(HASH)))
        return records

    def test_rows_stay_as_they_are(self) -> None:
        cli, ann, bob = self.connect("cli"), self.phone("ann"), self.phone("bob")
        self.bundle(cli, some_code(300_000))
        self.relay.clock.advance(0.5)
        ann.send(type="bundle_ack", success=True)
        bob.send(type="bundle_ack", error={"message": "no"})
        cli.send(type="bundle_start", totalChunks=2)
        self.bundle(cli, "code")
        bob.lose()
        self.relay.clock.advance(0.25)
        self.phone("cat", "&replay=1")
        self.assertEqual(self.there().rows(HASH), self.rows())

    def test_no_more_than_may_go(self) -> None:
        cli, ann = self.connect("cli"), self.phone("ann")
        for _ in range(3):
            self.bundle(cli, "code")
            ann.send(type="bundle_ack", error="x" * 500)
        long = self.records.recent(HASH)
        self.assertEqual(len(write_records(long)), 3)
        self.assertEqual(
            len(write_records([long[0]] * 1000)), MOST_BYTES // len(json.dumps(self.row()))
        )

    def test_times_that_are_none(self) -> None:
        cli, ann = self.connect("cli"), self.phone("ann")
        self.bundle(cli, "code")
        ann.send(type="bundle_ack", success=True)
        (row,) = write_records(self.records.recent(HASH))
        (phone,) = cast(list[dict[str, Any]], row["phones"])
        records = BundleRecords(Clock(), self.relay.wall)
        for wrong in (inf, -inf, nan):
            for its, name in ((row, "in_s"), (phone, "first_out_s"), (phone, "answered_s")):
                right, its[name] = its[name], wrong
                records.adopt(HASH, [row])
                self.assertEqual(records.rows(HASH), [])
                its[name] = right
        records.adopt(HASH, [row])
        self.assertEqual(len(records.rows(HASH)), 1)


class Hostile(SynchronousTestCase):
    def setUp(self) -> None:
        self.records = BundleRecords(Clock(), lambda: 1.0)

    @given(st.lists(ROWS, max_size=3))
    def test_any_rows(self, rows: list[Any]) -> None:
        self.records.adopt(HASH, rows)
        self.assertEqual(self.records.rows(HASH), [])
