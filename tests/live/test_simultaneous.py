"""Two CLIs that come at the same instant, each through another relay: one of them is in its session
afterwards, and both have been told so."""

from collections.abc import Sequence
from typing import Any

from tests.live.clients import Client
from tests.live.cluster import ClusterCase
from tests.live.harness import together
from tests.live.test_access import KEY, OTHER, bearer

TRIES = 8


async def outcome(client: Client) -> int | None:
    """The HTTP status of its refusal; None for one that came in."""
    try:
        await client.opened()
    except AssertionError:
        return (await client.refusal()).status
    return None


async def is_served(client: Client) -> bool:
    """Whether it is answered, rather than closed."""
    try:
        await client.settle()
    except AssertionError:
        return False
    return True


class SimultaneousTest(ClusterCase):
    async def both_at_once(
        self, one: dict[str, Any], other: dict[str, Any]
    ) -> Sequence[tuple[Client, Client, list[int | None]]]:
        """Each time in a session of its own: the two, and what came of them."""
        _, (a, b), node = await self.cluster(2)
        tries = []
        for n in range(TRIES):
            session = f"S-{n}"
            first = node.start("cli", session, url=a.url("cli", session), **one)
            second = node.start("cli", session, url=b.url("cli", session), **other)
            came = await together(outcome(first), outcome(second))
            tries.append((first, second, came))
        return tries

    async def stays(self, client: Client, claimed: bool) -> None:
        """It has been welcomed, and is served."""
        self.assertEqual((await client.next()).data.get("claimed", False), claimed)
        await client.settle()

    async def test_with_different_secrets(self) -> None:
        for first, second, came in await self.both_at_once(bearer(KEY), bearer(OTHER)):
            self.assertEqual(sorted(map(str, came)), ["403", "None"])
            await self.stays(first if came[0] is None else second, claimed=True)

    async def test_with_a_secret_and_without(self) -> None:
        for first, second, came in await self.both_at_once(bearer(KEY), {}):
            (status,) = [one for one in came if one is not None]
            self.assertIn(status, (401, 403, 409))
            await self.stays(first if came[0] is None else second, claimed=came[0] is None)

    async def test_of_one_owner(self) -> None:
        """The later one takes over, as ever, and the other is told."""
        for first, second, came in await self.both_at_once(bearer(KEY), bearer(KEY)):
            self.assertEqual(came, [None, None])
            for client in (first, second):
                await client.expect("connected")
            served = await together(is_served(first), is_served(second))
            self.assertEqual(sorted(served), [False, True])
            closed = await (second if served[0] else first).closed()
            self.assertEqual(closed, (1000, "New CLI connected for this project"))
