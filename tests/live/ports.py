"""Ports for servers that are told where to listen."""

import random
import socket
from contextlib import suppress

_BELOW_EPHEMERAL = range(10_000, 32_000)
"""The kernel gives these to nobody who doesn't ask for one (`ip_local_port_range`): neither to a
connection nor to a test that runs beside this one."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    while True:
        port = random.choice(_BELOW_EPHEMERAL)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
