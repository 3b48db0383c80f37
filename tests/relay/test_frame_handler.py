"""`apptuner_relay.relay.frame_handler.make_flow`: what the flow of a connection is made of."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.slow_consumers import BRIDGED_PATIENCE_S
from apptuner_relay.relay.member import Member
from apptuner_relay.wire.frames import FrameError, FrameReader
from apptuner_relay.wire.peer_frames import PeerReader
from tests.memory import Relay, masked


class Ends(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay(max_message=5000)
        self.client = self.relay.connect("/cli/ABC234")
        (member,) = self.relay.service.clients
        assert isinstance(member, Member)
        self.connection = member.connection

    def test_a_client_is_read_up_to_the_limit(self) -> None:
        flow = self.relay.service.make_flow(self.connection, FrameReader)
        data = masked(1, b"x" * 5001)
        buffer = self.relay.service.buffer
        buffer.room[: len(data)] = data
        pieces = flow.reader.feed(buffer.data, buffer.START, buffer.START + len(data))
        wrong = self.assertRaises(FrameError, list, pieces)
        self.assertEqual(wrong.code, 1009)

    def test_what_comes_from_another_relay_is_waited_for_longer(self) -> None:
        service = self.relay.service
        near = service.make_flow(self.connection, FrameReader)
        far = service.make_flow(self.connection, PeerReader)
        self.assertEqual(far.sink.patience_s, BRIDGED_PATIENCE_S)
        self.assertLess(near.sink.patience_s, far.sink.patience_s)

    def test_the_ends_hold_and_resume_their_connection(self) -> None:
        flow = self.relay.service.make_flow(self.connection, FrameReader)
        flow.source.hold(self)
        self.assertEqual(self.client.transport.producerState, "paused")
        flow.source.let_go(self)
        self.assertEqual(self.client.transport.producerState, "producing")
