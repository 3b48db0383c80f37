"""Whether a state directory that was given can be used, which is asked before a relay starts:
without it, claims and daily metrics would be lost when the relay ends.

Not here: one that the relay finds by itself, and whatever happens while it runs. `thresholds` warns
of that.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from apptuner_relay.operator.state_file import StateDirectory, StateTaken
from apptuner_relay.support.user import acting_as


class NoClaimsFile(NamedTuple):
    """The file of claims of a relay that finds no state directory, though it should have one."""

    trouble: str | None = "its user has no home directory: give it a --state-dir"
    bad_lines: int = 0


def check_state_directory(setting: str, twistd: Mapping[str, Any], waits: bool) -> None:
    """Check the directory of ``--state-dir`` as the user that the relay is going to be.

    :param twistd: twistd's own options.
    :param waits: whether it is waited for if another relay has it, which hands over its sockets.
    :raises StateError: it can't be used.
    """
    # What is in a chroot can't be known before.
    if setting in ("auto", "off") or twistd.get("chroot"):
        return
    try:
        with acting_as(twistd.get("uid"), twistd.get("gid")):
            StateDirectory(Path(setting)).close()
    except StateTaken:
        if not waits:
            raise
