"""`apptuner_relay.operator.classic_line`: lines are what Twisted would make of the events."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import LogEvent, LogLevel, formatEvent, formatEventAsClassicLogText
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.classic_line import classic_line, event_text
from apptuner_relay.support.lazy_text import Lasted

_FORMATS = (
    "session {session}: {role} {came} from {address}{through}{client}",
    "{session!r}, {session:>20}, {count:05}, {lasted}",
    "{{}} {session}\nand more",
    "{who()} and {nobody.there} {session.__class__.__name__}",
    "{lost}",
    "{} {0}",
    "{session",
    "{count:nonsense}",
    "",
)


def _fail() -> Failure:
    try:
        raise ValueError("on purpose")
    except ValueError:
        return Failure()


class ClassicLineTest(SynchronousTestCase):
    @given(
        st.sampled_from(_FORMATS),
        st.text(max_size=20),
        st.integers(),
        st.floats(0, 4e9),
        st.sampled_from([*LogLevel.iterconstants()]),
        st.dictionaries(st.sampled_from(["log_system", "log_failure", "log_namespace"]), st.none()),
    )
    def test_lines_are_as_twisteds(
        self,
        form: str,
        text: str,
        count: int,
        when_s: float,
        level: object,
        more: dict[str, None],
    ) -> None:
        event: LogEvent = dict.fromkeys(("role", "came", "address", "through", "client"), text)
        event |= {"session": text, "count": count, "lasted": Lasted(count % 100)}
        event |= {"log_format": form, "log_time": when_s, "log_level": level}
        event |= {"log_namespace": "some.module", "who": lambda: text}
        if "log_system" in more:
            event["log_system"] = text
        if "log_failure" in more:
            event["log_failure"] = _fail()
        if "log_namespace" in more:
            del event["log_namespace"]
        expected = formatEventAsClassicLogText(event) or ""
        if "UNFORMATTABLE" in expected or "MESSAGE LOST" in expected or "Unable" in expected:
            # The text has the addresses of objects, and where it was made.
            self.assertEqual(classic_line(event)[:60], expected[:60])
        else:
            self.assertEqual(classic_line(event), expected)
            self.assertEqual(event_text(event), formatEvent(event))

    def test_what_the_legacy_log_says(self) -> None:
        for event in (
            {"log_text": "words", "log_format": "{log_text}", "log_time": 1.5},
            {"log_format": b"bytes {n}", "n": 1, "log_time": 1.5, "log_level": LogLevel.info},
            {"log_time": 1.5, "log_level": LogLevel.info},
            {"log_format": "no time", "log_level": LogLevel.info},
        ):
            self.assertEqual(classic_line(event), formatEventAsClassicLogText(event) or "")
