"""The relay's side of `worker`: has a process beside the relay find out a bundle's content address
and make its code, so that the reactor needn't.

The process is started when it is first needed and again when it was lost. What it was working on
then is lost, too, and said to have no code.
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

from apptuner_relay.bundles.bundle import Digest, NoCode, NotNow
from apptuner_relay.bundles.extraction import MOST_MESSAGE_BYTES

MOST_DEATHS = 3
"""After so many within `DEATHS_S` no worker is started for `PAUSE_S`."""
DEATHS_S = 60.0
PAUSE_S = 60.0
PATIENCE_S = 60.0
"""A worker that answers nothing for so long, though it has all that it needs, is ended."""

# Not from the directory that the relay runs in, unless it runs from there itself.
_COMMAND = [sys.executable, "-P", "-m", "apptuner_relay.bundles.worker"]
_TELL_BYTES = 256 * 1024
_MOST_COMPLAINTS_BYTES = 8 * 1024

Answer = dict[str, Any]


class Offload:
    """Asks the worker.

    :param reactor: also tells the time.
    :param most_message_bytes: how many bytes a message of a bundle may have, inflated.
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
        self._pending: dict[int, Deferred[Answer]] = {}
        self._deaths: deque[float] = deque(maxlen=MOST_DEATHS)
        self._paused_until = 0.0
        self._due: dict[int, float] = {}
        """When the worker had all that it needs for what it has not answered."""
        self._heard_s = 0.0
        self._look: IDelayedCall | None = None
        self._stopped = False
        self._stops: list[Deferred[None]] = []

    def digest(self, path: Path) -> "Digestion":
        """Follow a bundle's wire form, which is being written to ``path`` and stays there until
        the result is known. None of it is taken to be there before `Digestion.written`."""
        number, answer = self._ask("digest", path)

        def tell(what: str, size: int) -> None:
            self._tell(number, what, size=size)
            if what == "finish":
                self._is_due(number)

        return Digestion(answer, tell, partial(self._forget, number))

    def make(self, path: Path, coding: str, output: Path) -> Deferred[int]:
        """Write the code of a bundle, whose whole wire form is in ``path``, to ``output``, in one
        of `bundle.CODINGS`; at first to a file beside it whose name ends with ``.part``.

        Fires with the size of ``output`` in bytes. Fails with `NoCode`, and then leaves no part
        behind. May be cancelled, which is such a failure.
        """
        part = output.with_name(f"{output.name}.{token_hex(4)}.part")
        more = {"coding": coding, "part": str(part), "output": str(output)}
        number, answer = self._ask("make", path, **more)
        self._is_due(number)

        def clean(failure: Failure) -> Failure:
            # The worker does so itself, if it lives.
            try:
                part.unlink(missing_ok=True)
            except OSError:
                self.log.failure("can't remove what was made of a bundle's code")
            return failure

        def size(answer: Answer) -> int:
            made: int = answer["size"]
            return made

        return answer.addCallbacks(size, clean)

    def stop(self) -> Deferred[None]:
        """End the worker; what is pending fails with `NoCode`, and so does all that is asked for
        from now on. Fires when the worker is gone."""
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

    def _ask(self, what: str, path: Path, **more: str) -> tuple[int, Deferred[Answer]]:
        """Ask for something; returns its number, and the answer to come."""
        self._requests += 1
        number = self._requests
        worker = self._running_worker()
        if worker is None:
            return number, fail(NotNow("the relay stops" if self._stopped else "no worker"))

        def cancel(answer: Deferred[Answer]) -> None:
            self._forget(number)
            answer.errback(NotNow("cancelled"))

        answer: Deferred[Answer] = Deferred(cancel)
        self._pending[number] = answer
        self._tell(number, what, path=str(path), limit=self._limit, **more)
        return number, answer

    def _tell(self, number: int, what: str, **more: str | int) -> None:
        """Say something of a request, unless it is over."""
        if self._worker is not None and number in self._pending:
            self._worker.say({"id": number, "do": what, **more})

    def _forget(self, number: int) -> None:
        """No answer is wanted any more."""
        self._tell(number, "cancel")
        self._pending.pop(number, None)
        self._due.pop(number, None)

    def _is_due(self, number: int) -> None:
        """From now on the worker could answer."""
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
        """The worker, started if need be; None where it can't be had."""
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

    def _answered(self, said: Answer) -> None:
        self._heard_s = self._seconds()
        self._due.pop(said["id"], None)
        answer = self._pending.pop(said["id"], None)
        if answer is None:
            # It was cancelled in the same moment.
            return
        if "error" in said:
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
    """A bundle's content address, found while the bundle is being written. Made by
    `Offload.digest`."""

    def __init__(
        self,
        answer: Deferred[Answer],
        tell: Callable[[str, int], None],
        forget: Callable[[], None],
    ) -> None:
        self._tell = tell
        self._forget = forget
        self._written = 0
        self._told = 0
        self._over = False
        self.result: Deferred[Digest] = answer.addCallback(
            lambda said: Digest(said["sha256"], said["size"])
        )
        """Fires after `finish`. Fails with `NoCode`, before that where it is known before."""

    def written(self, size: int) -> None:
        """The file has ``size`` bytes by now."""
        self._written = size
        if size - self._told >= _TELL_BYTES and not self._over:
            self._told = size
            self._tell("written", size)

    def finish(self) -> None:
        """That was all of it."""
        if not self._over:
            self._over = True
            self._tell("finish", self._written)

    def cancel(self) -> None:
        """No result is needed; `result` never fires after this."""
        self._over = True
        self._forget()
        # It may have failed, with nobody there yet to hear of it.
        self.result.addErrback(_pass_over)


def _pass_over(failure: Failure) -> None:
    failure.trap(NoCode)


class _WorkerProcess(ProcessProtocol):
    """The worker, as lines.

    :param answered: called with each answer.
    :param died: called once it has gone, with how.
    """

    log = Logger()

    def __init__(self, answered: Callable[[Answer], None], died: Callable[[str], None]) -> None:
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
        """End it. It holds nothing that would be worth waiting for."""
        assert self.transport is not None  # as in `say`
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")

    def outReceived(self, data: bytes) -> None:
        """There are answers."""
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._answered(json.loads(line))

    def errReceived(self, data: bytes) -> None:
        """It has something to complain of; only mistakes of ours make it."""
        data, self._complaints_left = (
            data[: self._complaints_left],
            max(0, self._complaints_left - len(data)),
        )
        *lines, self._complaint = (self._complaint + data).split(b"\n")
        for line in lines:
            self.log.error("bundle worker: {line}", line=line.decode("utf-8", "replace"))

    def processEnded(self, reason: Failure) -> None:
        """It has gone."""
        end = reason.value
        if isinstance(end, ProcessTerminated) and end.signal is not None:
            self._died(f"signal {end.signal}")
        else:
            self._died(f"exit status {getattr(end, 'exitCode', None)}")


def _environment() -> dict[str, str]:
    """Has the worker import from where the relay does. Nothing of the relay's own settings: they
    may hold secrets."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("APPTUNER_")}
    return env | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
