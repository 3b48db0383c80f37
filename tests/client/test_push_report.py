"""`apptuner_relay.client.push_report`, and the words of `push_lines`."""

from __future__ import annotations

import io

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client import push_lines
from apptuner_relay.client.phones import Acknowledgement, Phone
from apptuner_relay.client.push_report import PushReport
from apptuner_relay.client.screen import Screen

from .little_relay import Recorder

PIXEL, TWIN = Phone("p1", "Pixel 9", "android"), Phone("p2", "Pixel 9", "android")
IPHONE = Phone("i1", "iPhone", "ios")
YES, NO = Acknowledgement(True), Acknowledgement(False, "SyntaxError: (4:2)\n  let = 1\n")
SIZE = 9_300_000


class PushReportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.screen = Clock(), Recorder()
        self.report = PushReport(self.clock, self.screen)

    def send(self, *phones: Phone, unnamed: int = 0, again: bool = False) -> None:
        self.report.sending(phones, unnamed, again=again)
        self.clock.advance(0.21)
        self.report.sent(SIZE)
        self.clock.advance(0.27)

    @property
    def told(self) -> list[str]:
        return self.screen.out.getvalue().splitlines()

    @property
    def complaints(self) -> list[str]:
        return self.screen.err.getvalue().splitlines()

    def test_one_phone_is_one_line(self) -> None:
        self.send(PIXEL)
        self.assertEqual(self.told, [])
        self.report.answered(PIXEL, YES, [PIXEL])
        self.assertEqual(self.told, ["9.3 MB in 0.21 s · Pixel 9 acknowledged after 0.48 s"])

    def test_several_phones(self) -> None:
        self.send(PIXEL, IPHONE)
        self.assertEqual(self.told, ["9.3 MB in 0.21 s · to 2 phones"])
        self.report.answered(IPHONE, YES, [PIXEL, IPHONE])
        self.report.unanswered("Pixel 9", 60)
        self.assertEqual(self.told[1:], ["iPhone acknowledged after 0.48 s"])
        self.assertEqual(
            self.complaints,
            ["sending to Pixel 9, iPhone", "no acknowledgement within 60 s from Pixel 9"],
        )

    def test_phones_of_one_name_are_told_apart(self) -> None:
        self.send(PIXEL, TWIN)
        self.report.answered(TWIN, YES, [PIXEL, TWIN])
        self.assertEqual(self.told[1:], ["Pixel 9 (android, p2) acknowledged after 0.48 s"])

    def test_a_failure_has_all_its_lines_and_none_passes_for_ours(self) -> None:
        self.send(PIXEL)
        self.report.answered(PIXEL, NO, [PIXEL])
        self.assertEqual(self.told, [])
        self.assertEqual(
            self.complaints[1:],
            ["9.3 MB in 0.21 s · Pixel 9 failed after 0.48 s: SyntaxError: (4:2)", "      let = 1"],
        )

    def test_a_failure_is_told_with_quiet(self) -> None:
        self.screen = Recorder(quiet=True)
        self.report = PushReport(self.clock, self.screen)
        self.send(PIXEL, IPHONE)
        self.report.answered(IPHONE, YES, [])
        self.report.answered(PIXEL, Acknowledgement(False), [])
        self.assertEqual(self.told, [])
        self.assertEqual(self.complaints, ["Pixel 9 failed after 0.48 s: it does not say why"])

    def test_an_answer_before_all_is_sent(self) -> None:
        self.report.sending([PIXEL], 0, again=False)
        self.report.answered(PIXEL, YES, [])
        self.assertEqual(self.told, [])
        self.clock.advance(0.5)
        self.report.sent(SIZE)
        self.assertEqual(self.told, ["9.3 MB in 0.50 s · Pixel 9 acknowledged after 0.00 s"])

    def test_a_connection_that_is_lost(self) -> None:
        self.report.sending([PIXEL], 0, again=False)
        self.report.answered(PIXEL, NO, [])
        self.report.stopped()
        self.assertIn("Pixel 9 failed after 0.00 s: SyntaxError", self.screen.err.getvalue())
        self.send(PIXEL, again=True)
        self.report.stopped()
        self.assertIn("sending again to Pixel 9", self.complaints)
        self.send(IPHONE)
        self.report.answered(IPHONE, YES, [])
        self.assertEqual(self.told, ["9.3 MB in 0.21 s · iPhone acknowledged after 0.48 s"])

    def test_a_phone_that_says_nothing(self) -> None:
        self.send(PIXEL)
        self.report.unanswered("Pixel 9, which left", 5)
        self.assertEqual(
            self.complaints[1:],
            ["9.3 MB in 0.21 s · no acknowledgement within 5 s from Pixel 9, which left"],
        )

    def test_phones_without_names(self) -> None:
        self.send(unnamed=2)
        self.report.answered(None, YES, [])
        self.assertEqual(
            self.told, ["9.3 MB in 0.21 s · to 2 phones", "a phone acknowledged after 0.48 s"]
        )

    def test_where_the_dot_can_not_be_shown(self) -> None:
        out = io.TextIOWrapper(io.BytesIO(), "ascii")
        report = PushReport(self.clock, Screen(out, io.StringIO()))
        report.sending([PIXEL], 0, again=False)
        report.sent(SIZE)
        report.answered(PIXEL, YES, [])
        out.flush()
        self.assertEqual(
            out.buffer.getvalue(),  # type: ignore[attr-defined]
            b"9.3 MB in 0.00 s - Pixel 9 acknowledged after 0.00 s\n",
        )


class LinesTests(SynchronousTestCase):
    def test_many_phones_are_counted(self) -> None:
        answers = [(f"phone {number}", number / 10) for number in (4, 1, 2, 3)]
        self.assertEqual(len(push_lines.all_acknowledged(answers[:3])), 3)
        self.assertEqual(
            push_lines.all_acknowledged(answers), ["4 phones acknowledged, the last after 0.40 s"]
        )
        self.assertEqual(push_lines.all_acknowledged([]), [])

    def test_a_long_error_is_cut(self) -> None:
        line = push_lines.failed("Pixel 9", 1, "x" * 5000)
        self.assertLess(len(line), 2100)
        self.assertTrue(line.endswith("… (3,000 more characters)"))
