"""The states of a connection to a managed service. Pure."""

from enum import Enum


class ServiceState(Enum):
    """What a connection to a service is doing."""

    IDLE = "idle"
    """Nothing: it is not needed."""
    CONNECTING = "connecting"
    """It is being made: the socket, TLS, the handshake, and the service's welcome."""
    UP = "up"
    """It has been welcomed. Channels can be subscribed to."""
    WAITING = "waiting"
    """Nothing, for a time with jitter: it was lost, or could not be made."""
    REFUSED = "refused"
    """Nothing, for minutes: the service has refused it for a reason that only an operator can
    remove."""
    STOPPED = "stopped"
    """Nothing any more."""


class ServiceEvent(Enum):
    """What happens to a connection to a service."""

    START = "start"
    """It is needed."""
    WELCOMED = "welcomed"
    """The service has sent ``pusher:connection_established``."""
    LOST = "lost"
    """It was lost, or could not be made."""
    REFUSED = "refused"
    """The service has refused or closed it, and would do so again."""
    RETRY = "retry"
    """The time is over."""
    STOP = "stop"
    """It is not needed any more."""


TRANSITIONS: dict[tuple[ServiceState, ServiceEvent], ServiceState] = {
    (ServiceState.IDLE, ServiceEvent.START): ServiceState.CONNECTING,
    (ServiceState.CONNECTING, ServiceEvent.WELCOMED): ServiceState.UP,
    (ServiceState.CONNECTING, ServiceEvent.LOST): ServiceState.WAITING,
    (ServiceState.CONNECTING, ServiceEvent.REFUSED): ServiceState.REFUSED,
    (ServiceState.UP, ServiceEvent.LOST): ServiceState.WAITING,
    (ServiceState.UP, ServiceEvent.REFUSED): ServiceState.REFUSED,
    (ServiceState.WAITING, ServiceEvent.RETRY): ServiceState.CONNECTING,
    (ServiceState.REFUSED, ServiceEvent.RETRY): ServiceState.CONNECTING,
    (ServiceState.IDLE, ServiceEvent.STOP): ServiceState.STOPPED,
    (ServiceState.CONNECTING, ServiceEvent.STOP): ServiceState.STOPPED,
    (ServiceState.UP, ServiceEvent.STOP): ServiceState.STOPPED,
    (ServiceState.WAITING, ServiceEvent.STOP): ServiceState.STOPPED,
    (ServiceState.REFUSED, ServiceEvent.STOP): ServiceState.STOPPED,
}
"""What isn't in here changes nothing."""
