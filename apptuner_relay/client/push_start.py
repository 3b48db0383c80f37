"""Begins what `push` has been asked for; what happens then is in `pushing`, or with ``--watch`` in
`save_pushing`."""

from __future__ import annotations

import argparse
from pathlib import Path
from time import time as wall_s
from typing import Any

from apptuner_relay.client.bundles import BundleError, ReadBundle
from apptuner_relay.client.carriers import Carrier, MessageCarrier
from apptuner_relay.client.command import CommandRun
from apptuner_relay.client.member_connection import ClientPings, Target
from apptuner_relay.client.membership import Membership
from apptuner_relay.client.no_phone_hint import hint_for
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.policy import Patience
from apptuner_relay.client.push_options import WAIT_SECONDS
from apptuner_relay.client.push_watch import start_watch
from apptuner_relay.client.pushing import Order, Push
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.way import make_factory
from apptuner_relay.support.clocks import in_ms

RECONNECT_SECONDS = 5.0
PING_SECONDS = 20.0


def start_push(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> CommandRun:
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
