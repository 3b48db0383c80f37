"""What a command shows the relay: a session's secret, or a join token. Arguments and headers.

It goes in the Authorization header, which ends in fewer logs than a URL does.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from apptuner_relay.access.tokens import check_secret, expiry_of
from apptuner_relay.client.command import Given, checked

KEY_VARIABLE = "APPTUNER_KEY"
TOKEN_VARIABLE = "APPTUNER_TOKEN"

MAKE_KEY = "openssl rand -base64 24 > session.key"
"""How to make a secret."""


def add_key_argument(parser: argparse.ArgumentParser, what_for: str) -> None:
    """`--key`."""
    parser.add_argument(
        "--key",
        metavar="SECRET",
        type=checked(read_key),
        action=Given,
        default=os.environ.get(KEY_VARIABLE) or None,
        help=f"{what_for}: 16 characters or more, or @FILE, as others on this machine can see a "
        f"command line (default: ${KEY_VARIABLE}). To make one: {MAKE_KEY}",
    )


def add_token_argument(parser: argparse.ArgumentParser) -> None:
    """`--token`."""
    parser.add_argument(
        "--token",
        metavar="TOKEN",
        type=checked(read_token),
        action=Given,
        default=os.environ.get(TOKEN_VARIABLE) or None,
        help="a join token, as `share` prints it, or @FILE, for a session whose phones need one "
        f"(default: ${TOKEN_VARIABLE})",
    )


def shown(arguments: argparse.Namespace) -> str | None:
    """What `--token` or else `--key` says."""
    token: str | None = getattr(arguments, "token", None)
    key: str | None = arguments.key
    return token or key


def authorization(credential: str | None) -> dict[str, str]:
    """The header field that shows it (RFC 6750 §2.1)."""
    return {} if credential is None else {"Authorization": f"Bearer {credential}"}


def read_key(text: str) -> str:
    """A secret, or that of `@FILE`. Raises `ValueError` with a text for the user."""
    return check_secret(_read(text))


def read_token(text: str) -> str:
    """A join token, or that of `@FILE`. Raises `ValueError` with a text for the user."""
    token = _read(text)
    if expiry_of(token) is None:
        raise ValueError("that is no join token: `share` prints one, behind token=")
    return token


def _read(text: str) -> str:
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).expanduser().read_text("utf-8").strip("\r\n")
    except (OSError, ValueError, RuntimeError) as wrong:
        why = getattr(wrong, "strerror", None) or "it can't be read as text"
        raise ValueError(f"the file: {why}") from None
