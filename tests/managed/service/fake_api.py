"""The HTTP API of `fake_service`: signed requests, and every way in which they may be refused."""

import hashlib
import hmac
import json
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from twisted.internet.protocol import Protocol

Json = dict[str, Any]

TIMESTAMP_S = 600
"""How far a request's time may be off."""


class FakeApi:
    """What the service answers.

    :param service: the `fake_service.FakeService`.
    """

    def __init__(self, service: Any) -> None:
        self.service = service
        self.wall_s = service.reactor.seconds
        """The service's time of day."""
        self.requests: list[tuple[str, str]] = []
        """Method and path of those that came."""
        self.batches: list[list[Json]] = []
        """The events of each request that published some."""
        self.in_flight = 0
        self.most_in_flight: dict[str, int] = {}
        """How many requests had events of a channel at the same time, at the most."""
        self.answer: tuple[int, bytes] | None = None
        """Status and body of every answer from now on."""
        self.retry_after: int | None = None
        self.is_held = False
        """Whether answers wait until `release`."""
        self._held: list[tuple[_ApiConnection, bytes, list[str]]] = []
        self._now: dict[str, int] = {}

    def accept(self) -> "_ApiConnection":
        """The protocol for a connection."""
        return _ApiConnection(self)

    def release(self) -> None:
        """Send the answers that wait."""
        held, self._held = self._held, []
        for connection, answer, channels in held:
            self._done(channels)
            connection.answer(answer)

    def take(self, connection: "_ApiConnection", method: str, target: str, body: bytes) -> None:
        """A request has come whole."""
        parts = urlsplit(target)
        self.requests.append((method, parts.path))
        channels: list[str] = []
        if self.answer is not None:
            status, text = self.answer
        else:
            status, value, channels = self._answer(method, parts.path, parts.query, body)
            text = json.dumps(value).encode()
            if status != 200 and self.service.app.has_errors_in_bodies:
                status = 200
        for channel in set(channels):
            self._now[channel] = self._now.get(channel, 0) + 1
            most = max(self.most_in_flight.get(channel, 0), self._now[channel])
            self.most_in_flight[channel] = most
        extra = "" if self.retry_after is None else f"Retry-After: {self.retry_after}\r\n"
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n{extra}\r\n"
        answer = head.encode() + text
        if self.is_held:
            self._held.append((connection, answer, channels))
        else:
            self._done(channels)
            connection.answer(answer)

    def _done(self, channels: list[str]) -> None:
        for channel in set(channels):
            self._now[channel] -= 1

    def _answer(
        self, method: str, path: str, query: str, body: bytes
    ) -> tuple[int, Json, list[str]]:
        app = self.service.app
        found = re.fullmatch(r"(?:/[^/]+)*?/apps/([^/]+)/(.+)", path)
        if found is None or unquote(found[1]) != app.app_id:
            return self._error(404, "The app does not exist.")
        wrong = self._check(method, path, query, body)
        if wrong is not None:
            return self._error(401, wrong)
        if not app.is_enabled:
            return self._error(403, "App disabled")
        what = found[2]
        if method == "GET":
            return self._get(what, dict(parse_qsl(query)))
        if app.is_over_quota:
            return self._error(403, "Account quota reached")
        if what == "batch_events":
            return self._publish(json.loads(body)["batch"])
        return self._error(400, "Unknown")

    def _error(self, code: int, text: str) -> tuple[int, Json, list[str]]:
        return code, {"error": text, "code": code}, []

    def _check(self, method: str, path: str, query: str, body: bytes) -> str | None:
        """What is wrong with a signature."""
        app = self.service.app
        fields = dict(parse_qsl(query, keep_blank_values=True))
        given = fields.pop("auth_signature", "")
        if fields.get("auth_key") != app.key or fields.get("auth_version") != "1.0":
            return "Unknown auth_key"
        if abs(int(fields.get("auth_timestamp", "0")) - self.wall_s()) > TIMESTAMP_S:
            return "Timestamp expired: given timestamp has to be within 600 s of the server time"
        if body and fields.get("body_md5") != hashlib.md5(body).hexdigest():
            return "Invalid body_md5"
        signed = "&".join(f"{name}={fields[name]}" for name in sorted(fields))
        text = f"{method}\n{path}\n{signed}"
        right = hmac.new(app.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return None if hmac.compare_digest(right, given) else "Invalid signature"

    def _get(self, what: str, fields: dict[str, str]) -> tuple[int, Json, list[str]]:
        channels = self.service.channels
        if what == "channels":
            prefix = fields.get("filter_by_prefix", "")
            if "info" in fields and not prefix.startswith("presence-"):
                return self._error(400, "user_count is for presence channels")
            found = {
                name: {"user_count": len(one.members)} if "info" in fields else {}
                for name, one in channels.items()
                if name.startswith(prefix)
            }
            return 200, {"channels": found}, []
        name = what.split("/")[1]
        if what.endswith("/users"):
            if not name.startswith("presence-"):
                return self._error(400, "The channel must be a presence channel")
            members = channels[name].members if name in channels else {}
            return 200, {"users": [{"id": one} for one in members]}, []
        return 200, {"occupied": name in channels}, []

    def _publish(self, batch: list[Json]) -> tuple[int, Json, list[str]]:
        channels = [one["channel"] for one in batch]
        if len(batch) > 10:
            return self._error(400, "Batch too large (> 10)")
        if not all(isinstance(one["data"], str) and isinstance(one["name"], str) for one in batch):
            return self._error(400, "data must be a string")
        if any(len(one["data"].encode()) > self.service.app.event_bytes for one in batch):
            return self._error(413, "The data content of this event exceeds the allowed maximum")
        self.batches.append(batch)
        for one in batch:
            self.service.deliver(
                one["channel"], one["name"], one["data"], None, one.get("socket_id")
            )
        return 200, {}, channels


class _ApiConnection(Protocol):
    """An HTTP connection, kept alive."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api
        self._data = b""

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        while b"\r\n\r\n" in self._data:
            head, _, rest = self._data.partition(b"\r\n\r\n")
            found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            length = int(found[1]) if found else 0
            if len(rest) < length:
                return
            body, self._data = rest[:length], rest[length:]
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
            self._api.take(self, method, target, body)

    def answer(self, data: bytes) -> None:
        """Send an answer."""
        if self.transport is not None:
            self.transport.write(data)
