"""Phones whose connection is dead, and which are back on another one before anybody can tell: they
get their bundle at once, and nobody waits for what hangs."""

from tests.live.clients import Client, NodeClients
from tests.live.namespaces import TwoHosts, missing_namespaces
from tests.live.paced_client import PacedClient
from tests.live.paces import SAVE_CHARS, AcrossABridge, PacesCase, ToTheOwner
from tests.live.ports import free_port
from tests.live.processes import MIB, RelayProcess
from tests.live.stalls import StoppableProxy


class StoppedProxyTest(PacesCase):
    """Behind a proxy that hangs: it holds the connections, and passes nothing on."""

    relays: tuple[RelayProcess, RelayProcess]

    async def path(self) -> StoppableProxy:
        """Start `relays`, and a way to the phones' one."""
        self.relays = await self.ends()
        self.proxy = StoppableProxy(("127.0.0.1", self.relays[1].port))
        self.addCleanup(self.proxy.remove)
        await self.proxy.listening()
        return self.proxy

    def die(self) -> None:
        """Nothing goes that way any more, and neither end is told."""
        self.proxy.freeze()

    def mend(self) -> None:
        """It does again."""
        self.proxy.thaw()

    async def begin(
        self, query: str, chunked: bool
    ) -> tuple[NodeClients, Client, Client, PacedClient]:
        """A CLI, a quick phone, and one whose connection dies in the middle of a save, of which
        the CLI and the quick phone see nothing."""
        path = await self.path()
        here, there = self.relays
        node = await self.node(there)
        cli = await self.join(node, here, "cli", perMessageDeflate=True)
        quick = await self.join(node, there, "mobile", query="deviceId=quick")
        dead = await PacedClient.join(path, "mobile", query=query, receive_buffer=64 * 1024)
        self.addCleanup(self._leave, dead)
        await self.knows(cli, 2)
        dead.stop()
        code = await cli.start_filler(SAVE_CHARS, chunked)
        await dead.read_on(MIB)
        self.die()
        await cli.all_sent()
        await cli.settle()
        self.assertEqual((await quick.bundle()).code, code)
        return node, cli, quick, dead

    async def end(self, cli: Client, quick: Client, back: Client, dead: PacedClient) -> None:
        """The session is whole, and what hung is of no concern when it goes on."""
        self.mend()
        dead.hurry()
        await cli.send({"type": "reload"})
        for phone in (quick, back):
            await phone.expect("reload")
            await phone.settle()
        await cli.settle()

    async def saved_again(self, query: str, chunked: bool) -> None:
        """The CLI sends again what it has when it hears of the phone, as released ones do."""
        node, cli, quick, dead = await self.begin(query, chunked)
        back = await self.join(node, self.relays[1], "mobile", query=query)
        await cli.expect("mobile_connected")
        sent = await cli.push_filler(SAVE_CHARS + 1, chunked)
        await cli.settle()
        for phone in (back, quick):
            self.assertEqual((await phone.bundle()).code, sent.code)
            await phone.send({"type": "bundle_ack", "success": True})
            await cli.expect("bundle_ack")
        await self.end(cli, quick, back, dead)

    async def test_the_cli_sends_it_again(self) -> None:
        await self.saved_again("deviceId=phone", chunked=False)

    async def test_the_cli_sends_it_again_in_chunks(self) -> None:
        await self.saved_again("deviceId=phone", chunked=True)

    async def test_a_phone_that_says_no_name(self) -> None:
        # As all that are released: the relay can't tell that the dead one is the same.
        await self.saved_again("", chunked=True)

    async def test_replayed(self) -> None:
        node, cli, quick, dead = await self.begin("deviceId=phone", chunked=False)
        query = "deviceId=phone&replay=1"
        back = await self.join(node, self.relays[1], "mobile", query=query)
        self.assertEqual((await back.bundle()).code, quick.seen[-1].code)
        await back.send({"type": "bundle_ack", "success": True})
        await cli.expect("bundle_ack")
        await self.end(cli, quick, back, dead)


class StoppedProxyAcrossABridgeTest(AcrossABridge, StoppedProxyTest):
    pass


class StoppedProxyOfTheOwnerTest(ToTheOwner, StoppedProxyTest):
    pass


class LostNetworkTest(StoppedProxyTest):
    """On a network that is gone: nothing that is sent is acknowledged."""

    skip = PacesCase.skip or missing_namespaces()

    async def path(self) -> StoppableProxy:
        self.hosts = TwoHosts()
        self.addCleanup(self.hosts.remove)
        address, port = self.hosts.here["a"], free_port()
        self.relays = await self.ends(there=("--listen", f"tcp:{port}:interface={address}"))
        # The phone's way leads over another host, whose link is cut; that is its only one.
        way = StoppableProxy((address, port), self.hosts.outside["a"], *self.hosts.within("a"))
        self.addCleanup(way.remove)
        await way.listening()
        return way

    def die(self) -> None:
        self.hosts.cut("a", "out")

    def mend(self) -> None:
        self.hosts.mend("a", "out")


class LostNetworkAcrossABridgeTest(AcrossABridge, LostNetworkTest):
    skip = AcrossABridge.skip or missing_namespaces()
