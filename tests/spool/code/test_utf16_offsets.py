"""`apptuner_relay.spool.code.utf16_offsets`: any text in any blocks, and every offset in it."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.code.utf16_offsets import BytesOfUnits, UnitsOfBytes, utf16_length
from apptuner_relay.wire.bundle_patch import BadPatch, PatchFault
from tests.spool.code.test_json_string import CUTS, pieces

TEXTS = st.text(st.sampled_from("ab\n\r\u2028\ufeffé€\ufffd😀🛒"), max_size=40)


def mapped(mapping: BytesOfUnits | UnitsOfBytes, data: bytes, cuts: list[int]) -> list[int]:
    for piece in pieces(data, cuts):
        mapping.feed(piece)
    return mapping.finish()


class Offsets(SynchronousTestCase):
    @given(TEXTS, CUTS)
    def test_every_offset_both_ways(self, text: str, cuts: list[int]) -> None:
        units = [utf16_length(text[:at]) for at in range(len(text) + 1)]
        sizes = [len(text[:at].encode()) for at in range(len(text) + 1)]
        to_bytes = BytesOfUnits(units)
        self.assertEqual(mapped(to_bytes, text.encode(), cuts), sizes)
        self.assertEqual((to_bytes.units, to_bytes.size), (units[-1], sizes[-1]))
        to_units = UnitsOfBytes(sizes)
        self.assertEqual(mapped(to_units, text.encode(), cuts), units)
        self.assertEqual((to_units.units, to_units.size), (units[-1], sizes[-1]))

    @given(TEXTS, CUTS)
    def test_offsets_may_repeat(self, text: str, cuts: list[int]) -> None:
        end = utf16_length(text)
        found = mapped(BytesOfUnits([0, 0, end, end]), text.encode(), cuts)
        self.assertEqual(found, [0, 0, len(text.encode()), len(text.encode())])

    @given(CUTS)
    def test_inside_a_surrogate_pair(self, cuts: list[int]) -> None:
        for offset in (2, 4):
            with self.assertRaises(BadPatch) as caught:
                mapped(BytesOfUnits([1, offset]), "a😀🛒b".encode(), cuts)
            self.assertIs(caught.exception.fault, PatchFault.SURROGATE)

    @given(TEXTS, CUTS)
    def test_beyond_the_end(self, text: str, cuts: list[int]) -> None:
        with self.assertRaises(BadPatch) as caught:
            mapped(BytesOfUnits([utf16_length(text) + 1]), text.encode(), cuts)
        self.assertIs(caught.exception.fault, PatchFault.BOUNDS)
