"""`join`: plays a phone. The command line; what happens then is in `joining`."""

from __future__ import annotations

import argparse
import hashlib
import secrets
import socket
from pathlib import Path
from typing import Any

from apptuner_relay.client import address
from apptuner_relay.client.command import Command, add_session_arguments, checked
from apptuner_relay.client.content import add_have_argument, had, had_code
from apptuner_relay.client.credentials import add_key_argument, add_token_argument, shown
from apptuner_relay.client.download import Downloader
from apptuner_relay.client.joining import JoinedPhone, Task
from apptuner_relay.client.managed_options import add_managed_arguments
from apptuner_relay.client.member_connection import ClientPings, Target
from apptuner_relay.client.membership import Membership
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.policy import Patience
from apptuner_relay.client.replacing import checked_output
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.way import make_factory

PING_SECONDS = 30.0
PONG_SECONDS = 5.0
PATIENCE = Patience(tries=10, first_seconds=1.0, ceiling_seconds=30.0, forgiving=True)


def _platform(text: str) -> str:
    if text not in ("ios", "android"):
        raise ValueError("a platform is 'ios' or 'android'")
    return text


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_session_arguments(parser)
    add_managed_arguments(parser)
    add_token_argument(parser)
    add_key_argument(parser, "the session's secret, with which a phone is let in as well")
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="write each bundle to this file, in place of the last "
        "(default: only print its size and SHA-256)",
    )
    parser.add_argument("--once", action="store_true", help="leave after the first bundle")
    parser.add_argument(
        "--device-id",
        metavar="ID",
        type=checked(address.device_id),
        help="the phone's id (default: join- and eight random hex digits)",
    )
    parser.add_argument(
        "--name",
        type=checked(address.device_name),
        help="the phone's name, up to 64 characters (default: this host's name)",
    )
    parser.add_argument(
        "--platform",
        metavar="ios|android",
        type=checked(_platform),
        help="the phone's platform (default: not said)",
    )
    parser.add_argument(
        "--replay",
        action="store_true",
        help="ask for the session's last bundle at once, even if its CLI is connected",
    )
    add_have_argument(parser, "the relay then only says that it is unchanged")
    parser.add_argument(
        "--announce",
        action="store_true",
        help="have bundles announced instead of sent, and download them over HTTP; a newer one "
        "ends a download under way",
    )
    parser.add_argument(
        "--patch",
        action="store_true",
        help="take patches, of what changed in the bundle before, and apply them; of one that does "
        "not fit, ask for the whole. With --have, its FILE has to be here",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="with --announce or --managed: after a cut, go on where the download stopped, up to "
        "10 times in a row without progress, 1 to 30 seconds apart; and go on with the FILE.part "
        "that an earlier run left",
    )


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Membership:
    downloads = arguments.announce or arguments.managed is not None
    if arguments.resume and not downloads:
        raise UsageError(
            "--resume goes with --announce or --managed: only a download can go on where it was cut"
        )
    if arguments.patch and downloads:
        raise UsageError(
            "--patch can't go with --announce or --managed: there, bundles are downloaded"
        )
    output = None if arguments.output is None else checked_output(arguments.output)
    device = arguments.device_id or f"join-{secrets.token_hex(4)}"
    base = had_code(arguments.have, output) if arguments.patch else None
    # With a base it is the base's, as the file may be written to meanwhile.
    have = had(arguments.have, output) if base is None else hashlib.sha256(base).hexdigest()
    query = {"deviceId": device, "name": arguments.name or _own_name()}
    if arguments.platform:
        query["platform"] = arguments.platform
    if arguments.announce:
        query["announce"] = "1"
    if arguments.replay:
        query["replay"] = "1"
    if arguments.patch:
        query["patch"] = "1"

    def target(have: str | None) -> Target:
        said = query if have is None else {**query, "have": have}
        return Target(arguments.relay, "mobile", arguments.session, said, shown(arguments))

    factory = make_factory(
        arguments,
        reactor,
        target(have),
        ClientPings(PING_SECONDS, PONG_SECONDS),
        wants_replay=arguments.replay,
    )
    membership = Membership(reactor, factory, PATIENCE, screen)
    downloader = Downloader(
        reactor,
        arguments.relay,
        screen,
        resume=arguments.resume,
        keep=arguments.resume,
        credential=shown(arguments),
    )
    phone = JoinedPhone(
        Task(device, output, arguments.once, have, arguments.patch, base),
        membership,
        screen,
        download=(lambda wanted: downloader.start(wanted, output)) if downloads else None,
        relay=arguments.relay,
        # Who connects again is not sent again what it got before.
        remember=lambda sha256: membership.aim(target(sha256)),
    )
    membership.start(phone)
    membership.done.addBoth(_tidied, phone)
    return membership


def _tidied(result: Exit, phone: JoinedPhone) -> Exit:
    phone.tidy()
    return result


def _own_name() -> str:
    return socket.gethostname()[: address.MAX_NAME_CHARACTERS]


COMMAND = Command(
    "join",
    "Connects as a phone, takes every bundle the session's CLI sends, and acknowledges it: with\n"
    "success once the file is written, with an error when the bundle did not arrive whole. When\n"
    "it connects again, it says which code it has; the relay's word that this is unchanged counts\n"
    "as a bundle and is acknowledged too. A relay that keeps no bundles ignores --replay, --have,\n"
    "--announce and --patch, and sends what comes. With --managed, bundles are announced in the\n"
    "session's channel, and downloaded from the relay. Runs until interrupted, or until the first\n"
    "bundle with --once.",
    _add_arguments,
    _start,
)
