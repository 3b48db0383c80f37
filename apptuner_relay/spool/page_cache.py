"""Reads the parts of files that the kernel has in memory, without waiting for a disk."""

import os
from errno import EOPNOTSUPP
from pathlib import Path

BLOCK_BYTES = 256 * 1024
"""The most bytes that are read at once: they stay in the processor's cache until they are sent."""

_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)
_MOUNTS = Path("/proc/self/mountinfo")
_IN_MEMORY = ("tmpfs ", "ramfs ")


class PageCache:
    """Reads into one buffer, again and again. For the reactor's thread only."""

    def __init__(self) -> None:
        self._view = memoryview(bytearray(BLOCK_BYTES))
        self._flags: dict[int, int | None] = {}
        """The flags to read with, by device; None where every read may wait for the disk."""

    def read(self, descriptor: int, offset: int, length: int) -> memoryview | None:
        """Up to ``length`` bytes from ``offset`` on, good until the next call. None where the disk
        would have to be waited for, where the file ends before, and where it can't be read: reading
        it in a thread tells which."""
        view = self._view[:length]
        flags = _NOWAIT
        if self._flags:
            flags = self._flags.get(os.fstat(descriptor).st_dev, _NOWAIT)
        if flags is None:
            return None
        try:
            count = os.preadv(descriptor, (view,), offset, flags)
        except OSError as error:
            if error.errno != EOPNOTSUPP or flags != _NOWAIT:
                return None
            # The file system doesn't know the flag. One that is in memory never waits.
            device = os.fstat(descriptor).st_dev
            self._flags[device] = 0 if _is_in_memory(device) else None
            return self.read(descriptor, offset, length)
        return view[:count] if count else None


def _is_in_memory(device: int) -> bool:
    """Whether the file system on a device has all its files in memory."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = _MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return False
    for mount in mounts:
        # proc_pid_mountinfo(5): the device is the third field, the type the first behind "-".
        place, _, rest = mount.partition(" - ")
        if place.split()[2:3] == [number]:
            return rest.startswith(_IN_MEMORY)
    return False
