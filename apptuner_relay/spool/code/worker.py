"""The process that reads bundles for the relay: ``python -m apptuner_relay.spool.code.worker``.

Decoding a bundle takes seconds of CPU per GB, which the relay's event loop can't spare. This
process is niced, and works on its requests in turn, a block at a time. It imports nothing of
Twisted and knows nothing of sessions. `offload` is the relay's side of it.

Requests come on standard input and answers go to standard output, as JSON, one object a line.
``id`` is the request's number; sizes are in bytes.

``{"id", "do": "digest", "path", "limit"}``
    Follow a file that is being written. It is answered after ``finish``.
``{"id", "do": "written", "size"}``
    The file has that size by now.
``{"id", "do": "finish"}``
    The file is complete. The answer is ``{"id", "sha256", "size", "units"}``, of the
    code; ``units`` are the code units of UTF-16.
``{"id", "do": "cancel", "output"}``
    No answer is needed any more, nor is the file ``output``, where the request was to write one.
``{"id", "do": "make", "path", "is_code", "limit", "coding", "part", "output"}``
    Write the code of a whole file to ``part``, then rename that to ``output``. The file holds the
    code itself, or the bundle's wire form. The answer is ``{"id", "size"}``, of ``output``. With
    the coding ``dcz`` there is more: the code in the file ``base`` is the dictionary,
    ``base_sha256`` its hash, and ``code_size`` the size of the code.
``{"id", "do": "diff", "base", "base_sha256", "path", "sha256", "now_ms"}``
    Find the patch that leads from the code in the file ``base`` to that in ``path``. The answer is
    ``{"id", "message"}``: a ``bundle_patch``.
``{"id", "do": "patch", "path", "base_sha256", "message", "limit", "part", "output"}``
    Apply a ``bundle_patch`` to the code in a file, and write the result to ``part``, then rename
    that to ``output``. The answer is ``{"id", "sha256", "size", "units"}``, of the code; with a
    patch that is refused it is ``{"id", "error", "fault"}``, with a `bundle_patch.PatchFault`.
``{"id", "do": "write", "path", "now_ms", "limit", "part", "output"}``
    Write the messages of the code in a file (`bundle_messages`) to ``part``, then rename that to
    ``output``. The answer is ``{"id", "size"}``, of ``output``.

``limit`` is the most bytes that a message may have, inflated, and the most that a patch may make. A
request that can't be done is answered with ``{"id", "error"}``: the error says why, and nothing of
the contents. At the end of its input the process ends at once, as the relay has ended then.
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

from apptuner_relay.spool.code.content_codings import CODINGS, Encoder
from apptuner_relay.spool.code.dictionary_coding import DictionaryEncoder
from apptuner_relay.spool.code.extraction import Extraction, Unreadable
from apptuner_relay.spool.code.patch_jobs import PatchJob, diffing, patching, writing
from apptuner_relay.spool.code.utf16_offsets import UnitsOfBytes
from apptuner_relay.spool.code.whole_files import whole_file

BLOCK_BYTES = 128 * 1024
"""How many bytes of a file are read at a time."""
MOST_MAKINGS = 4
"""How many files are written at the same time, as each may take some 20 MiB of memory. One with a
dictionary takes its dictionary beside that, and is the only one."""
MOST_PATCHINGS = 2
"""How many requests about patches are worked on at the same time. The others wait, in the order in
which they came: if all had turns, of many that come together none would be done while its sender
still waits for it. What a patch says is in memory only while it is worked on."""

_NICENESS = 10
_REQUESTS_BYTES = 64 * 1024
_REQUESTS, _ANSWERS = 0, 1
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

Message = dict[str, Any]
_Steps = Generator[Message | None, None, None]
"""The steps of a request: each yields None, and the last one the answer."""


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
        """Do a step. Returns the answer, where that was the last one."""
        return next(self._steps)

    def close(self) -> None:
        """Give up."""
        self._steps.close()

    def _run(self, path: str, extraction: Extraction) -> _Steps:
        sha256, length = hashlib.sha256(), UnitsOfBytes([])
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
                    length.feed(code)
                yield None
        rest = extraction.finish()
        sha256.update(rest)
        length.feed(rest, end=True)
        yield {"sha256": sha256.hexdigest(), "size": length.size, "units": length.units}


class _AsItIs:
    """An `Extraction` from a file that holds the code itself."""

    def feed(self, data: bytes) -> tuple[bytes]:
        return (data,)

    def finish(self) -> bytes:
        return b""


class _Making:
    """Writes the code of a whole file in a coding."""

    has_work = True

    def __init__(self, request: Message) -> None:
        self.weight = MOST_MAKINGS if "base" in request else 1
        """How many of the files that are written at the same time it counts for."""
        code = _AsItIs() if request["is_code"] else Extraction(request["limit"])
        self._steps = self._run(request, code)

    def step(self) -> Message | None:
        """See `_Digesting`."""
        return next(self._steps)

    def close(self) -> None:
        """See `_Digesting`."""
        # Closing the file writes what is buffered, and the disk may be full. Nobody needs it.
        with suppress(OSError):
            self._steps.close()

    def _run(self, request: Message, extraction: Extraction | _AsItIs) -> _Steps:
        encoder = _encoder(request)
        with (
            open(request["path"], "rb", buffering=0) as file,
            whole_file(request["part"], request["output"]) as out,
        ):
            while block := file.read(BLOCK_BYTES):
                for code in extraction.feed(block):
                    out.write(encoder.feed(code))
                yield None
            out.write(encoder.feed(extraction.finish()))
            out.write(encoder.finish())
            size = out.tell()
        yield {"size": size}


def _encoder(request: Message) -> Encoder | DictionaryEncoder:
    if "base" in request:
        with open(request["base"], "rb") as file:
            base = file.read()
        return DictionaryEncoder(base, request["base_sha256"], request["code_size"])
    if request["coding"] not in CODINGS:
        raise Unreadable("no such coding")
    return Encoder(request["coding"])


_Job = _Digesting | _Making | PatchJob


class Worker:
    """Does requests in turn, a block of each at a time.

    :param requests: the file descriptor to read from.
    :param answers: the file descriptor to write to.
    """

    def __init__(self, requests: int, answers: int) -> None:
        self._requests = requests
        self._answers = answers
        self._line = b""
        self._jobs: dict[int, _Job] = {}

    def run(self) -> None:
        """Work until the requests end."""
        try:
            while self._read():
                for number, job in self._due():
                    self._step(number, job)
        finally:
            for job in self._jobs.values():
                job.close()

    def _due(self) -> list[tuple[int, _Job]]:
        """The requests that have a step to do in this turn, with their numbers."""
        due: list[tuple[int, _Job]] = []
        makings = patchings = 0
        for number, job in self._jobs.items():
            makings += job.weight if isinstance(job, _Making) else 0
            patchings += isinstance(job, PatchJob)
            if isinstance(job, _Making):
                has_turn = makings <= MOST_MAKINGS
            else:
                has_turn = patchings <= MOST_PATCHINGS or not isinstance(job, PatchJob)
            if job.has_work and has_turn:
                due.append((number, job))
        return due

    def _read(self) -> bool:
        """Take in requests; wait for some when there is nothing to do. Returns False at the end."""
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
        elif what == "diff":
            self._jobs[number] = PatchJob(diffing(request))
        elif what == "patch":
            self._jobs[number] = PatchJob(patching(request))
        elif what == "write":
            self._jobs[number] = PatchJob(writing(request))
        elif what == "cancel":
            self._cancel(number, request.get("output"))
        elif isinstance(job := self._jobs.get(number), _Digesting):
            # Else it has been answered already, with an error.
            job.written = request.get("size", job.written)
            job.finished = job.finished or what == "finish"

    def _cancel(self, number: int, output: str | None) -> None:
        job = self._jobs.pop(number, None)
        if job is not None:
            job.close()
        elif output is not None:
            # It is done, and the answer has crossed this request.
            with suppress(FileNotFoundError):
                os.unlink(output)

    def _step(self, number: int, job: _Job) -> None:
        try:
            answer = job.step()
        except Unreadable as error:
            answer = {"error": str(error)}
        except OSError as error:
            # Without the path, which may tell something of the session.
            answer = {"error": error.strerror or "the file can't be read or written"}
        except Exception as error:
            # A fault of this program, which must not affect other requests.
            _report(error)
            answer = {"error": f"the worker failed: {type(error).__name__}"}
        if answer is not None:
            del self._jobs[number]
            job.close()
            line = json.dumps({"id": number, **answer}).encode() + b"\n"
            while line:
                line = line[os.write(self._answers, line) :]


def _report(error: Exception) -> None:
    """Write to standard error where it happened, without its text: that may hold contents."""
    stack = "".join(traceback.format_tb(error.__traceback__))
    print(f"{type(error).__name__}\n{stack}", end="", file=sys.stderr, flush=True)


def main() -> None:
    """Run the worker process."""
    # Ctrl-C and systemd signal all processes of the relay. This one ends when the relay ends, which
    # may need it until then.
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICENESS)
    with suppress(BrokenPipeError):
        Worker(_REQUESTS, _ANSWERS).run()


if __name__ == "__main__":
    main()
