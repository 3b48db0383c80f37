"""A node of its own process for tests that freeze or kill it: only its directory.

Usage: python -m tests.live.directory_node URL NODE LEASE_S

Takes ``claim HASH``, ``release HASH``, ``held`` and ``stop`` on standard input, and prints JSON
lines: ``{"ready": true}``, ``{"reply": …}`` to each of these in turn, and ``{"event": [name, …]}``.
"""

import json
import sys

from twisted.internet import reactor, stdio
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver

from apptuner_relay.cluster.ownership.directory import DirectoryError, Events
from apptuner_relay.cluster.ownership.redis_directory import Timing, make_directory
from apptuner_relay.config.redis_url import parse_redis_url


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


class SaidEvents(Events):
    """Prints what happens."""

    def lost(self, session: str, lease: object) -> None:
        say(event=["lost", session, lease])

    def moved(self, session: str) -> None:
        say(event=["moved", session])

    def unreachable(self) -> None:
        say(event=["away"])

    def reachable(self) -> None:
        say(event=["back"])


class Orders(LineReceiver):
    """Takes what is asked for, a line each."""

    delimiter = b"\n"

    def __init__(self, node: "DirectoryNode") -> None:
        self._node = node

    def lineReceived(self, line: bytes) -> None:
        word, _, session = line.decode().partition(" ")
        Deferred.fromCoroutine(self._node.order(word, session))


class DirectoryNode:
    def __init__(self, url: str, node: str, lease_s: float) -> None:
        timing = Timing(lease=lease_s, renew=lease_s / 3)
        self._directory = make_directory(
            reactor,
            parse_redis_url(url),
            node,
            f"ws://{node}:3000",
            SaidEvents(),
            connections=lambda: 0,
            version="0",
            timing=timing,
        )
        self._over: Deferred[None] = Deferred()

    async def run(self) -> None:
        await self._directory.start()
        stdio.StandardIO(Orders(self))
        say(ready=True)
        await self._over

    async def order(self, word: str, session: str) -> None:
        try:
            if word == "claim":
                say(reply=await self._directory.claim(session))
            elif word == "release":
                say(reply=await self._directory.release(session))
            elif word == "held":
                say(reply=[lease.session for lease in self._directory.held()])
            elif word == "stop":
                say(reply=await self._directory.stop())
                self._over.callback(None)
        except DirectoryError as wrong:
            say(reply=type(wrong).__name__)


if __name__ == "__main__":
    url, node, lease_s = sys.argv[1:]
    running = DirectoryNode(url, node, float(lease_s))
    react(lambda _: Deferred.fromCoroutine(running.run()))
