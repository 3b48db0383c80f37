"""What to check when no phone comes: told once, with the URL and the QR code that bring one."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from time import time as wall_s

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from apptuner_relay.access.tokens import TOKEN_LASTS_S
from apptuner_relay.client.address import DEFAULT_RELAY, Relay
from apptuner_relay.client.join_url import join_token, join_url, qr_code
from apptuner_relay.client.lan_relay import seen_from_phones
from apptuner_relay.client.outcome import PROGRAM
from apptuner_relay.client.screen import Screen
from apptuner_relay.support.lan_address import find_lan_address

AFTER_SECONDS = 10.0
"""Without a phone, from when the relay has said its welcome."""


class NoPhoneHint:
    """Calls `show` once, when no phone has been there for a while."""

    def __init__(self, clock: IReactorTime, show: Callable[[], None]) -> None:
        self._clock = clock
        self._show = show
        self._due: IDelayedCall | None = None
        self._is_told = False

    def look(self, is_there: bool) -> None:
        """Whether a phone is there, over a connection that is up."""
        if is_there:
            self.stop()
        elif self._due is None and not self._is_told:
            self._due = self._clock.callLater(AFTER_SECONDS, self._tell)

    def stop(self) -> None:
        """The connection is gone, or nothing is waited for any more."""
        due, self._due = self._due, None
        if due is not None:
            due.cancel()

    def _tell(self) -> None:
        self._due = None
        self._is_told = True
        self._show()


@dataclass(frozen=True)
class Missing:
    """Which phone is missing, and where."""

    relay: Relay
    session: str
    device: str | None = None
    """The only phone that is waited for, if it is one."""
    needs_token: bool = False


def what_to_check(
    missing: Missing, find: Callable[[], str | None]
) -> tuple[list[str], Relay | None]:
    """Lines for a person, and the relay as phones reach it; None if they can't.

    :param find: finds this machine's address in its network.
    """
    relay = missing.relay
    seen = seen_from_phones(relay, find)
    whom = "no phone is" if missing.device is None else f"phone {missing.device} is not"
    lines = [f"{whom} there after {AFTER_SECONDS:g} s. To check:"]
    lines.append(f"  - the app is open on the phone, and in session {missing.session}")
    if seen is None:
        lines.append(
            f"  - this machine has no address but {relay.host}, which is the phone itself on a "
            "phone: connect it to the phone's network"
        )
    else:
        if seen is not relay:
            lines.append(
                f"  - the app connects to {seen.host_header}: {relay.host} there is the phone "
                "itself"
            )
            lines.append("  - the phone is in the same network, and no VPN or guest network")
        lines.append(f"  - the phone's browser opens {seen.resolve('/health')}")
    if missing.needs_token:
        lines.append("  - the phone has a join token that is still good")
    named = "" if str(relay) == DEFAULT_RELAY else f" --relay {relay}"
    lines.append(f"  - {PROGRAM} doctor{named} --session {missing.session}")
    return lines, seen


def hint_for(
    arguments: argparse.Namespace,
    clock: IReactorTime,
    screen: Screen,
    find: Callable[[], str | None] = find_lan_address,
) -> NoPhoneHint | None:
    """The hint of a `push` with these arguments; none with `--quiet`."""
    if arguments.quiet:
        return None
    missing = Missing(arguments.relay, arguments.session, arguments.device, arguments.tokens)

    def show() -> None:
        lines, seen = what_to_check(missing, find)
        for line in lines:
            screen.say(line)
        if seen is None:
            return
        token = None
        if missing.needs_token:
            if not screen.err_is_terminal:
                # What a file keeps is no place for a token.
                screen.say(f"phones join with what {PROGRAM} share prints")
                return
            expires_s = wall_s() + TOKEN_LASTS_S
            token = join_token(arguments.key, missing.session, expires_s)
        url = join_url(seen, missing.session, token)
        screen.say(f"phones join with {url}")
        screen.draw(qr_code(url))

    return NoPhoneHint(clock, show)
