"""`apptuner_relay.flow.intake`: what becomes of a message that is bad."""

from apptuner_relay.wire.frames import COMPRESSED, TEXT
from tests.flow.compression import NOISY_BUNDLE, TEXT_OF_BUNDLE, Case, compressed
from tests.memory import deflated, finished, masked


class Bad(Case):
    def test_bomb_behind_a_final_block(self) -> None:
        start, rest = b'{"type":"bundle_update","payload":"', b"x" * 60_000_000 + b'"}'
        bomb = masked(TEXT | COMPRESSED, finished(start, rest))
        for deflate in ("a", "", "ab"):
            cli, phones = self.session("a", "b", deflate=deflate)
            self.send(cli, bomb, 65_000)
            cli.read()
            self.assertEqual((cli.closed or (0,))[0], 1009)
            for phone in phones:
                phone.read()
                self.assertEqual(phone.messages, [])

    def test_bomb_ends_its_sender_and_nobody_else_notices(self) -> None:
        bomb = compressed(b'{"type":"bundle_update","payload":"' + b"x" * 60_000_000 + b'"}')
        for deflate in ("a", "", "ab"):
            cli, phones = self.session("a", "b", deflate=deflate)
            dashboard = self.relay.connect("/dashboard/ABC234")
            self.send(cli, bomb, 65_000)
            cli.read()
            self.assertEqual((cli.closed or (0,))[0], 1009)
            for client in (*phones, dashboard):
                client.read()
                self.assertIsNone(client.closed)
            for phone in phones:
                self.assertEqual(phone.frames, [])
            cli.lose()
            cli = self.relay.connect("/cli/ABC234", deflate=True)
            cli.send(type="reload")
            for phone in phones:
                self.assertEqual(phone.types(), ["reload"])
                phone.lose()

    def test_phone_cannot_bomb_the_desktop_side(self) -> None:
        varied = b'{"type":"x","y":"'
        varied += b"".join(b"%d %d " % (i, i * i) * 99 for i in range(40_000))
        _cli, (phone,) = self.session("a", deflate="a")
        self.send(phone, compressed(varied), 65_000)
        phone.read()
        self.assertEqual((phone.closed or (0,))[0], 1009)

    def test_what_cannot_be_inflated(self) -> None:
        for deflate in ("a", ""):
            cli, (phone,) = self.session("a", deflate=deflate)
            payload = deflated(TEXT_OF_BUNDLE)
            noise = bytes(i * 31 % 256 for i in range(len(payload) // 2))
            self.send(cli, masked(TEXT | COMPRESSED, b"\x07" + noise + payload))
            cli.read()
            self.assertEqual((cli.closed or (0,))[0], 1007)
            phone.read()
            self.assertIsNone(phone.closed)
            phone.lose()

    def test_bad_text_is_found_where_it_is_inflated(self) -> None:
        cli, (phone,) = self.session("i")
        self.send(cli, compressed(b'{"type":"x","y":"' + b"\xff" * 5000))
        cli.read()
        self.assertEqual((cli.closed or (0,))[0], 1007)
        phone.read()
        self.assertIsNone(phone.closed)

    def test_sender_dies_in_mid_message(self) -> None:
        cli, phones = self.session("a", "i", deflate="a")
        cli.send_raw(compressed(NOISY_BUNDLE)[:200_000])
        cli.lose()
        for phone in phones:
            phone.read()
            self.assertEqual((phone.closed or (0,))[0], 1011)

    def test_sender_dies_before_anybody_has_got_anything(self) -> None:
        cli, phones = self.session("a", "i", deflate="a")
        cli.send_raw(compressed(NOISY_BUNDLE)[:20_000])
        cli.lose()
        cli = self.relay.connect("/cli/ABC234", deflate=True)
        cli.send_raw(compressed(TEXT_OF_BUNDLE))
        for phone in phones:
            self.assertEqual(phone.types(), ["bundle_update"])
            self.assertIsNone(phone.closed)
