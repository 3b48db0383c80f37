"""Passes: what lets a relay in with a client, and what doesn't."""

import base64
import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.bridge import peer_auth as passes
from apptuner_relay.cluster.bridge.peer_auth import (
    LIFETIME_S,
    BadPass,
    PassVerifier,
    prove,
    write_pass,
    write_request_pass,
)
from apptuner_relay.session.session import Admission, Arrival, Device, Role

SECRET = "the-secret-of-these-tests"
NOW_S = 1_700_000_000.0
PHONE = Admission(
    Role.MOBILE,
    "0f" * 32,
    Device("d1", "Žluťoučký 📱", "ios", 5, True, False, "ab" * 32, True),
    "https://relay.example/bundles/ABC234",
    True,
    Arrival.MOVED,
    None,
    "c1",
    6,
    "203.0.113.9",
    authorized=True,
    channel_user="mobile:0123456789ab:d1",
    agent="okhttp/4.9.0",
)
CLI = Admission(
    Role.CLI,
    "0f" * 32,
    None,
    "/bundles/ABC234",
    authorized=True,
    claims=True,
    tokens=True,
)
OLD_CLI = Admission(Role.CLI, "0f" * 32, None, "/bundles/ABC234")
PATCHING_CLI = replace(OLD_CLI, patches=True)
PATCHED_PHONE = replace(PHONE, device=Device("d2", None, None, 1, patch=True))


class Showing(SynchronousTestCase):
    def setUp(self) -> None:
        self.gate = PassVerifier(SECRET, "b")

    def refused(self, text: str, why: str, now_s: float = NOW_S) -> None:
        with self.assertRaises(BadPass) as caught:
            self.gate.read(text, now_s)
        self.assertIn(why, str(caught.exception))

    def test_what_was_said_of_the_client(self) -> None:
        for admission in (PHONE, CLI, OLD_CLI, PATCHING_CLI, PATCHED_PHONE):
            text, proof = write_pass(SECRET, "a", "b", admission, NOW_S)
            shown = self.gate.read(text, NOW_S + 1)
            self.assertEqual(shown.sender, "a")
            self.assertEqual(shown.admission, replace(admission, through="a"))
            self.assertEqual(prove(SECRET, shown.nonce), proof)

    def test_how_long_ago_it_lost_its_session_whatever_the_clocks(self) -> None:
        lost = replace(CLI, arrival=Arrival.RECOVERED, lost_ms=int(NOW_S * 1000) - 4_000)
        text, _ = write_pass(SECRET, "a", "b", lost, NOW_S)
        shown = self.gate.read(text, NOW_S + 20)
        self.assertEqual(shown.admission.lost_ms, int(NOW_S * 1000) + 16_000)

    def test_only_once(self) -> None:
        text, _ = write_pass(SECRET, "a", "b", CLI, NOW_S)
        self.gate.read(text, NOW_S)
        self.refused(text, "has been used")

    def test_only_where_it_is_for(self) -> None:
        text, _ = write_pass(SECRET, "a", "c", CLI, NOW_S)
        self.refused(text, "for another node")

    def test_only_with_the_secret(self) -> None:
        text, _ = write_pass("another-secret", "a", "b", CLI, NOW_S)
        self.refused(text, "not signed")

    def test_only_for_a_while(self) -> None:
        for offset_s in (LIFETIME_S + 1, -LIFETIME_S - 1):
            text, _ = write_pass(SECRET, "a", "b", CLI, NOW_S)
            self.refused(text, "too old", NOW_S + offset_s)

    def test_what_was_used_is_forgotten_when_it_is_too_old_anyway(self) -> None:
        for n in range(100):
            now_s = NOW_S + n * LIFETIME_S
            text, _ = write_pass(SECRET, "a", "b", CLI, now_s)
            self.gate.read(text, now_s)
        self.assertLess(len(self.gate._seen), 5)

    def test_nothing_in_it_can_be_changed(self) -> None:
        text, _ = write_pass(SECRET, "a", "b", CLI, NOW_S)
        body, _, signature = text.partition(".")
        claims = json.loads(base64.urlsafe_b64decode(body))
        claims["role"] = "mobile"
        forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
        self.refused(f"{forged}.{signature}", "not signed")

    def test_another_version(self) -> None:
        body = base64.urlsafe_b64encode(b'{"from":"a"}')
        self.refused(f"{body.decode()}.{passes._sign(SECRET, 'pass', body)}", "another version")

    @given(st.text())
    def test_anything_else(self, text: str) -> None:
        with self.assertRaises(BadPass):
            PassVerifier(SECRET, "b").read(text, NOW_S)

    def test_an_errand(self) -> None:
        text, proof = write_request_pass(SECRET, "a", "b", "/bundles/ABC234", NOW_S)
        nonce = self.gate.read_request_pass(text, "/bundles/ABC234", NOW_S + 1)
        self.assertEqual(prove(SECRET, nonce), proof)

    def test_an_errand_for_something_else(self) -> None:
        def refused(text: str, why: str, path: str = "/bundles/ABC234") -> None:
            with self.assertRaises(BadPass) as caught:
                self.gate.read_request_pass(text, path, NOW_S)
            self.assertIn(why, str(caught.exception))

        for secret, to, at_s, why in (
            ("another-secret", "b", NOW_S, "not signed"),
            (SECRET, "c", NOW_S, "for another node"),
            (SECRET, "b", NOW_S - LIFETIME_S - 1, "too old"),
        ):
            text, _ = write_request_pass(secret, "a", to, "/bundles/ABC234", at_s)
            refused(text, why)
        text, _ = write_request_pass(SECRET, "a", "b", "/bundles/ABC234", NOW_S)
        refused(text, "for another path", "/bundles/ABC235")
        # It was shown, and so is used.
        refused(text, "has been used")
        body = base64.urlsafe_b64encode(b'{"to":"b"}')
        refused(f"{body.decode()}.{passes._sign(SECRET, 'errand', body)}", "another version")

    def test_one_kind_is_not_the_other(self) -> None:
        errand, _ = write_request_pass(SECRET, "a", "b", "/peer/cli/x", NOW_S)
        self.refused(errand, "not signed")
        text, _ = write_pass(SECRET, "a", "b", CLI, NOW_S)
        with self.assertRaises(BadPass):
            self.gate.read_request_pass(text, "/bundles/ABC234", NOW_S)

    @given(st.text())
    def test_any_other_errand(self, text: str) -> None:
        with self.assertRaises(BadPass):
            PassVerifier(SECRET, "b").read_request_pass(text, "/", NOW_S)

    def test_a_proof_is_no_pass(self) -> None:
        text, proof = write_pass(SECRET, "a", "b", CLI, NOW_S)
        body = text.partition(".")[0]
        self.refused(f"{body}.{proof}", "not signed")
