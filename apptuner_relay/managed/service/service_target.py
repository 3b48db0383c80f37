"""Where a managed service's WebSocket is, and who connects to it."""

from typing import Any, NamedTuple

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS

from apptuner_relay.config.managed_url import ServiceHost
from apptuner_relay.managed.protocol.signatures import Signer
from apptuner_relay.managed.service.paced_sender import SendRates


class ServiceTarget(NamedTuple):
    """Where a service is, and who connects to it."""

    endpoint: IStreamClientEndpoint
    url: str
    """Of the WebSocket, with path and query."""
    signer: Signer
    node: str
    """The name of this relay."""
    rates: SendRates


def make_endpoint(
    reactor: Any, host: ServiceHost, connect_s: float, trust: Any | None
) -> IStreamClientEndpoint:
    """Where the service's WebSocket is.

    :param trust: see `api_client.make_agent`.
    """
    endpoint = HostnameEndpoint(reactor, host.host, host.port, timeout=connect_s)
    if not host.tls:
        return endpoint
    return wrapClientTLS(optionsForClientTLS(host.host, trustRoot=trust), endpoint)
