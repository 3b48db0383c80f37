"""What the state of a session means."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.doctor.finding import TITLES, CheckState, Finding, diagnosis
from apptuner_relay.client.doctor.http_answer import HttpAnswer
from apptuner_relay.client.doctor.judge_older import (
    judge_bundle_head,
    judge_devices,
    judge_refused_page,
    lets_pages_in,
)
from apptuner_relay.client.doctor.judge_session import (
    SESSION_CHECKS,
    judge_nobody,
    judge_refused_state,
    judge_session,
)
from apptuner_relay.client.doctor.judge_token import judge_token
from apptuner_relay.client.doctor.session_report import read_session
from apptuner_relay.client.printable import printable

NOW_MS = 1_796_000_000_000
WITHOUT_TOKEN = [name for name in SESSION_CHECKS if name != "token"]
RELAY = "ws://relay.test:3000"


def client(role: str, **fields: object) -> dict[str, object]:
    return {"role": role, "since_ms": NOW_MS - 90_000, "round_trip_ms": 12.3, **fields}


PHONE = client("mobile", deviceId="p1", name="Pixel 9", platform="android")
CLI = client("cli", agent="ws/8")


def phone(state: str = "acknowledged", **fields: object) -> dict[str, object]:
    return {"deviceId": "p1", "name": "Pixel 9", "state": state, "answered_s": 0.48, **fields}


def bundle(*phones: object, **fields: object) -> dict[str, object]:
    return {
        "id": 1, "began_ms": NOW_MS - 5_000, "form": "whole", "bytes": 9_300_000, "in_s": 0.21,
        "state": "whole", "phones": list(phones), **fields,
    }  # fmt: skip


def state(**fields: object) -> dict[str, Any]:
    return {
        "node": "relay-1", "now_ms": NOW_MS, "claimed": False, "tokens": False,
        "clients": [CLI, PHONE], "kept": {"bytes": 9_300_000, "began_ms": NOW_MS - 5_000},
        "bundles": [bundle(phone())], **fields,
    }  # fmt: skip


def judge(**fields: object) -> dict[str, Finding]:
    found = judge_session("ABC234", RELAY, read_session(state(**fields)))
    assert [one.name for one in found] == WITHOUT_TOKEN
    return {one.name: one for one in found}


class SessionTest(SynchronousTestCase):
    def assertFound(self, found: Finding, state: CheckState, words: str, hint: str = "") -> None:
        self.assertEqual(found.state, state, found)
        self.assertIn(words, found.text)
        self.assertIn(hint, found.hint)
        self.assertTrue(found.hint or state in (CheckState.OK, CheckState.SKIPPED))

    def test_all_is_well(self) -> None:
        found = judge()
        for name, words in (
            ("session", "ABC234 has 2 clients, on relay-1"),
            ("claim", "not claimed"),
            ("clients", "CLI (ws/8, 12 ms, for 1 min 30 s)"),
            ("phones", "Pixel 9 (android, 12 ms, for 1 min 30 s)"),
            ("kept", "9.3 MB, 5 s old"),
            ("bundle", "9.3 MB in 210 ms, 5 s ago; Pixel 9 acknowledged after 480 ms"),
        ):
            self.assertFound(found[name], CheckState.OK, words)

    def test_claims(self) -> None:
        self.assertIn("phones need no token", judge(claimed=True)["claim"].text)
        self.assertIn("need a join token", judge(claimed=True, tokens=True)["claim"].text)

    def test_clients(self) -> None:
        found = judge(clients=[CLI])
        self.assertFound(found["phones"], CheckState.FAILED, "no phone", f"the same relay ({RELAY}")
        found = judge(clients=[PHONE], kept=None)
        self.assertFound(found["clients"], CheckState.WARNING, "no CLI is there", "Start")
        found = judge(clients=[PHONE])
        self.assertFound(found["clients"], CheckState.OK, "phones get the cached bundle")
        behind = {**PHONE, "behind": True, "through": "relay-2"}
        found = judge(clients=[CLI, behind])
        self.assertFound(found["phones"], CheckState.WARNING, "behind, through relay-2", "slowly")

    def test_bundles(self) -> None:
        failed = phone("failed", error="SyntaxError: \x1b[2Jno")
        for row, state, words in (
            (bundle(failed), CheckState.FAILED, r"Pixel 9 failed: SyntaxError: \x1b[2Jno"),
            (bundle(phone("failed")), CheckState.FAILED, "no reason was given"),
            (bundle(state="cut", why="its sender left"), CheckState.FAILED, "cut: its sender left"),
            (bundle(phone("sent")), CheckState.WARNING, "has all of it, and has not answered"),
            (bundle(phone("waiting")), CheckState.WARNING, "nothing of it yet"),
            (bundle(phone("getting")), CheckState.WARNING, "is getting it"),
            (bundle(phone("left"), phone()), CheckState.WARNING, "has left"),
            (bundle(phone("cut", why="odd")), CheckState.WARNING, "a part of it"),
            (bundle(), CheckState.WARNING, "it went to no phone"),
            (bundle(phone("superseded")), CheckState.OK, "a newer one"),
            (bundle(phone("later-state")), CheckState.OK, "later-state"),
            (bundle(phone(), form="patch"), CheckState.OK, "9.3 MB (patch) in"),
        ):
            self.assertFound(judge(bundles=[row, bundle(failed)])["bundle"], state, words)
        found = judge(bundles=[], kept=None)
        self.assertFound(found["bundle"], CheckState.SKIPPED, "remembers none")
        self.assertFound(found["kept"], CheckState.SKIPPED, "no bundle is cached")
        found = judge(bundles=[], kept=None, caches=False)
        self.assertFound(found["kept"], CheckState.SKIPPED, "this relay caches none at present")

    def test_refusals(self) -> None:
        for status, name, state, words in (
            (401, "claim", CheckState.FAILED, "no secret was shown"),
            (403, "claim", CheckState.FAILED, "refuses that secret: why"),
            (429, "session", CheckState.WARNING, "why"),
            (503, "session", CheckState.WARNING, "why"),
            (500, "session", CheckState.WARNING, "HTTP 500: why"),
        ):
            found = judge_refused_state("ABC234", HttpAnswer(status, body=b'{"error":"why"}'))
            self.assertEqual(found.name, name)
            self.assertFound(found, state, words)
        self.assertFound(judge_nobody("ABC234", RELAY), CheckState.FAILED, "nobody is in ABC234")

    json_values = st.recursive(
        st.none()
        | st.booleans()
        | st.floats(allow_nan=False)
        | st.integers()
        | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["role", "name", "state", "phones", "bytes", "began_ms", "since_ms"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )

    @given(st.dictionaries(st.sampled_from(list(state())), json_values))
    @example({"node": "\u200d\xa0"})
    def test_any_json(self, value: dict[str, Any]) -> None:
        found = judge_session("ABC234", RELAY, read_session(value))
        self.assertEqual([one.name for one in found], WITHOUT_TOKEN)
        for one in found:
            self.assertEqual(one.text, printable(one.text))
        document = diagnosis(RELAY, found)
        self.assertEqual(len(document["checks"]), len(found))  # type: ignore[arg-type]


class TokenTest(SynchronousTestCase):
    def test_tokens(self) -> None:
        for left_s, answer, state, words in (
            (3600, HttpAnswer(200), CheckState.OK, "takes it; it is good for another 1 h 0 min"),
            (3600, HttpAnswer(404), CheckState.OK, "takes it"),
            (3600, HttpAnswer(403, body=b'{"error":"why"}'), CheckState.FAILED, "refuses it: why"),
            (3600, HttpAnswer(401), CheckState.FAILED, "HTTP 401"),
            (3600, HttpAnswer(503), CheckState.WARNING, "HTTP 503"),
            (3600, None, CheckState.WARNING, "did not answer"),
            (-90, HttpAnswer(401), CheckState.FAILED, "expired 1 min 30 s ago"),
        ):
            found = judge_token(NOW_MS / 1000 + left_s, NOW_MS / 1000, answer)
            self.assertEqual(found.state, state)
            self.assertIn(words, found.text)
            self.assertEqual(bool(found.hint), state is not CheckState.OK)


class OlderTest(SynchronousTestCase):
    def test_heads(self) -> None:
        for answer, state, words in (
            (HttpAnswer(200, fields={"content-length": "9300000"}), CheckState.OK, "9.3 MB"),
            (HttpAnswer(200), CheckState.OK, "a bundle, for phones"),
            (HttpAnswer(404), CheckState.SKIPPED, "no bundle is cached"),
            (HttpAnswer(401), CheckState.FAILED, "need a join token"),
            (HttpAnswer(503), CheckState.WARNING, "HTTP 503"),
        ):
            found = judge_bundle_head(answer)
            self.assertEqual(found.state, state)
            self.assertIn(words, found.text)

    def test_where_one_more_page_closes_no_other(self) -> None:
        for body, expected in (
            (b'{"status":"ok","version":"0.2.0"}', True),
            (b'{"status":"ok","version":"1.0.0"}', True),
            (b'{"status":"ok","version":"0.1.0"}', False),
            (b'{"status":"ok","version":7}', False),
            (b'{"status":"ok","connections":{}}', False),
            (b"<html>", False),
        ):
            self.assertIs(lets_pages_in(HttpAnswer(200, body=body)), expected, body)

    def test_pages(self) -> None:
        self.assertIn("claimed", judge_refused_page(401, "").text)
        self.assertIn("HTTP 403: why", judge_refused_page(403, "why").text)
        devices = [{"deviceId": "p1", "name": "Pix\x1bel"}, {"deviceId": "p2"}, 7]
        claim, phones = judge_devices(devices, RELAY)
        self.assertEqual(claim.figures, {"claimed": False})
        self.assertEqual(phones.text, r"Pix\x1bel, p2")
        _, phones = judge_devices([], RELAY)
        self.assertEqual(phones.state, CheckState.FAILED)


class FindingTest(SynchronousTestCase):
    def test_every_check_has_a_title(self) -> None:
        self.assertTrue(set(SESSION_CHECKS) <= set(TITLES))

    def test_json(self) -> None:
        document = diagnosis(RELAY, judge(clients=[CLI]).values())
        self.assertEqual(document["relay"], RELAY)
        self.assertIs(document["ok"], False)
        [row] = [one for one in document["checks"] if one["name"] == "phones"]  # type: ignore[attr-defined]
        self.assertEqual(row["state"], "failed")
        self.assertEqual(set(row), {"name", "state", "text", "hint", "figures"})
