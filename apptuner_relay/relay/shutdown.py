"""How a relay that stops closes its clients: in order, and without losing a message.

First other relays take its sessions, where there are any. Then the bundles that are under way get
the time that they need. Then session after session is closed, spread over a window, so that not all
clients reconnect at once; `closing_groups` has the order within a session. ``--drain-timeout`` is
the one deadline for all of that: what is not done by then is cut. `shutdown_states` has the states.

Nothing in here touches a socket. `RelayService` makes a `Shutdown` when it stops.
"""

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.relay.client_registry import ClientRegistry
from apptuner_relay.relay.closing_groups import ClosingGroup, GroupClosing, OutboundGroups
from apptuner_relay.relay.hooks import RelayHooks
from apptuner_relay.relay.shutdown_states import TRANSITIONS, ShutdownEvent, ShutdownState

_LOOK_S = 0.02
_FIRST_REQUEST_S = 1.0
"""How long a connection that was accepted just before the stop may take to send its request."""
_ANSWERS_S = 2.0
"""How long, behind the deadline, clients that were cut may take to answer their Close."""
_LEAST_GAP_S = 0.01
"""Fewer sessions than would fill the window at this distance are closed in less time."""


class Shutdown:
    """Closes every client of a relay, once.

    :param timeout_s: how long all of the stop may take; 0 cuts every client at once.
    :param spread_s: over how many seconds sessions are closed, if there are many.
    :param shares_sockets: see `RelayService`.
    """

    log = Logger()

    def __init__(
        self,
        registry: ClientRegistry,
        hooks: RelayHooks,
        clock: IReactorTime,
        timeout_s: float,
        spread_s: float,
        shares_sockets: bool,
    ) -> None:
        self.state = ShutdownState.HAND_OVER
        self._registry = registry
        self._hooks = hooks
        self._clock = clock
        self._timeout_s = timeout_s
        self._spread_s = spread_s if timeout_s else 0.0
        self._shares_sockets = shares_sockets
        self._over: Deferred[None] = Deferred()
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock
        self._outbound = OutboundGroups()
        self._awaited: list[GroupClosing] = []
        """The groups whose bundles are waited for."""
        self._closings: dict[ClosingGroup, GroupClosing] = {}
        """The groups whose turn to be closed has come. They stay in here when their clients have
        disconnected."""
        self._begun_s = self._handed_over_s = self._closing_s = clock.seconds()
        self._deadline_s = self._begun_s + timeout_s
        self._gap_s = 0.0
        """Seconds between the closing of one group and of the next one."""

    def begin(self) -> Deferred[None]:
        """Begin. Fires, and never fails, when the shutdown is over."""
        placement = self._hooks.placement
        leaving = succeed(None) if placement is None else placement.drain(self._deadline_s)
        leaving.addBoth(self._handed_over).addErrback(self._failed)
        if self.state is not ShutdownState.OVER:
            # The first look is now, and may be the last one.
            self._looking.start(_LOOK_S).addErrback(self._failed)
        return self._over

    def hurry(self) -> None:
        """Close every client now, and be over. Harmless when it is."""
        self._on(ShutdownEvent.HURRIED)

    def admits(self, session_hash: str) -> bool:
        """Whether a new client of that session is still let in."""
        if self._hooks.placement is not None or self.state is ShutdownState.OVER:
            return False
        if self._shares_sockets:
            # No other relay can answer a client that this one has accepted.
            return True
        session = self._registry.sessions.get(session_hash)
        return (
            session is not None
            and self.state is not ShutdownState.CUT
            and session not in self._closings
        )

    @property
    def status(self) -> str:
        """What it is about, for people."""
        left = f"{len(self._registry.clients)} clients left"
        if self.state is ShutdownState.HAND_OVER:
            return f"handing sessions over, {left}"
        if self.state is ShutdownState.WAIT:
            return f"waiting for bundles on their way in {len(self._awaited)} sessions, {left}"
        return f"closing, {left}"

    def _handed_over(self, _: object) -> None:
        self._on(ShutdownEvent.HANDED_OVER)
        if self._looking.running:
            self._look()

    def _on(self, event: ShutdownEvent) -> None:
        """Something has happened: go where the table says."""
        before, after = self.state, TRANSITIONS.get((self.state, event))
        if after is None:
            return
        self.state = after
        if before is ShutdownState.HAND_OVER:
            self._list_awaited()
        if after is ShutdownState.CLOSE:
            self._plan_closing()
        elif after is ShutdownState.CUT:
            self._warn_of_cut()
        elif after is ShutdownState.OVER:
            try:
                if event is ShutdownEvent.HURRIED:
                    self._cut_all()
            finally:
                # Whatever has failed, the process has to end.
                self._finish()

    def _look(self) -> None:
        """See what has happened since the last look."""
        now_s = self._clock.seconds()
        self._sort_outbound()
        if now_s >= self._deadline_s:
            self._on(ShutdownEvent.DEADLINE)
        if self.state is ShutdownState.WAIT:
            self._awaited = [one for one in self._awaited if not one.settled]
            if not self._awaited:
                self._on(ShutdownEvent.DELIVERED)
        if self.state is ShutdownState.CLOSE:
            self._close_groups(now_s)
        elif self.state is ShutdownState.CUT:
            self._cut_all()
            if now_s >= self._deadline_s + _ANSWERS_S:
                for client in tuple(self._registry.clients):
                    client.connection.abort()
        if not self._registry.clients and not self._has_to_wait(now_s):
            self._on(ShutdownEvent.EMPTY)

    def _has_to_wait(self, now_s: float) -> bool:
        """Whether there is anything to wait for beside the clients."""
        if self.state is ShutdownState.CUT:
            return False
        first_request = self._shares_sockets and now_s < self._handed_over_s + _FIRST_REQUEST_S
        if first_request and self._hooks.silent_connections:
            return True
        return self._hooks.downloads + self._hooks.closing > 0 or bool(self._hooks.undelivered)

    def _sort_outbound(self) -> None:
        self._outbound.update(self._registry.outbound, self._hooks.undelivered)

    def _groups(self) -> list[ClosingGroup]:
        return [*self._registry.sessions.values(), *self._outbound.list()]

    def _list_awaited(self) -> None:
        self._handed_over_s = self._clock.seconds()
        self._sort_outbound()
        groups = [GroupClosing(group) for group in self._groups()]
        self._awaited = [one for one in groups if not one.settled]
        if self._registry.clients:
            self.log.info(
                "draining: {clients} clients; bundles on their way in {busy} sessions",
                clients=len(self._registry.clients),
                busy=len(self._awaited),
            )

    def _plan_closing(self) -> None:
        self._closing_s = now_s = self._clock.seconds()
        count = len(self._groups())
        # Short enough for all groups to have their turn well before the deadline.
        left_s = max(0.0, self._deadline_s - now_s) / 2
        window_s = min(self._spread_s, count * _LEAST_GAP_S, left_s)
        self._gap_s = window_s / count if count else 0.0

    def _close_groups(self, now_s: float) -> None:
        """Go on closing the groups whose turn has come by now."""
        due = [group for group in self._groups() if group not in self._closings]
        if self._gap_s:
            turns = int((now_s - self._closing_s) / self._gap_s) + 1
            due = due[: max(0, turns - len(self._closings))]
        self._closings.update((group, GroupClosing(group)) for group in due)
        for closing in self._closings.values():
            closing.proceed()

    def _warn_of_cut(self) -> None:
        groups = [self._closings.get(group) or GroupClosing(group) for group in self._groups()]
        if self._timeout_s and any(one.is_to_be_cut for one in groups):
            self.log.warn(
                "draining: after {timeout:g} s, what is still on its way is cut",
                timeout=self._timeout_s,
            )

    def _cut_all(self) -> None:
        self._sort_outbound()
        for group in self._groups():
            GroupClosing(group).cut()

    def _finish(self) -> None:
        if self._looking.running:
            self._looking.stop()
        self.log.info("drained in {took:.1f} s", took=self._clock.seconds() - self._begun_s)
        self._over.callback(None)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("draining has failed: all clients are closed", failure)
        try:
            self.hurry()
        except Exception:  # whatever it is, the process ends
            self.log.failure("closing the clients has failed: they lose their connections")
