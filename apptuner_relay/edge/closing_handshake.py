"""The closing handshake of one connection: its state, why it began, and when the peer is dropped
for not finishing it. `websocket.FramedConnection` sends and receives the Close frames.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from apptuner_relay.edge.closing_states import (
    TAKES_MESSAGES,
    TRANSITIONS,
    ClosingEvent,
    ClosingState,
)
from apptuner_relay.wire.frames import CLOSE_ABNORMAL


class ClosingHandshake:
    """The closing handshake of one connection; its states are in `closing_states`."""

    __slots__ = ("_call", "code", "reason", "state")

    def __init__(self) -> None:
        self.state = ClosingState.CONNECTING
        self.code = CLOSE_ABNORMAL
        """The code of the first Close, whoever sent it (RFC 6455 §7.4)."""
        self.reason = "the connection was lost"
        """Why the connection ends, for the log."""
        self._call: IDelayedCall | None = None

    @property
    def takes_messages(self) -> bool:
        """Whether what is received counts as messages."""
        return self.state in TAKES_MESSAGES

    def advance(self, event: ClosingEvent) -> bool:
        """Returns whether ``event`` changes the state."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def drop_later(self, clock: IReactorTime, timeout_s: float, drop: Callable[[], None]) -> None:
        """Call ``drop`` if the connection hasn't ended in ``timeout_s``, whatever the peer does."""
        self.stop()
        self._call = clock.callLater(timeout_s, drop)

    def drop_when_idle(
        self,
        clock: IReactorTime,
        timeout_s: float,
        progress: Callable[[], object],
        is_held: Callable[[], bool],
        drop: Callable[[], None],
    ) -> None:
        """Call ``drop`` once ``progress`` returns the same as ``timeout_s`` before, at a time when
        the peer is read from: one that ``is_held`` can't be judged."""
        before = progress()

        def look() -> None:
            self._call = None
            if is_held() or progress() != before:
                self.drop_when_idle(clock, timeout_s, progress, is_held, drop)
            else:
                drop()

        self.stop()
        self._call = clock.callLater(timeout_s, look)

    def stop(self) -> None:
        """Drop nobody: the connection has ended."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
