"""Reads the file of ``--config`` again while the relay runs, and has what can change take effect:
all of it, or nothing where something in it is wrong.
"""

from collections.abc import Iterable

from twisted.logger import Logger
from twisted.python.usage import UsageError

from apptuner_relay.config.live_settings import LiveSettings
from apptuner_relay.config.option import Option
from apptuner_relay.config.options import Options
from apptuner_relay.operator.audit import Actor, Audit


class ConfigReload:
    """Reloads the options of one process.

    :param options: as the process was started with them.
    """

    log = Logger()

    def __init__(self, options: Options, live: LiveSettings) -> None:
        self._options = options
        self._live = live
        self._audit = Audit()

    def reload(self) -> None:
        """Read the file again. The command line and the environment are those of the start."""
        actor, action = Actor(None, "signal"), "reload the configuration"
        try:
            wanted = self._options.read_again().settings
        except UsageError as wrong:
            self.log.warn(
                "the configuration is refused, and nothing changes: {why}", why=str(wrong)
            )
            self._audit.record(actor, action, "refused")
            return
        live, later = self._live.change(wanted)
        if live:
            self.log.info("in force from now on: {options}", options=_names(live))
        if later:
            self.log.warn(
                "these options have changed, and need a restart: {options}", options=_names(later)
            )
        if not live and not later:
            self.log.info("the configuration has not changed")
        self._audit.record(actor, action, f"done, {len(live)} in force, {len(later)} not yet")


def _names(options: Iterable[Option]) -> str:
    return ", ".join(f"--tune {one.name}" if one.tune else f"--{one.name}" for one in options)
