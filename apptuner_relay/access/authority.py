"""Reads a host with its port, as ``Host`` and ``Origin`` have them. Pure.

Some clients write an IPv6 address without its brackets (React Native on iPhones: ``fd00::1:3000``),
and some a colon without a port.
"""

import re
from ipaddress import IPv6Address
from typing import NamedTuple

_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


class Authority(NamedTuple):
    """A host in lower case, IPv6 addresses in their short form and brackets; ``port`` is in
    digits, and empty where there is none."""

    host: str
    port: str


def read_authority(text: str) -> list[Authority]:
    """What ``name``, ``name:``, ``name:3000``, ``[fd00::1]:3000`` or ``fd00::1:3000`` may mean: one
    reading, or two for the last, which may be an address without a port as well; none for what is
    no authority."""
    text = text.lower()
    readings = []
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, ""
    if host and (not port or (_PORT.fullmatch(port) and 0 < int(port) < 65536)):
        readings.append((host, str(int(port)) if port else ""))
    if text.count(":") > 1 and not text.startswith("["):
        readings.append((text, ""))
    found = []
    for host, port in readings:
        shown = _show(host)
        if shown is not None:
            found.append(Authority(shown, port))
    return found


def _show(host: str) -> str | None:
    if ":" not in host and not host.startswith("["):
        return host
    inside = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return f"[{IPv6Address(inside).compressed}]"
    except ValueError:
        return None
