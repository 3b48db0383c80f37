"""Records the last bundle of a session that another relay hands over, as that sends it."""

import hashlib
from collections.abc import Callable

from apptuner_relay.cluster.bridge.handover_messages import BundleDescription
from apptuner_relay.flow.intake import Intake
from apptuner_relay.flow.pipeline import MessageInfo
from apptuner_relay.flow.series import chunk_index
from apptuner_relay.flow.source import Source
from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.spool.bundle_log import BundleLog
from apptuner_relay.spool.file_states import FileState
from apptuner_relay.spool.recorder import Recorder
from apptuner_relay.wire import messages
from apptuner_relay.wire.deflate import inflate_head
from apptuner_relay.wire.frames import COMPRESSED, CONTINUATION, TEXT, Frame


class BundleReceiver:
    """One bundle.

    :param description: what the other relay has said of it.
    :param max_message: the most bytes that a message may have.
    """

    def __init__(
        self, recorder: Recorder, source: Source, description: BundleDescription, max_message: int
    ) -> None:
        self._recorder = recorder
        self._source = source
        self._description = description
        self._limit = max_message
        self._sha256 = hashlib.sha256()
        self._head: bytes | None = None
        self._opcode = TEXT
        self._bundle: BundleLog | None = None
        self._intake: Intake | None = None

    def take(self, opcode: int, end: bool, payload: Frame) -> None:
        """Take the next bytes of a message. They are valid until the source's flush."""
        self._sha256.update(payload)
        if opcode != CONTINUATION:
            self._opcode, self._head = opcode, b""
        if self._head is not None:
            before = self._head
            if len(before) + len(payload) < messages.HEAD_BYTES and not end:
                self._head = before + payload
                return
            self._head = None
            head = before + payload[: messages.HEAD_BYTES - len(before)]
            self._begin(head, end and len(head) == len(before) + len(payload))
            if before and self._intake is not None:
                self._intake.write(before, False)
        if self._intake is not None:
            self._intake.write(payload, end)
        if end:
            self._intake = None
            if self._bundle is not None and self._bundle.series.complete:
                self._bundle.complete()

    def _begin(self, head: bytes, complete: bool) -> None:
        if self._opcode & COMPRESSED:
            head, complete = inflate_head(head, messages.HEAD_BYTES, complete)
        form = self._description.form
        try:
            kind = messages.sniff(head, complete).type
        except messages.NotAnObject:
            kind = None
        message = MessageInfo(
            self._opcode, kind, head, form.size, self._limit, False, form.began_ms
        )
        if kind == "bundle_chunk":
            form.series.count(chunk_index(head))
        elif kind in messages.BUNDLE_TYPES and self._bundle is None:
            self._bundle = self._recorder.open(form.series, message, (), keep=True)
        else:
            return
        if self._bundle is not None and self._bundle.is_growing:
            self._intake = self._bundle.begin(self._source, message)

    def when_stored(self, sha256: str, now_s: float, call: Callable[[str | None], None]) -> None:
        """Call back with None when the bundle is on the disk, or with the reason why it isn't
        stored."""
        file = self._file
        if file is None or file.state is FileState.CUT:
            call("there is no room for it, or the disk has failed")
            return
        if file.arriving or self._sha256.hexdigest() != sha256:
            self.end(keep=False)
            call("it has not arrived whole")
            return

        def look() -> None:
            if file.state is FileState.FINISHING:
                file.watch(look)
            elif file.state is FileState.COMPLETE:
                # Its time to live goes on from where it was.
                file.last_use_s = now_s - self._description.age_s
                call(None)
            else:
                call("there is no room for it, or the disk has failed")

        look()

    def end(self, keep: bool) -> None:
        """No more of it arrives. ``keep`` says whether the file is to stay."""
        bundle, file = self._bundle, self._file
        if bundle is not None:
            bundle.sender_is_gone("its relay has gone")
        if file is not None and not keep:
            file.cut()
            file.unreadable()

    @property
    def _file(self) -> BundleFile | None:
        return None if self._bundle is None else self._bundle.file
