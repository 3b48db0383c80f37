"""The names of channels: ``presence-PREFIX.HASH`` is a session's, whose id has the SHA-256 HASH.
Pure. What a prefix may be is checked where the option is read.
"""

import re

PRESENCE = "presence-"
"""What the names of channels begin with in which everybody sees who is there."""

_NAME = re.compile(r"[A-Za-z0-9_\-=@,.;]{1,164}")
"""Pusher's alphabet and length; other services take longer ones."""
_HASH = re.compile(r"[0-9a-f]{64}")


def is_channel_name(text: str) -> bool:
    """Whether every service takes that as the name of a channel."""
    return _NAME.fullmatch(text) is not None


def start_of_channels(prefix: str) -> str:
    """What the channels of all sessions begin with."""
    return f"{PRESENCE}{prefix}."


def channel_of(prefix: str, session_hash: str) -> str:
    """The channel of a session.

    :param session_hash: the hex SHA-256 of its id.
    """
    return start_of_channels(prefix) + session_hash


def session_hash_of(prefix: str, channel: str) -> str | None:
    """The hash of the session whose channel that is; None for a channel of anything else."""
    start = start_of_channels(prefix)
    found = channel[len(start) :]
    return found if channel.startswith(start) and _HASH.fullmatch(found) else None
