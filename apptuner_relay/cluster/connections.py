"""What the directory and the claims need of their connections to Redis: `redis_link` has them."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

Run = Callable[..., Awaitable[Any]]
"""Runs a script with its arguments. Raises `LinkLost` or `ServerRefused`."""


class Commands(Protocol):
    """What runs scripts: `redis_link.CommandLink`."""

    on_up: Callable[[], None]
    on_down: Callable[[str], None]

    @property
    def is_up(self) -> bool: ...
    def start(self) -> None: ...
    async def stop(self) -> None: ...
    def run(self, script: str, *args: str | int) -> Deferred[Any]: ...


class GreetedCommands(Commands, Protocol):
    """What does something over each connection before anybody else may use it."""

    greet: Callable[[Run], Awaitable[None]]


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
