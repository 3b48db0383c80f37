"""The saves that matter: the one in hand, and the newest where that is another. Every save that has
been in here gets its line.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from apptuner_relay.client.phones import PhoneRoster
from apptuner_relay.client.save_report import SaveReport
from apptuner_relay.client.saved_file import Save
from apptuner_relay.client.screen import Screen

_OVERTAKEN = "a newer one took its place"


class SaveQueue:
    """Of the saves of one file, called `name`. `roster` has the phones that are there."""

    def __init__(self, name: str, clock: IReactorTime, screen: Screen, roster: PhoneRoster) -> None:
        self.pending: SaveReport | None = None
        """The newest, while it isn't the one in hand."""
        self.current: SaveReport | None = None
        """The one in hand: it is being sent, or was sent last."""
        self.reached = False
        """Whether the current one need not be sent again after a lost connection."""
        self._name = name
        self._clock = clock
        self._screen = screen
        self._roster = roster
        self._answers_due: IDelayedCall | None = None

    def add(self, save: Save) -> bool:
        """The file has been saved. Returns whether there is something new to send."""
        newest = self.pending or self.current
        if newest is not None and newest.save.sha256 == save.sha256:
            self._screen.say(f"{self._name} was saved without a change")
            return False
        if self.pending is not None:
            self.close(self.pending, end=_OVERTAKEN)
            self.pending = None
        current = self.current
        # What has not reached the relay may have been given up for the one that was pending.
        if current is not None and self.reached and current.save.sha256 == save.sha256:
            self._screen.say(f"{self._name} is again what was sent last")
            return False
        self.pending = SaveReport(self._name, save, self._clock.seconds())
        return True

    def take(self) -> SaveReport:
        """The pending save becomes the current one."""
        assert self.pending is not None
        if self.current is not None:
            self.close(self.current, end=_OVERTAKEN)
        self.current, self.pending = self.pending, None
        self.reached = False
        return self.current

    def connection_lost(self) -> None:
        """What may have been lost with the connection is to be sent again."""
        current = self.current
        if current is None or self.reached:
            return
        self._cancel_due()
        self.current = None
        if self.pending is not None:
            self.close(current, end=_OVERTAKEN)
        elif current.closed:
            self.pending = SaveReport(self._name, current.save, self._clock.seconds())
        else:
            self.pending = current

    def wait_for_answers(self, seconds: float) -> None:
        """The current save is out: phones have so long to answer."""
        self._cancel_due()
        self._answers_due = self._clock.callLater(seconds, self._too_late, self.current)

    def close(self, report: SaveReport, *, end: str = "", error: str = "") -> None:
        """Print the line of a save, if it isn't yet; see `SaveReport`."""
        if report is self.current:
            self._cancel_due()
        report.close(self._roster.known, self._screen, end=end, error=error)

    def leave(self) -> None:
        """There will be no more."""
        for report in (self.current, self.pending):
            if report is not None:
                done = "acknowledged" if report.out else "sent"
                self.close(report, end=f"left before that was {done}")

    def _too_late(self, report: SaveReport) -> None:
        self._answers_due = None
        self.close(report)

    def _cancel_due(self) -> None:
        if self._answers_due is not None:
            self._answers_due.cancel()
            self._answers_due = None
