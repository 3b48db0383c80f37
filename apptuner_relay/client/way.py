"""Which way a member goes into its session: to the relay, or by a managed service."""

from __future__ import annotations

import argparse
from typing import Any

from apptuner_relay.client.connection import ConnectionFactory
from apptuner_relay.client.member_connection import ClientPings, MemberFactory, Target


def make_factory(
    arguments: argparse.Namespace,
    reactor: Any,
    target: Target,
    heartbeat: ClientPings,
    *,
    wants_replay: bool = False,
) -> MemberFactory:
    """What makes the connections of a member."""
    if arguments.managed is None:
        return ConnectionFactory(reactor, target, heartbeat)

    from apptuner_relay.client.channel_connection import ChannelFactory

    return ChannelFactory(
        reactor,
        target,
        heartbeat,
        arguments.managed,
        arguments.managed_prefix,
        wants_replay=wants_replay,
    )
