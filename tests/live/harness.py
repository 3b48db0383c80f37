"""What a live test stands on: `LiveCase`, which starts relays and clients and ends them again."""

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import TestCase

from tests.live.clients import Message, NodeClients, Place, missing
from tests.live.processes import RelayProcess

T = TypeVar("T")


class LiveCase(TestCase):
    """A test with processes of its own, which end with it."""

    timeout = 180
    skip = missing()

    async def relay(self, *options: str, env: Mapping[str, str] | None = None) -> RelayProcess:
        """A relay on a free port of 127.0.0.1, up and listening."""
        relay = RelayProcess(["--listen", "tcp:0:interface=127.0.0.1", *options], env)
        self.addCleanup(relay.stop)
        await relay.listening()
        return relay

    async def node(self, relay: Place) -> NodeClients:
        """A Node process that plays clients of this relay."""
        node = NodeClients(relay)
        self.addCleanup(node.stop)
        await node.ready()
        return node

    async def stage(self, *options: str) -> tuple[RelayProcess, NodeClients]:
        relay = await self.relay(*options)
        return relay, await self.node(relay)

    def assertTypes(self, messages: Iterable[Message], types: Sequence[str]) -> None:
        self.assertEqual([message.type for message in messages], list(types))


async def together(*coroutines: Coroutine[Deferred[Any], Any, T]) -> list[T]:
    """Run them at the same time."""
    started = [ensureDeferred(coroutine) for coroutine in coroutines]
    return [await each for each in started]
