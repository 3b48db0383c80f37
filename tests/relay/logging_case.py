"""A phone that logs, at ten messages a second."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Client, Relay


class LoggingCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay(message_rate=10)

    def session(self, deflate: bool = False) -> tuple[Client, Client]:
        cli = self.relay.connect("/cli/ABC234")
        phone = self.relay.connect("/mobile/ABC234", deflate=deflate)
        cli.received()
        phone.received()
        return cli, phone

    def log(self, phone: Client, n: int, level: str = "log", **more: object) -> None:
        phone.send(type="console_log", payload={"level": level, "n": n, **more})

    def logged(self, client: Client) -> list[Any]:
        """What has come of `log`; of other console logs, their text."""
        logs = [one["payload"] for one in client.received() if one["type"] == "console_log"]
        return [log["n"] if "n" in log else log["args"][0] for log in logs]
