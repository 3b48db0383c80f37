"""What tests of the flow share: connections with a watch on slow ones, and long messages."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.follower import Follower
from apptuner_relay.flow.intake import LogIntake, WholeLogIntake
from apptuner_relay.flow.log import Log
from apptuner_relay.flow.slow_consumers import SlowConsumers
from apptuner_relay.wire.frames import PONG, TEXT, frame
from tests.flow.parts import PLENTY, WINDOW, Buffer, Connection, LateFile

LIMIT = 50 << 20
PIECE = b"." * 40_000
"""Enough to be sent without waiting for more."""
PONG_FRAME = frame(PONG, b"pong")


def text(data: bytes) -> bytes:
    return frame(TEXT, data)


class FlowTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.slow = SlowConsumers(slow_rate=100, slow_s=10, seconds=self.clock.seconds)
        self.buffer: Buffer | None = None

    def connect(self, room: int = PLENTY, takes_parts: bool = True) -> Connection:
        return Connection(self.slow, room, self.clock, self.buffer, takes_parts)

    def open(self, cli: Connection, *phones: Connection, kept: bool = False) -> "Message":
        """A long message that begins."""
        return Message(cli, phones, LateFile() if kept else None)


class Message:
    """A long message of ``cli`` to ``phones``."""

    def __init__(
        self, cli: Connection, phones: tuple[Connection, ...], file: LateFile | None = None
    ) -> None:
        self.file = file
        self.log = Log(cli.source, WINDOW, file)
        self._source = cli.source
        self._intake: LogIntake = WholeLogIntake(cli.source, self.log, TEXT, LIMIT)
        cli.source.feeds = [phone.sink for phone in phones]
        for phone in phones:
            phone.sink.follow(Follower(phone.sink, self.log), cli.source)

    def write(self, data: bytes, end: bool = False) -> None:
        self._intake.write(data, end)

    def send(self, data: bytes, end: bool = False) -> None:
        """In a block of its own."""
        self.write(data, end)
        self._source.flush()

    def cut(self, why: str = "gone") -> None:
        self._intake.cut(why)
