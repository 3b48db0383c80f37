"""Sends on the console logs of a client that waited for its message rate, and says how many of them
were dropped. `rate_limit` decides which ones wait.
"""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from apptuner_relay.flow.dispatch import Dispatch
from apptuner_relay.flow.pipeline import MessageInfo, Recipient
from apptuner_relay.flow.source import Source
from apptuner_relay.operator.traffic import Traffic
from apptuner_relay.relay.frame_handler import Connection
from apptuner_relay.relay.notices import Notices
from apptuner_relay.relay.rate_limit import LOG_TYPE, Line, RateLimit
from apptuner_relay.session.roles import HasRole
from apptuner_relay.session.session import Session
from apptuner_relay.wire import messages
from apptuner_relay.wire.frames import FrameError


class LoggingMember(HasRole, Recipient, Protocol):
    """A member that sends logs, or gets some."""

    @property
    def source(self) -> Source: ...

    @property
    def connection(self) -> Connection: ...

    def tell(self, message: bytes) -> None:
        """Send a message (JSON text) of the relay's own."""


_M = TypeVar("_M", bound=LoggingMember)


class DelayedLogs(Generic[_M]):
    """Those of one client.

    :param longest: how many bytes a message may have.
    """

    # Every client has one.
    __slots__ = ("_dispatch", "_limit", "_longest", "_notices", "_sender", "_session", "_traffic")

    def __init__(
        self,
        sender: _M,
        session: Session[_M],
        limit: RateLimit,
        longest: int,
        dispatch: Dispatch,
        traffic: Traffic,
        notices: Notices,
    ) -> None:
        self._sender: _M | None = sender
        self._session = session
        self._limit = limit
        self._longest = longest
        self._dispatch = dispatch
        self._traffic = traffic
        self._notices = notices

    def catch_up(self) -> bool:
        """See `OverRate`."""
        if self._sender is None:
            return True
        self.tell_dropped()
        lines = self._limit.catch_up()
        if lines is None:
            return False
        self._send(lines)
        self._limit.let_go()
        return True

    def lift_rate(self) -> None:
        """See `OverRate`."""
        self._limit.lift()

    def send_rest(self) -> None:
        """Send on the logs that waited, as the client sends nothing more."""
        self._send(self._limit.rest())

    def tell_dropped(self) -> None:
        """Tell the client and the recipients of its logs how many were dropped, if any were."""
        dropped = self._limit.count_dropped()
        if not dropped:
            return
        now_ms, rate = self._notices.now_ms(), self._limit.rate
        text = f"{dropped} log messages were dropped: more than {rate} messages a second"
        sender = self._sender
        if sender is None:
            return
        if not sender.source.gone:
            self._notices.tell(messages.error(text, now_ms))
        notice = messages.console_warning(f"AppTuner relay: {text}", now_ms)
        for member in self._session.audience(sender):
            member.tell(notice)

    def end(self) -> None:
        """The client has gone: send on what waited, and let go of it."""
        self.tell_dropped()
        self.send_rest()
        self._limit.end()
        self._sender = None

    def _send(self, lines: Sequence[Line]) -> None:
        sender = self._sender
        if sender is None:
            return
        tally = self._traffic.tally(LOG_TYPE)
        now_ms = self._notices.now_ms()
        audience = self._session.audience(sender)
        for opcode, payload in lines if audience else ():
            size = len(payload)
            message = MessageInfo(opcode, LOG_TYPE, b"", size, self._longest, True, now_ms)
            try:
                self._dispatch.send_short(message, audience, payload)
            except FrameError as error:
                sender.connection.close(error.code, error.reason)
                return
            for _ in audience:
                tally.said(size)
        sender.source.send_early()
