"""Which release this is, and which commit it was made from.

A build writes its commit to a file of the package (setup.py). A checkout has no such file, and git
is asked. Where neither knows it there is only the version: a commit is never needed to run. What a
release is called that was installed with ops/deploy stands in a file of its virtual environment.
"""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

from apptuner_relay import __version__

_PACKAGE = Path(__file__).resolve().parent.parent
_COMMIT_FILE = "commit.txt"
_COMMIT = re.compile(r"[0-9a-f]{7,64}(-dirty)?")
_ENVIRONMENT = Path(sys.prefix).resolve()
"""Where this process has come from, whatever links lead to another release later."""
_RELEASE_FILE = "release.txt"
_RELEASE = re.compile(r"[A-Za-z0-9._+-]{1,200}")
_GIT_TIMEOUT_S = 5
"""A start is not held up for longer, as by a repository on a slow disk."""


def find_commit(package: Path) -> str | None:
    """The commit of the package in this folder, such as ``5e5866a`` or, changed since then,
    ``5e5866a-dirty``; None where nothing knows it."""
    try:
        text = (package / _COMMIT_FILE).read_text("ascii")
    except (OSError, ValueError):
        text = _ask_git(package.parent)
    commit = text.strip()
    return commit if _COMMIT.fullmatch(commit) else None


def _ask_git(checkout: Path) -> str:
    if not (checkout / ".git").exists():
        # A repository further up is another project's, such as the one that a .venv is in.
        return ""
    here = str(checkout)
    # In a hook of git these lead to the repository that the hook is of.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    words = ["-c", f"safe.directory={here}", "-C", here, "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(
            ["git", *words, "--exclude=*"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_GIT_TIMEOUT_S,
            env=environment,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""


@cache
def commit() -> str | None:
    """The commit that this process runs; see `find_commit`. The first call may wait for git."""
    return find_commit(_PACKAGE)


def find_release(environment: Path) -> str | None:
    """The name under which ops/deploy has installed this virtual environment, such as
    ``20261126T140312512345Z-0.2.0-5e5866a``; None where it hasn't."""
    try:
        name = (environment / _RELEASE_FILE).read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return name if _RELEASE.fullmatch(name) else None


@cache
def deployed_as() -> str | None:
    """The name under which ops/deploy has installed what this process runs; see
    `find_release`."""
    return find_release(_ENVIRONMENT)


def release() -> str:
    """The version and the commit, for people: ``0.2.0 (5e5866a)``, or ``0.2.0``."""
    return __version__ if commit() is None else f"{__version__} ({commit()})"
