"""`Reporting`: samples the meters at intervals, and reports what they have in the log, the day file
and alerts.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from apptuner_relay import __version__
from apptuner_relay.operator.alerts import Alerts
from apptuner_relay.operator.conditions import Change, Level
from apptuner_relay.operator.day_book import Day
from apptuner_relay.operator.log_lines import (
    day_line,
    minute_fields,
    minute_line,
    minute_state,
)
from apptuner_relay.operator.meters import Meters
from apptuner_relay.operator.sampler import SAMPLE_INTERVAL_S
from apptuner_relay.operator.state_file import StateDirectory, StateError, StateTaken
from apptuner_relay.support.clocks import in_ms
from apptuner_relay.support.printable_text import printable_line
from apptuner_relay.support.units import show_duration

SAVE_INTERVAL_S = 60.0
RETRY_S = 10.0
"""A directory that can't be used is tried again after so long; one that another relay has, every
second."""
SILENCE_S = 3600.0
"""A minute line is logged after so long, though nothing has changed: a log that is silent for
longer is that of a relay that is dead, or stuck."""
_LONGEST_LINE = 1000
InThread = Callable[[Callable[[], None]], "Deferred[None]"]


class Reporting(Service):
    """Reports from the start of the relay to its stop.

    :param log_interval_s: how often the minute line is logged, where something has changed.
    :param directory: of the day file; None for no day file.
    :param alerts: None where there is no ``--alert-url``.
    :param in_thread: calls a function that blocks.
    :param patience_s: for how long another relay may have the directory before that is worth a
        warning: one that hands over to this one has it until it ends.
    """

    log = Logger()

    def __init__(
        self,
        meters: Meters,
        clock: IReactorTime,
        log_interval_s: float,
        directory: Path | None,
        alerts: Alerts | None,
        in_thread: InThread = deferToThread,
        patience_s: float = 0.0,
    ) -> None:
        self._meters = meters
        self._clock = clock
        self._directory = directory
        self._alerts = alerts
        self._in_thread = in_thread
        self._state: StateDirectory | None = None
        self._saving: Deferred[None] = succeed(None)
        self._is_saving = False
        self._save_fault: str | None = None
        self._patience_s = patience_s
        self._wrong: StateError | None = None
        """Why there is no `_state`, where there should be one."""
        self._wrong_since_s = self._again_s = 0.0
        self._last_line = ""
        self._logged_state: object = None
        """What the last minute line in the log has said, and when."""
        self._logged_s = -math.inf
        self._saved_peaks: tuple[object, ...] = ()
        conditions_s = min(SAMPLE_INTERVAL_S, meters.settings.warning_time / 4)
        self._calls = [
            (SAMPLE_INTERVAL_S, LoopingCall(self._sample)),
            (conditions_s, LoopingCall(self._check_conditions)),
            (log_interval_s, LoopingCall(self._log_minute)),
            (SAVE_INTERVAL_S, LoopingCall(self._save)),
        ]
        if directory is not None:
            self._calls.append((1.0, LoopingCall(self._try_again, directory)))

    @property
    def trouble(self) -> str | None:
        """Why daily metrics are not saved now; None while they are."""
        wrong = self._wrong
        if wrong is None:
            return self._save_fault
        waited_s = self._clock.seconds() - self._wrong_since_s
        if isinstance(wrong, StateTaken) and waited_s < self._patience_s:
            return None
        return str(wrong)

    def startService(self) -> None:
        super().startService()
        self._meters.sampler.lag.start()
        if self._directory is not None:
            self._open(self._directory)
        # The charts begin here, and not ten seconds later.
        self._meters.sample()
        for interval_s, call in self._calls:
            call.clock = self._clock
            self._start(interval_s, call)

    def stopService(self) -> "Deferred[Any]":
        """Log the current day, and mark the day file as that of a clean shutdown."""
        super().stopService()
        for _, call in self._calls:
            if call.running:
                call.stop()
        self._meters.sampler.lag.stop()
        self._log_finished_days()
        self._log_day(self._meters.days.today(), so_far=True)
        closed = self._saving.addCallback(self._close)
        stopped = succeed(None) if self._alerts is None else self._alerts.stop()
        return gatherResults([closed, stopped])

    def _open(self, directory: Path) -> None:
        now_s = self._clock.seconds()
        try:
            self._state = StateDirectory(directory)
        except StateError as wrong:
            if str(wrong) != str(self._wrong):
                self._wrong_since_s = now_s
                yet = " yet" if isinstance(wrong, StateTaken) else ""
                self.log.warn("daily metrics are not saved{yet}: {why}", yet=yet, why=str(wrong))
            self._wrong = wrong
            self._again_s = now_s + (0.0 if isinstance(wrong, StateTaken) else RETRY_S)
            return
        if self._wrong is not None:
            self._wrong = None
            self.log.info("daily metrics are saved in {path} from now on", path=str(directory))
        try:
            kept = self._state.read()
        except StateError as wrong:
            self.log.warn("ignored the daily metrics of earlier runs: {why}", why=str(wrong))
            kept = {}
        if bad := self._meters.days.book.merge(kept.get("days")):
            self.log.warn("ignored {count} malformed entries in days.json", count=bad)
        run = kept.get("run")
        if isinstance(run, Mapping) and run.get("clean") is False:
            self._report_unclean_end(_line_of(run))
        self._save_now(clean=False)

    def _try_again(self, directory: Path) -> None:
        """Open the directory, where that has failed before."""
        if self._wrong is not None and self._clock.seconds() >= self._again_s:
            self._open(directory)

    def _report_unclean_end(self, line: str) -> None:
        text = "the previous run ended without shutdown"
        self.log.warn(
            "{text}; {line}",
            kind="unclean_end",
            text=text,
            line=f"its last minute line: {line}" if line else "it had logged no minute line yet",
        )
        self._alert("happened", "unclean_end", Level.WARNING, text, last_minute_line=line)

    def _sample(self) -> None:
        self._meters.sample()
        self._log_finished_days()
        if self._peaks() != self._saved_peaks:
            # Saved at once: the process may end before the next interval.
            self._save()

    def _peaks(self) -> tuple[object, ...]:
        today = self._meters.days.book.today
        return today.date, today.peak_sessions, today.peak_connections

    def _log_minute(self) -> None:
        self._last_line = minute_line(self._meters)
        fields, now_s = minute_fields(self._meters), self._clock.seconds()
        state = minute_state(fields, self._meters.health.reasons)
        if state != self._logged_state or now_s - self._logged_s >= SILENCE_S:
            self._logged_state, self._logged_s = state, now_s
            self.log.info("{line}", kind="minute", line=self._last_line, **fields)
        self._save()

    def _log_finished_days(self) -> None:
        for day in self._meters.days.take_finished():
            self._log_day(day, so_far=False)

    def _log_day(self, day: Day, so_far: bool) -> None:
        line = day_line(day, so_far)
        self.log.info("{line}", kind="day", line=line, so_far=so_far, **day.row())

    def _check_conditions(self) -> None:
        for change in self._meters.health.check():
            self._report(change)

    def _report(self, change: Change) -> None:
        condition = change.condition
        self._meters.feed.changed(change)
        level = LogLevel.warn if condition.level is Level.WARNING else LogLevel.info
        if change.started:
            self.log.emit(
                level,
                "{level_name}: {text}",
                level_name=condition.level.value,
                text=condition.text,
                kind="worry",
                name=condition.name,
                started=True,
            )
        else:
            self.log.emit(
                level,
                "{level_name} {name} is over after {lasted}",
                level_name=condition.level.value,
                name=condition.name,
                lasted=show_duration(change.lasted_s),
                kind="worry",
                started=False,
            )
        more = {} if change.started else {"lasted_s": round(change.lasted_s, 1)}
        event = "started" if change.started else "ended"
        self._alert(
            event,
            condition.name,
            condition.level,
            condition.text,
            since_ms=condition.since_ms,
            **more,
        )

    def _alert(self, event: str, name: str, level: Level, text: str, **more: object) -> None:
        if self._alerts is None:
            return
        over = "over: " if event == "ended" else ""
        self._alerts.send(
            {
                "text": f"AppTuner Relay on {self._meters.node}: {over}{text}",
                "event": event,
                "name": name,
                "level": level.value,
                "node": self._meters.node,
                "version": __version__,
                "timestamp": in_ms(self._meters.wall_s()),
                **more,
            }
        )

    def _contents(self, clean: bool) -> dict[str, object]:
        self._meters.days.today()
        self._saved_peaks = self._peaks()
        return {
            "days": self._meters.days.book.rows(),
            "run": {
                "started_ms": in_ms(self._meters.started_s),
                "last_minute_line": self._last_line,
                "clean": clean,
            },
        }

    def _save(self) -> None:
        """Write the day file, in a thread, as a disk may block."""
        state = self._state
        if state is None or self._is_saving:
            return
        contents = self._contents(clean=False)
        self._is_saving = True
        self._saving = self._in_thread(lambda: state.write(contents))
        self._saving.addBoth(self._saved)

    def _saved(self, result: Failure | None) -> None:
        self._is_saving = False
        if not isinstance(result, Failure):
            self._save_fault = None
        elif result.check(StateError):
            self._report_unsaved(str(result.value))
        else:
            self.log.failure("days.json could not be written", result)

    def _report_unsaved(self, why: str) -> None:
        """Log it once for each reason, as it is tried again soon."""
        if why != self._save_fault:
            self._save_fault = why
            self.log.warn("daily metrics can't be saved: {why}", why=why)

    def _save_now(self, clean: bool) -> None:
        if self._state is None:
            return
        try:
            self._state.write(self._contents(clean))
        except StateError as wrong:
            self._report_unsaved(str(wrong))

    def _close(self, _: object) -> None:
        self._save_now(clean=True)
        if self._state is not None:
            self._state.close()
            self._state = None

    def _start(self, interval_s: float, call: LoopingCall) -> None:
        def failed(failure: Failure) -> None:
            self.log.failure("a report has failed; the next ones will be made", failure)
            if self.running:
                self._start(interval_s, call)

        call.start(interval_s, now=False).addErrback(failed)


def _line_of(run: Mapping[str, Any]) -> str:
    """The last minute line of a run, from the day file, which anybody may have written."""
    line = run.get("last_minute_line")
    return printable_line(line, _LONGEST_LINE) if isinstance(line, str) else ""
