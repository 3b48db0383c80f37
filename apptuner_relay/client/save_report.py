"""What becomes of one save, in the one line that is printed of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apptuner_relay.client import push_lines
from apptuner_relay.client.amounts import data
from apptuner_relay.client.phones import Acknowledgement, Answers, Phone, called
from apptuner_relay.client.push_report import answer_as_json
from apptuner_relay.client.saved_file import Save
from apptuner_relay.client.screen import Screen


class SaveReport:
    """One save, from the moment that it was noticed. Times are in seconds."""

    def __init__(self, name: str, save: Save, began: float) -> None:
        self.save = save
        self.out = False
        """Whether all of it was sent once: before that nobody can have it."""
        self.is_patch = False
        self.answers = Answers(())
        self.closed = False
        """Whether its line is printed."""
        self._name = name
        self._began = began
        self._sent_bytes = 0
        self._sent_s = 0.0
        self._answers_as_json: list[dict[str, Any]] = []
        self._served: dict[str | None, float] = {}
        """When it began to be sent to phones that came later, by their id."""
        self._took: dict[str, float] = {}
        self._failed: list[str] = []

    def expect(self, answers: Answers) -> None:
        """It is being sent to phones, or sent again."""
        self.answers = answers
        self._answers_as_json.clear()
        self._served.clear()
        self._took.clear()
        self._failed.clear()

    def sent(self, size_bytes: int, now: float) -> None:
        """So much was sent for it, to all phones at once, and perhaps not for the first time."""
        self._sent_bytes += size_bytes
        self._sent_s = now - self._began

    def serve(self, phone: str | None, now: float) -> None:
        """It is being sent to a phone that came later; None is one without an id."""
        self._served[phone] = now

    @property
    def answered(self) -> bool:
        """Whether an answer came, and none is missing."""
        return not self.answers.none_yet and not self.answers.missing

    def take(
        self, device: str | None, answer: Acknowledgement, here: Mapping[str, Phone], now: float
    ) -> tuple[str, Phone | None]:
        """Note an answer. Returns what to tell of it, and the phone that it is from, if known."""
        phone = self.answers.take(device, answer, here)
        who = called(phone, here.values()) if phone else "a phone"
        seconds = now - self._served.get(phone.id if phone else None, self._began)
        self._answers_as_json.append(answer_as_json(phone, answer, seconds))
        if answer.success:
            self._took.setdefault(who, seconds)
            return push_lines.acknowledged(who, seconds), phone
        failure = push_lines.failed(who, seconds, answer.error)
        self._failed.append(failure)
        return failure, phone

    def close(
        self,
        here: Mapping[str, Phone],
        screen: Screen,
        *,
        end: str = "",
        error: str = "",
    ) -> None:
        """Print its line, if it isn't yet. Why no answers are waited for: `end` where all is well,
        `error` where not."""
        if self.closed:
            return
        self.closed = True
        parts = [f"{self._name}: {self._size()}"]
        parts += push_lines.all_acknowledged(list(self._took.items()))
        missing = "" if end or error else self._missing(here)
        if self.out and not (end or error or missing) and not (self._took or self._failed):
            parts.append("no phone is there")
        parts += filter(None, (*self._failed, missing, end, error))
        screen.event(
            "save",
            file=self._name,
            bytes=len(self.save.code),
            sha256=self.save.sha256,
            sent_bytes=self._sent_bytes,
            sent_s=round(self._sent_s, 3),
            patch=self.is_patch,
            answers=self._answers_as_json,
            missing=[] if end or error else [one.as_json() for one in self.answers.owing()],
            error=error or None,
        )
        line = push_lines.dot(screen.can_show).join(parts)
        if self._failed or missing or error:
            screen.complain(line, lines=True)
        else:
            screen.tell(line, "" if end else "green")

    def _size(self) -> str:
        size = data(len(self.save.code))
        if not self._sent_bytes:
            return size
        sent = data(self._sent_bytes)
        how = f"{sent} as a patch of {size}" if self.is_patch else f"{sent} whole"
        return f"{how} in {self._sent_s:.2f} s"

    def _missing(self, here: Mapping[str, Phone]) -> str:
        """Who has not answered."""
        answers = self.answers
        if not answers.missing:
            return ""
        phones = answers.owing()
        owing = [called(p, phones) + ("" if p.id in here else ", which left") for p in phones]
        if not owing or answers.countable_only:
            owing = [push_lines.phones(answers.missing)]
        return f"no answer from {', '.join(owing)}"
