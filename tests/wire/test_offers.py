"""`apptuner_relay.wire.offers`: what is taken of what clients offer."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.offers import (
    Deflate,
    Offer,
    choose_deflate,
    choose_subprotocol,
    parse_offers,
    parse_subprotocols,
    read_subprotocols,
)

TOKENS = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=8)
QUOTABLE = st.text('ab,;="\\ \t', max_size=8)
SPACES = st.sampled_from(["", " ", "\t", "  "])
PLAIN, WITH_WINDOW = Deflate(False), Deflate(True)


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def offers(draw: st.DrawFn) -> tuple[str, Offer]:
    """An offer as it may be written, and what it says."""

    def space() -> str:
        return draw(SPACES)

    name = draw(TOKENS)
    text, parameters = space() + name, []
    for _ in range(draw(st.integers(0, 3))):
        key = draw(TOKENS)
        text += f"{space()};{space()}{key}"
        value = draw(st.none() | TOKENS | QUOTABLE.map(quote))
        said = value
        if value is not None:
            text += f"{space()}={space()}{value}"
            if value.startswith('"'):
                said = draw(st.just(value[1:-1].replace('\\"', '"').replace("\\\\", "\\")))
        parameters.append((key.lower(), said))
    return text + space(), Offer(name.lower(), tuple(parameters))


class Parsing(SynchronousTestCase):
    @given(st.lists(offers()))
    def test_whatever_the_grammar_allows(self, drawn: list[tuple[str, Offer]]) -> None:
        text = ",".join(text for text, _ in drawn)
        for found, (_, offer) in zip(parse_offers(text), drawn, strict=True):
            self.assertEqual(found.name, offer.name)
            for (key, value), (expected, said) in zip(
                found.parameters, offer.parameters, strict=True
            ):
                self.assertEqual(key, expected)
                if said is not None and "\\" not in said:
                    self.assertEqual(value, said)

    @given(st.text('ab;,="\\ p8', max_size=30))
    def test_whatever_else(self, text: str) -> None:
        for offer in parse_offers(text):
            self.assertTrue(offer.name)
        choose_deflate(text)

    def test_separators_within_quotes(self) -> None:
        self.assertEqual(
            list(parse_offers(r'a; x="1,2;\"3", b')),
            [Offer("a", (("x", '1,2;"3'),)), Offer("b")],
        )

    def test_malformed_ones_are_left_out(self) -> None:
        for bad in ("a;", ";", "a; =1", "a b", "a; x=", 'a; x="1"2', "a@", "a;;x"):
            self.assertEqual(list(parse_offers(f"{bad}, b")), [Offer("b")], bad)
        self.assertEqual(list(parse_offers('b, a; x="1, c')), [Offer("b")])
        self.assertEqual(list(parse_offers(",, b ,")), [Offer("b")])


class PermessageDeflate(SynchronousTestCase):
    def test_taken(self) -> None:
        for text in (
            "permessage-deflate",
            "Permessage-Deflate; Client_Max_Window_Bits",
            "permessage-deflate; client_max_window_bits=8",
            "permessage-deflate; client_max_window_bits=15",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-foo; a=1, permessage-deflate",
        ):
            self.assertEqual(choose_deflate(text), PLAIN, text)

    def test_the_full_window_by_name(self) -> None:
        for text in (
            "permessage-deflate; server_max_window_bits=15",
            'permessage-deflate; server_max_window_bits="15"',
            r'permessage-deflate; server_max_window_bits="1\5"',
            "permessage-deflate; server_max_window_bits = 15; client_max_window_bits",
        ):
            self.assertEqual(choose_deflate(text), WITH_WINDOW, text)
        self.assertEqual(str(WITH_WINDOW), "permessage-deflate; server_max_window_bits=15")

    def test_declined(self) -> None:
        for parameters in (
            "x",
            "x=1",
            "server_max_window_bits=8",
            "server_max_window_bits=14",
            "server_max_window_bits",
            "server_max_window_bits=015",
            "server_max_window_bits=16",
            "server_max_window_bits=١٥",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            'client_max_window_bits=""',
            "client_max_window_bits; client_max_window_bits",
            "client_max_window_bits; client_max_window_bits=9",
            "server_no_context_takeover=1",
            "client_no_context_takeover; CLIENT_no_context_takeover",
            "",
        ):
            text = f"permessage-deflate; {parameters}"
            self.assertIsNone(choose_deflate(text), text)
            self.assertEqual(choose_deflate(f"{text}, permessage-deflate"), PLAIN, text)
        for text in ("", "permessage-bzip2", "x-webkit-deflate-frame"):
            self.assertIsNone(choose_deflate(text), text)

    def test_the_first_that_can_be_taken(self) -> None:
        text = (
            "permessage-deflate; server_max_window_bits=10,"
            "permessage-deflate; server_max_window_bits=15,permessage-deflate"
        )
        self.assertEqual(choose_deflate(text), WITH_WINDOW)


class Subprotocols(SynchronousTestCase):
    def test_which_is_answered(self) -> None:
        for asked, answered in [
            ("", None),
            ("apptuner", "apptuner"),
            ("graphql-ws, apptuner", "apptuner"),
            ("v2.apptuner, apptuner", "v2.apptuner"),
            ("graphql-ws,mqtt", "graphql-ws"),
            ("a b, mqtt", "mqtt"),
            ('"q", ,', None),
            ("mqtt, mqtt", "mqtt"),
            ("Apptuner", "Apptuner"),
        ]:
            names = parse_subprotocols(asked)
            found = choose_subprotocol(names, ("apptuner", "v2.apptuner"))
            self.assertEqual(found, answered, asked)

    @given(st.text())
    def test_nothing_but_tokens(self, asked: str) -> None:
        names = parse_subprotocols(asked)
        self.assertEqual(len(set(names)), len(names))
        for name in names:
            self.assertTrue(name.isascii() and name.isprintable() and " " not in name)

    def test_the_option(self) -> None:
        self.assertEqual(read_subprotocols("a, b b"), ("a", "b"))
        for text in ("", "a;b", "ä", '"a"'):
            with self.assertRaises(ValueError):
                read_subprotocols(text)
