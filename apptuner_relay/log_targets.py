"""Where a `LogWriter` writes: a descriptor, a file that is rotated, syslog. Each may block, and is
used by the writer's thread alone."""

import os
import select
import stat
import syslog
from collections.abc import Callable
from pathlib import Path

from twisted.python.logfile import LogFile

_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
"""Not to be opened: that fails where they are sockets, as under systemd."""


class DescriptorTarget:
    """Standard output, a pipe, a terminal, a socket: whatever an open descriptor is. One that
    nobody reads any more (EPIPE), or that has gone (EIO), is tried again with every line, as is a
    disk that is full."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._mid_line = False
        self.fault: str | None = None
        """See `log_writer.Target`."""

    def write(self, lines: list[bytes]) -> int:
        """See `log_writer.Target`."""
        data = memoryview((b"\n" if self._mid_line else b"") + b"".join(lines))
        at = 0
        try:
            while at < len(data):
                at += self._write_some(data[at:])
        except OSError as error:
            self.fault = error.strerror or str(error)
            if at:
                self._mid_line = data[at - 1] != ord("\n")
            return bytes(data[at:]).count(b"\n")
        self._mid_line = False
        self.fault = None
        return 0

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            # Somebody else has made it so.
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            poll.poll()
            return 0


class FileTarget:
    """A file, rotated as twistd's is: when it has a million bytes, and when it is told to.

    :raises OSError: it can't be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        self._file: LogFile | None = LogFile.fromFullPath(self._path)
        self._failed = False
        self.fault: str | None = None
        """See `log_writer.Target`."""

    def write(self, lines: list[bytes]) -> int:
        """See `log_writer.Target`."""
        for written, line in enumerate(lines):
            try:
                # A write that has failed may have left half a line.
                self._open_file().write(b"\n" + line if self._failed else line)
            except OSError as error:
                self.fault = error.strerror or str(error)
                self._failed = True
                return len(lines) - written
            self._failed = False
        self.fault = None
        return 0

    def rotate(self) -> None:
        """Begin a new file, and number the ones before.

        :raises OSError: it can't be done.
        """
        self._again(LogFile.rotate)

    def reopen(self) -> None:
        """Write to whatever has the file's name now, as something else may have rotated it.

        :raises OSError: it can't be opened.
        """
        self._again(LogFile.reopen)

    def _again(self, how: Callable[[LogFile], object]) -> None:
        file, self._file = self._open_file(), None
        how(file)
        self._file = file

    def _open_file(self) -> LogFile:
        """The file, opened anew where that has failed before."""
        if self._file is None:
            self._file = LogFile.fromFullPath(self._path)
        return self._file


class SyslogTarget:
    """The system's log. Lines begin with their priority as in sd-daemon(3), ``<6>``."""

    fault: str | None = None
    """See `log_writer.Target`: nothing is known."""

    def __init__(self, prefix: str) -> None:
        syslog.openlog(prefix, 0, syslog.LOG_USER)

    def write(self, lines: list[bytes]) -> int:
        """See `log_writer.Target`."""
        for line in b"".join(lines).decode("utf-8", "replace").splitlines():
            priority, _, text = line.removeprefix("<").partition(">")
            syslog.syslog(int(priority), text.replace("\0", "\\0"))
        return 0


def open_target(path: str) -> DescriptorTarget | FileTarget:
    """What is written to where ``--logfile`` says: a file, made if need be, or what else is there,
    such as a named pipe.

    :raises OSError: it can't be opened.
    """
    if path in _STANDARD:
        return DescriptorTarget(os.dup(_STANDARD[path]))
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return FileTarget(path)
    if stat.S_ISREG(mode):
        return FileTarget(path)
    # A named pipe that is opened for writing alone waits for its reader.
    access = os.O_RDWR if stat.S_ISFIFO(mode) else os.O_WRONLY
    return DescriptorTarget(os.open(path, access | os.O_APPEND | os.O_NOCTTY | os.O_CLOEXEC))
