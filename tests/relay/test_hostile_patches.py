"""Patches that no honest CLI sends: each is refused with a reason, unless it is right all the same,
and what is kept, the phones and other sessions are as if it had never come.

Others each time, and more of them: ``HYPOTHESIS_PROFILE=random``.
"""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from apptuner_relay.wire.bundle_patch import MOST_EDITS, PATCH_TYPE, PatchFault
from apptuner_relay.wire.frames import TEXT
from tests.memory import masked
from tests.memory_store import code_of as code_on_disk
from tests.relay.test_sent_patches import SenderCase, code_of
from tests.spool.cases import sha256
from tests.spool.test_delivery_of_patches import Phone

BASE = "".join(f"const a{n} = 'é🛒🛍';\r\n" for n in range(12))
UNITS = len(BASE.encode("utf-16-le")) // 2

OFFSETS = st.integers(0, UNITS + 2)
ODD = st.sampled_from(
    [None, True, "1", [], {}, -1, 1.0, 0.5, 1e300, 2**53, 2**63, 10**4000, float("nan")]
)
TEXTS = st.sampled_from(["", "x", "é", "🛒", "\ud83d", "\uded2", "\r\n", "\x00", "x" * 5000])
EDITS = st.lists(
    st.tuples(OFFSETS, OFFSETS, TEXTS).map(list)
    | st.tuples(OFFSETS, OFFSETS, TEXTS, TEXTS).map(list)
    | st.tuples(ODD | OFFSETS, ODD | OFFSETS, ODD | TEXTS).map(list)
    | st.lists(OFFSETS, max_size=6)
    | ODD,
    max_size=5,
)
SORTED = st.lists(OFFSETS, max_size=6, unique=True).map(
    lambda at: [[start, end, "new"] for start, end in zip(at[::2], at[1::2], strict=False)]
)
RAW = [
    b'{"type":"bundle_patch"',
    b'{"type":"bundle_patch","edits":%b%b}' % (b"[" * 50_000, b"]" * 50_000),
    b'{"type":"bundle_patch","x":%b%b}' % (b'{"a":' * 20_000, b"1" + b"}" * 20_000),
    b'{"type":"bundle_patch","edits":[]}{}',
    b'{"type":"bundle_patch","size":1e999999}',
    b'{"type":"bundle_patch","size":%b}' % (b"9" * 5000),
    b'{"type":"bundle_patch","edits":[%b]}' % b",".join([b'[0,0,""]'] * (MOST_EDITS + 1)),
]


def applied(patch: dict[str, Any]) -> str | None:
    """What a patch makes of `BASE`, by code units and the rules of the protocol; None where it
    breaks one of them."""
    units = BASE.encode("utf-16-le")
    parts, at = [], 0
    try:
        if patch["type"] != PATCH_TYPE or patch["base"] != sha256(BASE):
            return None
        if type(patch["size"]) is not int or type(patch["units"]) is not int:
            return None
        if type(patch["edits"]) is not list:
            return None
        for row in patch["edits"]:
            start, end, text, *old = row
            if type(row) is not list or len(old) > 1:
                return None
            if type(start) is not int or type(end) is not int:
                return None
            if not at <= start <= end <= UNITS:
                return None
            replaced = units[2 * start : 2 * end]
            parts += [units[2 * at : 2 * start].decode("utf-16-le"), text]
            if not replaced.decode("utf-16-le").startswith("".join(old)):
                return None
            at = end
        code = "".join(parts) + units[2 * at :].decode("utf-16-le")
        whole = code.encode("utf-8"), code.encode("utf-16-le")
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    said = patch["sha256"], patch["size"], patch["units"]
    return code if said == (sha256(code), len(whole[0]), len(whole[1]) // 2) else None


@st.composite
def patches(draw: st.DrawFn) -> dict[str, Any]:
    """A patch, right or wrong in many ways, with the address of what it makes where that can be."""
    edits = draw(EDITS | SORTED)
    patch: dict[str, Any] = {"type": PATCH_TYPE, "base": sha256(BASE), "edits": edits}
    address = {"sha256": "0" * 64, "size": len(BASE.encode()), "units": UNITS}
    units, made, at = BASE.encode("utf-16-le"), b"", 0
    try:
        for start, end, text, *_ in edits:
            made += units[2 * at : 2 * start] + text.encode("utf-16-le", "surrogatepass")
            at = end
        code = (made + units[2 * at :]).decode("utf-16-le")
        size, length = len(code.encode()), len(code.encode("utf-16-le")) // 2
        address = {"sha256": sha256(code), "size": size, "units": length}
    except (AttributeError, TypeError, ValueError):
        pass
    patch |= address
    wrong = draw(st.none() | st.sampled_from(["base", "sha256", "size", "units", "edits"]))
    if wrong is not None and draw(st.booleans()):
        patch[wrong] = draw(ODD | st.sampled_from(["", "A" * 64, "0" * 64, sha256(BASE).upper()]))
    if isinstance(patch["edits"], list) and draw(st.integers(0, 9)) == 0:
        patch["edits"], patch["more"] = patch["edits"] * 2, {"type": "bundle_update"}
    return patch


class Hostile(SenderCase):
    def setUp(self) -> None:
        super().setUp()
        self.released, self.labelled = self.connect("mobile"), self.phone()
        self.other = self.relay.connect("/cli/OTHER1?patch=1")
        self.bystander = Phone(self.relay.connect("/mobile/OTHER1?patch=1"))

    def begin(self) -> None:
        """What is kept is the base, in either session, and nobody has anything to read."""
        for cli in (self.cli, self.other):
            self.bundle(cli, BASE)
            cli.received()
        for phone in (self.labelled, self.bystander):
            phone.read()
            phone.code, phone.label = BASE, sha256(BASE)
        self.released.received()

    def try_it(self, text: bytes, code: str | None) -> None:
        self.begin()
        self.cli.send_raw(masked(TEXT, text))
        self.turn()
        told = self.told()
        self.assertEqual(len(told), 1, told)
        got = code_of(self.released.received())
        if code is None:
            [(kind, reason)] = told
            self.assertEqual(kind, "bundle_wanted")
            self.assertIn(reason, {fault.value for fault in PatchFault} - {"not_now", "target"})
            self.assertEqual((got, self.labelled.read()), ([], []))
        else:
            self.assertEqual(told, [("bundle_kept", sha256(code))])
            self.assertEqual(got, [code])
            self.labelled.read()
            self.assertEqual(self.labelled.code, code)
        kept = self.store.last(sha256("ABC234"))
        assert kept is not None
        self.assertEqual(code_on_disk(kept.path).decode(), BASE if code is None else code)
        self.assertEqual(self.bystander.read(), [])
        self.patch_cli(BASE, f"{BASE}// next", self.other)
        self.assertEqual(self.bystander.read(), ["bundle_patch"])
        self.assertIsNone(self.cli.closed)

    @given(patches())
    def test_whatever_a_patch_says(self, patch: dict[str, Any]) -> None:
        # There are many, and each has files open.
        self.store.stopService()
        self.setUp()
        code = applied(patch)
        self.try_it(json.dumps(patch, separators=(",", ":")).encode(), code)

    def test_what_is_none(self) -> None:
        for text in RAW:
            with self.subTest(text[:60]):
                self.try_it(text, None)

    def test_of_two_values_the_last_counts_as_in_javascript(self) -> None:
        size, units = len(BASE.encode()), UNITS
        fields = f'"base":"{sha256(BASE)}","size":{size + 1},"units":{units + 1}'
        new = f"{BASE};"
        end = f'"sha256":"{sha256(new)}","edits":[[{units},{units},";"]]}}'
        twice = f'{{"type":"bundle_patch","edits":[[0,1,"",""]],{fields},{end}'
        self.try_it(twice.encode(), new)
