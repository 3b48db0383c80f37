"""What the twistd plugin is made of. It imports little, as twistd may import it for any program."""

from collections.abc import Callable
from typing import Any

from twisted.application.service import IService, ServiceMaker

from apptuner_relay.operator.signals import ignore_signals


class RelayMaker(ServiceMaker):
    """Makes the relay from the moment that it is chosen: signals that come while its modules are
    imported and its options are read must not end it. The modules are imported once the options are
    known, as they say which libraries the relay can do without."""

    @property
    def options(self) -> Any:
        """See `twisted.application.service.IServiceMaker`."""
        ignore_signals()
        from apptuner_relay.config.options import Options

        return Options

    @property
    def makeService(self) -> Callable[[Any], IService]:
        """See `twisted.application.service.IServiceMaker`."""
        return self._make

    def _make(self, options: Any) -> IService:
        # A check may connect to anything that an option names.
        if not options["check"]:
            from apptuner_relay.left_out import leave_out

            leave_out(options.settings)
        make: Callable[[Any], IService] = super().makeService
        return make(options)
