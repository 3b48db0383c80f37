"""What the connections of one side of all sessions share, whoever reads their handshakes."""

from apptuner_relay import __version__
from apptuner_relay.relay.admission import AdmissionControl
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.roles import Role

DESKTOP_SIDE = frozenset({Role.CLI, Role.DASHBOARD, Role.DESKTOP})
PHONES = frozenset({Role.MOBILE})


class ClientSide:
    """One side. Clients of other roles than its own get a 404."""

    def __init__(self, relay: RelayService, roles: frozenset[Role]) -> None:
        self.relay = relay
        self.roles = roles
        self.server = f"AppTunerRelay/{__version__}"
        """What the relay says of itself in a handshake."""
        self.deflates = bool(relay.settings.listening.compression)
        """Whether compression is negotiated."""
        self.admission_control = AdmissionControl(relay)
