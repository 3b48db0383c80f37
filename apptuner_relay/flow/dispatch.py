"""Sends the messages of one source that are no bundles: short ones as one frame, long ones as
logs."""

from collections.abc import Callable, Sequence
from functools import partial

from apptuner_relay.flow.follower import Follower
from apptuner_relay.flow.intake import (
    SHORT_BYTES,
    AssemblingIntake,
    DiscardingIntake,
    Intake,
    WholeLogIntake,
    guarded,
)
from apptuner_relay.flow.log_maker import LogMaker
from apptuner_relay.flow.pipeline import MessageInfo, Recipient, form_for
from apptuner_relay.flow.source import Source
from apptuner_relay.wire.deflate import Inflation
from apptuner_relay.wire.frames import (
    CLOSE_INVALID_PAYLOAD,
    COMPRESSED,
    TEXT,
    Frame,
    FrameError,
    frame,
)
from apptuner_relay.wire.text import is_text


class Dispatch:
    """The messages of one source.

    :param refuse: closes the member's connection with a close code and a reason: what it sent is
        bad.
    """

    __slots__ = (
        "_logs",
        "_refuse",
        "_session_hash",
        "_source",
    )

    def __init__(
        self,
        source: Source,
        session_hash: str,
        logs: LogMaker,
        refuse: Callable[[int, str], None],
    ) -> None:
        self._source = source
        self._session_hash = session_hash
        self._logs = logs
        self._refuse = refuse

    def open(self, message: MessageInfo, recipients: Sequence[Recipient]) -> Intake:
        """Where the pieces of a message go that begins."""
        long = partial(self._open_log, message, recipients)
        if message.size is not None and message.size > SHORT_BYTES:
            return long()
        return AssemblingIntake(partial(self.send_short, message, recipients), long)

    def send_short(
        self,
        message: MessageInfo,
        recipients: Sequence[Recipient],
        payload: Frame,
        data: Frame | None = None,
    ) -> None:
        """Send a message that has come whole.

        :param data: the server frame that holds it, where there is one, good until the source's
            flush.
        :raises FrameError: what was sent is bad.
        """
        as_it_is = recipients
        if message.compressed:
            guarded(message, DiscardingIntake()).write(payload, True)
            as_it_is = [one for one in recipients if one.deflates]
            if len(as_it_is) < len(recipients):
                others = [one for one in recipients if not one.deflates]
                self._send_inflated(message, others, payload)
        if as_it_is:
            self._send(frame(message.opcode, bytes(payload)) if data is None else data, as_it_is)

    def _send(self, data: Frame, recipients: Sequence[Recipient]) -> None:
        self._source.feeds = [one.sink for one in recipients]
        for one in recipients:
            one.sink.send(data, self._source)

    def _send_inflated(
        self, message: MessageInfo, recipients: Sequence[Recipient], payload: Frame
    ) -> None:
        inflation = Inflation(message.limit)
        inflation.feed(bytes(payload), True)
        text = inflation.read(SHORT_BYTES)
        opcode = message.opcode & ~COMPRESSED
        if text and inflation.read(1):
            # A short message that inflates to a long one.
            self._open_log(message, recipients).write(bytes(payload), True)
        elif opcode == TEXT and not is_text(text):
            raise FrameError(CLOSE_INVALID_PAYLOAD, "text that is not UTF-8")
        else:
            self._send(frame(opcode, text), recipients)

    def _open_log(self, message: MessageInfo, recipients: Sequence[Recipient]) -> Intake:
        source = self._source

        log = self._logs.open(source, self._session_hash)
        forms = self._logs.forms(log, self._session_hash, message, self._refuse)
        source.feeds = [one.sink for one in recipients]
        for one in recipients:
            one.sink.follow(Follower(one.sink, forms.take(form_for(one, message))), source)
        return guarded(message, WholeLogIntake(source, log, message.opcode, message.limit))
