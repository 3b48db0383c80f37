"""A status as `Meters.status` gives it, for tests that need no relay behind it."""

import math
from typing import Any

from apptuner_relay.operator.history import COLUMNS

NOW_MS = 1_795_435_200_000
"""2026-11-23 12:00 UTC."""


def day(date: str, scale: float = 1.0) -> dict[str, Any]:
    return {
        "date": date,
        "peak_sessions": round(84 * scale),
        "peak_connections": round(231 * scale),
        "bundles": round(1912 * scale),
        "bundle_bytes": round(28_680_000_000 * scale),
        "bytes_out": round(41_300_000_000 * scale),
        "connections": round(3120 * scale),
        "reloads": round(1700 * scale),
        "failed": round(9 * (1 - scale)),
        "reload_median_ms": round(700 + 300 * scale),
        "reload_p95_ms": round(2000 + 300 * scale),
    }


def samples(count: int, every_ms: int) -> list[list[float | None]]:
    """Samples of a history, the last of them now."""
    return [
        [
            NOW_MS - every_ms * (count - 1 - i),
            round(60 + 20 * math.sin(i * 360 / count / 50)),
            round(160 + 50 * math.sin(i * 360 / count / 50)),
            max(0, 9e6 * math.sin(i / 9) * math.sin(i / 31) + 4e6),
            2 + 40 * (i % 97 == 0),
            0.05 + 0.1 * (i % 97 == 0) + 0.02 * math.sin(i / 7),
            i % 3,
            0.6 + 0.3 * (i % 5) if i % 4 == 0 else None,
            int(i % 90 == 0),
        ]
        for i in range(count)
    ]


def status(**changes: Any) -> dict[str, Any]:
    """A busy relay's."""
    days = [
        day(f"2026-11-{22 - i:02d}" if i < 22 else f"2026-10-{53 - i:02d}", 1 - (i % 7) / 9)
        for i in range(30)
    ]
    return {
        "version": "0.1.0",
        "commit": "5e5866a",
        "node": "relay-1",
        "started_ms": NOW_MS - 266_400_000,
        "now_ms": NOW_MS,
        "uptime_s": 266_400,
        "state": "ok",
        "reasons": [],
        "connections": {"cli": 71, "dashboard": 12, "desktop": 3, "mobile": 118},
        "sessions": 72,
        "total": {
            "bundles": 5611,
            "bundle_bytes": 84_165_000_000,
            "bytes_in": 84_700_000_000,
            "bytes_out": 131_200_000_000,
            "messages_in": 912_345,
            "messages_out": 1_834_567,
            "connections": 9120,
        },
        "last_minute": {"bundles": 7, "bundle_bytes": 105_300_000, "bytes_out": 166_000_000},
        "memory_bytes": 91_000_000,
        "memory_limit_bytes": 536_870_912,
        "loop_lag_ms": 1.8,
        "spool": {
            "off": None,
            "bundles": 41,
            "used_bytes": 644_245_094,
            "limit_bytes": 2_147_483_648,
            "evicted": 0,
        },
        "cluster": None,
        "descriptors": 231,
        "descriptors_limit": 1024,
        "today": day("2026-11-23", 0.9),
        "days": days,
        "month": [*days[:29][::-1], day("2026-11-23", 0.9)],
        "columns": list(COLUMNS),
        "hour": samples(360, 10_000),
        "day": samples(288, 300_000),
        "worries": [],
        "past_worries": [],
        "thresholds": {
            "sessions": {"notice": 100, "warning": 300},
            "busy_share": {"notice": 0.5, "warning": 0.8},
            "loop_lag_ms": {"warning": 250},
            "memory_bytes": {"warning": 483_183_820},
            "descriptors": {"warning": 819.2},
        },
        "capacity": {
            "cpu_share": 0.21,
            "loop_share": 0.14,
            "busy_share": 0.14,
            "cores": 2,
            "sessions": 410,
            "limited_by": "cpu",
        },
        "reload": {"median_s": 0.84, "p95_s": 2.1, "count": 1120, "failed": 3},
        "sending_bytes_per_s": 2_766_667,
        "events": events(),
    } | changes


def events() -> list[dict[str, Any]]:
    """One of each kind, the oldest first."""
    rows = [
        ("connected", "8c640c4e", "info", "phone Pixel 9 (Android), 192.0.2.14, okhttp/4.9.2"),
        (
            "bundle",
            "8c640c4e",
            "info",
            "9.3 MB in 0.21 s; 3 of 3 phones in 0.4 s; acknowledged 0.9 s",
        ),
        ("refused", "51a0f3be", "notice", "phone from 198.51.100.7: 401, a join token is needed"),
        (
            "failed",
            "1f2e3d4c",
            "warning",
            "Pixel 9: SyntaxError: Unexpected token '}' (app.js:812)",
        ),
        ("disconnected", "8c640c4e", "info", "CLI: 1001, going away"),
        ("warning", None, "warning", "The event loop is 612 ms late, above 250 ms"),
        ("warning", None, "info", "The event loop is in time again, after 1 min 12 s"),
        ("bundle", "1f2e3d4c", "warning", "9.3 MB cut short after 4.1 MB: its sender left"),
    ]
    return [
        {
            "id": i + 1,
            "at_ms": NOW_MS - 61_000 * (len(rows) - i),
            "kind": kind,
            "session": session,
            "level": level,
            "text": text,
        }
        for i, (kind, session, level, text) in enumerate(rows)
    ]


def cluster(**changes: Any) -> dict[str, Any]:
    """Three relays, of which this is the first."""
    return {
        "redis": "connected",
        "redis_away_s": None,
        "bridged": 17,
        "visitors": 23,
        "node_count": 3,
        "nodes": [
            {
                "node": f"relay-{n}",
                "address": f"ws://10.0.0.{n}:3000",
                "sessions": 72 + 9 * n,
                "connections": 200 + 4 * n,
                "since_ms": NOW_MS - 266_400_000 // n,
                "uptime_s": 266_400 // n,
                "draining": n == 3,
                "version": "0.1.0",
            }
            for n in (1, 2, 3)
        ],
    } | changes


def managed(**changes: Any) -> dict[str, Any]:
    """A managed service that is up."""
    return {
        "state": "up",
        "away_s": None,
        "refusal": None,
        "connections": 1,
        "channels": 61,
        "members": 74,
        "round_trip_ms": 12.4,
        "published": 48_200,
        "deliveries": 51_100,
        "bytes": 61_000_000,
        "dropped": 0,
        "refused": 1,
        "reconnects": 2,
    } | changes


def phone_row(state: str, name: str | None, **changes: Any) -> dict[str, Any]:
    """A phone in a bundle's record."""
    return {
        "deviceId": "d-1",
        "name": name,
        "platform": "android",
        "source": "live",
        "form": "whole",
        "state": state,
        "bytes": 9_300_000,
        "asked_ms": NOW_MS - 60_000,
        "first_out_s": 0.01,
        "last_out_s": 0.4,
        "answered_s": 0.9,
        "error": None,
        "why": None,
    } | changes


def bundle_row(number: int, *phones: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The record of a bundle."""
    return {
        "id": number,
        "began_ms": NOW_MS - 90_000 * (4 - number),
        "sender": {"role": "cli", "address": "192.0.2.4"},
        "form": "whole",
        "bytes": 9_300_000,
        "in_s": 0.21,
        "state": "whole",
        "why": None,
        "target": None,
        "settled": True,
        "last_out_s": 0.4,
        "acknowledged_s": 0.9,
        "phones": list(phones),
    } | changes


def sessions(count: int = 4) -> list[dict[str, Any]]:
    """As `Views.sessions` gives them."""
    phone = {"deviceId": "d-1", "name": "Pixel 9", "platform": "android"}
    other = {"deviceId": "0f3a", "name": "iPhone 15", "platform": "ios"}
    rows = []
    for i in range(count):
        has_two = i % 2 == 0
        age_s = 900 * (count - i) + 400
        devices = [phone, other] if has_two else [phone]
        roles = ["cli", "dashboard"] if has_two else ["cli", "cli"]
        clients = [client(role, "192.0.2.4", "ws/8.18 node/20.20", i) for role in roles]
        clients += [
            client("mobile", f"192.0.2.{14 + n}", "okhttp/4.9.2", i)
            | {
                "deviceId": one["deviceId"],
                "name": one["name"],
                "platform": one["platform"],
                "behind": i == 2 and n == 1,
            }
            for n, one in enumerate(devices)
        ]
        failure = phone_row("failed", "Pixel 9", error="SyntaxError: Unexpected token '}'")
        bundles = [
            bundle_row(3, *[phone_row("acknowledged", one["name"]) for one in devices]),
            bundle_row(2, failure, phone_row("acknowledged", "iPhone 15"))
            if i == 3
            else bundle_row(2, phone_row("acknowledged", "Pixel 9"), form="patch", bytes=1_100),
            bundle_row(
                1,
                phone_row("cut", "Pixel 9", why="its sender left", answered_s=None),
                state="cut",
                why="its sender left",
                acknowledged_s=None,
            ),
        ]
        rows.append(
            {
                "session": f"{(0x1F2E3D4C + i * 0x1234567) & 0xFFFFFFFF:08x}",
                "since_ms": NOW_MS - 1000 * age_s,
                "roles": [*roles, *("mobile" for _ in devices)],
                "devices": devices,
                "clients": clients,
                "bundles": [] if i == 1 else bundles,
                "reload_s": None if i == 1 else 0.9 + 0.3 * i,
                "failed": int(i == 3),
                "age_s": age_s,
                "idle_s": 3 * i,
                "bytes_in": 150_000_000 * (i % 7 + 1),
                "bytes_out": 300_000_000 * (i % 7 + 1),
                "slow": i == 2,
                "several_clis": not has_two and i == 1,
            }
        )
    return rows


def client(role: str, address: str, agent: str, i: int) -> dict[str, Any]:
    """A client of a session."""
    return {
        "role": role,
        "address": address,
        "agent": agent,
        "deviceId": None,
        "name": None,
        "platform": None,
        "round_trip_ms": 12.3 + 3 * i,
        "round_trip_at_ms": NOW_MS - 70_000 * i,
        "since_ms": NOW_MS - 1_000 * (300 + 60 * i),
        "behind": False,
        "through": None,
    }
