"""`top`: what a running relay does just now, on a terminal or for a program."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.client.command import Command, add_quiet_argument, add_relay_argument
from apptuner_relay.client.live_frame import LiveFrame
from apptuner_relay.client.operator_api import NoFigures, OperatorApi
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.relay_figures import RelayFigures, number, read_figures
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.session_list import ask_sessions
from apptuner_relay.client.session_records import ORDERS, SessionRecord, in_order
from apptuner_relay.client.sources import STATUS_PATH, add_token_argument
from apptuner_relay.client.top_frame import BUSY, TopView, frame
from apptuner_relay.support.units import show_duration

INTERVAL_SECONDS = 2.0
ANSWER_SECONDS = 10.0
NOTE_SECONDS = 60.0
"""For so long a restart of the relay is told."""
MAX_ANSWER_BYTES = 16 * 1024 * 1024
MOST_SESSIONS = 50
"""That are asked for: those in trouble, and those that were sent most."""
ALL_ORDERS = (BUSY, *ORDERS)

_FIRST_CLIENT_ERROR, _FIRST_SERVER_ERROR = 400, 500


class RateMeter:
    """What is sent to each session, from one sample to the next."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._at_s = 0.0
        self.rates: dict[str, float] = {}
        """In bytes per second, of sessions that were in the sample before."""

    def take(self, sessions: Sequence[SessionRecord], now_s: float) -> None:
        """A sample."""
        passed_s, before = now_s - self._at_s, self._before
        self._before = {one.session: one.bytes_out for one in sessions}
        self._at_s = now_s
        self.rates = {
            name: max(0, sent - before[name]) / passed_s
            for name, sent in self._before.items()
            if name in before and passed_s > 0
        }


class Top:
    """Samples of a relay, one after the other.

    `done` fires once, with the exit code.

    :param live: where they are drawn; None to print them.
    """

    log = Logger()

    def __init__(
        self,
        api: OperatorApi,
        clock: IReactorTime,
        screen: Screen,
        *,
        once: bool,
        order: str = BUSY,
    ) -> None:
        self.done: Deferred[Exit] = Deferred()
        self.live: LiveFrame | None = None
        self._api = api
        self._clock = clock
        self._screen = screen
        self._once = once
        self._order = order
        self._left: Exit | None = None
        self._meter = RateMeter()
        self._figures: RelayFigures | None = None
        self._sessions: Sequence[SessionRecord] = ()
        self._away_since_s: float | None = None
        self._away = ""
        self._noted: tuple[str, float] | None = None
        self._last_event: tuple[float, float] = (-1, -1)
        """When the newest event that was told came, and its id."""
        self._work: Deferred[Exit]

    def start(self) -> None:
        """Begin."""
        if self.live is not None:
            self.live.start()
        self._work = Deferred.fromCoroutine(self._run())
        self._work.addErrback(self._failed).addBoth(self._over).chainDeferred(self.done)

    def leave(self, code: Exit) -> None:
        """See `CommandRun`. Ctrl-C is how this ends when all is well."""
        if self._left is None and not self.done.called:
            self._left = code if self._once or code is not Exit.INTERRUPTED else Exit.DONE
            self._work.cancel()

    def typed(self, key: str) -> None:
        """Somebody has pressed a key."""
        if key in ("q", "Q"):
            self.leave(Exit.INTERRUPTED)
        elif key in ("s", "S"):
            at = ALL_ORDERS.index(self._order) + (1 if key == "s" else -1)
            self._order = ALL_ORDERS[at % len(ALL_ORDERS)]
            self.draw()

    def draw(self) -> None:
        """Show what is known."""
        if self._figures is None or self.live is None:
            return
        try:
            self.live.draw(
                frame(
                    self._view(keys=True),
                    self.live.width,
                    self.live.height,
                    measure=self._screen.measure,
                    rule=self._screen.rule,
                )
            )
        except OSError:
            self.leave(Exit.DONE)

    async def _run(self) -> Exit:
        while True:
            try:
                await self._sample()
            except NoFigures as error:
                if self._figures is None or _is_final(error):
                    self._screen.complain(str(error))
                    return error.code
                self._lost(str(error))
            else:
                self._show()
            if self._once:
                return Exit.DONE
            self.draw()
            await deferLater(self._clock, INTERVAL_SECONDS)

    async def _sample(self) -> None:
        figures = await self._api.get(STATUS_PATH, read_figures)
        sessions = await ask_sessions(self._api, count=MOST_SESSIONS)
        self._meter.take(sessions, self._clock.seconds())
        self._found(figures)
        self._figures, self._sessions = figures, sessions

    def _lost(self, why: str) -> None:
        now_s = self._clock.seconds()
        if self._away_since_s is None:
            self._away_since_s = now_s
            self._screen.event("away", error=why)
        gone = show_duration(now_s - self._away_since_s)
        self._away = f"no answer for {gone}, asking again every {INTERVAL_SECONDS:g} s: {why}"

    def _found(self, figures: RelayFigures) -> None:
        """It answers, perhaps again, and perhaps as another process."""
        before, now_s = self._figures, self._clock.seconds()
        restarted = before is not None and (
            figures.started_ms != before.started_ms or figures.uptime_s < before.uptime_s
        )
        if restarted:
            up = show_duration(figures.uptime_s)
            self._noted = f"the relay was started anew {up} ago", now_s
            self._last_event = (-1, -1)
        if self._away_since_s is not None:
            away_s = round(now_s - self._away_since_s, 3)
            self._screen.event("back", away_s=away_s, restarted=restarted)
        elif restarted:
            self._screen.event("back", away_s=0.0, restarted=True)
        self._away_since_s = None

    def _view(self, *, keys: bool = False) -> TopView:
        assert self._figures is not None
        rates = self._meter.rates
        if self._order == BUSY:
            # At first no rate is known: those that were sent most come first.
            sent = in_order(self._sessions, "sent")
            sessions = sorted(sent, key=lambda one: -rates.get(one.session, 0.0))
        else:
            sessions = in_order(self._sessions, self._order)
        note = None
        if self._noted is not None and self._clock.seconds() - self._noted[1] < NOTE_SECONDS:
            note = self._noted[0]
        away = None if self._away_since_s is None else self._away
        return TopView(
            self._figures,
            sessions,
            rates,
            self._order,
            INTERVAL_SECONDS,
            keys=keys,
            away=away,
            note=note,
        )

    def _show(self) -> None:
        """Print a sample, where it isn't drawn."""
        view = self._view()
        if self._screen.speaks_json:
            self._tell_json(view)
        elif self.live is None:
            screen = self._screen
            screen.tell_lines(
                frame(view, screen.told_width, measure=screen.measure, rule=screen.rule)
            )

    def _tell_json(self, view: TopView) -> None:
        figures = view.figures
        events = None
        if figures.events is not None:
            order = [(one["at_ms"], number(one, "id") or 0) for one in figures.events]
            events = [
                dict(one)
                for one, at in zip(figures.events, order, strict=True)
                if at > self._last_event
            ][::-1]
            self._last_event = max([self._last_event, *order])
        self._screen.event(
            "sample",
            **figures.as_json(),
            busiest=[
                {"sending_bytes_per_s": view.rates.get(one.session), **one.row}
                for one in view.sessions
            ],
            events=events,
        )

    def _failed(self, failure: Failure) -> Exit:
        if self._left is not None and failure.check(CancelledError, NoFigures):
            return self._left
        self.log.failure("a bug", failure)
        return Exit.FAILED

    def _over(self, code: Exit) -> Exit:
        if self.live is not None:
            self.live.stop()
        Deferred.fromCoroutine(self._api.close())
        return code if self._left is None else self._left


def _is_final(error: NoFigures) -> bool:
    """Whether asking again would be of no use: this relay does not want to be asked."""
    status = error.status
    return status is not None and _FIRST_CLIENT_ERROR <= status < _FIRST_SERVER_ERROR


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_relay_argument(parser)
    add_token_argument(parser)
    parser.add_argument(
        "--sort",
        choices=ALL_ORDERS,
        default=BUSY,
        help="in which order sessions stand: busy, those to which most is sent just now, or as "
        "`sessions` has them (default: busy)",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="print how it is now, and end; as is done without a terminal",
    )
    add_quiet_argument(parser)


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Top:
    can_draw = screen.out_can_be_redrawn and not screen.speaks_json and not arguments.quiet
    api = OperatorApi(
        arguments.relay,
        arguments.admin_token,
        reactor,
        screen,
        limit_seconds=ANSWER_SECONDS,
        max_bytes=MAX_ANSWER_BYTES,
        keeps_connection=True,
    )
    once = arguments.once or not (can_draw or screen.speaks_json)
    top = Top(api, reactor, screen, once=once, order=arguments.sort)
    if can_draw and not once:
        top.live = screen.live(reactor, top.typed, top.draw)
    screen.on_reader_gone = lambda: top.leave(Exit.DONE)
    top.start()
    return top


COMMAND = Command(
    "top",
    "Shows what a running relay does, every 2 seconds: sessions, bundles, what it sends, how long\n"
    "reloads take (from a bundle's first byte until its last phone acknowledged it), memory, the\n"
    "lag of its event loop, its CPU, what needs attention, the busiest sessions, and the last\n"
    "events. The key s sorts the sessions differently, q or Ctrl-C ends it. It goes on when the\n"
    "relay is started anew. Without a terminal it prints how it is once; with --json, a line for\n"
    "each sample. What an older relay does not say is shown as –.",
    _add_arguments,
    _start,
    json_help="print each sample as a line of JSON, until interrupted, or one with --once",
)
