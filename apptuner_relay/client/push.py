"""`push`: plays the CLI. The command line; what happens then is in `pushing`."""

from __future__ import annotations

import argparse
from pathlib import Path
from time import time as wall_s
from typing import Any

from apptuner_relay.client import address
from apptuner_relay.client.bundles import BundleError, Form, ReadBundle
from apptuner_relay.client.carriers import Carrier, MessageCarrier
from apptuner_relay.client.command import (
    Command,
    CommandRun,
    add_session_arguments,
    checked,
    count,
    seconds,
)
from apptuner_relay.client.credentials import add_key_argument
from apptuner_relay.client.member_connection import ClientPings, Target
from apptuner_relay.client.membership import Membership
from apptuner_relay.client.no_phone_hint import hint_for
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.policy import Patience
from apptuner_relay.client.push_watch import add_watch_arguments, start_watch
from apptuner_relay.client.pushing import Order, Push
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.way import add_managed_arguments, make_factory
from apptuner_relay.support.clocks import in_ms

RECONNECT_SECONDS = 5.0
PING_SECONDS = 20.0
WAIT_SECONDS = 60.0


def _bundle_file(text: str) -> Path:
    if text.lower().startswith(("ws://", "wss://", "http://", "https://")):
        # Not shown: there may be a token in it.
        raise argparse.ArgumentTypeError("that is a URL, and the file comes first: push FILE URL")
    return Path(text)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
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
    add_watch_arguments(parser)
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


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> CommandRun:
    if arguments.tokens and arguments.key is None:
        raise UsageError("--tokens goes with --key: tokens are signed with the session's secret")
    if arguments.poll is not None and not arguments.watch:
        raise UsageError("--poll goes with --watch: without it, the file is read once")
    # So that a relay which knows that says which phone each acknowledgement is from.
    query = {"acks": "1"}
    if arguments.tokens:
        query["tokens"] = "1"
    if arguments.watch and arguments.managed is None:
        query["patch"] = "1"
    target = Target(
        arguments.relay,
        "cli",
        arguments.session,
        query,
        arguments.key,
        claims=arguments.key is not None,
    )
    heartbeat = ClientPings(PING_SECONDS)
    if arguments.watch:
        return start_watch(arguments, reactor, screen, target, heartbeat)
    return _start_once(arguments, reactor, screen, target, heartbeat)


def _start_once(
    arguments: argparse.Namespace,
    reactor: Any,
    screen: Screen,
    target: Target,
    heartbeat: ClientPings,
) -> Membership:
    factory = make_factory(arguments, reactor, target, heartbeat)
    patience = Patience(arguments.retries, RECONNECT_SECONDS, RECONNECT_SECONDS, forgiving=False)
    membership = Membership(reactor, factory, patience, screen)
    wait = WAIT_SECONDS if arguments.wait is None else arguments.wait
    order = Order(arguments.device, wait, arguments.timeout, sends=arguments.retries + 1)
    carrier: Carrier
    if arguments.managed is None:
        carrier = MessageCarrier(_bundle(arguments), membership)
    else:
        from apptuner_relay.client.http_carrier import HttpCarrier

        carrier = HttpCarrier(
            reactor,
            arguments.relay,
            arguments.session,
            arguments.key,
            _code(arguments),
            patience,
            screen,
        )
    hint = hint_for(arguments, reactor, screen)
    push = Push(order, carrier, membership, reactor, screen, hint)
    membership.start(push)
    membership.done.addBoth(_tidied, push)
    return membership


def _bundle(arguments: argparse.Namespace) -> ReadBundle:
    """What is sent as messages. Raises `UsageError`."""
    code = read_text(arguments.bundle)
    source_map = None if arguments.source_map is None else read_text(arguments.source_map)
    try:
        bundle = ReadBundle.of(code, source_map, arguments.form)
        bundle.messages(in_ms(wall_s()), arguments.device)
    except BundleError as error:
        raise UsageError(str(error)) from None
    return bundle


def _code(arguments: argparse.Namespace) -> bytes:
    """What is uploaded. Raises `UsageError`."""
    for name, value in {
        "--device": arguments.device,
        "--source-map": arguments.source_map,
        "--single and --chunks": arguments.form,
    }.items():
        if value is not None:
            raise UsageError(
                f"{name} can't go with --managed: the code is uploaded, and goes to all phones"
            )
    code = read_text(arguments.bundle).encode()
    if not code:
        raise UsageError(f"{arguments.bundle} is empty, and an upload can't be")
    return code


def _tidied(result: Exit, push: Push) -> Exit:
    push.tidy()
    return result


def read_text(path: Path) -> str:
    """A file's text. Raises `UsageError` when it can't be read or is not UTF-8."""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 (at byte {error.start:,})") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None


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
    _add_arguments,
    _start,
)
