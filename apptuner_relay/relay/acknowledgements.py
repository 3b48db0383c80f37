"""The acknowledgements of one phone: they are recorded, and go to the desktop side. A CLI that asks
for that (``acks=1``) is told which phone each is from.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from apptuner_relay.flow.dispatch import Dispatch
from apptuner_relay.flow.intake import SHORT_BYTES, AssemblingIntake, Intake
from apptuner_relay.flow.pipeline import MessageInfo, Recipient
from apptuner_relay.flow.source import Source
from apptuner_relay.session.session import Admission, Device
from apptuner_relay.wire.bundle_ack import name_ack, read_ack
from apptuner_relay.wire.deflate import Inflation
from apptuner_relay.wire.frames import TEXT, frame


class Listener(Recipient, Protocol):
    """A member of the desktop side."""

    @property
    def admission(self) -> Admission: ...


class Acknowledgements:
    """Those of one phone.

    :param source: where its messages come from.
    :param dispatch: sends them on.
    :param answered: told whether the phone runs what it got last, and what is wrong.
    """

    __slots__ = ("_answered", "_device", "_dispatch", "_source")

    def __init__(
        self,
        device: Device,
        source: Source,
        dispatch: Dispatch,
        answered: Callable[[bool, str | None], None],
    ) -> None:
        self._device = device
        self._source = source
        self._dispatch = dispatch
        self._answered = answered

    def open(self, message: MessageInfo, listeners: Sequence[Listener]) -> Intake:
        """Where the pieces of an acknowledgement go that begins. A long one passes as it is, and
        only its beginning is read."""
        return AssemblingIntake(
            partial(self._take, message, listeners), partial(self._open_long, message, listeners)
        )

    def _take(self, message: MessageInfo, listeners: Sequence[Listener], payload: bytes) -> None:
        named = [one for one in listeners if one.admission.acks]
        others = [one for one in listeners if not one.admission.acks]
        # This comes first: it refuses what is bad, whoever it is for.
        self._dispatch.send_short(message, others, payload)
        text, complete = payload, True
        if message.compressed:
            inflation = Inflation(message.limit)
            inflation.feed(payload, True)
            text = inflation.read(SHORT_BYTES)
            complete = len(text) < SHORT_BYTES or not inflation.read(1)
        self._answered(*read_ack(text, complete))
        if named and not complete:
            self._dispatch.send_short(message, named, payload)
        elif named:
            data = frame(TEXT, name_ack(text, self._device.device_id, self._device.name))
            self._source.feeds = [one.sink for one in listeners]
            for one in named:
                one.sink.send(data, self._source)

    def _open_long(self, message: MessageInfo, listeners: Sequence[Listener]) -> Intake:
        self._answered(*read_ack(message.head, False))
        return self._dispatch.open(message, listeners)
