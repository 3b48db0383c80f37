"""`watch`: plays the dashboard. Shows what happens in a session: logs, phones, acknowledgements.

It prints and never sends (but for pings). Everything it shows was written by others.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import datetime
from time import time as wall_s
from typing import Any

from apptuner_relay.client.command import Command, add_session_arguments
from apptuner_relay.client.credentials import add_key_argument
from apptuner_relay.client.managed_options import add_managed_arguments
from apptuner_relay.client.member_connection import ClientPings, Target
from apptuner_relay.client.membership import Membership
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.phones import Acknowledgement, Phone, PhoneRoster, phone_in
from apptuner_relay.client.policy import Patience
from apptuner_relay.client.printable import json_line, printable, printable_json
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.way import make_factory

PING_SECONDS = 20.0
PATIENCE = Patience(tries=10, first_seconds=1.0, ceiling_seconds=30.0, forgiving=True)

LEVELS = ("debug", "log", "info", "warn", "error")
"""From the least important to the most."""

_STYLES = {"debug": "dim", "log": "", "info": "cyan", "warn": "yellow", "error": "red"}


class Watch:
    """A dashboard in lines of text."""

    def __init__(self, level: str, raw: bool, screen: Screen) -> None:
        self._least = LEVELS.index(level)
        self._raw = raw
        self._screen = screen
        self._roster = PhoneRoster()

    def welcomed(self) -> None:
        self._screen.say("connected; watching")

    def disconnected(self) -> None:
        self._roster.clear()

    def received(self, message: Mapping[str, Any]) -> None:
        known = dict(self._roster.known)
        changed = self._roster.heed(message)
        if message["type"] == "console_log" and not self._wanted(message):
            return
        if self._raw:
            self._pass_on(message)
            return
        match message["type"]:
            case "console_log":
                self._show_log(message)
            case "bundle_ack":
                self._show_ack(message)
            case "mobile_connected":
                self._show_phone(phone_in(message), "came")
            case "mobile_disconnected":
                phone = phone_in(message)
                self._show_phone(known.get(phone.id, phone) if phone else None, "went")
            case "device_list" if changed:
                here = ", ".join(map(str, self._roster.known.values()))
                self._line("phones", f"here now: {here or 'none'}", "green")
            case "cli_disconnected":
                self._line("cli", "went", "magenta")
            case "error":
                self._line("relay", f"error: {printable_json(message.get('error'))}", "red")
            case "device_list" | "connected":
                pass
            case other:
                self._line("other", f"a message of type {printable(other, limit=80)}", "dim")

    def _pass_on(self, message: Mapping[str, Any]) -> None:
        try:
            line = json_line(message)
        except ValueError as error:
            self._screen.complain(f"left out a message: {error}")
        else:
            self._screen.tell_raw(line)

    def _show_log(self, message: Mapping[str, Any]) -> None:
        payload = message.get("payload")
        arguments = payload.get("args") if isinstance(payload, Mapping) else payload
        if not isinstance(arguments, list):
            arguments = [arguments]
        level = self._level_of(message)
        self._line(level, " ".join(map(printable_json, arguments)), _STYLES[level])

    def _show_ack(self, message: Mapping[str, Any]) -> None:
        phone, answer = phone_in(message), Acknowledgement.in_message(message)
        who = str(self._roster.known.get(phone.id, phone)) if phone else "a phone"
        if answer.success:
            self._line("bundle", f"{who}: success", "green")
        else:
            reason = printable(answer.error, lines=True) or "it does not say why"
            self._line("bundle", f"{who}: failed: {reason}", "red")

    def _show_phone(self, phone: Phone | None, what: str) -> None:
        self._line("phone", f"{phone or 'a phone'} {what}", "green" if what == "came" else "yellow")

    def _line(self, tag: str, text: str, style: str) -> None:
        at = datetime.fromtimestamp(wall_s()).strftime("%H:%M:%S")
        self._screen.tell_parts((f"{at} ", "dim"), (f"{tag:<6} ", f"bold {style}"), (text, style))

    def _wanted(self, log: Mapping[str, Any]) -> bool:
        return LEVELS.index(self._level_of(log)) >= self._least

    @staticmethod
    def _level_of(message: Mapping[str, Any]) -> str:
        payload = message.get("payload")
        level = payload.get("level") if isinstance(payload, Mapping) else None
        return level if isinstance(level, str) and level in LEVELS else "log"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_session_arguments(parser)
    add_managed_arguments(parser)
    add_key_argument(parser, "the session's secret, where it is claimed with one")
    parser.add_argument(
        "--level",
        choices=LEVELS,
        default=LEVELS[0],
        help="show console logs of this level and above (default: debug, which is all)",
    )


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Membership:
    target = Target(
        arguments.relay,
        "dashboard",
        arguments.session,
        credential=arguments.key,
        claims=arguments.key is not None,
    )
    factory = make_factory(arguments, reactor, target, ClientPings(PING_SECONDS))
    membership = Membership(reactor, factory, PATIENCE, screen)
    # A pipe that nobody reads any more is how `... | head` ends a program: no error.
    screen.on_reader_gone = lambda: None if membership.leaving else membership.leave(Exit.DONE)
    membership.start(Watch(arguments.level, arguments.json, screen))
    return membership


COMMAND = Command(
    "watch",
    "Connects as the session's dashboard and prints what comes: console logs of the phones,\n"
    "phones that come and go, and acknowledgements of bundles. Runs until interrupted.",
    _add_arguments,
    _start,
    json_help="print every message as a line of JSON, for other programs (with --level: console "
    "logs of that level and above, and everything else), and why it ended, if it failed",
    json_is_messages=True,
)
