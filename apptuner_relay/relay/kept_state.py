"""What of a relay outlives its process, in the state directory: blocked addresses, and the claims
of a relay that is alone."""

import os
from typing import Any

from twisted.application.service import IService

from apptuner_relay.access.blocked_file import BlockedFile, in_a_thread
from apptuner_relay.access.claims import MemoryClaims
from apptuner_relay.access.journal import Journal
from apptuner_relay.operator.state_check import NoClaimsFile
from apptuner_relay.operator.state_file import find_directory
from apptuner_relay.relay.service import RelayService


def make_kept_state(relay: RelayService, reactor: Any, patience_s: float) -> list[IService]:
    """The services that keep it; none where the relay is to keep nothing.

    :param patience_s: for how long a relay before may still have the directory.
    """
    setting, claims = relay.settings.logs.state_dir, relay.access.claims
    if setting == "off":
        return []
    directory = find_directory(setting, os.environ)
    services: list[IService] = []
    if directory is not None:
        services.append(BlockedFile(relay.access.blocks, directory, in_a_thread(reactor)))
    if not isinstance(claims, MemoryClaims):
        return services
    if directory is None:
        relay.meters.watch_claims_file(NoClaimsFile())
        return services
    journal = Journal(claims, directory, reactor, relay.wall_s, patience_s)
    relay.meters.watch_claims_file(journal)
    return [*services, journal]
