"""Parses a host with an optional port, as in ``Host`` and ``Origin``. Pure.

Some clients write an IPv6 address without brackets (React Native on iPhones: ``fd00::1:3000``), and
some write a colon without a port.
"""

import re
from ipaddress import IPv6Address
from typing import NamedTuple

_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


class Authority(NamedTuple):
    """A host in lower case and a port in digits. An IPv6 address is in its short form and in
    brackets. The port is empty if there is none."""

    host: str
    port: str


def read_authority(text: str) -> list[Authority]:
    """The readings of ``name``, ``name:``, ``name:3000``, ``[fd00::1]:3000`` or ``fd00::1:3000``.
    The last one has two, as it may be an address without a port; the others have one. A text that
    is not an authority has none."""
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
