"""What real clients limit, and what they leave to the relay: docs/reference/clients.md."""

import hashlib
import json
import random
import shutil
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from apptuner_relay.wire.deflate import NO_CONTEXT_TAKEOVER
from apptuner_relay.wire.frames import COMPRESSED, CONTINUATION, TEXT
from tests.live.clients import NODE_DIRECTORY, Code
from tests.live.cluster import ClusterCase
from tests.live.conformance.peer import Peer, turn_until
from tests.live.harness import LiveCase, together
from tests.live.processes import MIB, Child, run, within_patience
from tests.memory import HANDSHAKE, deflated, masked

CODE = "let a = 1; // " + random.Random(1).randbytes(5 * MIB).hex()
CRUMB_BYTES = 512
"""Makes 20,480 frames of the code: more than Node's ws takes in one message."""


def push_in_crumbs(port: int, opcode: int, payload: bytes) -> socket.socket:
    """Send a message, in frames that are small, as a CLI that is there from then on."""
    cli = socket.create_connection(("127.0.0.1", port))
    cli.sendall(HANDSHAKE.format(target="/cli/ABC234", extra=OFFER).encode())
    cli.recv(4096)
    crumbs = [payload[at : at + CRUMB_BYTES] for at in range(0, len(payload), CRUMB_BYTES)]
    for i, crumb in enumerate(crumbs):
        cli.sendall(masked(CONTINUATION if i else opcode, crumb, i == len(crumbs) - 1))
    return cli


OFFER = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
MESSAGE = json.dumps({"type": "bundle_update", "payload": {"code": CODE}}).encode()
TOLD = Code(len(CODE), hashlib.sha256(CODE.encode()).hexdigest())


class CrumbTest(LiveCase):
    async def test_a_bundle_in_more_frames_than_a_client_takes(self) -> None:
        relay, node = await self.stage()
        phones = await together(
            node.join("mobile", "ABC234", perMessageDeflate=False),
            node.join("mobile", "ABC234", perMessageDeflate=True),
        )
        # Stored and not compressed, so that it is as long.
        for opcode, payload in (
            (TEXT, MESSAGE),
            (TEXT | COMPRESSED, deflated(MESSAGE, 0)),
        ):
            cli = await deferToThread(push_in_crumbs, relay.port, opcode, payload)
            for phone in phones:
                self.assertEqual((await phone.bundle()).code, TOLD)
            cli.close()
        late = await node.join("mobile", "ABC234", "replay=1", perMessageDeflate=False)
        self.assertEqual((await late.bundle()).code, TOLD)


class BridgedCrumbTest(ClusterCase):
    async def test_a_bundle_in_crumbs_from_one_relay_to_the_other(self) -> None:
        _, (a, b), node = await self.cluster(2)
        near = await self.join(node, a, "mobile", query="deviceId=d1")
        far = await self.join(node, b, "mobile", query="deviceId=d2")
        for relay in (a, b):
            cli = await deferToThread(push_in_crumbs, relay.port, TEXT, MESSAGE)
            for phone in (near, far):
                self.assertEqual((await phone.bundle()).code, TOLD)
            cli.close()


class EndTest(LiveCase):
    async def test_tcp_ends_behind_both_closes_and_is_not_reset(self) -> None:
        relay, node = await self.stage()
        phone = Peer(relay.port, "/mobile/ABC234?deviceId=d")
        self.addCleanup(phone.socket.close)
        await node.join("mobile", "ABC234", "deviceId=d")
        await deferToThread(turn_until, [phone], lambda: phone.seen.over, "the end")
        self.assertEqual((phone.seen.close, phone.seen.was_reset), (1000, False))


class NativeTest(LiveCase):
    """Node's own WebSocket: 20.20 and 22.22 take no frame that inflates to more than 4 MiB, and all
    leave it to the relay to end TCP."""

    async def said(self, relay_url: str, on_line: Callable[[str], None]) -> Child:
        node = shutil.which("node") or "node"
        argv = [node, "--no-warnings", "--experimental-websocket", "native.mjs", relay_url]
        child = Child(argv, NODE_DIRECTORY, on_line=on_line)
        self.addCleanup(child.kill)
        return child

    async def test_what_it_gets_and_how_it_ends(self) -> None:
        known = await run([shutil.which("node") or "node", "--help"])
        if "--experimental-websocket" not in known.out:
            self.skipTest("needs Node 20.10 or newer")
        relay, node = await self.stage()
        cli = await node.join("cli", "ABC234", perMessageDeflate=True)
        told: Deferred[None] = Deferred()

        def on_line(line: str) -> None:
            # What it got, or how it ended before that.
            if not told.called and ("bundle_update" in line or "wasClean" in line):
                told.callback(None)

        child = await self.said(relay.url("mobile", "ABC234", "deviceId=d"), on_line)
        await cli.expect("mobile_connected")
        code = await cli.start_filler(9 * MIB)
        await within_patience(told, lambda: repr(child))
        # Somebody takes its place: it is closed, and its process ends, as nothing is open any more.
        await node.join("mobile", "ABC234", "deviceId=d")
        await within_patience(child.over(), lambda: repr(child))
        said: list[dict[str, Any]] = [json.loads(line) for line in child.out.splitlines()]
        self.assertEqual(said[0], {"extensions": NO_CONTEXT_TAKEOVER})
        self.assertIn({"type": "bundle_update", "chars": code.chars}, said)
        reason = "New Mobile connected for this project"
        self.assertEqual(said[-1], {"code": 1000, "reason": reason, "wasClean": True})
