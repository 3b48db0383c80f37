"""The paths that managed services need on the relay's own site: ``/pusher/auth`` and ``/app``."""

from collections.abc import Mapping

from twisted.web.resource import Resource

from apptuner_relay.managed.gateway.gateway_interface import GatewayInterface
from apptuner_relay.managed.own_server.app_server import AppFactory
from apptuner_relay.managed.own_server.authorization import (
    PATH,
    AuthorizationResource,
    PeerAuthorizations,
)
from apptuner_relay.managed.protocol.signatures import Signer
from apptuner_relay.relay.service import RelayService
from apptuner_relay.web.site import make_refused
from apptuner_relay.web.upgrade import WebSocketResource


def make_resources(
    relay: RelayService,
    gateway: GatewayInterface,
    signer: Signer,
    prefix: str,
    apps: AppFactory,
    peers: PeerAuthorizations | None = None,
) -> Mapping[bytes, Resource]:
    """What `web.site.make_site` is passed as ``more``.

    :param prefix: of the channels' names.
    :param apps: takes the connections at ``/app``.
    :param peers: the other relays, where there are any.
    """
    return {
        PATH.encode(): AuthorizationResource(relay, gateway, signer, prefix, apps.expect, peers),
        b"/app": WebSocketResource(lambda: apps, make_refused(relay)),
    }
