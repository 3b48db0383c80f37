"""The wheel that is deployed: builds it of this checkout, and names the release after it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from deploy_lib.host import Failed

REPOSITORY = Path(__file__).resolve().parents[3]


def build_wheel(folder: Path) -> Path:
    """Make a wheel of this checkout; of a copy, as a build leaves its traces.

    :raises Failed: with what pip printed.
    """
    source = folder / "source"
    source.mkdir()
    for name in PACKED:
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, source / name, ignore=UNPACKED)
        else:
            shutil.copy(REPOSITORY / name, source / name)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"),
            *("--no-deps", *BUILD_OPTIONS, f"--wheel-dir={folder}", str(source)),
        ],
        capture_output=True,
        check=False,
        # The copy is no repository.
        env=os.environ | {"RELAY_COMMIT": describe_commit()},
    )
    wheels = list(folder.glob("apptuner_relay-*.whl"))
    if done.returncode or not wheels:
        raise Failed((done.stderr + done.stdout).decode("utf-8", "replace").strip()[-2000:])
    return wheels[0]


PACKED = (
    *("apptuner_relay", "twisted", "setup.py", "setup.cfg", "pyproject.toml"),
    *("README.md", "LICENSE"),
)
UNPACKED = shutil.ignore_patterns("__pycache__", "dropin.cache")
BUILD_OPTIONS = shlex.split(os.environ.get("DEPLOY_BUILD_OPTIONS", ""))


def source_version() -> str:
    """The version of this checkout."""
    text = (REPOSITORY / "apptuner_relay/__init__.py").read_text("utf-8")
    found = re.search(r'^__version__ = "(.+)"', text, re.MULTILINE)
    return found[1] if found else "0"


def describe_commit() -> str:
    """Which commit this checkout is of, and whether it was changed since; nothing if git doesn't
    know."""
    here = str(REPOSITORY)
    words = ["-c", f"safe.directory={here}", "-C", here, "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(
            ["git", *words, "--exclude=*"], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip()


def commit_of(wheel: Path) -> str:
    """The commit that a wheel was made from; nothing if it doesn't know it. One that is not built
    yet is made from this checkout."""
    if not wheel.exists():
        return describe_commit()
    try:
        with zipfile.ZipFile(wheel) as opened:
            commit = opened.read("apptuner_relay/commit.txt").decode("ascii").strip()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return ""
    return commit if re.fullmatch(r"[0-9a-f]{7,64}(-dirty)?", commit) else ""


def release_name(wheel: Path) -> str:
    """Such as ``20261126T140312Z-0.7.0-5e5866a``: in a list, the newest comes last."""
    found = re.match(r"apptuner_relay-([A-Za-z0-9.+!]+)-", wheel.name)
    version = re.sub(r"[^A-Za-z0-9.]", "_", found[1]) if found else "0"
    commit = commit_of(wheel)
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{version}" + (f"-{commit}" if commit else "")
