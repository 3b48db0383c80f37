"""The release before this one, to run beside it: taken from the repository's history."""

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.live.processes import REPOSITORY

RELEASE_BEFORE = "4f3c6e72b856f63a1ddd0e43259eba7ce9f2a6d3"
"""The commit that was deployed last before this release: move it when a release is made."""
_PACKAGES = ("apptuner_relay", "twisted")


def missing_release() -> str | None:
    """Why the release before can't be run here, or None."""
    if shutil.which("git") is None:
        return "needs git, for the release before"
    asked = _git("rev-parse", "--quiet", "--verify", f"{RELEASE_BEFORE}^{{commit}}")
    if asked.returncode:
        return (
            f"needs the repository's history with {RELEASE_BEFORE[:7]}, the release before: "
            "git fetch --unshallow"
        )
    return None


@cache
def release_before() -> Path:
    """A folder with the code of the release before. It is removed when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="apptuner-release-before-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    packed = _git("archive", RELEASE_BEFORE, *_PACKAGES)
    assert packed.returncode == 0, packed.stderr
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    # As a build has it: the folder is no repository.
    (folder / "apptuner_relay/commit.txt").write_text(RELEASE_BEFORE[:7])
    return folder


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    # The checkout of a CI job may be another user's.
    safe = ("-c", f"safe.directory={REPOSITORY}", "-C", str(REPOSITORY))
    return subprocess.run(["git", *safe, *words], capture_output=True, check=False)
