"""The codes of Redis' error replies, and whether such an error may pass. Pure.

An error reply begins with its code (``READONLY You can't write …``). But for a command that was
refused inside a script, Redis up to 6 replies ``ERR Error running script (call to f_…):
@user_script:6:
@user_script: 6: -READONLY You can't write …``: there the code is inside.
"""

import re

_FIRST = re.compile(r"[A-Z][A-Z0-9]*(?= |$)")
_INSIDE = re.compile(r"(?<=[ :])-([A-Z][A-Z0-9]{2,})(?= |$)")
_NO_RIGHTS = "ACL failure in script"
"""What Redis 7 replies there instead of NOPERM."""

PLAIN = "ERR"
"""The code of errors that have none of their own."""
PASSING = frozenset(
    {
        "BUSY",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",
        "NOREPLICAS",
        "OOM",
        "READONLY",
        "TRYAGAIN",
        "UNKILLABLE",
    }
)
"""The codes of a server that can't serve now, or that isn't the master (yet). With any other code
(``NOPERM``, ``NOAUTH``, ``CLUSTERDOWN`` of a Redis Cluster, …) an operator has to do something."""


def code_of(text: str) -> str:
    """The code of an error reply, such as ``READONLY``. ``ERR`` where it has no other."""
    first = _FIRST.match(text)
    code = first[0] if first else PLAIN
    if code != PLAIN:
        return code
    inside = _INSIDE.search(text)
    if inside:
        return inside[1]
    return "NOPERM" if _NO_RIGHTS in text else PLAIN


def is_passing(text: str) -> bool:
    """Whether the cause of an error reply may pass without an operator."""
    return code_of(text) in PASSING
