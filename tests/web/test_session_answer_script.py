"""``static/session_answer.js``, in Node: why a phone did not reload, by the state of a session."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.web.static_scripts import evaluate

NOW_MS = 1_764_412_800_000
DONE = ["done"] * 5


def client(role: str, **more: Any) -> dict[str, Any]:
    common = {"deviceId": None, "name": None, "platform": None, "agent": None, "since_ms": NOW_MS}
    return common | {"role": role, "round_trip_ms": None, "behind": False, "through": None} | more


def phone(device_id: str, name: str | None = None) -> dict[str, Any]:
    return client("mobile", deviceId=device_id, name=name)


def row(device_id: str, name: str | None = None, **more: Any) -> dict[str, Any]:
    common = {"deviceId": device_id, "name": name, "source": "live", "form": "whole"}
    times = {"first_out_s": 0.01, "last_out_s": 0.4, "answered_s": 0.9}
    return common | times | {"state": "acknowledged", "error": None, "why": None} | more


def bundle(*phones: dict[str, Any], **more: Any) -> dict[str, Any]:
    common = {"id": 1, "began_ms": NOW_MS, "form": "whole", "bytes": 9_300_000, "in_s": 0.21}
    state = {"state": "whole", "why": None, "settled": True, "target": None}
    times = {"last_out_s": 0.4, "acknowledged_s": 0.9}
    return common | state | times | {"phones": list(phones)} | more


CLI = client("cli")
PIXEL, IPHONE = phone("d1", "Pixel 9"), phone("d2", "iPhone 15")


class Answer(SynchronousTestCase):
    def answer(self, clients: list[dict[str, Any]], *bundles: dict[str, Any], **more: Any) -> Any:
        state = {"clients": clients, "bundles": list(bundles), "kept": None, "tokens": False}
        return evaluate(self, "session_answer.js", "answerOf", state | more)

    def assertSays(
        self, answer: Any, tone: str, headline: str, states: list[str], detail: str = ""
    ) -> None:
        self.assertEqual((answer["tone"], answer["headline"]), (tone, headline))
        self.assertEqual([one["state"] for one in answer["steps"]], states)
        self.assertIn(detail, answer["detail"])
        for one in answer["steps"]:
            # Each tick that is missing says what to check.
            if one["state"] in ("missing", "failed"):
                self.assertGreater(len(one["hint"]), 10, one)

    def test_all_is_well(self) -> None:
        one = self.answer([CLI, PIXEL], bundle(row("d1", "Pixel 9")))
        self.assertSays(one, "ok", "Pixel 9 runs the last bundle", DONE, "It took 900\u00a0ms")
        both = bundle(row("d1", "Pixel 9"), row("d2", "iPhone 15"))
        two = self.answer([CLI, PIXEL, IPHONE], both)
        self.assertSays(two, "ok", "Both phones run the last bundle", DONE)

    def test_nobody(self) -> None:
        answer = self.answer([])
        states = ["missing", "missing", "missing", "later", "later"]
        self.assertSays(answer, "doubt", "Nobody is in this session", states, "Is it this id")

    def test_no_phone(self) -> None:
        answer = self.answer([CLI])
        states = ["done", "missing", "missing", "later", "later"]
        self.assertSays(answer, "doubt", "No phone is connected", states, "same network")
        answer = self.answer([CLI], tokens=True)
        self.assertSays(answer, "doubt", "No phone is connected", states, "join token")

    def test_no_bundle(self) -> None:
        answer = self.answer([CLI, PIXEL])
        states = ["done", "done", "missing", "later", "later"]
        states[3] = answer["steps"][3]["state"]
        self.assertSays(answer, "waiting", "No bundle has come yet", states, "Save a file")

    def test_on_its_way(self) -> None:
        arriving = bundle(
            row("d1", "Pixel 9", state="getting", last_out_s=None, answered_s=None),
            state="arriving",
            in_s=None,
            settled=False,
            last_out_s=None,
            acknowledged_s=None,
        )
        answer = self.answer([CLI, PIXEL], arriving)
        states = ["done", "done", "now", "now", "later"]
        self.assertSays(answer, "waiting", "A bundle is arriving", states)
        sent = bundle(row("d1", "Pixel 9", state="sent"), settled=False, acknowledged_s=None)
        answer = self.answer([CLI, PIXEL], sent)
        states = ["done", "done", "done", "done", "now"]
        self.assertSays(answer, "waiting", "Waiting for the acknowledgement", states)

    def test_a_phone_could_not_run_it(self) -> None:
        error = "SyntaxError: <b>"
        failed = bundle(row("d1", "Pixel 9", state="failed", error=error), row("d2", "iPhone 15"))
        answer = self.answer([CLI, PIXEL, IPHONE], failed)
        headline = "Pixel 9 got the last bundle and could not run it"
        states = ["done", "done", "done", "done", "failed"]
        self.assertSays(answer, "bad", headline, states, "iPhone 15 runs it. Pixel 9 says:")
        self.assertEqual(answer["code"], error)

    def test_it_did_not_arrive_whole(self) -> None:
        cut = bundle(
            row("d1", "Pixel 9", state="cut", why="the CLI was lost"),
            state="cut",
            why="the CLI was lost",
            in_s=None,
            last_out_s=None,
            acknowledged_s=None,
        )
        answer = self.answer([CLI, PIXEL], cut)
        states = ["done", "done", "failed", "failed", "later"]
        headline = "The last bundle did not arrive whole"
        self.assertSays(answer, "bad", headline, states, "the CLI was lost")

    def test_a_phone_that_came_after_it(self) -> None:
        answer = self.answer([CLI, PIXEL, IPHONE], bundle(row("d1", "Pixel 9")))
        states = ["done", "done", "done", "missing", "done"]
        headline = "A phone has not got the last bundle"
        self.assertSays(answer, "doubt", headline, states, "iPhone 15 came after it")

    def test_several_phones_that_do_not_answer(self) -> None:
        names = (("d1", "Pixel 9"), ("d2", "iPhone 15"))
        rows = [row(*one, state="sent", answered_s=None) for one in names]
        answer = self.answer([CLI, PIXEL, IPHONE], bundle(*rows, acknowledged_s=None))
        self.assertIn("Pixel 9 and iPhone 15 have not answered", answer["detail"])

    def test_a_phone_that_does_not_answer(self) -> None:
        silent = bundle(row("d1", "Pixel 9", state="sent", answered_s=None), acknowledged_s=None)
        answer = self.answer([CLI, PIXEL], silent)
        states = ["done", "done", "done", "done", "missing"]
        headline = "A phone has the last bundle, but did not say that it runs"
        self.assertSays(answer, "doubt", headline, states, "Pixel 9 has not answered")

    def test_the_last_word_of_a_phone_counts(self) -> None:
        rows = (
            row("d1", "Pixel 9", state="failed", error="first"),
            row("d1", "Pixel 9", source="kept"),
        )
        answer = self.answer([CLI, PIXEL], bundle(*rows))
        self.assertSays(answer, "ok", "Pixel 9 runs the last bundle", DONE)

    def test_a_phone_that_has_left(self) -> None:
        left = bundle(row("d1", "Pixel 9", state="left", last_out_s=None), last_out_s=None)
        answer = self.answer([CLI], left)
        states = ["done", "missing", "done", "missing", "later"]
        self.assertSays(answer, "doubt", "No phone is connected", states)

    def test_two_clis(self) -> None:
        answer = self.answer([CLI, CLI, PIXEL], bundle(row("d1", "Pixel 9")))
        self.assertIn("2 CLIs", answer["steps"][0]["hint"])

    def test_phones_without_names(self) -> None:
        answer = self.answer([CLI, phone("5f2b")], bundle(row("5f2b")))
        self.assertSays(answer, "ok", "5f2b runs the last bundle", DONE)
