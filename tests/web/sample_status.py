"""A status as `Meters.status` gives it, for tests that need no relay behind it."""

import math
from typing import Any

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
    }


def status(**changes: Any) -> dict[str, Any]:
    """A busy relay's."""
    hour = [
        [
            NOW_MS - 10_000 * (359 - i),
            round(60 + 20 * math.sin(i / 50)),
            round(160 + 50 * math.sin(i / 50)),
            max(0, 9e6 * math.sin(i / 9) * math.sin(i / 31) + 4e6),
            2 + 40 * (i % 97 == 0),
        ]
        for i in range(360)
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
        "today": day("2026-11-23", 0.6),
        "days": [
            day(f"2026-11-{22 - i:02d}" if i < 22 else f"2026-10-{53 - i:02d}", 1 - (i % 7) / 9)
            for i in range(30)
        ],
        "hour": hour,
        "worries": [],
    } | changes


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


def sessions() -> list[dict[str, Any]]:
    """As `Meters.sessions` gives them."""
    phone = {"deviceId": "d-1", "name": "Pixel 8", "platform": "android"}
    other = {"deviceId": "0f3a", "name": None, "platform": None}
    return [
        {
            "session": f"{0x1F2E3D4C + i * 0x1234567:08x}"[:8],
            "roles": ["cli", "cli", "mobile"]
            if i % 2
            else ["cli", "dashboard", "mobile", "mobile"],
            "devices": [phone] if i % 2 else [phone, other],
            "age_s": 4000 - 900 * i,
            "idle_s": 3 * i,
            "bytes_in": 150_000_000 * (i + 1),
            "bytes_out": 300_000_000 * (i + 1),
            "slow": i == 2,
            "several_clis": i == 1,
        }
        for i in range(4)
    ]
