"""Makes a log of another one, in another form (`transforms`), step by step in worker threads.

A `Transcoder` reads the original log like any other reader, so nobody waits for it. It writes its
own log like any other writer, so that log may hold it. It reads no faster than its own log is read,
or may be stored. What is added to the original while it works it reads later, from where that is
stored.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.flow.log import Log
from apptuner_relay.flow.log_block import cut_out
from apptuner_relay.flow.log_interfaces import Awaited, LogFile, Root
from apptuner_relay.flow.log_states import LogState
from apptuner_relay.flow.transcoder_states import TRANSITIONS, TranscoderEvent, TranscoderState
from apptuner_relay.flow.transforms import Made, Transform
from apptuner_relay.flow.workers import ThreadWorkers
from apptuner_relay.wire.frames import CLOSE_INTERNAL_ERROR, Frame, FrameError

INPUT_BYTES = 256 * 1024
"""How many bytes are read at once, and taken in while a step is being worked on."""
STEP_BYTES = 1024 * 1024
"""About how many bytes a step makes. With 256 KiB the cost of handing steps over is a seventh."""
_UNREAD = "nobody reads it any more"

_log = Logger()

Refuse = Callable[[int, str], None]
"""Called, once, with a close code and a reason when what the sender sent is bad: 1007, 1009. When
it is the relay that can't make the form, only the form's log is cut."""


class _Step(NamedTuple):
    """The result of a step."""

    made: list[Made]
    is_used_up: bool
    """Whether nothing is left of the input."""
    error: FrameError | None


class Transcoder:
    """One log that is made of another one. Its `log` needs a reader before the reactor's next turn;
    when it has none any more, it is cut, and no more work is done.

    :param original: the log to read, from its start: its ``base`` is 0.
    :param workers: the threads that do the work.
    :param window, open_file: for its own log, see `Log`.
    :raises ValueError: the start of ``original`` is not stored any more.
    """

    def __init__(
        self,
        original: Log,
        transform: Transform,
        workers: ThreadWorkers,
        refuse: Refuse,
        window: int,
        open_file: Callable[[], LogFile | None] = lambda: None,
    ) -> None:
        if original.base:
            raise ValueError(f"bytes up to {original.base} are not stored any more")
        self._log: Log | None = Log(self, window, open_file=open_file)
        self.offset = 0
        """How many bytes of the original have been taken in."""
        self._original = original
        self._transform: Transform | None = transform
        self._workers = workers
        self._refuse = refuse
        self.state = TranscoderState.IDLE
        self._input: list[bytes] = []
        """The bytes that were taken in, and are not being worked on."""
        self._input_bytes = 0
        self._done_bytes = 0
        """Up to where the form of the original was made."""
        self._making: Iterator[Made] | None = None
        """What is still to be made of the input that is being worked on."""
        self._holders: set[object] = set()
        original.attach(self)

    def start(self) -> None:
        """Begin with what the original has."""
        self._step_on()

    @property
    def log(self) -> Log:
        """Its own log; not to be asked for when it has ended."""
        assert self._log is not None
        return self._log

    @property
    def root(self) -> Root:
        """See `log_interfaces.Writer`."""
        return self._original.root

    # What the original calls: see `log_interfaces.Reader`

    def appended(self, parts: Sequence[Frame], size: int) -> None:
        """See `log_interfaces.Reader`."""
        if self.offset + size == self._original.size and self.state is not TranscoderState.OVER:
            self._take_in(b"".join(cut_out(parts, 0, INPUT_BYTES - self._input_bytes)))
        self._go_on()

    def ended(self) -> None:
        """See `log_interfaces.Reader`."""
        original = self._original
        if original.state is LogState.CUT and original.whole <= self._done_bytes:
            # There is no whole message in what is left.
            self._end(original.why)
        else:
            self._go_on()

    # What its own log calls: see `log_interfaces.Writer`

    def hold(self, holder: object) -> None:
        """See `log_interfaces.Writer`."""
        self._holders.add(holder)

    def wait_briefly(self, log: Awaited) -> None:
        """See `log_interfaces.Writer`. It waits for nobody: it makes more at once than readers
        take."""

    def go_on(self, log: Awaited) -> None:
        """See `log_interfaces.Writer`."""

    def let_go(self, holder: object) -> None:
        """See `log_interfaces.Writer`."""
        self._holders.discard(holder)
        self._go_on()

    # Work

    def _happens(self, event: TranscoderEvent) -> bool:
        """Change the state. Returns whether the event meant anything."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def _go_on(self) -> None:
        """Do the next step, if its log has a reader; end if it has none."""
        if self._log is None or self._log.is_read:
            self._step_on()
        else:
            self._end(_UNREAD)

    def _step_on(self) -> None:
        """Do the next step, unless something has to be waited for."""
        if self.state is not TranscoderState.IDLE or self._holders:
            return
        if self._making is None and not self._input:
            self._read()
        if self.state is not TranscoderState.IDLE:
            return
        if self._making is None and self._input and self._transform is not None:
            self._making = self._transform.feed(b"".join(self._input))
            self._input, self._input_bytes = [], 0
        if self._making is not None:
            self._happens(TranscoderEvent.SUBMITTED)
            making = self._making
            self._workers.submit(lambda: _work(making), self._worked)

    def _read(self) -> None:
        """Take in what comes next of the original; end if that was all."""
        original = self._original
        if self.offset < original.size:
            try:
                parts = original.read(self.offset, INPUT_BYTES)
            except OSError as error:
                self._unreadable(Failure(error))
                return
            if parts is None:
                self._happens(TranscoderEvent.MISSED)
                fetched = original.fetch(self.offset, INPUT_BYTES)
                fetched.addCallbacks(self._fetched, self._unreadable)
                fetched.addErrback(self._broken)
            else:
                self._take_in(b"".join(parts))
                original.advanced()
        elif original.state is LogState.COMPLETE:
            self._end()
        elif original.state is LogState.CUT:
            self._end(original.why)

    def _take_in(self, data: bytes) -> None:
        if data:
            self._input.append(data)
            self._input_bytes += len(data)
            self.offset += len(data)

    def _fetched(self, data: bytes) -> None:
        if self._happens(TranscoderEvent.READ):
            self._take_in(data)
            self._original.advanced()
            self._go_on()

    def _unreadable(self, failure: Failure) -> None:
        failure.trap(OSError)
        why = f"it can't be read any more: {failure.getErrorMessage()}"
        self._fail(CLOSE_INTERNAL_ERROR, why)

    def _broken(self, failure: Failure) -> None:
        _log.failure("a message could not be brought into another form", failure)
        self._fail(CLOSE_INTERNAL_ERROR, "internal error")

    def _worked(self, step: _Step | Exception) -> None:
        if not self._happens(TranscoderEvent.WORKED):
            return
        if isinstance(step, Exception):
            self._broken(Failure(step))
            return
        if not self.log.is_read:
            self._end(_UNREAD)
            return
        log = self.log
        for parts, size, begins, end in step.made:
            if begins:
                log.begin_message()
            log.add(parts, size, end)
        if step.is_used_up:
            self._making = None
            self._done_bytes = self.offset - self._input_bytes
        if step.error is None:
            # First, so that the threads go on while the readers get what was made.
            self._go_on()
        log.flush(None)
        if step.error is not None:
            self._fail(step.error.code, step.error.reason)

    def _fail(self, code: int, reason: str) -> None:
        if self.state is not TranscoderState.OVER:
            self._end(reason)
            if code != CLOSE_INTERNAL_ERROR:
                self._refuse(code, reason)

    def _end(self, why: str | None = None) -> None:
        """Complete the log; or cut it, where a reason is given."""
        if not self._happens(TranscoderEvent.ENDED):
            return
        self._input, self._making = [], None
        self._original.detach(self)
        log = self.log
        # The log of a bundle that is kept stays, and this with it: a compressor has 256 KiB, and
        # what refers to its own log would need the garbage collector to go.
        self._log = self._transform = None
        if why is None:
            log.complete()
        else:
            # What was made so far is good.
            log.flush(None)
            log.cut(why)


def _work(making: Iterator[Made]) -> _Step:
    """Do one step. In a worker thread."""
    made: list[Made] = []
    size = 0
    try:
        for one in making:
            made.append(one)
            size += one.size
            if size >= STEP_BYTES:
                return _Step(made, False, None)
    except FrameError as error:
        return _Step(made, True, error)
    return _Step(made, True, None)
