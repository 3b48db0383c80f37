"""`apptuner_relay.relay.delayed_logs`: what becomes of logs that waited."""

from apptuner_relay.relay.member import Member
from apptuner_relay.session.session import Role
from apptuner_relay.wire.frames import COMPRESSED, TEXT
from tests.memory import deflated, masked
from tests.relay.logging_case import LoggingCase


class Delayed(LoggingCase):
    def test_the_last_lines_before_a_phone_goes(self) -> None:
        cli, phone = self.session()
        for n in range(80):
            self.log(phone, n)
        self.log(phone, 80, "error", stack="x" * 3000)
        self.logged(cli)
        phone.lose()
        messages = cli.received()
        self.assertEqual(
            [one["payload"].get("n") for one in messages[:-2]], [None, *range(70, 80), 80]
        )
        self.assertEqual(
            [one["type"] for one in messages[-2:]], ["mobile_disconnected", "device_list"]
        )

    def test_the_last_lines_before_a_session_moves(self) -> None:
        cli, phone = self.session()
        for n in range(80):
            self.log(phone, n)
        self.logged(cli)
        (member,) = (one for one in self.relay.service.clients if one.role is Role.MOBILE)
        assert isinstance(member, Member)
        member.halt()
        self.assertEqual(self.logged(cli), list(range(70, 80)))

    def test_a_bad_one_that_waited_ends_its_sender(self) -> None:
        cli, phone = self.session(deflate=True)
        for n in range(50):
            self.log(phone, n)
        text = b'{"type":"console_log","payload":{"level":"log","n":"%b\xff"}}' % (b"x" * 600)
        phone.send_raw(masked(TEXT | COMPRESSED, deflated(text)))
        self.log(phone, 51)
        self.logged(cli)
        self.relay.wait(1)
        phone.read()
        self.assertEqual((phone.closed or (0,))[0], 1007)
        self.assertEqual(self.logged(cli), [])

    def test_logs_wait_in_vain_where_nobody_listens_any_more(self) -> None:
        cli, phone = self.session()
        for n in range(70):
            self.log(phone, n)
        cli.lose()
        self.relay.wait(2)
        self.log(phone, 70)
        cli = self.relay.connect("/cli/ABC234")
        self.log(phone, 71)
        self.assertEqual(self.logged(cli), [71])
