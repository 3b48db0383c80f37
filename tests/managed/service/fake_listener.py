"""A gateway's side of one channel, which notes what it hears."""

from collections.abc import Mapping


class FakeListener:
    """A `channel_service.ChannelListener`."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def take(self) -> list[tuple[object, ...]]:
        """What was heard since the last call."""
        heard, self.heard = self.heard, []
        return heard

    def subscribed(self, members: Mapping[str, Mapping[str, object]]) -> None:
        self.heard.append(("subscribed", dict(members)))

    def unsubscribed(self, why: str) -> None:
        self.heard.append(("unsubscribed", why))

    def member_added(self, user_id: str, info: Mapping[str, object]) -> None:
        self.heard.append(("added", user_id, dict(info)))

    def member_removed(self, user_id: str) -> None:
        self.heard.append(("removed", user_id))

    def event_received(self, name: str, data: str, user_id: str | None) -> None:
        self.heard.append(("event", name, data, user_id))
