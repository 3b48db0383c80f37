"""What becomes of one push, as it is told: the one place for what `push` prints of phones.

With one phone that is one line, when it has answered. With several it is a line when all is sent,
and one for each of them as they answer. Failures are complaints, and come with `--quiet` as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.interfaces import IReactorTime

from apptuner_relay.client import push_lines
from apptuner_relay.client.phones import Acknowledgement, Phone, called
from apptuner_relay.client.screen import Screen


def answer_as_json(phone: Phone | None, answer: Acknowledgement, seconds: float) -> dict[str, Any]:
    """What a phone has said, for another program."""
    who = {"deviceId": None, "name": None, "platform": None} if phone is None else phone.as_json()
    error = None if answer.success else answer.error
    return {**who, "success": answer.success, "error": error, "after_s": round(seconds, 3)}


class PushReport:
    """Of one bundle, to whomever it is sent in turn."""

    def __init__(self, clock: IReactorTime, screen: Screen) -> None:
        self._clock = clock
        self._screen = screen
        self._dot = push_lines.dot(screen.can_show)
        self._began = 0.0
        self._count = 0
        self._counts = {"acknowledged": 0, "failed": 0}
        self._head: str | None = None
        """What was sent, for as long as the line of the only phone waits for its answer."""
        self._is_sent = False
        self._early: list[tuple[str, bool]] = []
        """Lines about phones that answered before all was sent, and whether they failed."""

    def sending(self, phones: Iterable[Phone], unnamed: int, *, again: bool) -> None:
        """The first byte is about to leave, to these phones and so many that have no name."""
        named = list(phones)
        self._began = self._clock.seconds()
        self._count = len(named) + unnamed
        self._is_sent, self._head = False, None
        whom = ", ".join(called(phone, named) for phone in named) or push_lines.phones(unnamed)
        self._screen.event(
            "sending", phones=[one.as_json() for one in named], unnamed=unnamed, again=again
        )
        self._screen.say(f"sending {'again ' if again else ''}to {whom}")

    def sent(self, size_bytes: int) -> None:
        """The last byte has left."""
        self._is_sent = True
        sent = {"bytes": size_bytes, "sent_s": round(self._elapsed(), 3)}
        self._screen.event("sent", **sent)
        self._screen.result(**sent)
        head = push_lines.sent(size_bytes, self._elapsed())
        if self._count == 1:
            self._head = head
        else:
            self._screen.tell(f"{head}{self._dot}to {push_lines.phones(self._count)}")
        self._tell_early()

    def answered(self, phone: Phone | None, answer: Acknowledgement, here: Iterable[Phone]) -> None:
        """A phone has said what became of it; None is one that nobody can tell."""
        who = called(phone, here) if phone else "a phone"
        self._counts["acknowledged" if answer.success else "failed"] += 1
        self._screen.result(**self._counts)
        self._screen.event("acknowledgement", **answer_as_json(phone, answer, self._elapsed()))
        if answer.success:
            line = push_lines.acknowledged(who, self._elapsed())
        else:
            line = push_lines.failed(who, self._elapsed(), answer.error)
        if self._is_sent:
            self._tell(line, not answer.success)
        else:
            self._early.append((line, not answer.success))

    def unanswered(self, whom: str, seconds: float) -> None:
        """Nothing came from these for so long."""
        self._tell_early()
        self._tell(f"no acknowledgement within {seconds:g} s from {whom}", True)

    def stopped(self) -> None:
        """What is being sent or waited for is given up, and perhaps begun again."""
        self._tell_early()
        self._head = None

    def _elapsed(self) -> float:
        return self._clock.seconds() - self._began

    def _tell_early(self) -> None:
        early, self._early = self._early, []
        for line, is_failure in early:
            self._tell(line, is_failure)

    def _tell(self, line: str, is_failure: bool) -> None:
        head, self._head = self._head, None
        whole = line if head is None else f"{head}{self._dot}{line}"
        if is_failure:
            self._screen.complain(whole, lines=True)
        else:
            self._screen.tell(whole, "green")
