"""A relay with clients that compress, or take compressed messages, and what its tests say often."""

import base64
import json
import random

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.frames import COMPRESSED, TEXT
from tests.memory import Client, Relay, deflated, masked

CODE = "".join(
    f"function f{i}(a, b) {{ return a[{i * 7919 % 9973}] + 'é' }}\n" for i in range(9000)
)
BUNDLE = json.dumps({"type": "bundle_update", "payload": {"code": CODE}}, ensure_ascii=False)
TEXT_OF_BUNDLE = BUNDLE.replace(": ", ":").replace(", ", ",").encode()
NOISE = base64.b64encode(random.Random(1).randbytes(600_000))
"""Compresses badly."""
NOISY_BUNDLE = b'{"type":"bundle_update","payload":{"code":"%b"}}' % NOISE


def compressed(text: bytes) -> bytes:
    """A client's compressed text message, in one frame."""
    return masked(TEXT | COMPRESSED, deflated(text))


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()

    def session(self, *phones: str, deflate: str = "") -> tuple[Client, list[Client]]:
        """A CLI that offers compression, and phones; those named in ``deflate`` offer it too."""
        cli = self.relay.connect("/cli/ABC234", deflate=True)
        mobiles = [
            self.relay.connect(f"/mobile/ABC234?deviceId={name}", deflate=name[0] in deflate)
            for name in phones
        ]
        cli.received()
        for phone in mobiles:
            phone.frames.clear()
        return cli, mobiles

    def send(self, client: Client, wire: bytes, step: int = 20_000) -> None:
        for at in range(0, len(wire), step):
            client.send_raw(wire[at : at + step])
