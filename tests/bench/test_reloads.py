"""`ops/bench/reload`: the app and its edits, how bundles grow, paced lines, and the verdicts."""

import shutil
from pathlib import Path

from bench_lib.app_bundles import APP, EDITS, scale, wrap
from bench_lib.paced_link import QUEUE_S, Line
from bench_lib.reload_figures import Lag, Reload, ReloadFigures, Timed
from twisted.trial.unittest import SynchronousTestCase

MODULE = '__d(function (g) {{\n  var line{0} = {0};\n}},{0},[{1}],"m{0}.js");\n'
BUNDLE = "var polyfills;\n" + MODULE.format(0, "1,2") + MODULE.format(1, "") + "__r(7);\n__r(0);\n"


class Edits(SynchronousTestCase):
    def test_each_fits_the_app(self) -> None:
        for number, edit in enumerate(EDITS):
            app = Path(self.mktemp()) / str(number)
            shutil.copytree(APP / "app", app)
            edit.apply(app)
            for name, _, new in edit.changes:
                self.assertIn(new, (app / name).read_text())

    def test_one_that_does_not_is_said(self) -> None:
        app = Path(self.mktemp())
        shutil.copytree(APP / "app", app)
        EDITS[0].apply(app)
        (app / EDITS[0].changes[0][0]).write_text("")
        with self.assertRaisesRegex(ValueError, "has 0 times"):
            EDITS[0].apply(app)


class Bundles(SynchronousTestCase):
    def test_each_save_differs_at_its_end(self) -> None:
        first, second = wrap(BUNDLE, 1), wrap(BUNDLE, 2)
        self.assertEqual(len(first), len(second))
        start = first.index("BUNDLE_ID")
        self.assertEqual(first[:start], second[:start])
        self.assertNotEqual(first[start:], second[start:])

    def test_they_grow_by_the_same_modules(self) -> None:
        edited = BUNDLE.replace("line1 = 1", "line1 = 'one'")
        grown, changed = (scale(one, BUNDLE, 1000) for one in (BUNDLE, edited))
        self.assertGreaterEqual(len(grown), 1000)
        self.assertEqual(grown.replace("line1 = 1", "line1 = 'one'", 1), changed)
        self.assertTrue(grown.endswith("__r(7);\n__r(0);\n"))
        self.assertIn("},1000000,[1,2],", grown)

    def test_one_that_is_big_enough_stays(self) -> None:
        self.assertEqual(scale(BUNDLE, BUNDLE, 10), BUNDLE)

    def test_no_bundle(self) -> None:
        with self.assertRaises(ValueError):
            scale("var x;", "var x;", 100)


class Lines(SynchronousTestCase):
    def test_blocks_arrive_one_behind_the_other(self) -> None:
        line = Line(1024, 0.5)
        self.assertEqual([line.arrival(256, 1.0) for _ in range(3)], [1.75, 2.0, 2.25])
        self.assertEqual(line.arrival(256, 9.0), 9.75)

    def test_a_full_queue_is_waited_for(self) -> None:
        line = Line(1000, 0.5)
        line.arrival(200, 0.0)
        self.assertEqual(line.wait(0.0), 0)
        line.arrival(800, 0.0)
        self.assertAlmostEqual(line.wait(0.0), 1 - QUEUE_S)


class Verdicts(SynchronousTestCase):
    def test_targets(self) -> None:
        figures = ReloadFigures(15_000_000, ["a"], diff_ms={"a": 9.0, "b": 30.0})
        for deflates in (True, False):
            figures.whole["a", deflates] = Reload([9], [9], [0.1], [0.1])
            figures.patched["a", deflates] = Reload([400], [500], [0.01], [0.03])
            figures.patched["b", deflates] = Reload([70_000], [10], [0.1], [0.1])
            figures.timed.append(Timed("10/20", deflates, [2.0], [0.1]))
        figures.lags = [Lag("idle", 1, 1), Lag("busy", 2, 90)]
        found = {one.name: (one.value, one.met) for one in figures.targets()}
        self.assertEqual(found["everyday edits: bytes of the larger leg"], (500, True))
        self.assertEqual(found["worst edit: bytes of the larger leg"], (70_000, False))
        self.assertEqual(found["10/20 Mbit/s, deflate: times faster"], (20, True))
        self.assertEqual(found["10/20 Mbit/s, plain: times faster"], (20, False))
        value, met = found["the relay's CPU, of a whole reload's, plain"]
        self.assertAlmostEqual(value, 0.2)
        self.assertTrue(met)
        self.assertEqual(found["finding the edits, ms of CPU"], (30, True))
        self.assertEqual(found["loop lag, busy: p99, ms"], (2, True))
        self.assertIn("MISSED", figures.report())
        self.assertEqual(figures.as_dict()["size"], 15_000_000)
