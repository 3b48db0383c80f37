"""`apptuner_relay.relay.notices`: what the relay says, and how often."""

import json

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.traffic import Traffic
from apptuner_relay.relay.member import Member
from apptuner_relay.relay.notices import Notices
from tests.memory import Relay


class Saying(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()
        self.client = self.relay.connect("/cli/ABC234")
        (member,) = self.relay.service.clients
        assert isinstance(member, Member)
        self.traffic = Traffic()
        self.notices = Notices(
            member.sink, member.source, self.traffic, self.relay.clock.seconds, lambda: 7
        )

    def test_each_is_one_message_and_is_counted(self) -> None:
        self.notices.tell(b'{"type":"one"}')
        self.notices.answer(b'{"type":"two"}')
        self.assertEqual(self.client.types(), ["one", "two"])
        self.assertEqual(self.traffic.sent, 2)

    def test_complaints_come_at_most_once_a_second(self) -> None:
        for _ in range(3):
            self.notices.complain("Mobile device not connected")
        self.relay.wait(1)
        self.notices.complain("Mobile device not connected")
        self.client.read()
        texts = [json.loads(message) for message in self.client.messages]
        self.assertEqual([one["type"] for one in texts], ["error"] * 2)
        self.assertIn("Mobile device not connected", str(texts[0]))
