"""`apptuner_relay.wire.dictionary_transport`: the fields, the header and the window of ``dcz``."""

import base64
import hashlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.dictionary_transport import (
    read_available_dictionary,
    read_dcz_header,
    tag_of_dictionary,
    window_log,
    write_available_dictionary,
    write_dcz_header,
    write_use_as_dictionary,
)

MIB = 1024 * 1024
SHA256 = hashlib.sha256(b"a").hexdigest()
FIELD = ":ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=:"


class FieldsTest(SynchronousTestCase):
    def test_available_dictionary(self) -> None:
        self.assertEqual(write_available_dictionary(SHA256), FIELD)
        for field in (FIELD, f"  {FIELD} ", f"{FIELD};a=1", f"{FIELD} ; b", FIELD[:-2] + ":"):
            self.assertEqual(read_available_dictionary(field), SHA256, field)

    def test_what_is_malformed_is_none(self) -> None:
        for field in (
            None,
            "",
            "::",
            FIELD[1:],
            FIELD[:-1],
            f"{FIELD}, {FIELD}",
            f'"{FIELD}"',
            SHA256,
            f":{SHA256}:",
            FIELD.replace("+", "!").replace("y", "é"),
            f":{base64.b64encode(b'x' * 31).decode()}:",
            f":{base64.b64encode(b'x' * 33).decode()}:",
            f"{FIELD}x",
        ):
            self.assertIsNone(read_available_dictionary(field), field)

    @given(st.binary(min_size=32, max_size=32))
    def test_any_hash(self, value: bytes) -> None:
        field = write_available_dictionary(value.hex())
        self.assertEqual(read_available_dictionary(field), value.hex())
        self.assertEqual(read_dcz_header(write_dcz_header(value.hex()) + b"rest"), value.hex())

    @given(st.text(max_size=60))
    def test_any_text(self, text: str) -> None:
        self.assertIn(len(read_available_dictionary(text) or ""), (0, 64))

    def test_use_as_dictionary(self) -> None:
        self.assertEqual(write_use_as_dictionary("/bundles/A-_9"), 'match="/bundles/A-_9{/*}?"')

    def test_tags_of_different_dictionaries_differ(self) -> None:
        self.assertEqual(tag_of_dictionary(SHA256), "dcz-ca978112ca1b")


class HeaderTest(SynchronousTestCase):
    def test_what_is_none(self) -> None:
        header = write_dcz_header(SHA256)
        self.assertEqual(len(header), 40)
        for data in (b"", header[:-1], b"\x28\xb5\x2f\xfd" + header, b"x" * 50):
            self.assertIsNone(read_dcz_header(data))


class WindowTest(SynchronousTestCase):
    def test_as_long_as_the_code_but_no_longer_than_clients_take(self) -> None:
        for base, size, expected in (
            (15 * MIB, 15 * MIB, 24),
            (45 * MIB, 45 * MIB, 26),
            (1, 15 * MIB, 23),
            (100, 100, 10),
            (8, 0, 10),
            (8, 1, 10),
            (5 * MIB, 5 * MIB, 23),
            (15 * MIB, 500 * MIB, 25),
            (128 * MIB, 500 * MIB, 27),
            (2**27, 2**27, 27),
        ):
            self.assertEqual(window_log(base, size), expected, (base, size))
