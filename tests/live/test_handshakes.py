"""How connections begin and end, with Node at their other end: over every kind of endpoint."""

import hashlib
import json
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.certificates import Authority
from tests.live.browser import Browser, missing
from tests.live.clients import NODE_DIRECTORY, TYPESCRIPT
from tests.live.harness import LiveCase
from tests.live.processes import RelayProcess, run

SCRIPT = NODE_DIRECTORY / "handshake.mjs"
SHA256 = hashlib.sha256(TYPESCRIPT.read_bytes()).hexdigest() if TYPESCRIPT.exists() else ""


async def handshake(mode: str, *arguments: object) -> Any:
    """What handshake.mjs says."""
    child = await run(["node", str(SCRIPT), mode, *map(str, arguments)], NODE_DIRECTORY)
    assert child.exit_code == 0, repr(child)
    return json.loads(child.out)


class EndpointsCase(LiveCase):
    """A relay with one endpoint of each kind."""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp(prefix="apptuner-handshakes-"))
        self.addCleanup(shutil.rmtree, self.folder)
        authority = Authority()
        pair = authority.issue(names=("127.0.0.1",))
        self.chain, self.key = self.folder / "chain.pem", self.folder / "key.pem"
        self.chain.write_bytes(pair.chain)
        self.key.write_bytes(pair.key)
        self.ca = self.folder / "ca.pem"
        self.ca.write_bytes(authority.pem)

    async def start(self) -> tuple[RelayProcess, list[str]]:
        """A relay, and its endpoints as handshake.mjs names them."""
        path = self.folder / "relay.sock"
        own = "127.0.0.1"
        relay = await self.relay(
            *("--listen", f"unix:{path}"),
            *("--listen", f"tls:tcp:0:interface={own}"),
            *("--listen", f"ssl:0:interface={own}:privateKey={self.key}:certKey={self.chain}"),
            *("--tls-cert", str(self.chain), "--tls-key", str(self.key)),
            *("--spool-dir", str(self.folder / "spool")),
        )
        await relay.logged("listening on unix:")
        ours = (await relay.logged(rf"listening on tls:tcp:{own}:(\d+)")).group(1)
        ports = {relay.port, int(ours)}
        listening = relay.logged(
            rf"listening on tcp:{own}:(?!{'|'.join(f'{port}$' for port in ports)})(\d+)$"
        )
        twisteds = (await listening).group(1)
        return relay, [f"tcp:{relay.port}", f"unix:{path}", f"tls:{ours}", f"tls:{twisteds}"]


class HalfCloseTest(EndpointsCase):
    async def test_an_answer(self) -> None:
        _, endpoints = await self.start()
        for endpoint in endpoints:
            for path, status in (("/live", 200), ("/nowhere", 404), ("/cli/ABC234", 426)):
                reply = await handshake("half-close", endpoint, path, self.ca)
                self.assertEqual(reply["head"].split()[1], str(status), (endpoint, reply))
                self.assertIn(f"content-length: {reply['bytes']}", reply["head"].lower())
                self.assertIn(reply["alpn"], (None, False, "http/1.1"))

    async def test_a_bundle(self) -> None:
        relay, endpoints = await self.start()
        node = await self.node(relay)
        cli = await node.join("cli", "ABC234")
        phone = await node.join("mobile", "ABC234", "announce=1")
        await cli.push(TYPESCRIPT)
        await phone.expect("bundle_available")
        for endpoint in endpoints:
            reply = await handshake("half-close", endpoint, "/bundles/ABC234", self.ca)
            self.assertEqual(reply["sha256"], SHA256, (endpoint, reply))

    async def test_a_websocket_is_let_go(self) -> None:
        relay = await self.relay()
        reply = await handshake("half-closed-websocket", relay.port)
        self.assertEqual(reply, {"status": 101})
        health = (await relay.get("/health")).json()
        self.assertEqual(health["connections"], 0)


class OpeningTest(LiveCase):
    async def test_a_frame_in_the_packet_of_the_request(self) -> None:
        relay = await self.relay()
        self.assertEqual(await handshake("early", relay.port), {"pong": True})

    async def test_subprotocols(self) -> None:
        relay = await self.relay("--subprotocol", "apptuner, v2.apptuner")
        for asked, answered in [
            (("v2.apptuner", "apptuner"), "v2.apptuner"),
            (("graphql-ws", "apptuner"), "apptuner"),
            (("graphql-ws", "mqtt"), "graphql-ws"),
        ]:
            url = f"ws://127.0.0.1:{relay.port}/dashboard/ABC234"
            self.assertEqual(await handshake("open", url, *asked), {"protocol": answered})

    async def test_offers_of_compression(self) -> None:
        relay = await self.relay()
        url = relay.url("cli", "ABC234")
        for options in (
            {"clientMaxWindowBits": 8},
            {"clientMaxWindowBits": 15, "serverMaxWindowBits": 15},
        ):
            reply = await handshake("offer", url, json.dumps(options))
            self.assertEqual(reply, {"extensions": "permessage-deflate"}, options)
        reply = await handshake("offer", url, json.dumps({"serverMaxWindowBits": 9}))
        self.assertEqual(reply, {"extensions": ""})

    async def test_offers_that_can_not_be_taken(self) -> None:
        taken = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        for options, behind in [((), taken), (("--compression", "off"), None)]:
            relay = await self.relay(*options)
            for bad in ("permessage-deflate; x=1", "permessage-deflate;", 'x; y="a,b', ";;"):
                reply = await handshake("offer-raw", relay.port, bad)
                self.assertEqual(reply, {"status": 101, "extensions": None}, bad)
                if '"' not in bad:
                    reply = await handshake("offer-raw", relay.port, f"{bad}, permessage-deflate")
                    self.assertEqual(reply, {"status": 101, "extensions": behind}, bad)


CONNECT = """
return new Promise((done) => {
  const socket = new WebSocket(%s, %s);
  socket.onopen = () => { done(socket.protocol); socket.close(); };
  socket.onclose = (event) => done(event.code);
});
"""


class BrowserTest(LiveCase):
    """A page in Chromium."""

    skip = LiveCase.skip or missing()

    async def connect(self, browser: Browser, url: str, *subprotocols: str) -> Any:
        """The subprotocol, or the close code of a connection that is not made."""
        return await browser.run(CONNECT % (json.dumps(url), json.dumps(subprotocols)))

    async def test_a_page_that_is_a_file(self) -> None:
        page = Path(self.mktemp()).resolve().with_suffix(".html")
        page.write_text("<!doctype html><title>A dashboard</title>")
        browser = Browser(Path("screenshots"))
        self.addCleanup(browser.stop)
        await browser.start()
        await browser.visit(page.as_uri())
        for options, files_may in [
            ((), True),
            (("--allowed-origin", "null"), True),
            (("--allowed-origin", "file://"), True),
            (("--allowed-origin", "https://dash.example.com"), False),
        ]:
            relay = await self.relay(*options)
            url = relay.url("dashboard", "ABC234")
            for asked, answered in [((), ""), (("graphql-ws", "apptuner"), "apptuner")]:
                result = await self.connect(browser, url, *asked)
                self.assertEqual(result, answered if files_may else 1006, options)
