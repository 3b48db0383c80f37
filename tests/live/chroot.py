"""A Debian of the test's own, in a directory: a chroot made from a base that is kept between runs.

The base is made once, by mmdebstrap, and kept for a week in the user's cache (``XDG_CACHE_HOME``).
Tests that run side by side make one between them.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT, CompletedProcess, run

PACKAGES = (
    *("adduser", "bash-completion", "ca-certificates", "certbot", "curl", "man-db", "nftables"),
    *("openssl", "procps", "python3", "python3-venv", "systemd"),
)
"""What the base has beside `apt` and what Debian needs. What tests add needs no more, and so no
network."""
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
_WEEK_S = 7 * 86400.0
_BASE_S = 600
"""How long making the base may take."""
_FORGET_LEFT_OUT = 'rm -f "$1"/etc/dpkg/dpkg.cfg.d/*'
"""What the tests install is there in whole."""
_ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM": "dumb",
}
_ENTER = """\
set -e
for name in dev proc sys; do mkdir -p "$1/$name"; done
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount -t tmpfs -o mode=755 tmpfs "$1/dev"
for name in null zero full random urandom tty; do
    : > "$1/dev/$name"; mount --bind "/dev/$name" "$1/dev/$name"
done
ln -s /proc/self/fd "$1/dev/fd"
mkdir "$1/dev/pts"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$1/dev/pts"
ln -s pts/ptmx "$1/dev/ptmx"
exec chroot "$@"
"""
"""What is mounted is in a namespace of its own, so nothing has to be unmounted."""


def missing_chroot() -> str | None:
    """Why there can be no such Debian here, if there can't."""
    if os.geteuid() != 0:
        return "making a chroot needs root"
    if shutil.which("mmdebstrap") is None:
        return "needs Debian's mmdebstrap"
    if host_suite() is None:
        return "needs a release of Debian, which the chroot is then made of, too"
    probe = run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    if probe.returncode:
        return f"can't mount in a namespace: {probe.stderr.strip()}"
    return None


def host_suite() -> str | None:
    """The code name of this Debian, such as ``bookworm``; None where this is another system."""
    try:
        lines = Path("/etc/os-release").read_text("utf-8").splitlines()
    except OSError:
        return None
    known = dict(line.replace('"', "").split("=", 1) for line in lines if "=" in line)
    return known.get("VERSION_CODENAME") if known.get("ID") == "debian" else None


class Chroot:
    """Debian in a directory."""

    def __init__(self, root: Path) -> None:
        """Unpack the base to ``root``, which must not be there."""
        self.root = root
        root.mkdir(parents=True)
        base = find_base()
        run(["tar", "-C", str(root), "--numeric-owner", "-xf", str(base)], check=True)
        # A service that a package starts would be one of this machine.
        policy = root / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        for name in ("resolv.conf", "hosts"):
            shutil.copyfile(f"/etc/{name}", root / "etc" / name)

    def argv(self, *words: str) -> list[str]:
        """The command that runs ``words`` there as root. Its process is that of ``words``."""
        variables = [f"{name}={value}" for name, value in _ENVIRONMENT.items()]
        return [
            *("/usr/bin/env", "-i", *variables),
            *("unshare", "--mount", "sh", "-c", _ENTER, "sh", str(self.root), *words),
        ]

    def run(self, *words: str, status: int | None = 0) -> str:
        """Run ``words`` there, and return what they print.

        :param status: what they must end with; None is anything.
        :raises AssertionError: they ended with another.
        """
        done: CompletedProcess[str] = run(
            self.argv(*words), stdout=PIPE, stderr=STDOUT, text=True, errors="replace", check=False
        )
        if status is not None and done.returncode != status:
            raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def path(self, inside: str) -> Path:
        """A path of the chroot, as this machine sees it."""
        return self.root / inside.lstrip("/")

    def remove(self) -> None:
        """All of it."""
        shutil.rmtree(self.root, ignore_errors=True)


def find_base() -> Path:
    """The archive of the base. Makes it where there is none, or an old one."""
    suite = host_suite()
    assert suite is not None
    what = hashlib.sha256(repr((suite, PACKAGES, LEFT_OUT, _FORGET_LEFT_OUT)).encode()).hexdigest()[
        :16
    ]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "apptuner-relay-tests")
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    base = cache / f"{suite}-{what}.tar"
    with _locked(cache / "lock"):
        if not base.exists() or time.time() - base.stat().st_mtime > _WEEK_S:
            for old in cache.glob("*.tar*"):
                if time.time() - old.stat().st_mtime > _WEEK_S:
                    old.unlink()
            _make_base(suite, base)
    return base


def _make_base(suite: str, base: Path) -> None:
    unfinished = base.with_suffix(".tar.new")
    options = [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    words: Sequence[str] = (
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=tar"),
        *("--dpkgopt=force-unsafe-io", *options),
        f"--customize-hook={_FORGET_LEFT_OUT}",
        "--include=" + ",".join(PACKAGES),
        *(suite, str(unfinished)),
    )
    done = run(words, stdout=PIPE, stderr=STDOUT, text=True, check=False, timeout=_BASE_S)
    if done.returncode:
        raise AssertionError(f"mmdebstrap ended with {done.returncode}:\n{done.stdout}")
    unfinished.rename(base)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
