"""`push`: plays the CLI. The command line is in `push_options`; what it begins, in `push_start`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from apptuner_relay.client.command import Command, CommandRun
from apptuner_relay.client.push_options import add_push_arguments

if TYPE_CHECKING:
    from apptuner_relay.client.screen import Screen


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> CommandRun:
    # Help needs none of what a run does.
    from apptuner_relay.client.push_start import start_push

    return start_push(arguments, reactor, screen)


COMMAND = Command(
    "push",
    "Connects as the session's CLI, waits for a phone, sends the bundle, and waits until every\n"
    "phone that was there has acknowledged it. It takes the place of a CLI that is connected.\n"
    "It prints what was sent and how long each phone took, from the first byte on, and complains\n"
    "of a phone that fails, with its error, or does not answer. After 10 seconds without a phone\n"
    "it says what to check, and shows the URL and the QR code with which a phone joins.\n"
    "With --managed the bundle is uploaded to the relay over HTTP, and everything else goes by\n"
    "the session's channel. With --watch it stays, and sends every save: only what has changed,\n"
    "to a relay that can take that, and all of it otherwise. It prints a line for each save, and\n"
    "ends with 0 at Ctrl-C.",
    add_push_arguments,
    _start,
)
