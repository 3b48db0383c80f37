"""Opens logs for messages, and has them put into other forms."""

import sys
from collections.abc import Callable
from functools import partial

from apptuner_relay.flow.log import Log
from apptuner_relay.flow.log_interfaces import LogFile, Writer
from apptuner_relay.flow.pipeline import Forms, MessageInfo, WireForm
from apptuner_relay.flow.transcoder import Transcoder
from apptuner_relay.flow.transforms import Deflated, InChunks, Inflated, Transform
from apptuner_relay.flow.workers import ThreadWorkers


class LogMaker:
    """Opens the logs of all sessions.

    :param window: how many bytes each log may have in memory.
    :param workers: the threads that make other forms.
    :param scratch: opens a file for a log that isn't kept, by its session's hash; returns None
        where there is none.
    """

    def __init__(
        self, window: int, workers: ThreadWorkers, scratch: Callable[[str], LogFile | None]
    ) -> None:
        self._window = window
        self._workers = workers
        self._scratch = scratch

    def open(self, writer: Writer, session_hash: str, file: LogFile | None = None) -> Log:
        """A log that ``writer`` writes; it is kept in ``file``, where there is one."""
        return Log(writer, self._window, file, partial(self._scratch, session_hash))

    def forms(
        self,
        original: Log,
        session_hash: str,
        first: MessageInfo,
        refuse: Callable[[int, str], None],
    ) -> Forms:
        """The forms of ``original``, which begins with the message ``first``.

        :param refuse: called with a close code and a reason when what was sent turns out to be bad.
        """

        def transcribe(form: WireForm) -> Log:
            transform: Transform
            if form is WireForm.INFLATED:
                transform = Inflated(first.limit)
            elif form is WireForm.DEFLATED:
                transform = Deflated(first.limit)
            else:
                transform = InChunks(first.now_ms, first.limit, first.size)
            open_file = partial(self._scratch, session_hash)
            transcoder = Transcoder(
                original, transform, self._workers, refuse, self._window, open_file
            )
            log = transcoder.log
            # A small message that is sent behind the original's messages belongs behind all that
            # is made of them. How many messages that will be isn't known where it goes in chunks.
            log.count_begun = lambda: sys.maxsize if form is WireForm.CHUNKS else original.begun
            log.on_read = transcoder.start
            return log

        return Forms(original, transcribe)
