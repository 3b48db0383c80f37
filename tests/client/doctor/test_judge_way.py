"""What names and connections mean."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.doctor.finding import CheckState
from apptuner_relay.client.doctor.judge_way import (
    Dialled,
    DialProblem,
    IpAddress,
    LookedUp,
    LookupProblem,
    judge_dials,
    judge_names,
)

V4, V6 = IpAddress("192.0.2.4", False), IpAddress("2001:db8::4", True)


class NamesTest(SynchronousTestCase):
    def test_a_name(self) -> None:
        found = judge_names(LookedUp("relay.test", [V4, V6], 0.012))
        self.assertEqual(found.state, CheckState.OK)
        self.assertEqual(found.text, "relay.test is 192.0.2.4 (IPv4), 2001:db8::4 (IPv6); 12 ms")
        self.assertEqual(
            found.figures, {"addresses": ["192.0.2.4", "2001:db8::4"], "took_ms": 12.0}
        )

    def test_an_address(self) -> None:
        found = judge_names(LookedUp("2001:db8::4", [V6], is_literal=True))
        self.assertEqual(found.state, CheckState.SKIPPED)
        self.assertIn("an IPv6 address", found.text)

    def test_problems(self) -> None:
        for problem, words, hint in (
            (LookupProblem.UNKNOWN, "no such name", "spelled"),
            (LookupProblem.AWAY, "no name server answers (Try again)", "online"),
            (LookupProblem.SLOW, "in 2.50 s", "/etc/resolv.conf"),
            (LookupProblem.OTHER, "Try again", "valid"),
        ):
            found = judge_names(
                LookedUp("relay.test", took_s=2.5, problem=problem, words="Try again")
            )
            self.assertEqual(found.state, CheckState.FAILED)
            self.assertIn(words, found.text)
            self.assertIn(hint, found.hint)


class DialsTest(SynchronousTestCase):
    def test_all_answer(self) -> None:
        found = judge_dials("relay.test", 443, [Dialled(V4, 0.0042), Dialled(V6, 0.02)])
        self.assertEqual(found.state, CheckState.OK)
        self.assertEqual(found.text, "port 443: 192.0.2.4 in 4.2 ms; 2001:db8::4 in 20 ms")
        self.assertEqual(found.figures["port"], 443)

    def test_a_machine_without_ipv6_lacks_nothing(self) -> None:
        dials = [Dialled(V4, 0.004), Dialled(V6, problem=DialProblem.NO_ROUTE)]
        found = judge_dials("relay.test", 443, dials)
        self.assertEqual(found.state, CheckState.OK)
        self.assertIn("this machine has no IPv6", found.text)

    def test_one_that_refuses(self) -> None:
        for problem in (DialProblem.REFUSED, DialProblem.SILENT, DialProblem.OTHER):
            dials = [Dialled(V6, 3, problem, "odd"), Dialled(V4, 0.004)]
            found = judge_dials("relay.test", 443, dials)
            self.assertEqual(found.state, CheckState.WARNING)
            self.assertIn("2001:db8::4 first", found.hint)

    def test_nobody(self) -> None:
        for host, port, problem, hint in (
            ("localhost", 3000, DialProblem.REFUSED, "Is the relay running"),
            ("127.0.0.1", 3000, DialProblem.REFUSED, "Is the relay running"),
            ("relay.test", 443, DialProblem.REFUSED, "no web server or balancer"),
            ("relay.test", 3000, DialProblem.REFUSED, "not on 127.0.0.1 only"),
            ("relay.test", 3000, DialProblem.SILENT, "firewall"),
            ("relay.test", 3000, DialProblem.NO_ROUTE, "VPN"),
            ("relay.test", 3000, DialProblem.OTHER, "from this machine"),
        ):
            found = judge_dials(host, port, [Dialled(V4, 2.5, problem, "odd")])
            self.assertEqual(found.state, CheckState.FAILED)
            self.assertIn(hint, found.hint)
            self.assertEqual(found.figures["addresses"][0]["problem"], problem.name.lower())  # type: ignore[index]
