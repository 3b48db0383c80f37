"""The process that reads bundles for the relay: ``python -m apptuner_relay.bundles.worker``.

Decoding a bundle keeps Python busy for seconds per GB, which the relay has not. This process has
them: it is niced, and works on all that it is asked for a block at a time, in turn. It imports
nothing of Twisted and knows nothing of sessions; `offload` is the relay's side of it.

Requests come on standard input and answers go to standard output, a JSON object a line. ``id`` is
the asker's, for the answer; sizes are in bytes.

``{"id", "do": "digest", "path", "limit"}``
    Follow a file that is being written. Answered after ``finish``.
``{"id", "do": "written", "size"}``
    There are so many bytes of it by now.
``{"id", "do": "finish"}``
    That was all of it. The answer is ``{"id", "sha256", "size"}``, of the code.
``{"id", "do": "cancel"}``
    No answer is wanted any more.
``{"id", "do": "make", "path", "limit", "coding", "part", "output"}``
    Write the code of a whole file to ``part``, then rename that to ``output``. The answer is
    ``{"id", "size"}``, of ``output``.

``limit`` is how many bytes a message may have, inflated. What can't be done is answered with
``{"id", "error"}``, which says why and nothing of the contents. At the end of its input the process
ends at once, in mid-work too: then the relay is gone.
"""

import hashlib
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from apptuner_relay.bundles.codings import CODINGS, Encoder
from apptuner_relay.bundles.extraction import Extraction, Unreadable

BLOCK_BYTES = 128 * 1024
"""How much of a file is read at a time."""
MOST_MAKINGS = 4
"""How many files are made at once, as each may take some 20 MiB of memory. Others wait."""

_NICENESS = 10
_REQUESTS_BYTES = 64 * 1024
_REQUESTS, _ANSWERS = 0, 1
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

Message = dict[str, Any]
_Steps = Generator[Message | None, None, None]
"""A piece of work: None after each block, the answer at last."""


class _Digesting:
    """Follows a file that is being written."""

    def __init__(self, request: Message) -> None:
        self.written = 0
        self.finished = False
        self._at = 0
        self._open = False
        self._steps = self._run(request["path"], Extraction(request["limit"]))

    @property
    def has_work(self) -> bool:
        """Whether there is something to do now."""
        return not self._open or self.finished or self._at < self.written

    def step(self) -> Message | None:
        """Do some of it; returns the answer, when there is one."""
        return next(self._steps)

    def close(self) -> None:
        """Give up."""
        self._steps.close()

    def _run(self, path: str, extraction: Extraction) -> _Steps:
        sha256, size = hashlib.sha256(), 0
        with open(path, "rb", buffering=0) as file:
            self._open = True
            yield None
            while self._at < self.written or not self.finished:
                block = file.read(min(BLOCK_BYTES, self.written - self._at))
                if not block:
                    raise Unreadable("the file is shorter than it was said to be")
                self._at += len(block)
                for code in extraction.feed(block):
                    sha256.update(code)
                    size += len(code)
                yield None
        rest = extraction.finish()
        sha256.update(rest)
        yield {"sha256": sha256.hexdigest(), "size": size + len(rest)}


class _Making:
    """Writes the code of a whole file in a coding."""

    has_work = True

    def __init__(self, request: Message) -> None:
        self._steps = self._run(request, Extraction(request["limit"]))

    def step(self) -> Message | None:
        """See `_Digesting`."""
        return next(self._steps)

    def close(self) -> None:
        """See `_Digesting`."""
        # A disk that is full may not take what hasn't been written yet; it is of no use anyway.
        with suppress(OSError):
            self._steps.close()

    def _run(self, request: Message, extraction: Extraction) -> _Steps:
        if request["coding"] not in CODINGS:
            raise Unreadable("no such coding")
        encoder = Encoder(request["coding"])
        part = request["part"]
        with open(request["path"], "rb", buffering=0) as file:
            try:
                with open(part, "wb", opener=_private) as out:
                    while block := file.read(BLOCK_BYTES):
                        for code in extraction.feed(block):
                            out.write(encoder.feed(code))
                        yield None
                    out.write(encoder.feed(extraction.finish()))
                    out.write(encoder.finish())
                    size = out.tell()
                os.replace(part, request["output"])
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(part)
        yield {"size": size}


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner may read."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


class Worker:
    """Does what is asked for, all of it a block at a time, in turn.

    :param requests: the file descriptor to read from.
    :param answers: the file descriptor to write to.
    """

    def __init__(self, requests: int, answers: int) -> None:
        self._requests = requests
        self._answers = answers
        self._line = b""
        self._jobs: dict[int, _Digesting | _Making] = {}

    def run(self) -> None:
        """Work until the requests end."""
        try:
            while self._read():
                for number, job in self._due():
                    self._step(number, job)
        finally:
            for job in self._jobs.values():
                job.close()

    def _due(self) -> list[tuple[int, _Digesting | _Making]]:
        """What is to be worked on in this turn."""
        due: list[tuple[int, _Digesting | _Making]] = []
        makings = 0
        for number, job in self._jobs.items():
            makings += isinstance(job, _Making)
            if job.has_work and (makings <= MOST_MAKINGS or isinstance(job, _Digesting)):
                due.append((number, job))
        return due

    def _read(self) -> bool:
        """Take in what requests there are; with nothing to do, wait for some. False at the end."""
        busy = any(job.has_work for job in self._jobs.values())
        if busy and not select.select([self._requests], [], [], 0)[0]:
            return True
        data = os.read(self._requests, _REQUESTS_BYTES)
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return bool(data)

    def _take(self, request: Message) -> None:
        number, what = request["id"], request["do"]
        if what == "digest":
            self._jobs[number] = _Digesting(request)
        elif what == "make":
            self._jobs[number] = _Making(request)
        elif (job := self._jobs.get(number)) is None:
            # It has been answered: something was wrong with it.
            return
        elif what == "cancel":
            self._jobs.pop(number).close()
        elif isinstance(job, _Digesting):
            job.written = request.get("size", job.written)
            job.finished = job.finished or what == "finish"

    def _step(self, number: int, job: _Digesting | _Making) -> None:
        try:
            answer = job.step()
        except Unreadable as error:
            answer = {"error": str(error)}
        except OSError as error:
            # No path: it may tell of the session.
            answer = {"error": error.strerror or "the file can't be read or written"}
        except Exception as error:
            # A mistake of ours. The others' bundles shall not suffer from it.
            _report(error)
            answer = {"error": f"the worker failed: {type(error).__name__}"}
        if answer is not None:
            del self._jobs[number]
            job.close()
            line = json.dumps({"id": number, **answer}).encode() + b"\n"
            while line:
                line = line[os.write(self._answers, line) :]


def _report(error: Exception) -> None:
    """Say on standard error where it happened. Its text may tell of contents."""
    stack = "".join(traceback.format_tb(error.__traceback__))
    print(f"{type(error).__name__}\n{stack}", end="", file=sys.stderr, flush=True)


def main() -> None:
    """What the process does."""
    # Ctrl-C and systemd signal all processes of the relay; this one goes when the relay does, which
    # may first have to end what it is doing.
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICENESS)
    with suppress(BrokenPipeError):
        Worker(_REQUESTS, _ANSWERS).run()


if __name__ == "__main__":
    main()
