"""`apptuner_relay.web.join_link`: by which address phones are told to come, and its QR code."""

import re

import segno
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.address import Relay
from apptuner_relay.web.join_link import (
    BadBase,
    Base,
    Reach,
    find_base,
    make_link,
    make_qr_code,
)

PUBLIC = "https://relay.example.com/"


class Bases(SynchronousTestCase):
    def find(self, asked: str, public_url: str = "", lan: str | None = None) -> tuple[str, Reach]:
        return find_base(asked, public_url, lambda port: lan and f"{lan}" if port else None)

    def test_the_address_that_was_asked(self) -> None:
        for asked in (
            "http://192.168.1.20:3000",
            "https://relay.example.com",
            "https://relay.example.com:8443/apptuner",
            "wss://[2001:db8::1]:3000",
            "http://relay",
        ):
            for more in ((), (PUBLIC,), ("", "10.0.0.1")):
                self.assertEqual(self.find(asked, *more), (asked, Reach.ASKED))
        self.assertEqual(self.find("http://relay/"), ("http://relay", Reach.ASKED))

    def test_localhost_is_another_machine_on_a_phone(self) -> None:
        for asked in (
            *("http://localhost:3000", "http://127.0.0.1:3000", "http://127.8.8.8:3000"),
            *("http://[::1]:3000", "http://relay.localhost:3000", "http://LOCALHOST:3000"),
            *("http://0.0.0.0:3000", "http://localhost.:3000", "http://[::ffff:127.0.0.1]:3000"),
        ):
            self.assertEqual(self.find(asked), (asked, Reach.LOOPBACK))
            self.assertEqual(self.find(asked, PUBLIC), (PUBLIC[:-1], Reach.PUBLIC))
            lan = self.find(asked, "", "192.168.1.20")
            self.assertEqual(lan, ("http://192.168.1.20:3000", Reach.LAN))
        lan = self.find("https://localhost/below/", "", "192.168.1.20")
        self.assertEqual(lan, ("https://192.168.1.20:443/below", Reach.LAN))

    def test_the_port_that_is_looked_for(self) -> None:
        ports: list[int] = []
        for asked in ("http://localhost", "wss://localhost", "ws://localhost:8080/x"):
            find_base(asked, "", lambda port: ports.append(port))  # type: ignore[func-returns-value]
        self.assertEqual(ports, [80, 443, 8080])

    def test_what_is_no_url_of_a_relay(self) -> None:
        for wrong in (
            *("", "localhost", "ftp://x", "http://", "http://x:y", "http://x:99999", "http://a b"),
            *("http://x?q", "http://x#f", "http://u:p@x", 'http://x"', "http://x/<b>"),
            *("javascript:alert(1)", "http://:80/", "http://[x", "http://" + "x" * 300),
        ):
            self.assertRaises(BadBase, self.find, wrong)

    @given(st.one_of(st.text(max_size=40), st.from_regex(r"https?://[^/?#]{0,30}(/.{0,20})?")))
    def test_whatever_comes(self, asked: str) -> None:
        try:
            url, reach = self.find(asked)
        except BadBase:
            return
        link = make_link(Base(url, reach), "ABC234", None)
        self.assertRegex(link, r"\Awss?://[!-~]+/mobile/ABC234\Z")
        self.assertNotIn('"', link)


class Links(SynchronousTestCase):
    def test_as_the_companion_program_prints_them(self) -> None:
        for url, socket_url in (
            ("http://192.168.1.20:3000", "ws://192.168.1.20:3000"),
            ("https://relay.example.com/below", "wss://relay.example.com/below"),
            ("WSS://relay", "wss://relay"),
        ):
            base = Base(url, Reach.ASKED)
            self.assertEqual(make_link(base, "ABC234", None), f"{socket_url}/mobile/ABC234")
            self.assertEqual(
                make_link(base, "A_c-4", "69.x_-y"), f"{socket_url}/mobile/A_c-4?token=69.x_-y"
            )
        self.assertEqual(
            make_link(Base("http://relay", Reach.ASKED), "ABC234", "6a.b"),
            "ws://relay"
            + Relay.parse("ws://relay").resource("mobile", "ABC234", {"token": "6a.b"}),
        )


class QrCodes(SynchronousTestCase):
    def test_every_module_is_drawn(self) -> None:
        for text in ("ws://192.168.1.20:3000/mobile/ABC234", "wss://relay/x?token=" + "a" * 98):
            code = make_qr_code(text)
            self.assertEqual(drawn(code.path, code.modules), expected(text))
            self.assertLess(len(code.path), 16_384)


def expected(text: str) -> list[list[int]]:
    """The modules, with the border of four that the standard asks for."""
    made = segno.make(text, error="l", micro=False)
    return [[int(one) for one in row] for row in made.matrix_iter(border=4)]


def drawn(path: str, modules: int) -> list[list[int]]:
    """What SVG draws by such a path."""
    rows = [[0] * modules for _ in range(modules)]
    part = r"M(\d+) (\d+)h(\d+)v1h-(\d+)z"
    assert re.fullmatch(f"(?:{part})+", path)
    for x, y, length, back in re.findall(part, path):
        assert length == back
        for at in range(int(x), int(x) + int(length)):
            rows[int(y)][at] = 1
    return rows
