"""How phones reach a relay that runs on this machine: by its address in the network, as `127.0.0.1`
is the phone itself there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from apptuner_relay.client.address import Relay
from apptuner_relay.support.lan_address import find_lan_address, is_loopback


def seen_from_phones(
    relay: Relay, find: Callable[[], str | None] = find_lan_address
) -> Relay | None:
    """`relay` as phones reach it: with this machine's address in place of loopback.

    None where it is at loopback, and this machine has no other address.
    """
    if not is_loopback(relay.host):
        return relay
    address = find()
    return None if address is None else replace(relay, host=address)
