"""`apptuner_relay.flow.dispatch`: short messages as one frame, long ones as logs."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.dispatch import Dispatch
from apptuner_relay.flow.intake import SHORT_BYTES
from apptuner_relay.flow.log_maker import LogMaker
from apptuner_relay.flow.pipeline import MessageInfo
from apptuner_relay.flow.slow_consumers import SlowConsumers
from apptuner_relay.wire.frames import COMPRESSED, TEXT, FrameError, frame
from tests.flow.parts import WINDOW, Connection, messages
from tests.memory import deflated
from tests.workers import Inline

LIMIT = 1 << 20


class Phone(Connection):
    """A recipient."""

    chunks = False

    def __init__(self, deflates: bool = False) -> None:
        super().__init__(SlowConsumers(1, 1, lambda: 0.0))
        self.deflates = deflates


class DispatchTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.cli = Connection(SlowConsumers(1, 1, lambda: 0.0))
        self.refused: list[int] = []
        self.workers = Inline()
        logs = LogMaker(WINDOW, self.workers, lambda session: None)
        self.dispatch = Dispatch(self.cli.source, "hash", logs, self.refuse)

    def refuse(self, code: int, reason: str) -> None:
        self.refused.append(code)

    def message(self, size: int | None, compressed: bool = False) -> MessageInfo:
        opcode = TEXT | COMPRESSED if compressed else TEXT
        return MessageInfo(opcode, "log", b"{", size, LIMIT, False, 0)

    def send(
        self, payload: bytes, phones: list[Phone], announced: bool, compressed: bool = False
    ) -> None:
        """Send a message in three pieces, each in a block of its own."""
        info = self.message(len(payload) if announced else None, compressed)
        intake = self.dispatch.open(info, phones)
        third = len(payload) // 3
        for start, stop in ((0, third), (third, 2 * third), (2 * third, len(payload))):
            intake.write(payload[start:stop], stop == len(payload))
            self.cli.source.flush()

    def test_short_message_is_one_frame(self) -> None:
        for announced in (True, False):
            phone = Phone()
            self.send(b"x" * SHORT_BYTES, [phone], announced)
            self.assertEqual(phone.got, frame(TEXT, b"x" * SHORT_BYTES))

    def test_long_message_leaves_before_its_end_has_come(self) -> None:
        for announced in (True, False):
            phone = Phone()
            payload = b"x" * (6 * SHORT_BYTES)
            intake = self.dispatch.open(self.message(len(payload) if announced else None), [phone])
            intake.write(payload[: 4 * SHORT_BYTES], False)
            self.cli.source.flush()
            self.assertGreater(len(phone.got), SHORT_BYTES)
            intake.write(payload[4 * SHORT_BYTES :], True)
            self.cli.source.flush()
            self.assertEqual(messages(phone.got), ([payload], [], b""))

    def test_each_recipient_gets_the_form_that_it_takes(self) -> None:
        text = b'{"a":"' + b"y" * 2000 + b'"}'
        plain, compressing = Phone(), Phone(deflates=True)
        self.send(deflated(text), [plain, compressing], True, compressed=True)
        self.assertEqual(plain.got, frame(TEXT, text))
        self.assertEqual(compressing.got, frame(TEXT | COMPRESSED, deflated(text)))

    def test_short_message_that_inflates_to_a_long_one(self) -> None:
        text = b'{"a":"' + b"y" * (4 * SHORT_BYTES) + b'"}'
        phone = Phone()
        self.send(deflated(text), [phone], True, compressed=True)
        self.assertEqual(messages(phone.got), ([text], [], b""))

    def test_bad_short_message_is_refused(self) -> None:
        for payload in (b"\xff" * 10, deflated(b"\xff\xff")):
            with self.assertRaises(FrameError) as caught:
                self.send(payload, [Phone()], True, compressed=True)
            self.assertEqual(caught.exception.code, 1007)

    def test_message_whose_rest_never_comes(self) -> None:
        phone = Phone()
        intake = self.dispatch.open(self.message(None), [phone])
        intake.write(b"x" * 10, False)
        intake.cut("gone")
        self.assertEqual((phone.got, phone.closed), (b"", None))
        intake = self.dispatch.open(self.message(None), [phone])
        intake.write(b"x" * (4 * SHORT_BYTES), False)
        self.cli.source.flush()
        intake.cut("gone")
        self.assertEqual(phone.closed, (1011, "a message was cut short: gone"))
