"""Sends the phones what a patch has made, as the client would have sent it whole: each phone gets
the form that it takes, and the store keeps it.

The messages come from the file that the worker has written (`spool.code.bundle_messages`), as fast
as the disk and the phones take them.
"""

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred

from apptuner_relay.flow.pipeline import MessageInfo
from apptuner_relay.flow.source import Source
from apptuner_relay.relay.member_context import MemberContext
from apptuner_relay.spool.bundle_log import BundleLog
from apptuner_relay.spool.disk import ThreadedDisk
from apptuner_relay.spool.fanout import FanoutRecipient
from apptuner_relay.spool.patches import SentPatch
from apptuner_relay.wire import messages
from apptuner_relay.wire.frames import TEXT
from apptuner_relay.wire.messages import HEAD_BYTES

_READ_BYTES = 256 * 1024


class PatchedSender:
    """Sends one bundle.

    :param phones: the phones of the session, as they are now.
    :param on_complete: called when all of it has been sent, as far as the disk has it.
    """

    def __init__(
        self,
        session_hash: str,
        patch: SentPatch,
        disk: ThreadedDisk,
        context: MemberContext,
        phones: Callable[[], Sequence[FanoutRecipient]],
        on_complete: Callable[[BundleLog], None],
    ) -> None:
        self._path = patch.path
        self._disk = disk
        self._context = context
        self._phones = phones
        self._source = Source(self._pause, self._resume, context.limits.window, later=context.later)
        self._fanout = context.make_patched_fanout(session_hash, self._source, patch, on_complete)
        self._is_paused = False
        self._resumed: Deferred[None] | None = None

    async def send(self) -> None:
        """Send it.

        :raises OSError: its file can't be read. Phones that have part of it are closed with 1011.
        """
        fd = await self._disk.open(self._path)
        try:
            at, rest = 0, b""
            while block := await self._disk.read(fd, at, _READ_BYTES):
                at += len(block)
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    self._send(line)
                    await self._until_resumed()
        except OSError:
            self._fanout.stop("what a patch has made can't be read")
            raise
        finally:
            self._disk.close(fd)

    def _send(self, text: bytes) -> None:
        context, phones, size = self._context, self._phones(), len(text)
        head = text[:HEAD_BYTES]
        kind, _ = messages.sniff(head, size == len(head))
        limit, now_ms = context.limits.max_message, context.now_ms()
        tally = context.traffic.tally(kind)
        for _ in phones:
            tally.said(size)
        intake = self._fanout.begin(
            MessageInfo(TEXT, kind, head, size, limit, False, now_ms), phones, None
        )
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
