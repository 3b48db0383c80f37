"""What tests of bundles in several messages share."""

from typing import Any, ClassVar

from tests.memory import Client
from tests.spool.cases import Spooled

CUT = "a bundle was cut short"


class SeriesCase(Spooled):
    # Nobody here answers a ping.
    settings: ClassVar[dict[str, Any]] = {"ping_interval": 3600.0}

    def begin(self, cli: Client, name: str, count: int = 3, upto: int = 2, **more: Any) -> None:
        """The start of a series, and its first chunks."""
        cli.send(type="bundle_start", totalChunks=count, totalSize=9, of=name, **more)
        for index in range(upto):
            self.send_chunk(cli, name, index, count, **more)

    def send_chunk(self, cli: Client, name: str, index: int, count: int = 3, **more: Any) -> None:
        cli.send(type="bundle_chunk", index=index, totalChunks=count, **more, data=f"{name}{index}")

    def story(self, phone: Client) -> list[str]:
        """What of bundles came: ``A`` for the start of a series, ``A0`` for a chunk."""
        told = []
        for message in phone.received():
            if message["type"] == "bundle_start":
                told.append(message["of"])
            elif message["type"] == "bundle_chunk":
                told.append(message["data"])
            elif message["type"] == "bundle_update":
                told.append(message["payload"]["code"])
        return told

    def assertCut(self, phone: Client, why: str = CUT) -> None:
        phone.read()
        assert phone.closed is not None
        self.assertEqual(phone.closed[0], 1011)
        self.assertIn(why, phone.closed[1])

    def assertStays(self, *phones: Client) -> None:
        for phone in phones:
            phone.read()
            self.assertIsNone(phone.closed)
