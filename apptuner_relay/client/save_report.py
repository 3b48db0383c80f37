"""What becomes of one save, in the one line that is printed of it."""

from __future__ import annotations

from collections.abc import Mapping

from apptuner_relay.client.phones import Acknowledgement, Answers, Phone
from apptuner_relay.client.saved_file import Save
from apptuner_relay.client.screen import Screen


class SaveReport:
    """One save, from the moment that it was noticed. Times are in seconds."""

    def __init__(self, name: str, save: Save, began: float) -> None:
        self.save = save
        self.out = False
        """Whether all of it was sent once: before that nobody can have it."""
        self.is_patch = False
        self.sent_bytes = 0
        """All that was sent for it, to all phones at once."""
        self.answers = Answers(())
        self.closed = False
        """Whether its line is printed."""
        self._name = name
        self._began = began
        self._took: list[str] = []
        self._failed: list[str] = []

    def expect(self, answers: Answers) -> None:
        """It is being sent to phones, or sent again."""
        self.answers = answers
        self._took.clear()
        self._failed.clear()

    @property
    def answered(self) -> bool:
        """Whether an answer came, and none is missing."""
        return not self.answers.none_yet and not self.answers.missing

    def take(
        self, device: str | None, answer: Acknowledgement, here: Mapping[str, Phone]
    ) -> tuple[str, Phone | None]:
        """Note an answer. Returns what to tell of it, and the phone that it is from, if known."""
        phone = self.answers.take(device, answer, here)
        who = str(phone) if phone else "a phone"
        if answer.success:
            if who not in self._took:
                self._took.append(who)
            return f"{who}: success", phone
        failure = f"{who}: failed: {answer.error or 'it does not say why'}"
        self._failed.append(failure)
        return failure, phone

    def close(
        self,
        now: float,
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
        parts = [f"{self._name}: {len(self.save.code):,} bytes"]
        if self.sent_bytes:
            parts.append(f"{self.sent_bytes:,} sent{' as a patch' if self.is_patch else ', whole'}")
        parts.append(f"{now - self._began:.2f} s")
        if self._took:
            parts.append(f"acknowledged by {', '.join(self._took)}")
        missing = "" if end or error else self._missing(here)
        if self.out and not (end or error or missing) and not (self._took or self._failed):
            parts.append("no phone is there")
        line = "; ".join([", ".join(parts), *self._failed, *filter(None, (missing, end, error))])
        if self._failed or missing or error:
            screen.complain(line)
        else:
            screen.tell(line, "" if end else "green")

    def _missing(self, here: Mapping[str, Phone]) -> str:
        """Who has not answered."""
        answers = self.answers
        if not answers.missing:
            return ""
        owing = [f"{p}{'' if p.id in here else ', which left'}" for p in answers.owing()]
        if not owing or answers.countable_only:
            owing = ["a phone" if answers.missing == 1 else f"{answers.missing} phones"]
        return f"no answer from {', '.join(owing)}"
