"""What a phone puts together, and what becomes of its logs, whatever comes in whatever order."""

import re
from typing import Any, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.clients_js.javascript import answers

Step: TypeAlias = list[str] | int | bool
"""A level and a text, milliseconds that pass, or whether there is a connection."""
RATE, BURST = 5, 10
OPTIONS = {"rate": RATE, "burst": BURST, "mostWaiting": 1500, "mostMessage": 600}

LEVELS = st.sampled_from(["log", "info", "warn", "error", "debug"])
STEPS = st.one_of(
    st.tuples(LEVELS, st.sampled_from([1, 10, 200])),
    st.integers(0, 400),
    st.booleans(),
)


def start(count: int) -> dict[str, Any]:
    return {"type": "bundle_start", "totalChunks": count, "totalSize": 9, "timestamp": 1}


def chunks(bundle: int, count: int) -> list[dict[str, Any]]:
    return [
        {"type": "bundle_chunk", "index": index, "totalChunks": count, "data": f"{bundle}.{index};"}
        for index in range(count)
    ]


def code(bundle: int, count: int) -> str:
    return "".join(message["data"] for message in chunks(bundle, count))


@st.composite
def traffic(draw: st.DrawFn) -> tuple[list[dict[str, Any] | None], list[str]]:
    """Messages of a relay to a phone, and the bundles that come of them. None is the end of a
    connection."""
    messages: list[dict[str, Any] | None] = []
    codes: list[str] = []
    for bundle in range(draw(st.integers(1, 9))):
        count = draw(st.integers(1, 4))
        kind = draw(st.sampled_from(["update", "chunks", "newer", "cut", "a part", "patch"]))
        if kind == "update":
            messages.append({"type": "bundle_update", "payload": {"code": code(bundle, 1)}})
            codes.append(code(bundle, 1))
        elif kind == "patch":
            messages.append({"type": "bundle_patch"})
        elif kind == "a part":
            # What was on its way as a connection ended, or began, of a sender that knows no better.
            messages += [None, *chunks(bundle, count)[draw(st.integers(0, count - 1)) :]]
        else:
            sent = count if kind == "chunks" else draw(st.integers(0, count - 1))
            messages += [start(count), *chunks(bundle, count)[:sent]]
            if kind == "cut":
                messages.append(None)
            elif kind == "chunks":
                codes.append(code(bundle, count))
        between = draw(st.sampled_from([None, "pong", "bundle_id", "reload"]))
        if between is not None and messages:
            messages.insert(draw(st.integers(0, len(messages))), {"type": between})
    return messages, codes


class AssemblyTest(SynchronousTestCase):
    def test_never_a_mixture(self) -> None:
        """Each bundle that was sent whole comes out, once, and nothing else does."""
        with answers("node") as kit:

            @given(traffic())
            def whole(case: tuple[list[dict[str, Any] | None], list[str]]) -> None:
                messages, codes = case
                self.assertEqual(kit.ask("assemble", messages=messages), codes)

            whole()


class LogsTest(SynchronousTestCase):
    def test_any_app(self) -> None:
        with answers("node") as kit:

            @settings(max_examples=300)
            @given(st.lists(STEPS, max_size=60))
            def limited(drawn: list[Any]) -> None:
                steps = numbered(drawn)
                # In the end there is a connection, and time for all that waits.
                asked = kit.ask("log", steps=[*steps, True, 60_000], options=OPTIONS)
                self.check(steps, asked)

            limited()

    def check(self, steps: list[Step], calls: list[Any]) -> None:
        sent = [(when, message["payload"]) for when, messages in calls for message in messages]
        self.check_rate([when for when, _ in sent])
        notices = [args[0] for _, args in lines(sent) if "were dropped" in str(args[0])]
        dropped = sum(int(re.findall(r"\d+", notice)[0]) for notice in notices)
        added = [step for step in steps if isinstance(step, list)]
        arrived = [
            (level, text)
            for level, args in lines(sent)
            for text in args
            if text != "\n" and "were dropped" not in text
        ]
        self.assertEqual(len(arrived) + dropped, len(added), "each line comes, or is counted")
        self.assertLessEqual(set(arrived), {(level, text) for level, text in added})
        for level in ("log", "info", "warn", "error", "debug"):
            texts = [text for one, text in arrived if one == level]
            self.assertEqual(texts, sorted(texts), "lines of a level stay in their order")

    def check_rate(self, times: list[int]) -> None:
        """Never more than a burst, and what time has given since."""
        for first, began in enumerate(times):
            for last in range(first, len(times)):
                allowed = BURST + RATE * (times[last] - began) / 1000
                self.assertLessEqual(last - first + 1, allowed + 1e-6)


def numbered(drawn: list[Any]) -> list[Any]:
    """Steps whose lines have texts that sort as they come."""
    return [
        [step[0], f"{number:03}{'x' * step[1]}"] if isinstance(step, tuple) else step
        for number, step in enumerate(drawn)
    ]


def lines(sent: list[Any]) -> list[tuple[str, list[Any]]]:
    return [(payload["level"], payload["args"]) for _, payload in sent]
