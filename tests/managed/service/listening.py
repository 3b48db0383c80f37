"""A listener that knows who is in the channel."""

from collections.abc import Mapping

from tests.managed.service.fake_listener import FakeListener

Info = Mapping[str, object]


class MemberListener(FakeListener):
    """Notes what it hears, and keeps the list of members."""

    def __init__(self) -> None:
        super().__init__()
        self.members: dict[str, Info] = {}
        self.is_subscribed = False

    def subscribed(self, members: Mapping[str, Info]) -> None:
        super().subscribed(members)
        self.is_subscribed, self.members = True, dict(members)

    def unsubscribed(self, why: str) -> None:
        super().unsubscribed(why)
        self.is_subscribed = False
