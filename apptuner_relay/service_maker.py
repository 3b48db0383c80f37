"""What the twistd plugin is made of. It imports little, as twistd may import it for any program."""

from typing import Any

from twisted.application.service import ServiceMaker

from apptuner_relay.operator.signals import ignore_signals


class RelayMaker(ServiceMaker):
    """Makes the relay from the moment that it is chosen: signals that come while its modules are
    imported and its options are read must not end it."""

    @property
    def options(self) -> Any:
        """See `twisted.application.service.IServiceMaker`."""
        ignore_signals()
        return super().options
