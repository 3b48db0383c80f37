"""Patches that one language makes and the other applies: exact, or refused for the same reason."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.code.patch_apply import apply_patch
from apptuner_relay.spool.code.patch_making import make_patch
from apptuner_relay.spool.code.text_diff import TooDifferent
from apptuner_relay.wire.bundle_patch import MOST_EDITS, BadPatch, build_patch, parse_patch
from apptuner_relay.wire.messages import compact_json
from tests.clients_js.javascript import Answers, answers, on_hermes
from tests.spool.code.patch_texts import pairs
from tests.spool.code.test_text_diff import modules

T = TypeVar("T")
MOST_BYTES = 50 * 1024 * 1024
HALVES = "\ud83d\ude00\ude92"
"""Of surrogate pairs."""
COMBINING = "e\u0301\u200d\u20e3"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def kept(text: str) -> str:
    """What a relay has of a text of JavaScript: UTF-8 has no halves of surrogate pairs."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def message(base: str, after: str, patch: dict[str, Any]) -> bytes:
    """The message with which a CLI sends a patch that the kit has made."""
    labels = {"base": sha256(base), "sha256": sha256(after)}
    return compact_json({"type": "bundle_patch", **labels, **patch, "timestamp": 1})


def applied(base: str, text: bytes) -> str:
    """What a relay makes of ``base``.

    :raises BadPatch: it refuses the message.
    """
    out = io.BytesIO()
    for _ in apply_patch(parse_patch(text), base.encode(), out, MOST_BYTES):
        pass
    return out.getvalue().decode()


def made(before: str, after: str) -> dict[str, Any] | None:
    """The patch that a relay makes, as a phone gets it; None where it sends the whole."""
    code = before.encode(), sha256(before), after.encode(), sha256(after)
    try:
        patch: dict[str, Any] = json.loads(build_patch(make_patch(*code, lambda: 0.0), 1))
    except TooDifferent:
        return None
    return patch


@st.composite
def minified(draw: st.DrawFn) -> tuple[str, str]:
    """Two builds in one long line."""
    old = modules(draw(st.integers(1, 80)), draw(st.integers(0, 9))).replace("\n", ";")
    new = old
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(new)))
        more = draw(st.text(st.sampled_from('ab;,"é🛒\u2028' + COMBINING), max_size=6))
        new = new[:at] + more + new[at + draw(st.integers(0, 6)) :]
    return old, new


@st.composite
def with_halves(draw: st.DrawFn) -> tuple[str, str]:
    """Two builds that have halves of surrogate pairs, as JavaScript's strings may."""
    filling = draw(st.sampled_from(["", "x" * 300, "a line of it\n" * 30]))
    texts = st.text(st.sampled_from("ab\n😀🛒" + HALVES), max_size=8)
    old = draw(texts) + filling + draw(texts) + filling + draw(texts)
    new = old
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(new)))
        new = new[:at] + draw(texts) + new[at + draw(st.integers(0, 4)) :]
    # As JavaScript sees them: two halves that come together are one character.
    one, other = (
        text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        for text in (old, new)
    )
    return one, other


BUILDS = pairs() | minified()
PLACES = st.integers(-2, 60) | st.sampled_from([0.5, True, None, "1", 2**53, 10**30])
TEXTS = st.text(st.sampled_from("ab😀é" + HALVES), max_size=4) | st.sampled_from([None, 1, ["a"]])
ROWS = st.lists(PLACES, min_size=2, max_size=2).flatmap(
    lambda places: st.lists(TEXTS, min_size=1, max_size=2).map(lambda texts: [*places, *texts])
)


@st.composite
def hostile(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A base, and a message that changes it, or should not."""
    base = draw(st.text(st.sampled_from("ab\n😀é🛒"), max_size=30))
    size = units(base)
    places = sorted(draw(st.lists(st.integers(0, size + 1), max_size=4).map(lambda x: x * 2)))
    edits: list[Any] = [[*places[at : at + 2], "b"] for at in range(0, len(places), 2)]
    for edit in edits:
        text = base.encode("utf-16-le")[2 * edit[0] : 2 * edit[1]]
        old = text.decode("utf-16-le", "replace")
        edit += draw(st.sampled_from([[], [old], [old[:1]], [""], ["a"], [old + "a"]]))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(edits)))
        edits[at:at] = [draw(ROWS | st.sampled_from([[], None, [0, 0], [0, 0, "", "", ""], "abc"]))]
    if draw(st.booleans()):
        edits = draw(st.permutations(edits))
    fields = {
        "type": "bundle_patch",
        "base": sha256(base),
        "sha256": sha256("what it makes"),
        "size": 0,
        "units": max(0, result_units(base, edits) + draw(st.sampled_from([0, 0, 0, 1, -1]))),
        "edits": edits,
    }
    for name in draw(st.sets(st.sampled_from(sorted(fields)), max_size=1)):
        if draw(st.booleans()):
            fields[name] = draw(st.sampled_from([None, -1, "x", 1.5, {}, [], True]))
    return base, fields


def result_units(base: str, edits: list[Any]) -> int:
    try:
        changed: int = sum(units(edit[2]) - (edit[1] - edit[0]) for edit in edits)
    except (TypeError, IndexError, AttributeError):
        return 0
    return units(base) + changed


def relays_reason(base: str, fields: dict[str, Any]) -> str | None:
    """Why a relay refuses a message, if the right size and SHA-256 stand in it."""
    try:
        applied(base, compact_json(fields))
    except BadPatch as error:
        if error.args[0] == "size":
            return relays_reason(base, fields | {"size": fields["size"] + 1})
        return None if error.args[0] == "sha256" else str(error)
    return None


class InNode(SynchronousTestCase):
    """One process answers for all examples of a test."""

    runtime = "node"

    def with_answers(self, check: Callable[[Answers], None]) -> None:
        with answers(self.runtime) as kit:
            check(kit)

    def test_a_relays_patches(self) -> None:
        def check(kit: Answers) -> None:
            @given(BUILDS)
            def exact(pair: tuple[str, str]) -> None:
                before, after = pair
                patch = made(before, after)
                if patch is None:
                    return
                got = kit.ask("apply", base=before, patch=patch, label=sha256(before))
                self.assertEqual(got, {"code": after})

            exact()

        self.with_answers(check)

    def test_the_kits_patches(self) -> None:
        def check(kit: Answers) -> None:
            @given(BUILDS)
            @example(("a" * 300 + "🛒" + "b" * 300, "a" * 300 + "🛍" + "b" * 300))
            @example(("", "a"))
            @example(("\ufeffa\r\nb", "\ufeffa\r\nc"))
            def exact(pair: tuple[str, str]) -> None:
                before, after = pair
                patch = kit.ask("make", before=before, after=after)
                if patch is None:
                    return
                self.assertEqual(applied(before, message(before, after, patch)), after)
                got = kit.ask("apply", base=before, patch=patch)
                self.assertEqual(got, {"code": after})

            exact()

        self.with_answers(check)

    def test_halves_of_surrogate_pairs(self) -> None:
        """A relay has U+FFFD in their place; a patch leads there from there."""

        def check(kit: Answers) -> None:
            @given(with_halves())
            def exact(pair: tuple[str, str]) -> None:
                before, after = pair
                patch = kit.ask("make", before=before, after=after)
                if patch is None:
                    return
                self.assertEqual(
                    kit.ask("apply", base=before, patch=patch),
                    {"code": after},
                )
                text = message(kept(before), kept(after), patch)
                self.assertEqual(applied(kept(before), text), kept(after))

            exact()

        self.with_answers(check)

    def test_the_same_is_found(self) -> None:
        """Texts in ASCII have the same edits in both languages."""

        def check(kit: Answers) -> None:
            for before, after in (
                (modules(300), modules(300, first=5_000)),
                (modules(300), modules(300)[:9_000] + "x\n" * 40 + modules(300)[9_500:]),
                (modules(300).replace("\n", ";"), modules(300).replace("\n", ";")[:-900] + "x"),
                ("ab\n" * 999, "ab\n" * 500 + "!" + "ab\n" * 499),
            ):
                expected = made(before, after)
                assert expected is not None
                patch = kit.ask("make", before=before, after=after)
                self.assertEqual(patch, {name: expected[name] for name in patch})

        self.with_answers(check)

    def test_hostile_patches(self) -> None:
        """Both refuse the same ones, for the same reason, but for what only a relay looks at."""
        reasons = set()

        def check(kit: Answers) -> None:
            @settings(max_examples=400)
            @given(hostile())
            def same(pair: tuple[str, dict[str, Any]]) -> None:
                base, fields = pair
                got = kit.ask("apply", base=base, patch=fields, label=sha256(base))
                expected = relays_reason(base, fields)
                if expected is None and fields["base"] != sha256(base):
                    # A relay compares that elsewhere.
                    expected = "base"
                self.assertEqual(got.get("reason"), expected)
                reasons.add(expected)

            same()

        self.with_answers(check)
        self.assertGreater(len(reasons), 4)

    def test_labels(self) -> None:
        """A text is hashed as the relay hashes what it keeps of it."""

        def check(kit: Answers) -> None:
            for text in ("", "é🛒\u2028\ufeff", "\ud83da", "x" * 100_000):
                found = kit.ask("sha256", text=text)
                self.assertEqual(found["all"], sha256(kept(text)))
                self.assertEqual(found["web"], sha256(kept(text)))
                self.assertIn("There is no SHA-256 here", found["none"])

        self.with_answers(check)

    def test_too_many_edits(self) -> None:
        def check(kit: Answers) -> None:
            for count, reason in ((MOST_EDITS, None), (MOST_EDITS + 1, "too_many")):
                fields = json.loads(message("", "", {"size": 0, "units": 0, "edits": []}))
                fields["edits"] = [[0, 0, ""]] * count
                got = kit.ask("apply", base="", patch=fields, label=sha256(""))
                self.assertEqual(got.get("reason"), reason)
                self.assertEqual(relays_reason("", fields), reason)

        self.with_answers(check)


class InANewerNode(InNode):
    runtime = "newer_node"


class InBun(InNode):
    runtime = "bun"


def examples(strategy: st.SearchStrategy[T], count: int) -> list[T]:
    """Examples, of which many go to one process."""
    found: list[T] = []

    @settings(max_examples=count, database=None)
    @given(strategy)
    def collect(one: T) -> None:
        found.append(one)

    collect()
    return found


class OnHermes(SynchronousTestCase):
    """index.cjs on the VM of old React Native."""

    def ask(self, requests: list[dict[str, Any]]) -> list[Any]:
        folder = Path(self.mktemp())
        folder.mkdir()
        return on_hermes(folder, requests)

    def test_a_relays_patches(self) -> None:
        requests, expected = [], []
        for before, after in examples(BUILDS, 150):
            patch = made(before, after)
            if patch is not None:
                label = sha256(before)
                requests.append({"op": "apply", "base": before, "patch": patch, "label": label})
                expected.append({"code": after})
        self.assertEqual(self.ask(requests), expected)

    def test_its_own_patches(self) -> None:
        builds = examples(BUILDS, 100)
        patches = self.ask(
            [{"op": "make", "before": before, "after": after} for before, after in builds]
        )
        for (before, after), patch in zip(builds, patches, strict=True):
            if patch is not None:
                self.assertEqual(applied(before, message(before, after, patch)), after)

    def test_hostile_patches(self) -> None:
        bad = examples(hostile(), 200)
        got = self.ask(
            [
                {"op": "apply", "base": base, "patch": fields, "label": sha256(base)}
                for base, fields in bad
            ]
        )
        for (base, fields), answer in zip(bad, got, strict=True):
            reason = relays_reason(base, fields)
            if reason is None and fields["base"] != sha256(base):
                reason = "base"
            self.assertEqual(answer.get("reason"), reason)
