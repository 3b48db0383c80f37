"""`apptuner_relay.spool.code.extraction`: whatever way a bundle was written and is read, its code
is what `JSON.parse` and TextEncoder make of it; and nothing comes of what is no bundle."""

import json
import tracemalloc
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.code.extraction import Extraction, Unreadable
from apptuner_relay.spool.code.json_scanner import MOST_DEPTH
from apptuner_relay.wire.frames import BINARY, COMPRESSED, PING, TEXT, frame
from tests.spool.wire_forms import CODE, as_javascript_encodes, chunks, message, update

KIB = 1024
MIB = 1024 * 1024


def extracted(wire: bytes, cuts: list[int] | None = None, limit: int = 50 * MIB) -> bytes:
    """The code of a bundle whose wire form comes cut at ``cuts``."""
    edges = [0, *sorted(cut % (len(wire) + 1) for cut in cuts or []), len(wire)]
    extraction = Extraction(limit)
    pieces = [piece for a, b in pairwise(edges) for piece in extraction.feed(wire[a:b])]
    return b"".join(pieces) + extraction.finish()


def byte_by_byte(wire: bytes) -> bytes:
    return extracted(wire, list(range(len(wire))))


# Surrogates and backslashes come often, as it is them that can go wrong.
characters = st.one_of(
    st.characters(exclude_categories=[]), st.sampled_from('\\"/\n\x00é€𝄞\ud83d\ude00\ud800\udfff')
)
codes = st.lists(characters, max_size=30).map("".join)
cuttings = st.lists(st.integers(0, 1 << 30), max_size=12)
whitespace = st.sampled_from(["", "", "", " ", "\n\t", " \r\n "])


@st.composite
def literals(draw: st.DrawFn, code: str) -> str:
    """A string literal of ``code``: each character raw or in any of its escaped forms."""
    literal = ""
    for character in code:
        units = character.encode("utf-16-be", "surrogatepass").hex()
        escaped = "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
        short = json.dumps(character)[1:-1]
        forms = [escaped, escaped.upper().replace("\\U", "\\u"), short]
        if character not in '"\\' and character >= " " and not "\ud800" <= character <= "\udfff":
            forms.append(character)
        if character == "/":
            forms.append("\\/")
        literal += draw(st.sampled_from(forms))
    return f'"{literal}"'


@st.composite
def objects(draw: st.DrawFn, members: list[tuple[str, str]]) -> str:
    """A JSON object with ``members`` (names, and values as JSON) in any order."""
    text = []
    for name, value in draw(st.permutations(members)):
        key = draw(literals(name)) if draw(st.booleans()) else json.dumps(name)
        a, b, c, d = (draw(whitespace) for _ in range(4))
        text.append(f"{a}{key}{b}:{c}{value}{d}")
    return "{" + ",".join(text) + "}"


DECOY = '{"type":"bundle_update","payload":{"code":"no","data":"no"},"code":"no","data":"no"}'
decoys = st.sampled_from(
    [
        DECOY,
        f"[{DECOY}]",
        json.dumps(DECOY),
        "[]",
        "{}",
        "-1.5e+3",
        "0",
        "null",
        '"\\\\"',
        '"{[\\""',
    ]
)


@st.composite
def updates(draw: st.DrawFn, code: str) -> bytes:
    """The text of any ``bundle_update`` with ``code``."""
    inside = [("code", draw(literals(code)))]
    around = [("type", '"bundle_update"'), ("timestamp", "1")]
    for name in draw(st.sets(st.sampled_from(["sourceMap", "data", "payload", "type"]))):
        inside.append((name, draw(decoys)))
    for name in draw(st.sets(st.sampled_from(["code", "data", "x" * 300]))):
        around.append((name, draw(decoys)))
    text = draw(objects([*around, ("payload", draw(objects(inside)))]))
    return (draw(whitespace) + text + draw(whitespace)).encode()


class RoundTrips(SynchronousTestCase):
    @given(st.data(), codes, cuttings, st.booleans(), st.integers(1, 9))
    def test_update(
        self, data: st.DataObject, code: str, cuts: list[int], compressed: bool, parts: int
    ) -> None:
        wire = message(data.draw(updates(code)), compressed, parts, data.draw(st.integers(1, 3)))
        assert extracted(wire, cuts) == as_javascript_encodes(code)
        assert byte_by_byte(wire) == as_javascript_encodes(code)

    @given(st.data(), codes, cuttings, st.booleans(), st.integers(1, 9))
    def test_chunks(
        self, data: st.DataObject, code: str, cuts: list[int], compressed: bool, parts: int
    ) -> None:
        units = code.encode("utf-16-le", "surrogatepass")
        pieces = data.draw(st.lists(st.integers(0, len(units) // 2), max_size=5))
        edges = [0, *sorted(2 * piece for piece in pieces), len(units)]
        total = len(edges) - 1
        start = [("type", '"bundle_start"'), ("totalChunks", str(total)), ("code", '"no"')]
        wire = message(data.draw(objects(start)).encode(), compressed, parts)
        for index, (a, b) in enumerate(pairwise(edges)):
            piece = units[a:b].decode("utf-16-le", "surrogatepass")
            members = [
                ("type", '"bundle_chunk"'),
                ("index", str(index)),
                ("data", data.draw(literals(piece))),
                ("payload", data.draw(decoys)),
            ]
            wire += message(data.draw(objects(members)).encode(), compressed, parts)
        assert extracted(wire, cuts) == as_javascript_encodes(code)
        assert byte_by_byte(wire) == as_javascript_encodes(code)

    def test_real_sizes(self) -> None:
        code = CODE * 60_000
        half = len(code) // 2
        for compressed in (False, True):
            for wire in (
                update(code, compressed, parts=40),
                chunks([code[:half], code[half:]], compressed, parts=7),
            ):
                for block in (64 * KIB, 100_003):
                    got = extracted(wire, list(range(0, len(wire), block)))
                    self.assertEqual(got, code.encode())

    def test_a_surrogate_pair_over_chunks(self) -> None:
        pieces = ["a\ud83d", "", "\ude00b\ud83d", "\ud83d", "c\ud83d"]
        self.assertEqual(extracted(chunks(pieces)), "a😀b\ufffd\ufffdc\ufffd".encode())

    def test_backslashes_over_every_cut(self) -> None:
        for count in range(9):
            code = "\\" * count + '"' + "\\" * count
            self.assertEqual(byte_by_byte(update(code)), code.encode())

    def test_code_comes_before_the_bundle_has_its_end(self) -> None:
        wire = update("x" * 1_000_000, parts=4)
        extraction = Extraction()
        got = sum(len(piece) for piece in extraction.feed(wire[:500_000]))
        self.assertGreater(got, 499_000)

    def test_what_is_held_is_bounded(self) -> None:
        for text in (CODE * 100_000, "\\" * 2_000_000, '"' * 2_000_000, "\ud83d" * 600_000):
            wire = update(text, compressed=text[0] == CODE[0])
            extraction = Extraction()
            tracemalloc.start()
            try:
                for at in range(0, len(wire), 64 * KIB):
                    for _ in extraction.feed(wire[at : at + 64 * KIB]):
                        pass
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            self.assertLess(peak, 2 * MIB)


TOKENS = [
    *("{", "}", "[", "]", ",", ":", " ", "1", "-0.5e3", "01", "true", "nul", "-", "NaN", "x"),
    *('"type"', '"payload"', '"code"', '"bundle_update"', '"data"', '"', "\ufeff"),
]
UPDATE = [
    *("{", '"type"', ":", '"bundle_update"', ",", '"payload"', ":"),
    *("{", '"code"', ":", '"data"', ",", '"a"', ":", "[", "1", ",", "{", "}", "]", "}"),
    *(",", '"timestamp"', ":", "1", "}"),
]


class Members(list[tuple[str, Any]]):
    """An object as it stands there, with keys that stand twice."""

    def only(self, name: str) -> Any:
        values = [value for key, value in self if key == name]
        if len(values) > 1:
            raise ValueError(f"{name} stands twice")
        return values[0] if values else None


def refuse(constant: str) -> None:
    raise ValueError(constant)


def expected(text: str) -> bytes | None:
    """The code of what may be a ``bundle_update``, by another parser."""
    try:
        if text.startswith("\ufeff"):
            raise ValueError("a byte order mark")
        top = json.loads(text, object_pairs_hook=Members, parse_constant=refuse)
        if not isinstance(top, Members) or top.only("type") != "bundle_update":
            return None
        payload = top.only("payload")
        code = payload.only("code") if isinstance(payload, Members) else None
    except ValueError:
        return None
    return code.encode() if isinstance(code, str) else None


class NoBundles(SynchronousTestCase):
    def refused(self, wire: bytes, said: str) -> None:
        for read in (extracted, byte_by_byte):
            with self.assertRaisesRegex(Unreadable, said):
                read(wire)

    @settings(max_examples=500)
    @given(
        st.lists(
            st.tuples(st.integers(0, 40), st.integers(0, 3), st.sampled_from(TOKENS)), max_size=4
        ),
        cuttings,
    )
    def test_nearly_json(self, changes: list[tuple[int, int, str]], cuts: list[int]) -> None:
        tokens = UPDATE.copy()
        for at, removed, token in changes:
            tokens[at : at + removed] = [token]
        text = "".join(tokens)
        try:
            got = extracted(message(text.encode()), cuts)
        except Unreadable:
            got = None
        assert got == expected(text), text

    def test_what_is_not_json(self) -> None:
        for text, said in (
            (b"", "no end"),
            (b"nonsense", "not a JSON object"),
            (b'["bundle_update"]', "not a JSON object"),
            (b'"bundle_update"', "not a JSON object"),
            (b'{"type":"bundle_update","payload":{"code":"x"}', "no end"),
            (b'{"type":"bundle_update","payload":{"code":"x"}}}', "not JSON"),
            (b'{"type":"bundle_update","payload":{"code":"\\x"}}', "string"),
            (b'{"type":"bundle_update","payload":{"code":"\\u12"}}', "string"),
            (b'{"type":"bundle_update","payload":{"code":"a\nb"}}', "string"),
            (b'{"type":"bundle_update","payload":{"code":"\xff"}}', "string"),
            (b'{"type":"bundle_update","payload":{"code":"\xe2\x82"}}', "string"),
            (b'{"type":"bundle_update","payload":{"code":"\xed\xa0\xbd"}}', "string"),
            (b'{"type":"\xff"}', "not JSON"),
            (b'{"a":' + b"1" * 1000 + b"}", "number"),
            (b'{"a":' + b"[" * MOST_DEPTH, "deeper"),
        ):
            self.refused(message(text), said)

    def test_what_is_not_a_bundle(self) -> None:
        one = update("x")
        start = message(b'{"type":"bundle_start","totalChunks":1}')
        chunk = message(b'{"type":"bundle_chunk","index":0,"data":"x"}')
        for wire, said in (
            (b"", "no end"),
            (one[:-1], "no end"),
            (one[:1], "no end"),
            (one + b"\x81", "no end"),
            (one + one, "after the bundle's last"),
            (start, "0 of 1 chunks"),
            (start + chunk[:-1], "0 of 1 chunks|no end"),
            (start + chunk + chunk, "after the bundle's last"),
            (start + one, "bundle"),
            (chunk, "not of a bundle"),
            (start + message(b'{"type":"bundle_chunk","index":1,"data":"x"}'), "out of order"),
            (start + message(b'{"type":"bundle_chunk","index":0}'), "without data"),
            (message(b'{"type":"bundle_start"}'), "none"),
            (message(b'{"type":"bundle_start","totalChunks":"1"}'), "none"),
            (message(b'{"type":"bundle_start","totalChunks":0}'), "none"),
            (message(b'{"payload":{"code":"x"}}'), "not of a bundle"),
            (message(b'{"type":"bundle_update","payload":{"code":7}}'), "without code"),
            (message(b'{"type":"bundle_update","code":"x"}'), "without code"),
            (message(b'{"type":"bundle_update","payload":[{"code":"x"}]}'), "without code"),
            (message(b'{"type":"bundle_update","payload":{"code":"x","code":"y"}}'), "twice"),
            (
                message(b'{"type":"bundle_update","payload":{"code":"x"},"payload":0}'),
                "twice",
            ),
            (frame(BINARY, b"x"), "binary"),
            (frame(PING, b"x"), "not a server's frames"),
            (frame(TEXT | COMPRESSED, b"\xff" * 40), "inflated"),
            (b"\x81\x81aaaax", "masked"),
        ):
            self.refused(wire, said)

    def test_a_compressed_message_that_was_cut_short(self) -> None:
        text = b'{"type":"bundle_update","payload":{"code":"%b"}}' % (b"abc" * 1000)
        whole = message(text, compressed=True)[2:]
        self.refused(frame(TEXT | COMPRESSED, whole[:-6]), "cut short")

    def test_finished_streams_are_one_message(self) -> None:
        for compressed in (False, True):
            wire = update(CODE, compressed, parts=2, streams=3)
            self.assertEqual(byte_by_byte(wire), as_javascript_encodes(CODE))
        with self.assertRaisesRegex(Unreadable, "above 99000 bytes"):
            extracted(update("x" * 100_000, True, streams=3), limit=99_000)

    def test_above_the_limit(self) -> None:
        for compressed in (False, True):
            wire = update("x" * 100_000, compressed)
            self.assertEqual(len(extracted(wire, limit=101_000)), 100_000)
            with self.assertRaisesRegex(Unreadable, "above 99000 bytes"):
                extracted(wire, limit=99_000)

    def test_the_limit_is_a_message_s(self) -> None:
        wire = chunks(["x" * 50_000] * 5, compressed=True)
        self.assertEqual(len(extracted(wire, limit=51_000)), 250_000)
