"""The relay's side of `worker`: a process that computes content addresses, writes files with code,
and makes and applies patches.

The process is started when it is first needed, and again when it was lost. What it was working on
when it was lost fails with `NotNow`.
"""

import json
import os
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.spool.bundle import CodeFile, Digest, NoCode, NotNow
from apptuner_relay.wire.bundle_patch import BadPatch, PatchFault
from apptuner_relay.wire.dictionary_transport import DCZ
from apptuner_relay.wire.server_frames import MOST_MESSAGE_BYTES

MOST_DEATHS = 3
"""When as many workers were lost within `DEATHS_S`, none is started for `PAUSE_S`."""
DEATHS_S = 60.0
PAUSE_S = 60.0
PATIENCE_S = 60.0
"""A worker that has all that it needs, and answers nothing for this time, is killed."""

# Not from the directory that the relay runs in, unless it runs from there itself.
_COMMAND = [sys.executable, "-P", "-m", "apptuner_relay.spool.code.worker"]
_TELL_BYTES = 256 * 1024
_MOST_COMPLAINTS_BYTES = 8 * 1024

WorkerAnswer = dict[str, Any]


class Offload:
    """Sends requests to the worker.

    :param reactor: also used as the clock.
    :param most_message_bytes: the most bytes that a message of a bundle may have, inflated.
    """

    log = Logger()

    def __init__(
        self, reactor: IReactorProcess, most_message_bytes: int = MOST_MESSAGE_BYTES
    ) -> None:
        self._reactor = reactor
        self._seconds: Callable[[], float] = IReactorTime(reactor).seconds
        self._limit = most_message_bytes
        self._worker: _WorkerProcess | None = None
        self._requests = 0
        self._pending: dict[int, Deferred[WorkerAnswer]] = {}
        self._deaths: deque[float] = deque(maxlen=MOST_DEATHS)
        self._paused_until = 0.0
        self._due: dict[int, float] = {}
        """By request that isn't answered, when the worker had all that it needs for it."""
        self._heard_s = 0.0
        self._look: IDelayedCall | None = None
        self._stopped = False
        self._stops: list[Deferred[None]] = []

    def digest(self, path: Path) -> "Digestion":
        """Compute the content address of a bundle whose wire form is being written to ``path``, and
        stays there until the result is known. `Digestion.written` says how much is there."""
        number, answer = self._ask("digest", path=str(path))

        def tell(what: str, size: int) -> None:
            self._tell(number, what, size=size)
            if what == "finish":
                self._is_due(number)

        return Digestion(answer, tell, partial(self._forget, number))

    def make(self, path: Path, coding: str, output: Path, is_code: bool = False) -> Deferred[int]:
        """Write the code of a bundle, whose whole wire form is in ``path``, to ``output``, in one
        of `bundle.CODINGS`. It is written to a file beside it, whose name ends with ``.part``, and
        renamed.

        :param is_code: whether ``path`` has the code itself instead.

        Fires with the size of ``output`` in bytes. Fails with `NoCode`, also when it is cancelled,
        and then leaves no file behind.
        """

        made = self._write("make", output, path=str(path), coding=coding, is_code=is_code)
        return made.addCallback(_size)

    def make_from(
        self, base: CodeFile, path: Path, size: int, output: Path, is_code: bool = False
    ) -> Deferred[int]:
        """As `make`, in ``dcz``, with ``base`` as the dictionary. The code has ``size`` bytes."""
        about = {"path": str(path), "base": str(base.path), "base_sha256": base.sha256}
        made = self._write("make", output, coding=DCZ, is_code=is_code, code_size=size, **about)
        return made.addCallback(_size)

    def diff(self, base: CodeFile, new: CodeFile, now_ms: int) -> Deferred[bytes]:
        """Find the patch that leads from ``base`` to ``new``. Fires with a ``bundle_patch``; fails
        with `NoCode`, also where they are too different.

        :param now_ms: the time in ms since the epoch.
        """
        number, answer = self._ask(
            "diff",
            base=str(base.path),
            base_sha256=base.sha256,
            path=str(new.path),
            sha256=new.sha256,
            now_ms=now_ms,
        )
        self._is_due(number)
        return answer.addCallback(lambda said: said["message"].encode())

    def patch(self, base: CodeFile, message: bytes, output: Path) -> Deferred[Digest]:
        """Apply a ``bundle_patch`` to ``base``. The code that it makes is written to ``output``, as
        `make` does it.

        Fires with the bundle's content address. Fails with `BadPatch` when the patch is refused,
        and with `NoCode`.
        """
        try:
            text = message.decode()
        except UnicodeDecodeError:
            return fail(BadPatch(PatchFault.MALFORMED))
        about = {"path": str(base.path), "base_sha256": base.sha256, "message": text}
        return self._write("patch", output, **about).addCallback(_digest)

    def write(self, code: Path, output: Path, now_ms: int) -> Deferred[int]:
        """Write the messages of a bundle (`bundle_messages`), whose code is in the file ``code``,
        to ``output``, as `make` does it. Fires with the size of ``output``; fails with `NoCode`.

        :param now_ms: the time in ms since the epoch.
        """
        return self._write("write", output, path=str(code), now_ms=now_ms).addCallback(_size)

    def _write(self, what: str, output: Path, **more: str | int) -> Deferred[WorkerAnswer]:
        """Have a file written."""
        part = output.with_name(f"{output.name}.{token_hex(4)}.part")
        number, answer = self._ask(what, part=str(part), output=str(output), **more)
        self._is_due(number)

        def clean(failure: Failure) -> Failure:
            # The worker does this itself, unless it was lost.
            try:
                part.unlink(missing_ok=True)
            except OSError:
                self.log.failure("failed to remove an unfinished file with a bundle's code")
            return failure

        return answer.addErrback(clean)

    def stop(self) -> Deferred[None]:
        """Kill the worker. Fires when it has ended. Requests that are pending fail with `NoCode`,
        and so do later ones."""
        self._stopped = True
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._worker is None:
            return succeed(None)
        self._worker.kill()
        gone: Deferred[None] = Deferred()
        self._stops.append(gone)
        return gone

    def _ask(self, what: str, **more: str | int) -> tuple[int, Deferred[WorkerAnswer]]:
        """Send a request. Returns its number, and its answer."""
        self._requests += 1
        number = self._requests
        worker = self._running_worker()
        if worker is None:
            return number, fail(NotNow("the relay stops" if self._stopped else "no worker"))

        def cancel(answer: Deferred[WorkerAnswer]) -> None:
            self._forget(number, **{name: more[name] for name in ("output",) if name in more})
            answer.errback(NotNow("cancelled"))

        answer: Deferred[WorkerAnswer] = Deferred(cancel)
        self._pending[number] = answer
        self._tell(number, what, limit=self._limit, **more)
        return number, answer

    def _tell(self, number: int, what: str, **more: str | int) -> None:
        """Send more about a request, unless it has ended."""
        if self._worker is not None and number in self._pending:
            self._worker.say({"id": number, "do": what, **more})

    def _forget(self, number: int, **more: str | int) -> None:
        """Cancel a request."""
        self._tell(number, "cancel", **more)
        self._pending.pop(number, None)
        self._due.pop(number, None)

    def _is_due(self, number: int) -> None:
        """The worker has all that it needs to answer a request."""
        if number in self._pending:
            self._due[number] = self._seconds()
            if self._look is None:
                self._look_later()

    def _look_later(self) -> None:
        clock = IReactorTime(self._reactor)
        self._look = clock.callLater(PATIENCE_S / 4, self._look_whether_it_answers)

    def _look_whether_it_answers(self) -> None:
        self._look = None
        if not self._due or self._worker is None:
            return
        waiting_s = self._seconds() - max(self._heard_s, min(self._due.values()))
        if waiting_s >= PATIENCE_S:
            self.log.warn("bundle worker does not answer for {waiting:.0f} s", waiting=waiting_s)
            self._worker.kill()
        else:
            self._look_later()

    def _running_worker(self) -> "_WorkerProcess | None":
        """The worker, which is started if there is none; None where none may be started."""
        if self._stopped or self._seconds() < self._paused_until:
            return None
        if self._worker is None:
            worker = _WorkerProcess(self._answered, self._died)
            try:
                self._reactor.spawnProcess(worker, sys.executable, _COMMAND, env=_environment())
            except OSError as error:
                self._count_death(error.strerror or "it can't be started")
            else:
                self._worker = worker
        return self._worker

    def _answered(self, said: WorkerAnswer) -> None:
        self._heard_s = self._seconds()
        self._due.pop(said["id"], None)
        answer = self._pending.pop(said["id"], None)
        if answer is None:
            # The request was cancelled while the answer was on its way.
            return
        if "fault" in said:
            answer.errback(BadPatch(PatchFault(said["fault"])))
        elif "error" in said:
            answer.errback(NoCode(said["error"]))
        else:
            answer.callback(said)

    def _died(self, how: str) -> None:
        self._worker = None
        if not self._stopped:
            self._count_death(how)
        why = "the relay stops" if self._stopped else "the worker died"
        self._due.clear()
        pending, self._pending = self._pending, {}
        for answer in pending.values():
            answer.errback(NotNow(why))
        stops, self._stops = self._stops, []
        for gone in stops:
            gone.callback(None)

    def _count_death(self, how: str) -> None:
        now = self._seconds()
        self._deaths.append(now)
        if len(self._deaths) == MOST_DEATHS and now - self._deaths[0] < DEATHS_S:
            self._paused_until = now + PAUSE_S
            self.log.error(
                "bundle worker lost ({how}) {times} times within {within:g} s:"
                " no content addresses and no codings for {pause:g} s",
                how=how,
                times=MOST_DEATHS,
                within=DEATHS_S,
                pause=PAUSE_S,
            )
        else:
            self.log.warn("bundle worker lost ({how}); the next bundle starts another", how=how)


class Digestion:
    """A content address that is computed while the bundle is being written. Made by
    `Offload.digest`."""

    def __init__(
        self,
        answer: Deferred[WorkerAnswer],
        tell: Callable[[str, int], None],
        forget: Callable[[], None],
    ) -> None:
        self._tell = tell
        self._forget = forget
        self._written = 0
        self._told = 0
        self._over = False
        self.result: Deferred[Digest] = answer.addCallback(_digest)
        """Fires after `finish`. Fails with `NoCode`, perhaps before that."""

    def written(self, size: int) -> None:
        """The file has ``size`` bytes by now."""
        self._written = size
        if size - self._told >= _TELL_BYTES and not self._over:
            self._told = size
            self._tell("written", size)

    def finish(self) -> None:
        """The file is complete."""
        if not self._over:
            self._over = True
            self._tell("finish", self._written)

    def cancel(self) -> None:
        """The result is not needed. `result` doesn't fire after this."""
        self._over = True
        self._forget()
        # It may have failed without an errback.
        self.result.addErrback(_pass_over)


def _size(said: WorkerAnswer) -> int:
    size: int = said["size"]
    return size


def _digest(said: WorkerAnswer) -> Digest:
    return Digest(said["sha256"], said["size"], said["units"])


def _pass_over(failure: Failure) -> None:
    failure.trap(NoCode)


class _WorkerProcess(ProcessProtocol):
    """The worker process. It reads and writes JSON, one object a line.

    :param answered: called with each answer.
    :param died: called when it has ended, with its exit status or signal as text.
    """

    log = Logger()

    def __init__(
        self, answered: Callable[[WorkerAnswer], None], died: Callable[[str], None]
    ) -> None:
        self._answered = answered
        self._died = died
        self._line = b""
        self._complaint = b""
        self._complaints_left = _MOST_COMPLAINTS_BYTES

    def say(self, request: dict[str, str | int]) -> None:
        """Send a request."""
        assert self.transport is not None  # spawnProcess sets it before it returns
        self.transport.write(json.dumps(request).encode() + b"\n")

    def kill(self) -> None:
        """Kill it. It has nothing that would be worth waiting for."""
        assert self.transport is not None  # as in `say`
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")

    def outReceived(self, data: bytes) -> None:
        """Handle answers."""
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._answered(json.loads(line))

    def errReceived(self, data: bytes) -> None:
        """Log what it writes to standard error: a fault of this program."""
        data, self._complaints_left = (
            data[: self._complaints_left],
            max(0, self._complaints_left - len(data)),
        )
        *lines, self._complaint = (self._complaint + data).split(b"\n")
        for line in lines:
            self.log.error("bundle worker: {line}", line=line.decode("utf-8", "replace"))

    def processEnded(self, reason: Failure) -> None:
        """Report how it ended."""
        end = reason.value
        if isinstance(end, ProcessTerminated) and end.signal is not None:
            self._died(f"signal {end.signal}")
        else:
            self._died(f"exit status {getattr(end, 'exitCode', None)}")


def _environment() -> dict[str, str]:
    """The worker's environment: it imports from where the relay does, and gets none of the relay's
    settings, which may hold secrets."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("APPTUNER_")}
    return env | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
