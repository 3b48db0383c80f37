"""What packages are built from: a copy of the checkout, and archives whose bytes depend on nothing
but that."""

import gzip
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

PARTS = ("apptuner_relay", "docs/man", "twisted/plugins")
FILES = (
    *("CHANGELOG.md", "LICENSE", "MANIFEST.in", "README.md"),
    *("pyproject.toml", "setup.cfg", "setup.py"),
)
_LEAVE_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "dropin.cache", "commit.txt")


def copy_sources(repository: Path, folder: Path, date: datetime) -> None:
    """Copy what is built to a folder, where a build leaves no traces in the checkout."""
    folder.mkdir()
    for part in PARTS:
        shutil.copytree(repository / part, folder / part, ignore=_LEAVE_OUT)
    for name in FILES:
        shutil.copyfile(repository / name, folder / name)
    set_times(folder, date)


def set_times(folder: Path, date: datetime) -> None:
    """Have all in a folder be of one time."""
    stamp = date.timestamp()
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (stamp, stamp), follow_symlinks=False)


def repack(archive: Path, date: datetime) -> None:
    """Write a ``.tar.gz`` anew: by name, all of one time, and of no user."""
    with tarfile.open(archive) as old:
        files = [(one, _content(old, one)) for one in old.getmembers()]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new:
        for one, content in sorted(files, key=lambda file: file[0].name):
            plain = tarfile.TarInfo(one.name)
            plain.type, plain.size, plain.mtime = one.type, one.size, int(date.timestamp())
            plain.mode = 0o755 if one.isdir() or one.mode & 0o100 else 0o644
            new.addfile(plain, io.BytesIO(content))
    archive.write_bytes(gzip.compress(packed.getvalue(), 9, mtime=int(date.timestamp())))


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read()


def gzip_file(path: Path) -> None:
    """Replace a file by ``PATH.gz``, in which there is no time and no name."""
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
    path.unlink()


def files_below(folder: Path) -> Iterator[Path]:
    """All regular files, by name."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def disk_kib(folder: Path) -> int:
    """What `du` says, in KiB."""
    done = subprocess.run(
        ["du", "-k", "-s", "--apparent-size", folder], check=True, capture_output=True, text=True
    )
    return int(done.stdout.split()[0])
