"""What measured times mean: round trips, clocks, a bundle there and back, and silence. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from apptuner_relay.client.doctor.finding import (
    Finding,
    failed,
    fine,
    in_figures,
    show_ms,
    warned,
)
from apptuner_relay.client.policy import Ending, How
from apptuner_relay.support.units import show_bytes, show_count

CLOCK_WARNING_S = 2.0
SLOW_ROUND_TRIP_S = 0.5
SLOW_BYTES_PER_S = 50_000
"""Below this the first bundle, of some 9 MB, takes three minutes and more."""
_BUNDLE_BYTES = 9_000_000
_CLOSE_POLICY = 1008
_CLOSE_WITHOUT_CODE = 1005


@dataclass(frozen=True)
class Pong:
    """An answer to a ping. Wall clocks, in seconds since the epoch."""

    took_s: float
    sent_s: float
    """This machine's clock, when the ping left."""
    relay_s: float | None
    """The relay's, when it answered; None where it did not say."""


def judge_round_trips(pongs: Sequence[Pong], asked: int) -> Finding:
    """Some pings, of which at least one was answered."""
    times = sorted(one.took_s for one in pongs)
    middle = median(times)
    figures = {
        "median_ms": in_figures(middle),
        "least_ms": in_figures(times[0]),
        "most_ms": in_figures(times[-1]),
        "pings": asked,
        "answered": len(times),
    }
    text = f"{show_ms(middle)} ({show_ms(times[0])} to {show_ms(times[-1])}, {len(times)} pings)"
    if len(times) < asked:
        return warned(
            "round_trip",
            f"{text}; {asked - len(times)} of {asked} pings had no answer in time",
            "Packets get lost on the way, or the relay is late: bad Wi-Fi, mostly. Phones give "
            "up after 5 s without an answer.",
            **figures,
        )
    if middle > SLOW_ROUND_TRIP_S:
        return warned(
            "round_trip",
            text,
            "That is far, or the line is full. Reloads take at least twice as long as that.",
            **figures,
        )
    return fine("round_trip", text, **figures)


def judge_no_pong(asked: int, waited_s: float) -> Finding:
    """Not one was answered."""
    return failed(
        "round_trip",
        f"no answer to {asked} ping{'s' * (asked != 1)} in {show_ms(waited_s)}",
        "The connection is there, but nothing passes it: a proxy that buffers, or a relay that "
        "hangs. Its log says when its event loop is late.",
        pings=asked,
        answered=0,
    )


def judge_clock(pongs: Sequence[Pong]) -> Finding | None:
    """The clocks, by the quickest answer that says the relay's time; None if there is none."""
    timed = [one for one in pongs if one.relay_s is not None]
    if not timed:
        return None
    best = min(timed, key=lambda one: one.took_s)
    assert best.relay_s is not None
    # The relay says the time in the middle of the round trip, as far as anybody can tell; and it
    # says it in whole milliseconds, rounded down.
    ahead_s = best.relay_s + 0.0005 - (best.sent_s + best.took_s / 2)
    return _judge_offset(ahead_s, best.took_s / 2 + 0.0005)


def judge_date(date_s: float, received_s: float, took_s: float) -> Finding:
    """The clocks, by the `Date` of an HTTP answer: whole seconds, rounded down."""
    return _judge_offset(date_s + 0.5 - (received_s - took_s / 2), 0.5 + took_s / 2)


def _judge_offset(ahead_s: float, give_or_take_s: float) -> Finding:
    figures = {"relay_ahead_s": round(ahead_s, 3), "give_or_take_s": round(give_or_take_s, 4)}
    off_s = abs(ahead_s)
    if off_s <= give_or_take_s:
        return fine(
            "clock",
            f"no difference that can be measured (± {show_ms(give_or_take_s)})",
            **figures,
        )
    size = f"{off_s:.1f} s" if off_s >= 1 else show_ms(off_s)
    text = f"the relay's is {size} {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
    if off_s - give_or_take_s <= CLOCK_WARNING_S:
        return fine("clock", text, **figures)
    return warned(
        "clock",
        text,
        "Join tokens expire by the relay's clock, and `share` signs them by this machine's: they "
        "are refused early, or late. Set the wrong one: timedatectl set-ntp true.",
        **figures,
    )


def judge_transfer(size_bytes: int, took_s: float, answered_s: float | None) -> Finding:
    """A bundle that went up and came down again whole. The times count from its first byte."""
    rate = size_bytes / max(took_s, 1e-6)
    figures = {
        "bytes": size_bytes,
        "took_ms": in_figures(took_s),
        "bytes_per_s": round(rate),
        "answered_ms": None if answered_s is None else in_figures(answered_s),
    }
    text = f"up and down in {show_ms(took_s)} ({show_bytes(round(rate))}/s), byte for byte"
    if answered_s is not None:
        text += f"; the answer after {show_ms(answered_s)}"
    if rate < SLOW_BYTES_PER_S:
        minutes = _BUNDLE_BYTES / rate / 60
        return warned(
            "transfer",
            text,
            f"A first bundle of 9 MB would take {minutes:.0f} minutes at that pace. The line is "
            "slow or full; patches help (docs/how-to/send-only-what-changed.md).",
            **figures,
        )
    return fine("transfer", text, **figures)


def judge_cut_transfer(size_bytes: int, waited_s: float, words: str = "") -> Finding:
    """One that did not come down in time, or ever."""
    why = f": {words}" if words else ""
    return failed(
        "transfer",
        f"did not come down again in {show_ms(waited_s)}{why}",
        "Small messages pass, and long ones do not: a proxy with a limit for messages or bodies, "
        "or one that buffers; a tunnel (VPN) that loses large packets (MTU).",
        bytes=size_bytes,
        waited_ms=in_figures(waited_s),
    )


def judge_damage(size_bytes: int, came_bytes: int) -> Finding:
    """One that came down as something else."""
    return failed(
        "transfer",
        f"{size_bytes:,} characters went up, and {came_bytes:,} others came down",
        "Something on the way changes what passes. Over wss:// nothing can.",
        bytes=size_bytes,
        arrived_bytes=came_bytes,
    )


@dataclass(frozen=True)
class Silence:
    """A connection on which this side said nothing."""

    lasted_s: float
    pings_s: Sequence[float] = ()
    """When the relay's pings came, which were answered: seconds since its beginning."""
    is_open: bool = True
    code: int | None = None
    """Of the Close with which it ended, if there was one."""
    reason: str = ""

    @classmethod
    def of(cls, lasted_s: float, pings_s: Sequence[float], ending: Ending | None) -> Silence:
        """One that lasted until its end, or until there was patience no more."""
        if ending is None:
            return cls(lasted_s, pings_s)
        if ending.how is How.CLOSED:
            code = _CLOSE_WITHOUT_CODE if ending.code is None else ending.code
            return cls(lasted_s, pings_s, False, code, ending.reason)
        return cls(lasted_s, pings_s, False)

    @property
    def longest_s(self) -> float:
        """The longest time in which nothing passed at all."""
        times = [0.0, *self.pings_s, self.lasted_s]
        return max(later - earlier for earlier, later in pairwise(times))

    @property
    def last_s(self) -> float:
        """For how long nothing had passed at its end."""
        return self.lasted_s - (self.pings_s[-1] if self.pings_s else 0.0)


def judge_silence_kept(silence: Silence) -> Finding:
    """Whether something cuts connections on which nothing passes."""
    pings = len(silence.pings_s)
    figures = {
        "waited_s": round(silence.lasted_s, 1),
        "relay_pings": pings,
        "quiet_s": round(silence.last_s, 1),
        "close_code": silence.code,
    }
    if silence.is_open:
        text = f"still open after {silence.lasted_s:.0f} s without a word from here"
        if not pings:
            return warned(
                "idle",
                f"{text}, and without a ping of the relay",
                "The relay pings clients that are silent for --ping-interval (20 s): that is set "
                "higher, or something on the way answers pings by itself. What cuts after a "
                "longer silence than this one would not show here.",
                **figures,
            )
        return fine(
            "idle",
            f"{text}; the relay's pings keep it busy: nothing passed for "
            f"{silence.longest_s:.0f} s at most",
            **figures,
        )
    if silence.code is not None:
        why = f": {silence.reason}" if silence.reason else ""
        text = f"closed after {silence.lasted_s:.0f} s with code {silence.code}{why}"
        if silence.code == _CLOSE_POLICY:
            return failed(
                "idle",
                text,
                "The relay did it: its pings, or the answers to them, do not pass what is on the "
                "way. A proxy has to pass control frames on, as all that know WebSockets do.",
                **figures,
            )
        return failed(
            "idle",
            text,
            "The relay or a proxy that knows WebSockets closed it: a restart or a reload. Try "
            "again; the relay's log says which codes it closed with.",
            **figures,
        )
    return failed(
        "idle",
        f"cut when nothing had passed for {silence.last_s:.0f} s, without a Close; "
        f"{show_count(pings, 'ping')} of the relay came before",
        "The relay always says a Close: something on the way has cut it (a proxy's time-out, NAT, "
        "a firewall). nginx: proxy_read_timeout and proxy_send_timeout, HAProxy: timeout tunnel, "
        "a cloud's balancer: its idle time-out. Set it to an hour, or the relay's --ping-interval "
        f"to less than {max(silence.last_s, 2):.0f} s.",
        **figures,
    )
