"""Makes the parts by which clients join sessions through channels, which ``--managed`` turns on."""

import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from twisted.application.service import IService
from twisted.web.resource import Resource

from apptuner_relay.managed.gateway.gateway import Gateway, GatewayOptions
from apptuner_relay.managed.own_server.app_server import AppFactory, AppServer
from apptuner_relay.managed.own_server.authorization import PeerAuthorizations
from apptuner_relay.managed.own_server.local_channels import LocalChannels
from apptuner_relay.managed.protocol.channel_service import ChannelService
from apptuner_relay.managed.protocol.signatures import Signer, own_secret
from apptuner_relay.managed.service.provider import Provider, make_provider
from apptuner_relay.managed.web_resources import make_resources
from apptuner_relay.relay.service import RelayService
from apptuner_relay.support.authorities import BadCertificates

_NODE_CHARACTERS = 64


class ManagedParts(NamedTuple):
    """What `make_managed` has made."""

    resources: Mapping[bytes, Resource]
    """For the relay's site."""
    services: Sequence[IService]
    """They stop after the relay, the last one first: users are told that they are closed, and then
    channels and the provider are left."""
    app_server: AppServer
    """It stops before the relay, which is to wait until its clients have gone."""


def make_managed(
    relay: RelayService, reactor: Any, peers: PeerAuthorizations | None
) -> ManagedParts:
    """The parts of a relay, according to its settings.

    :param peers: the relays that share their sessions with this one; None where it is alone.
    :raises ValueError: a setting can't be used. The text says which one.
    """
    settings = relay.settings.managed
    url = settings.managed
    assert url is not None
    node = relay.settings.cluster.node or name_host()
    secret = settings.managed_secret or own_secret(relay.settings.cluster.cluster_secret)
    signer = Signer(url.key, secret)
    provider: Provider | None = None
    if not url.is_local:
        try:
            provider = make_provider(settings, node, reactor, relay.wall_s)
        except BadCertificates as wrong:
            raise BadCertificates(f"--managed-ca: {wrong}") from None
    prefix = settings.managed_prefix
    options = GatewayOptions(
        prefix, settings.managed_event_limit, relay.settings.listening.public_url
    )
    gateway = Gateway(relay, options, provider)
    relay.meters.watch_managed(gateway)

    def occupied(service: ChannelService, channel: str) -> None:
        gateway.occupied(service, channel)

    apps = AppFactory(relay, LocalChannels(reactor, node, occupied), signer, prefix)
    # Clients of the relay's own server are met wherever they are connected.
    peers = None if provider is None else peers
    resources = make_resources(relay, gateway, signer, prefix, apps, peers)
    services: list[IService] = [gateway] if provider is None else [provider, gateway]
    return ManagedParts(resources, services, AppServer(apps))


def name_host() -> str:
    """The name of this machine, as far as it may stand in a ``user_id``."""
    name = "".join(c for c in socket.gethostname() if c.isascii() and (c.isalnum() or c in "._-"))
    return name[:_NODE_CHARACTERS] or "relay"
