"""What Redis' error replies say: the code in them, and whether it may pass. Pure.

A reply begins with its code (``READONLY You can't write …``). But Redis up to 6 says of what a
script's command was refused for ``ERR Error running script (call to f_…): @user_script:6:
@user_script: 6: -READONLY You can't write …``: there the code is inside.
"""

import re

_FIRST = re.compile(r"[A-Z][A-Z0-9]*(?= |$)")
_INSIDE = re.compile(r"(?<=[ :])-([A-Z][A-Z0-9]{2,})(?= |$)")
_NO_RIGHTS = "ACL failure in script"
"""How Redis 7 says NOPERM there."""

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
"""Codes of a server that can't serve now, or is not, or not yet, the one to talk to. The others
(``NOPERM``, ``NOAUTH``, ``CLUSTERDOWN`` of a Redis Cluster, …) take an operator."""


def code_of(text: str) -> str:
    """The code of an error reply, such as ``READONLY``; ``ERR`` where there is no other."""
    first = _FIRST.match(text)
    code = first[0] if first else PLAIN
    if code != PLAIN:
        return code
    inside = _INSIDE.search(text)
    if inside:
        return inside[1]
    return "NOPERM" if _NO_RIGHTS in text else PLAIN


def is_passing(text: str) -> bool:
    """Whether an error reply may be another one soon, without anybody doing anything about it."""
    return code_of(text) in PASSING
