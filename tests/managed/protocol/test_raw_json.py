"""`managed.protocol.raw_json`: takes apart what `json` parses, and changes nothing."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.protocol.raw_json import array_items, is_object, object_fields

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


class RawJson(SynchronousTestCase):
    @given(st.dictionaries(st.text(), JSON), st.sampled_from([None, 1, "\t \r\n"]))
    def test_an_object(self, value: dict[str, Any], indent: int | str | None) -> None:
        fields = object_fields(f" {json.dumps(value, indent=indent)}\n")
        self.assertEqual({name: json.loads(text) for name, text in fields.items()}, value)

    @given(st.lists(JSON), st.sampled_from([None, 1, "\t \r\n"]))
    def test_an_array(self, value: list[Any], indent: int | str | None) -> None:
        items = array_items(f" {json.dumps(value, indent=indent)}\n")
        self.assertEqual([json.loads(text) for text in items], value)

    def test_the_texts_are_as_they_were(self) -> None:
        items = array_items('[ {"a" : 1e400} ,"\\u00e9", 1.0 ]')
        self.assertEqual(items, ['{"a" : 1e400}', '"\\u00e9"', "1.0"])

    def test_the_last_of_two_counts(self) -> None:
        self.assertEqual(object_fields('{"a":1,"a":2}'), {"a": "2"})

    @given(st.text(alphabet='{}[]:,"a1\\ \n-.eNu', max_size=20))
    @example('{"a":1}x')
    @example('{"a":1,}')
    @example("{1:1}")
    @example('{"a" 1}')
    @example('{"a":NaN}')
    @example("[1,]")
    @example("[1 2]")
    @example("[Infinity]")
    @example("[" * 100_000)
    @example("")
    def test_what_json_refuses_is_refused(self, text: str) -> None:
        def refuse(name: str) -> None:
            raise ValueError(name)

        try:
            value = json.loads(text, parse_constant=refuse)
        except (ValueError, RecursionError):
            value = None
        for take_apart, kind in ((object_fields, dict), (array_items, list)):
            try:
                take_apart(text)
                taken = True
            except ValueError:
                taken = False
            self.assertEqual(taken, isinstance(value, kind))
        self.assertEqual(is_object(text), isinstance(value, dict))
