"""The command line of `push`. It imports little, as ``push --help`` has to be quick."""

from __future__ import annotations

import argparse
from pathlib import Path

from apptuner_relay.client import address
from apptuner_relay.client.bundles import Form
from apptuner_relay.client.command import add_session_arguments, checked, count, seconds
from apptuner_relay.client.credentials import add_key_argument
from apptuner_relay.client.managed_options import add_managed_arguments

WAIT_SECONDS = 60.0
POLL_SECONDS = 0.1
LEAST_POLL_SECONDS = 0.01
"""Below some of these, two saves may have the same time: file systems count in ticks."""


def _bundle_file(text: str) -> Path:
    if text.lower().startswith(("ws://", "wss://", "http://", "https://")):
        # Not shown: there may be a token in it.
        raise argparse.ArgumentTypeError("that is a URL, and the file comes first: push FILE URL")
    return Path(text)


def add_push_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle", metavar="FILE", type=_bundle_file, help="the bundle: JavaScript, UTF-8"
    )
    add_session_arguments(parser)
    add_managed_arguments(parser)
    parser.add_argument(
        "--device", metavar="ID", type=checked(address.device_id), help="send to this phone only"
    )
    parser.add_argument(
        "--source-map",
        metavar="FILE",
        type=Path,
        help="send this source map along (in a single message only)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--single",
        dest="form",
        action="store_const",
        const=Form.SINGLE,
        help="send one message, whatever the size (default: up to 512 Ki characters)",
    )
    form.add_argument(
        "--chunks",
        dest="form",
        action="store_const",
        const=Form.CHUNKS,
        help="send chunks of 512 Ki characters, whatever the size (default: above that)",
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=seconds,
        help=f"how long to wait for a phone to be there (default: {WAIT_SECONDS:g})",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        default=60.0,
        help="how long to wait for acknowledgements after the last byte is sent (default: 60)",
    )
    parser.add_argument(
        "--retries",
        metavar="N",
        type=count,
        default=10,
        help="how often to reconnect, 5 seconds after each loss, and to send again what was not "
        "acknowledged (default: 10). With --watch: 1 to 30 seconds apart, and as often "
        "again after each welcome",
    )
    _add_watch_arguments(parser)
    add_key_argument(
        parser,
        "claim the session with this secret: from then on only who shows it may be its CLI, "
        "dashboard or desktop",
    )
    parser.add_argument(
        "--tokens",
        action="store_true",
        help="with --key: let phones in only with a join token, which `share` makes; those that "
        "are there without one are sent away",
    )


def _poll_seconds(text: str) -> float:
    """`--poll`. Raises `ValueError` with a text for the user."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not LEAST_POLL_SECONDS <= value <= 3600:
        raise ValueError(f"{text!r} is no number of seconds, {LEAST_POLL_SECONDS:g} to 3600")
    return value


def _add_watch_arguments(parser: argparse.ArgumentParser) -> None:
    """`--watch`, and what belongs to it."""
    parser.add_argument(
        "--watch",
        action="store_true",
        help="stay, and send the file again whenever it is saved: only what has changed, where the "
        "relay can take that. Whoever joins later gets the last save. Not with --device, "
        "--source-map or --wait",
    )
    parser.add_argument(
        "--poll",
        metavar="SECONDS",
        type=checked(_poll_seconds),
        help="with --watch: how often to look at the file, which is read when it has not changed "
        f"for two looks (default: {POLL_SECONDS:g})",
    )
