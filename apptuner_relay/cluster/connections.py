"""What the directory and the claims need of their connections to Redis: `redis_link` has them."""

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred


class Commands(Protocol):
    """What runs scripts: `redis_link.CommandLink`."""

    on_up: Callable[[], None]
    on_down: Callable[[str], None]

    @property
    def is_up(self) -> bool: ...
    def start(self) -> None: ...
    async def stop(self) -> None: ...
    def run(self, script: str, *args: str | int) -> Deferred[Any]: ...


class Notices(Protocol):
    """What hears other nodes: `redis_link.NoticeLink`."""

    on_up: Callable[[], None]
    on_down: Callable[[str], None]
    on_notice: Callable[[str, str], None]

    def start(self) -> None: ...
    async def stop(self) -> None: ...
    def reset(self, reason: str) -> None: ...
    def subscribe(self, channel: str) -> None: ...
    def unsubscribe(self, channel: str) -> None: ...
    def ping(self) -> None: ...
