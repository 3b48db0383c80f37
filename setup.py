"""The build step that setup.cfg cannot say: a build knows which commit it was made from."""

import os
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
COMMIT_FILE = "apptuner_relay/commit.txt"
"""Read by `apptuner_relay.support.version`. It is only in what was built, never in a checkout."""


def find_commit() -> str:
    """The commit from the environment, for builds that see no repository, or from git.

    Empty where neither knows it.
    """
    if (given := os.environ.get("RELAY_COMMIT")) is not None:
        return given.strip()
    if not (HERE / ".git").exists():
        # A repository further up has other commits.
        return ""
    # In a hook of git these lead to the repository that the hook is of.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    words = ["-c", f"safe.directory={HERE}", "-C", str(HERE), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(
            ["git", *words, "--exclude=*"],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


class BuildWithCommit(build_py):
    """Adds a file with the commit to the package."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            # The modules stay in the checkout, which can be asked for its commit.
            return
        if commit := find_commit():
            Path(self.build_lib, COMMIT_FILE).write_text(f"{commit}\n", "ascii", "replace")

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs: list[str] = super().get_outputs(include_bytecode)
        file = Path(self.build_lib, COMMIT_FILE)
        return [*outputs, str(file)] if file.exists() else outputs


setup(cmdclass={"build_py": BuildWithCommit})
