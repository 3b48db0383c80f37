"""The states of a `transcoder.Transcoder`, and the events that change them. Pure."""

from apptuner_relay.support.plain_enum import PlainEnum


class TranscoderState(PlainEnum):
    """What a transcoder waits for."""

    IDLE = "idle"
    """More of the original log, or readers of its own log, which hold it."""
    READING = "reading"
    """The disk: what is next of the original isn't in memory."""
    WORKING = "working"
    """A worker thread, which has a step to do."""
    OVER = "over"
    """Nothing: its log has ended."""


class TranscoderEvent(PlainEnum):
    """What happens to a transcoder."""

    MISSED = "missed"
    """The next bytes of the original aren't in memory: a thread fetches them."""
    READ = "read"
    """They are there."""
    SUBMITTED = "submitted"
    """A step goes to a worker thread."""
    WORKED = "worked"
    """The step is done."""
    ENDED = "ended"
    """All of the original was taken in, nobody reads its log any more, or it can't go on."""


TRANSITIONS: dict[tuple[TranscoderState, TranscoderEvent], TranscoderState] = {
    (TranscoderState.IDLE, TranscoderEvent.MISSED): TranscoderState.READING,
    (TranscoderState.READING, TranscoderEvent.READ): TranscoderState.IDLE,
    (TranscoderState.IDLE, TranscoderEvent.SUBMITTED): TranscoderState.WORKING,
    (TranscoderState.WORKING, TranscoderEvent.WORKED): TranscoderState.IDLE,
    (TranscoderState.IDLE, TranscoderEvent.ENDED): TranscoderState.OVER,
    (TranscoderState.READING, TranscoderEvent.ENDED): TranscoderState.OVER,
    (TranscoderState.WORKING, TranscoderEvent.ENDED): TranscoderState.OVER,
}
"""An event that is missing for a state changes nothing: what a thread has done for a transcoder
that is over is of no use."""
