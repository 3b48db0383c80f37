"""Floods of console logs, with errors among them."""

from collections.abc import Container
from typing import Any

from tests.live.clients import Client


def flood(count: int, errors: Container[int]) -> list[dict[str, Any]]:
    """Console logs, numbered, with errors among them, as long as real ones are."""
    payloads = (
        {"level": "error", "args": ["x" * 2000, n]}
        if n in errors
        else {"level": "log", "args": ["x" * 50, n]}
        for n in range(count)
    )
    return [{"type": "console_log", "payload": payload} for payload in payloads]


def _payloads(client: Client) -> list[Any]:
    found = [message.data["payload"] for message in client.seen if message.type == "console_log"]
    return [payload for payload in found if len(payload["args"]) == 2]


def lines_in(client: Client) -> list[int]:
    """The numbers of what has come of `flood`."""
    return [payload["args"][1] for payload in _payloads(client)]


def errors_in(client: Client) -> list[int]:
    """The numbers of the errors among them."""
    return [payload["args"][1] for payload in _payloads(client) if payload["level"] == "error"]
