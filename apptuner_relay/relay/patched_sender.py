"""Sends the phones what a patch has made, as the client would have sent it whole: each phone gets
the form that it takes, and the store keeps it.

A phone that has the patch's base gets the patch, and many sessions have no other phones. So the
messages of a bundle in chunks are written when somebody needs them: a phone without patches, one
that comes late, another relay. The worker writes them to a file (`spool.code.bundle_messages`),
from which they are sent as fast as the disk and the phones take them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from secrets import token_hex

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.flow.pipeline import MessageInfo
from apptuner_relay.flow.source import Source
from apptuner_relay.relay.member_context import MemberContext
from apptuner_relay.spool.bundle import IDENTITY, NoCode, NotNow
from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.spool.bundle_log import BundleLog
from apptuner_relay.spool.code.bundle_messages import bundle_start
from apptuner_relay.spool.fanout import FanoutRecipient
from apptuner_relay.spool.patches import SentPatch
from apptuner_relay.spool.recorder import BeginRecord
from apptuner_relay.spool.spare_files import remove
from apptuner_relay.spool.store import Store
from apptuner_relay.wire import messages
from apptuner_relay.wire.frames import TEXT
from apptuner_relay.wire.messages import HEAD_BYTES

_READ_BYTES = 256 * 1024
_LOST = "what a patch has made can't be read"


class PatchedSender:
    """Sends one bundle.

    :param begin_record: begins the record of the bundle.
    :param phones: the phones of the session, as they are now.
    :param on_complete: called when all of it has been sent, as far as the disk has it, or its code
        is there.
    """

    log = Logger()

    def __init__(
        self,
        session_hash: str,
        patch: SentPatch,
        store: Store,
        context: MemberContext,
        begin_record: BeginRecord,
        phones: Callable[[], Sequence[FanoutRecipient]],
        on_complete: Callable[[BundleLog], None],
    ) -> None:
        self._label = session_hash[:8]
        self._patch = patch
        self._store = store
        self._context = context
        self._phones = phones
        self._source = Source(self._pause, self._resume, context.limits.window, later=context.later)
        self._fanout = context.make_patched_fanout(
            session_hash, self._source, patch, begin_record, on_complete
        )
        self._now_ms = context.now_ms()
        self._is_paused = False
        self._resumed: Deferred[None] | None = None

    async def send(self) -> None:
        """Send it, or have it sent when somebody needs it.

        :raises NoCode: its messages can't be written.
        :raises OSError: they can't be read. Phones that have part of it are closed with 1011.
        """
        digest, limit = self._patch.digest, self._context.limits.max_message
        start = bundle_start(digest.size, digest.units, self._now_ms, limit)
        if start is not None:
            self._send(start)
        bundle = self._fanout.begun
        file = None if bundle is None else bundle.file
        try:
            if bundle is None or file is None or not file.bundle_code.has_file(IDENTITY):
                await self._send_messages(self._patch.code_path)
            elif file.is_needed:
                await self._send_rest(file)
            else:
                self._fanout.defer(bundle, partial(self._needed, file))
        except (NoCode, OSError):
            self._fanout.stop(_LOST)
            raise

    def _needed(self, file: BundleFile) -> None:
        Deferred.fromCoroutine(self._send_rest(file)).addErrback(self._failed)

    async def _send_rest(self, file: BundleFile) -> None:
        file.retain()
        try:
            code = await file.code(IDENTITY)
            try:
                await self._send_messages(code)
            except NotNow:
                # The worker was lost. The next one begins with this.
                await self._send_messages(code)
        finally:
            file.release()

    async def _send_messages(self, code: Path) -> None:
        """Send the messages of ``code``."""
        store, path = self._store, code.with_suffix(f".{token_hex(4)}-messages")
        size = 0
        try:
            size = await store.patches.write(code, path, self._now_ms)
            await self._send_file(path)
        finally:
            store.take(-size)
            store.disk.run(partial(remove, path)).addErrback(lambda failure: None)

    async def _send_file(self, path: Path) -> None:
        disk = self._store.disk
        fd = await disk.open(path)
        try:
            at, rest = 0, b""
            while block := await disk.read(fd, at, _READ_BYTES):
                at += len(block)
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    self._send(line)
                    await self._until_resumed()
        finally:
            disk.close(fd)

    def _failed(self, failure: Failure) -> None:
        """It can't be sent to those who need it: the session has no bundle any more."""
        self._fanout.stop(_LOST)
        if failure.check(NoCode, OSError):
            self.log.warn(
                "session {session}: what a patch has made is lost: {why}",
                session=self._label,
                why=failure.getErrorMessage(),
            )
        else:
            self.log.failure("sending what a patch has made has failed", failure)

    def _send(self, text: bytes) -> None:
        context, phones, size = self._context, self._phones(), len(text)
        head = text[:HEAD_BYTES]
        kind, _ = messages.sniff(head, size == len(head))
        limit, now_ms = context.limits.max_message, context.now_ms()
        tally = context.traffic.tally(kind)
        intake = self._fanout.begin(
            MessageInfo(TEXT, kind, head, size, limit, False, now_ms), phones, None
        )
        for phone in phones:
            if phone.delivery is not None and phone.delivery.is_getting:
                tally.said(size)
        if intake is not None:
            intake.write(text, True)
        self._fanout.passed(size)
        self._source.send_early()

    async def _until_resumed(self) -> None:
        if self._is_paused:
            self._resumed = Deferred()
            await self._resumed

    def _pause(self) -> None:
        self._is_paused = True

    def _resume(self) -> None:
        self._is_paused = False
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            # Later: a log is in the middle of telling its writers.
            self._context.later(0, lambda: resumed.callback(None))
