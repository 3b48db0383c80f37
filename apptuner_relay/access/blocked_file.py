"""Keeps the addresses that are blocked over a restart, in ``blocked.json`` of the state directory.

The file is replaced as a whole, in a thread, each time that the list changes.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.access.block_list import BlockList

BLOCKED_FILE = "blocked.json"
_MOST_BYTES = 1024 * 1024
"""1,000 blocks with long reasons are some 400 kB."""


def read_blocked(path: Path) -> list[object]:
    """The rows of the file; none where it isn't there.

    :raises OSError: it can't be read.
    :raises ValueError: it is something else.
    """
    try:
        with path.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return []
    value = json.loads(data) if len(data) <= _MOST_BYTES else None
    rows = value.get("blocked") if isinstance(value, dict) else None
    if not isinstance(rows, list):
        raise ValueError("it is no list of blocked addresses")
    return rows


def write_blocked(path: Path, rows: list[dict[str, object]]) -> None:
    """Replace the file.

    :raises OSError: it can't be written; the old one is still there.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
        opened.write(json.dumps({"blocked": rows}, indent=1).encode())
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(path)


def in_a_thread(reactor: Any) -> Callable[..., Deferred[Any]]:
    """What calls a function in one of the reactor's threads."""
    return lambda call, *given: deferToThreadPool(reactor, reactor.getThreadPool(), call, *given)


class BlockedFile(Service):
    """The file of one relay. It is read when the service starts.

    :param run: calls a function, with what follows it, where it may block.
    """

    log = Logger()

    def __init__(
        self, blocks: BlockList, directory: Path, run: Callable[..., Deferred[Any]]
    ) -> None:
        self._blocks = blocks
        self._path = directory / BLOCKED_FILE
        self._run = run
        self._lock = DeferredLock()

    def startService(self) -> None:
        super().startService()
        try:
            bad = self._blocks.restore(read_blocked(self._path))
        except (OSError, ValueError, RecursionError) as wrong:
            self.log.warn(
                "blocked addresses could not be read, so none is blocked: {file}: {why}",
                file=str(self._path),
                why=str(wrong),
            )
        else:
            if bad:
                self.log.warn(
                    "{count} blocked addresses of {file} can't be blocked any more",
                    count=bad,
                    file=str(self._path),
                )
        self._blocks.on_change = self.save

    def stopService(self) -> Deferred[None]:
        """Fires when what has changed is written."""
        super().stopService()
        return self._lock.run(lambda: None)

    def save(self) -> None:
        """The list has changed."""
        writing: Deferred[None] = self._lock.run(self._write)
        writing.addErrback(self._failed)

    def _write(self) -> Deferred[None]:
        # Of several changes, the last one's rows are in every write from then on.
        return self._run(write_blocked, self._path, [one.row() for one in self._blocks.list()])

    def _failed(self, failure: Failure) -> None:
        self.log.warn(
            "blocked addresses could not be written, and would be forgotten at a restart: {why}",
            why=str(failure.value),
        )
