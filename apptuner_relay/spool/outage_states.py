"""The states of an `outage.Outage`: whether the spool's disk works. Pure."""

from enum import Enum


class OutageState(Enum):
    """Whether bundles are cached."""

    STARTING = "starting"
    """No: the relay has no folder yet."""
    WORKING = "working"
    """Yes."""
    FAILED = "failed"
    """No: the disk has failed, and is left alone for a while."""
    TRYING = "trying"
    """No: the disk has failed, and is being tried."""
    STOPPED = "stopped"
    """No: the relay is stopping."""


class OutageEvent(Enum):
    """What happens to the disk."""

    STARTED = "started"
    """The relay has its folder."""
    FAILED = "failed"
    """The disk can't be written, is full, or is too slow."""
    RETRIED = "retried"
    """The pause is over: a small file is written."""
    PROBE_FAILED = "probe failed"
    """That can't be written either, or took too long."""
    RECOVERED = "recovered"
    """That was written."""
    STOPPED = "stopped"
    """The relay is stopping."""


TRANSITIONS: dict[tuple[OutageState, OutageEvent], OutageState] = {
    (OutageState.STARTING, OutageEvent.STARTED): OutageState.WORKING,
    (OutageState.STARTING, OutageEvent.FAILED): OutageState.FAILED,
    (OutageState.WORKING, OutageEvent.FAILED): OutageState.FAILED,
    (OutageState.FAILED, OutageEvent.RETRIED): OutageState.TRYING,
    (OutageState.TRYING, OutageEvent.PROBE_FAILED): OutageState.FAILED,
    (OutageState.TRYING, OutageEvent.RECOVERED): OutageState.WORKING,
    (OutageState.STARTING, OutageEvent.STOPPED): OutageState.STOPPED,
    (OutageState.WORKING, OutageEvent.STOPPED): OutageState.STOPPED,
    (OutageState.FAILED, OutageEvent.STOPPED): OutageState.STOPPED,
    (OutageState.TRYING, OutageEvent.STOPPED): OutageState.STOPPED,
}
"""An event that is missing for a state changes nothing: a disk that has failed fails no second time
before it has worked again."""
