"""The first line of a run: what runs, where it listens, and which options are in force."""

from collections.abc import Callable, Iterable, Sequence

from twisted.logger import Logger

from apptuner_relay.config.options import InForce
from apptuner_relay.support.printable_text import printable_line
from apptuner_relay.support.version import release

_VALUE_CHARACTERS = 200


class FirstLine:
    """Logs it, once the relay listens.

    :param in_force: the options that aren't at their defaults.
    :param addresses: where it listens, by then.
    """

    log = Logger()

    def __init__(self, in_force: Iterable[InForce], addresses: Callable[[], Sequence[str]]) -> None:
        # What it listens on stands in the line anyway.
        in_force = list(in_force)
        self._in_force = [one for one in in_force if one.option.name != "listen"]
        self._others = "other " if len(self._in_force) < len(in_force) else ""
        self._addresses = addresses

    def write(self) -> None:
        """Log it."""
        addresses = self._addresses()
        values = {
            one.option.name: printable_line(one.shown, _VALUE_CHARACTERS) for one in self._in_force
        }
        tunes = {one.option.name for one in self._in_force if one.option.tune}
        words = [
            f"--tune {name}={value}" if name in tunes else f"--{name} {value}"
            for name, value in values.items()
        ]
        self.log.info(
            "AppTuner Relay {release} starts: listens on {where}; {words}",
            release=release(),
            where=", ".join(addresses),
            words=f"options {', '.join(words)}"
            if words
            else f"all {self._others}options at their defaults",
            listening=list(addresses),
            options=values,
        )
