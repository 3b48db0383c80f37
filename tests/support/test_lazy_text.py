"""`apptuner_relay.support.lazy_text`: texts that are made when they are written."""

import json

from twisted.logger import LogEvent, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.logs import json_line
from apptuner_relay.support.lazy_text import Lasted, LazyText


class Counted(LazyText):
    """Counts how often it is made."""

    __slots__ = ("made",)

    def __init__(self) -> None:
        self.made = 0

    def __str__(self) -> str:
        self.made += 1
        return "words"


class LazyTexts(SynchronousTestCase):
    def test_made_when_the_line_is(self) -> None:
        text, events = Counted(), list[LogEvent]()
        Logger(namespace="x", observer=events.append).info("it says {text}", text=text, more=3)
        self.assertEqual(text.made, 0)
        self.assertEqual(formatEvent(events[0]), "it says words")
        line = json.loads(json_line(events[0]))
        self.assertEqual((line["message"], line["more"]), ("it says words", 3))
        self.assertNotIn("text", line)

    def test_how_long(self) -> None:
        shown = [str(Lasted(seconds)) for seconds in (0, 0.44, 9.94, 10, 75, 90_000, None)]
        self.assertEqual(
            shown, ["0.0 s", "0.4 s", "9.9 s", "10 s", "1 min 15 s", "1 d 1 h", "an unknown time"]
        )
