"""The targets of a `LogWriter`: a descriptor, a file that is rotated, syslog. Each may block, and
only the writer's thread uses it."""

import os
import select
import stat
import syslog
from collections.abc import Callable
from pathlib import Path

from twisted.python.logfile import LogFile

_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
"""Names that are not opened: that fails where they are sockets, as under systemd."""


class DescriptorTarget:
    """An open descriptor: standard output, a pipe, a terminal, a socket.

    A pipe that nobody reads any more (EPIPE), a terminal that is gone (EIO) and a full disk are
    tried again with every line.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._mid_line = False
        self.fault: str | None = None
        """See `log_writer.LogTarget`."""

    def write(self, lines: list[bytes]) -> int:
        """See `log_writer.LogTarget`."""
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
            # Another process that shares the descriptor has set O_NONBLOCK.
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            poll.poll()
            return 0


class FileTarget:
    """A file, rotated as twistd's log is: at a million bytes, and on `rotate`.

    :raises OSError: it can't be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        self._file: LogFile | None = LogFile.fromFullPath(self._path)
        self._failed = False
        self.fault: str | None = None
        """See `log_writer.LogTarget`."""

    def write(self, lines: list[bytes]) -> int:
        """See `log_writer.LogTarget`."""
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
        """Open the path anew, as something else may have rotated the file.

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
    """See `log_writer.LogTarget`; syslog(3) reports no errors."""

    def __init__(self, prefix: str) -> None:
        syslog.openlog(prefix, 0, syslog.LOG_USER)

    def write(self, lines: list[bytes]) -> int:
        """See `log_writer.LogTarget`."""
        for line in b"".join(lines).decode("utf-8", "replace").splitlines():
            priority, _, text = line.removeprefix("<").partition(">")
            syslog.syslog(int(priority), text.replace("\0", "\\0"))
        return 0


def open_target(path: str) -> DescriptorTarget | FileTarget:
    """The target that ``--logfile`` names: a file, created if need be, or what else has that path,
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
    # To open a named pipe for writing alone waits for its reader.
    access = os.O_RDWR if stat.S_ISFIFO(mode) else os.O_WRONLY
    return DescriptorTarget(os.open(path, access | os.O_APPEND | os.O_NOCTTY | os.O_CLOEXEC))
