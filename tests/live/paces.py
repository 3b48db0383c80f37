"""What tests of phones at different paces stand on: a session on one relay, or across a bridge."""

from collections.abc import Iterable, Sequence

from tests.live.clients import Client, Code, missing
from tests.live.cluster import ClusterCase
from tests.live.paced_client import PacedClient
from tests.live.processes import MIB, RelayProcess
from tests.live.stalls import FreezableClients

SAVE_CHARS = 15 * MIB
"""How long a bundle is, of those that are larger than all that kernels take."""

PATIENT = ("--tune", "ping-timeout=120s")
"""A relay that doesn't take phones for dead that read nothing while a busy machine runs a test."""


class PacesCase(ClusterCase):
    """A session with the CLI at one end and the phones at the other, which are one relay."""

    skip = missing()

    async def ends(
        self, *options: str, there: Sequence[str] = ()
    ) -> tuple[RelayProcess, RelayProcess]:
        """Where the CLI connects to, and where the phones do.

        :param there: options of the phones' relay alone.
        """
        relay = await self.relay(*PATIENT, *options, *there)
        return relay, relay

    async def freezable(self, relay: RelayProcess) -> FreezableClients:
        """A Node process that can be frozen."""
        node = FreezableClients(relay)
        self.addCleanup(node.stop)
        await node.ready()
        return node

    async def paced(
        self,
        relay: RelayProcess,
        query: str = "",
        deflate: bool = False,
        receive_buffer: int | None = None,
        session: str = "ABC234",
    ) -> PacedClient:
        """A phone that reads as it is told to."""
        phone = await PacedClient.join(relay, "mobile", session, query, deflate, receive_buffer)
        self.addCleanup(self._leave, phone)
        return phone

    @staticmethod
    async def _leave(phone: PacedClient) -> None:
        if not phone.is_over:
            phone.leave()
            await phone.over()

    async def knows(self, cli: Client | PacedClient, count: int) -> None:
        """So many phones have come, and the CLI has been told of each."""
        for _ in range(count):
            await cli.expect("mobile_connected")
        await cli.settle()

    def assertInOrder(self, got: Iterable[Code], saves: Iterable[Code]) -> None:
        """Each of what a phone got is one of the saves, in their order, none twice, and the last
        one is the last."""
        got, saves = list(got), list(saves)
        self.assertEqual(got[-1:], saves[-1:])
        numbers = [saves.index(code) for code in got]
        self.assertEqual(numbers, sorted(set(numbers)))


class AcrossABridge(PacesCase):
    """The session is of the CLI's relay, and the phones are on another one."""

    skip = ClusterCase.skip

    owned_by_the_phones = False

    async def ends(
        self, *options: str, there: Sequence[str] = ()
    ) -> tuple[RelayProcess, RelayProcess]:
        redis = await self.redis()
        ends = (
            await self.member(redis.url, "a", *PATIENT, *options),
            await self.member(redis.url, "b", *PATIENT, *options, *there),
        )
        # A session is of the relay to which its first client comes.
        page = await PacedClient.join(ends[self.owned_by_the_phones], "dashboard")
        self.addCleanup(self._leave, page)
        return ends


class ToTheOwner(AcrossABridge):
    """The session is of the phones' relay, and the CLI is on another one."""

    owned_by_the_phones = True
