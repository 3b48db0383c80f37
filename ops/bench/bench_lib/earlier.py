"""An earlier build of this relay, to be measured beside the present one: a checkout of its own with
an environment of its own."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SHORT = 7


@dataclass(frozen=True)
class Build:
    """A checkout whose ``.venv`` has what it requires."""

    checkout: Path
    name: str
    """For the table: its commit, as far as that is known."""

    @property
    def programs(self) -> Path:
        return self.checkout / ".venv" / "bin"


def existing(folder: Path) -> Build:
    """A checkout that was made before.

    :raises SystemExit: it can't be measured.
    """
    folder = folder.resolve()
    if not (folder / "apptuner_relay").is_dir():
        raise SystemExit(f"{folder} is no checkout of this relay")
    if not (folder / ".venv" / "bin" / "twistd").exists():
        raise SystemExit(
            f"{folder} has no .venv with twistd: run its ops/quickstart --install-only"
        )
    return Build(folder, _commit_of(folder) or folder.name)


def checked_out(repository: Path, commit: str, builds: Path) -> Build:
    """A commit of the repository, in a folder below ``builds`` that is kept for the next time.

    Its ops/quickstart makes the environment, which needs the package index the first time.

    :raises SystemExit: there is no such commit, or it can't be installed.
    """
    full = _output(["git", "-C", str(repository), "rev-parse", "--verify", f"{commit}^{{commit}}"])
    if full is None:
        raise SystemExit(f"no commit {commit} in {repository}")
    folder = builds / full[:SHORT]
    if not folder.is_dir():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        archive = partial / "archive.tar"
        _run(
            ["git", "-C", str(repository), "archive", "--output", str(archive), full], "git archive"
        )
        _run(["tar", "-xf", str(archive), "-C", str(partial)], "tar")
        archive.unlink()
        (partial / "COMMIT").write_text(f"{full}\n")
        partial.rename(folder)
    quickstart = folder / "ops" / "quickstart"
    if not quickstart.exists():
        raise SystemExit(
            f"{commit} has no ops/quickstart: make {folder}/.venv by hand, then use --against-dir"
        )
    print(f"installing {commit} into {folder}/.venv, if it is not there yet", flush=True)
    _run([str(quickstart), "--install-only"], str(quickstart))
    return existing(folder)


def _commit_of(folder: Path) -> str | None:
    noted = folder / "COMMIT"
    if noted.exists():
        return noted.read_text().strip()[:SHORT]
    # A folder without a repository of its own may lie inside another one.
    if (folder / ".git").exists():
        return _output(["git", "-C", str(folder), "rev-parse", f"--short={SHORT}", "HEAD"])
    return None


def _output(command: list[str]) -> str | None:
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except OSError as problem:
        raise SystemExit(f"{command[0]}: {problem}") from None
    return result.stdout.strip() if result.returncode == 0 else None


def _run(command: list[str], what: str) -> None:
    try:
        result = subprocess.run(command)
    except OSError as problem:
        raise SystemExit(f"{what}: {problem}") from None
    if result.returncode:
        raise SystemExit(f"{what} failed with {result.returncode}")
