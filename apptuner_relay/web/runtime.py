"""What an operator changes of a running relay: ``/api/drain``, ``/api/block`` and
``/api/log-level``. GET says how it is; POST, and DELETE for a block, change it. Bodies are JSON.
"""

import json
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from twisted.web.server import Request

from apptuner_relay.access.block_list import BLOCKED, read_network, show_network
from apptuner_relay.config.parsers import duration
from apptuner_relay.operator.log_threshold import LEVELS, LogThreshold
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import BadRequest
from apptuner_relay.support.units import show_count
from apptuner_relay.web.guard import Guard, client_address
from apptuner_relay.web.json_body import JsonResource, write_json

_MOST_BODY_BYTES = 2048
RUNTIME_BODY_LIMITS = dict.fromkeys(
    (b"/api/drain", b"/api/block", b"/api/log-level"), _MOST_BODY_BYTES
)
"""The paths whose requests have a body, and how many bytes it may have."""
_MOST_S = 366 * 86400.0
_for = duration(1, _MOST_S)


def read_object(request: Request, names: tuple[str, ...]) -> Mapping[str, Any]:
    """The JSON object in a request's body.

    :param names: what it may have.
    :raises BadRequest: 400, there is none, or it has something else.
    """
    shape = "The body is a JSON object with " + ", ".join(names)
    try:
        value = json.loads(request.content.read())  # type: ignore[union-attr]
    except (ValueError, RecursionError):
        raise BadRequest(400, shape) from None
    if not isinstance(value, dict) or not value.keys() <= set(names):
        raise BadRequest(400, shape)
    return value


def read_for(value: Mapping[str, Any]) -> float | None:
    """The time of ``"for":"10m"``, in seconds; None where there is none.

    :raises BadRequest: 400, it is no time.
    """
    text = value.get("for")
    if text is None:
        return None
    try:
        return _for(str(text))
    except ValueError as wrong:
        raise BadRequest(400, f"for {wrong}") from None


class _RuntimeResource(JsonResource):
    """A state that can be asked for and changed."""

    action = ""
    """How the audit log names a change that is refused."""

    def __init__(self, relay: RelayService, guard: Guard) -> None:
        super().__init__()
        self.relay = relay
        self._guard = guard

    def render_GET(self, request: Request) -> bytes:
        return write_json(request, self.show())

    def render_POST(self, request: Request) -> bytes:
        return self._change(request, self.change)

    def _change(self, request: Request, change: Any) -> bytes:
        try:
            action, result = change(request)
        except BadRequest as wrong:
            self._guard.audit(request, self.action, f"refused: {wrong}")
            return write_json(request, {"error": str(wrong)}, wrong.status)
        self._guard.audit(request, action, result)
        return write_json(request, self.show())

    def show(self) -> dict[str, object]:
        """How it is now."""
        raise NotImplementedError

    def change(self, request: Request) -> tuple[str, str]:
        """Change it as the request wants. Returns the action and its result, for the audit log.

        :raises BadRequest: that can't be.
        """
        raise NotImplementedError


class DrainResource(_RuntimeResource):
    """``POST {"on":true}``: take no new sessions, hand over those that there are, and don't stop.
    ``{"on":false}``: take sessions again."""

    action = "drain"

    def show(self) -> dict[str, object]:
        relay = self.relay
        return {
            "drain": relay.drain.is_on,
            "state": relay.drain.state.value,
            "sessions": len(relay.sessions),
            "connections": relay.connections,
        }

    def change(self, request: Request) -> tuple[str, str]:
        on = read_object(request, ("on",)).get("on")
        if not isinstance(on, bool):
            raise BadRequest(400, "on is true or false")
        if self.relay.shutdown is not None:
            raise BadRequest(409, "The relay stops")
        changed = self.relay.drain.set(on)
        return f"drain {'on' if on else 'off'}", "done" if changed else "done: it was so"


class BlockResource(_RuntimeResource):
    """``POST {"address":"192.0.2.4","for":"1h","reason":"…"}`` closes the clients of an address or
    network, and refuses it; without ``for`` until ``DELETE {"address":"192.0.2.4"}``."""

    action = "block"

    def show(self) -> dict[str, object]:
        return {"blocked": [block.row() for block in self.relay.access.blocks.list()]}

    def change(self, request: Request) -> tuple[str, str]:
        value = read_object(request, ("address", "for", "reason"))
        network = read_network(str(value.get("address") or ""))
        own = client_address(request, self.relay.settings.listening.trusted_proxy)
        if own is not None and ip_address(own) in network:
            raise BadRequest(400, f"{show_network(network)} is your own address")
        reason = value.get("reason") or ""
        if not isinstance(reason, str):
            raise BadRequest(400, "reason is text")
        block = self.relay.access.blocks.add(network, read_for(value), reason)
        closed = self.relay.registry.close_network(network, BLOCKED)
        return f"block {block.shown}", f"done, {show_count(closed, 'client')} closed"

    def render_DELETE(self, request: Request) -> bytes:
        return self._change(request, self._lift)

    def _lift(self, request: Request) -> tuple[str, str]:
        network = read_network(str(read_object(request, ("address",)).get("address") or ""))
        shown = show_network(network)
        if not self.relay.access.blocks.lift(network):
            raise BadRequest(404, f"{shown} is not blocked")
        return f"lift block {shown}", "done"


class LogLevelResource(_RuntimeResource):
    """``POST {"level":"debug","for":"10m"}``: log at that level for that time, or until the relay
    is told otherwise."""

    action = "log level"

    def __init__(self, relay: RelayService, guard: Guard, threshold: LogThreshold | None) -> None:
        super().__init__(relay, guard)
        self._threshold = threshold

    def show(self) -> dict[str, object]:
        threshold = self._threshold
        if threshold is None:
            return {"level": None, "usual": None, "left_s": None}
        left_s = threshold.left_s
        return {
            "level": threshold.level,
            "usual": threshold.usual,
            "left_s": None if left_s is None else round(left_s),
        }

    def change(self, request: Request) -> tuple[str, str]:
        value = read_object(request, ("level", "for"))
        level, for_s = value.get("level"), read_for(value)
        if level not in LEVELS:
            raise BadRequest(400, f"level is one of {', '.join(LEVELS)}")
        if self._threshold is None:
            raise BadRequest(409, "The log is not the relay's own: twistd was given --logger")
        self._threshold.set(level, for_s)
        return f"log level {level}", "done" if for_s is None else f"done, for {for_s:g} s"
