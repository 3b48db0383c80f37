"""`apptuner_relay.operator.sampler`: the last minute, and the last hour."""

from apptuner_relay.operator.cpu_use import CpuTimes
from apptuner_relay.operator.history import COLUMNS
from tests.operator.meters_case import MetersCase


class TimeTest(MetersCase):
    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds // 10):
            self.relay.clock.advance(10)
            self.meters.sample()

    def test_the_last_minute(self) -> None:
        cli, _ = self.session()
        cli.send(type="bundle_update", payload={"code": "x" * 1000})
        self.pass_time(30)
        cli.send(type="bundle_update", payload={"code": "x" * 1000})
        self.assertEqual(self.status()["last_minute"]["bundles"], 2)
        self.pass_time(40)
        self.assertEqual(self.status()["last_minute"]["bundles"], 1)
        self.pass_time(60)
        last = self.status()["last_minute"]
        self.assertEqual(last, {"bundles": 0, "bundle_bytes": 0, "bytes_out": 0})

    def test_the_hour(self) -> None:
        cli, _ = self.session()
        cli.send(type="bundle_update", payload={"code": "x" * 99_000})
        self.pass_time(10)
        first = self.status()["hour"][0]
        self.assertEqual(first[:3], [1_010_000, 1, 2])
        self.assertEqual(first[3], round(self.meters.counters.bytes_out / 10))
        self.pass_time(2 * 3600)
        hour = self.status()["hour"]
        self.assertEqual(len(hour), 360)
        self.assertEqual(hour[-1][0], self.relay.clock.seconds() * 1000)
        self.assertEqual(hour[-1][0] - hour[0][0], 3_590_000)

    def test_how_busy_it_was(self) -> None:
        cpu = self.meters.process.cpu
        cpu.cores = 2.0
        spent = iter([(0, 0, 0), (9, 7, 3), (9, 7, 3), (19, 7, 0)])
        cpu.read = lambda: CpuTimes(*map(float, next(spent)))
        for _ in range(4):
            self.pass_time(10)
        at = COLUMNS.index("busy_share")
        self.assertEqual(
            [row[at] for row in self.meters.sampler.history.hour()][1:], [0.7, 0.0, 0.5]
        )

    def test_a_clock_that_is_put_back(self) -> None:
        self.pass_time(100)
        self.relay.clock.rightNow -= 50
        self.session()
        self.pass_time(10)
        times = [row[0] for row in self.status()["hour"]]
        self.assertEqual(times, sorted(set(times)))
        self.assertEqual(self.status()["last_minute"]["bundles"], 0)
