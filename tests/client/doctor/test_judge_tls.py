"""What a TLS handshake means."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.doctor.finding import CheckState
from apptuner_relay.client.doctor.judge_tls import (
    DAY_S,
    HandshakeReport,
    ShownCertificate,
    TlsProblem,
    judge_handshake,
)

NOW_S = 1_796_000_000.0
GOOD = ShownCertificate(["relay.test"], "An Authority", NOW_S - DAY_S, NOW_S + 60.5 * DAY_S, 2)
REPORT = HandshakeReport("relay.test", 0.018, "TLSv1.3", GOOD)


class HandshakeTest(SynchronousTestCase):
    def test_a_good_one(self) -> None:
        found = judge_handshake(REPORT, NOW_S)
        self.assertEqual(found.state, CheckState.OK)
        self.assertEqual(
            found.text,
            "TLSv1.3, verified for relay.test; expires in 60 days (2027-01-29); 18 ms",
        )
        self.assertEqual(found.figures["days_left"], 60)

    def test_days_left(self) -> None:
        for days, state, words in (
            (14.5, CheckState.OK, "in 14 days"),
            (13.9, CheckState.WARNING, "in 13 days"),
            (1.1, CheckState.WARNING, "in 1 day "),
            (0.5, CheckState.WARNING, "in 0 days"),
            (-0.5, CheckState.FAILED, "expired today"),
            (-1.5, CheckState.FAILED, "expired 1 day ago"),
        ):
            certificate = replace(GOOD, not_after_s=NOW_S + days * DAY_S)
            found = judge_handshake(replace(REPORT, certificate=certificate), NOW_S)
            self.assertEqual(found.state, state, days)
            self.assertIn(words, found.text)
            self.assertEqual(bool(found.hint), state is not CheckState.OK)

    def test_wrong_chains(self) -> None:
        for errors, chain, words, hint in (
            ([18], 1, "signed by itself", "public authority"),
            ([19], 2, "not trusted here: An Authority", "company"),
            ([20], 1, "without the one that has signed it", "fullchain.pem"),
            ([20, 21], 1, "without the one that has signed it", "fullchain.pem"),
            ([20], 2, "not known here", "public authority"),
            ([23], 2, "X.509 error 23", "verify(1)"),
        ):
            certificate = replace(GOOD, chain_length=chain)
            report = replace(REPORT, errors=errors, certificate=certificate)
            found = judge_handshake(report, NOW_S)
            self.assertEqual(found.state, CheckState.FAILED)
            self.assertIn(words, found.text)
            self.assertIn(hint, found.hint)

    def test_another_host(self) -> None:
        names = ["a.test", "b.test", "c.test", "d.test", "e.test"]
        report = replace(REPORT, certificate=replace(GOOD, names=names), fits_host=False)
        found = judge_handshake(report, NOW_S)
        self.assertEqual(found.state, CheckState.FAILED)
        self.assertIn("a.test, b.test, c.test and 2 more, and not for relay.test", found.text)
        report = replace(REPORT, certificate=replace(GOOD, names=[]), fits_host=False)
        self.assertIn("for no host at all", judge_handshake(report, NOW_S).text)

    def test_clocks(self) -> None:
        certificate = replace(GOOD, not_before_s=NOW_S - 5 * DAY_S, not_after_s=NOW_S - DAY_S)
        for clock_s, words in (
            (None, "has expired"),
            (NOW_S, "has expired"),
            (NOW_S - 1.5 * DAY_S, "this machine's clock is wrong"),
            (NOW_S - 9 * DAY_S, "has expired"),
        ):
            report = replace(REPORT, certificate=certificate, errors=[10], server_clock_s=clock_s)
            self.assertIn(words, judge_handshake(report, NOW_S).text)
        certificate = replace(GOOD, not_before_s=NOW_S + DAY_S)
        report = replace(REPORT, certificate=certificate, errors=[9])
        self.assertIn("not valid before", judge_handshake(report, NOW_S).text)

    def test_problems(self) -> None:
        for problem, words, hint in (
            (TlsProblem.PLAIN_HTTP, "plain HTTP", "ws://"),
            (TlsProblem.SILENT, "no answer to the handshake", "port"),
            (TlsProblem.CLOSED, "closed during the handshake", "PROXY"),
            (TlsProblem.NO_COMMON_VERSION, "no common version or cipher: odd", "1.2"),
            (TlsProblem.OTHER, "the handshake failed: odd", "port"),
        ):
            report = HandshakeReport("relay.test", problem=problem, words="odd")
            found = judge_handshake(report, NOW_S)
            self.assertEqual(found.state, CheckState.FAILED)
            self.assertIn(words, found.text)
            self.assertIn(hint, found.hint)

    @given(
        st.floats(-400, 400),
        st.floats(-400, 400),
        st.lists(st.integers(1, 94), max_size=3),
        st.booleans(),
        st.none() | st.floats(-400, 400),
    )
    def test_what_fails_has_a_hint(
        self, before: float, after: float, errors: list[int], fits: bool, clock: float | None
    ) -> None:
        certificate = replace(
            GOOD, not_before_s=NOW_S + before * DAY_S, not_after_s=NOW_S + after * DAY_S
        )
        clock_s = None if clock is None else NOW_S + clock * DAY_S
        report = HandshakeReport(
            "relay.test", 0, "TLSv1.3", certificate, errors, fits, server_clock_s=clock_s
        )
        found = judge_handshake(report, NOW_S)
        is_current = certificate.not_before_s <= NOW_S <= certificate.not_after_s
        is_good = is_current and not errors and fits
        self.assertEqual(found.state is CheckState.FAILED, not is_good)
        self.assertTrue(found.hint or found.state is CheckState.OK)
