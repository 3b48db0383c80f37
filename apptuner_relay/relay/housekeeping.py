"""What a relay looks for at intervals: clients that are slow, stalled, silent or over their rate,
sessions that are idle, and claims to renew.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.access.access_control import Access
from apptuner_relay.config.groups.limit_settings import LimitSettings
from apptuner_relay.flow.slow_consumers import SlowConsumers
from apptuner_relay.relay.client_registry import ClientRegistry
from apptuner_relay.relay.interfaces import ConnectedClient
from apptuner_relay.relay.member import Member
from apptuner_relay.relay.member_context import OverRate
from apptuner_relay.relay.piecewise import PiecewiseRound
from apptuner_relay.wire.frames import CLOSE_POLICY

_TICK_S = 1.0
_LONGEST_SWEEP_S = 15.0
_LONGEST_RENEWAL_S = 60.0


class Housekeeping:
    """The timed checks of one relay.

    :param claim_ttl_s: for how long a claim is kept that is not renewed.
    :param registry: the clients and sessions that are looked at.
    :param access: renews the claims of sessions with authorized clients.
    :param slow: closes the clients that are too slow.
    :param unfinished: the clients of which the rest of a message or a bundle may be missing. Those
        that have sent all are taken out of it.
    :param over_rate: of the members that have sent more messages than they may. One is taken out of
        it once it has been told so and may send again.
    """

    log = Logger()

    def __init__(
        self,
        limits: LimitSettings,
        claim_ttl_s: float,
        clock: IReactorTime,
        registry: ClientRegistry,
        access: Access,
        slow: SlowConsumers,
        over_rate: set[OverRate],
        unfinished: set[ConnectedClient],
    ) -> None:
        self._clock = clock
        self._registry = registry
        self._access = access
        self._over_rate = over_rate
        self._unfinished = unfinished
        self._stall_timeout_s = limits.stall_timeout
        self._session_timeout_s = limits.session_timeout
        self._is_running = self._is_draining = False
        sweep_s = min(_LONGEST_SWEEP_S, limits.session_timeout / 4)
        self._rounds = (
            PiecewiseRound(clock, lambda: unfinished, self._look_for_rest),
            PiecewiseRound(clock, lambda: registry.clients, self._check_alive),
        )
        unfinished_clients, silent_clients = self._rounds
        renewal_s = min(_LONGEST_RENEWAL_S, claim_ttl_s / 4)
        pings_s = min(limits.ping_interval, limits.ping_timeout) / 4
        self._calls = [
            (_TICK_S, self._make_call(slow.check)),
            (_TICK_S, self._make_call(unfinished_clients.begin)),
            (_TICK_S, self._make_call(self._catch_up_over_rate)),
            (renewal_s, self._make_call(self._renew_claims)),
            (sweep_s, self._make_call(self._close_idle_sessions)),
            (pings_s, self._make_call(silent_clients.begin)),
        ]

    def start(self) -> None:
        """Begin to look."""
        self._is_running, self._is_draining = True, False
        for interval_s, call in self._calls:
            self._start(interval_s, call)

    def drain(self) -> None:
        """The relay is about to stop: from now on no client has to wait for its message rate."""
        self._is_draining = True
        self._catch_up_over_rate()

    def stop(self) -> None:
        """Look no more."""
        self._is_running = False
        for _interval_s, call in self._calls:
            if call.running:
                call.stop()
        for one in self._rounds:
            one.stop()

    def _look_for_rest(self, client: ConnectedClient) -> None:
        now_s, limit_s = self._clock.seconds(), self._stall_timeout_s
        bundles = client.bundles if isinstance(client, Member) else None
        if not client.in_message and (bundles is None or not bundles.is_unfinished):
            self._unfinished.discard(client)
            return
        if client.in_message and client.source.stalled(now_s) >= limit_s:
            reason = f"Nothing came for {limit_s:g} s in mid-message"
            self._registry.retire(client, CLOSE_POLICY, reason)
        if bundles is not None and bundles.stalled(now_s) >= limit_s:
            bundles.stop(f"nothing came of it for {limit_s:g} s")
            self.log.warn(
                "session {session}: a bundle in chunks from {role} is given up, as no "
                "further chunk has come",
                session=client.label,
                role=client.role.value,
            )

    def _catch_up_over_rate(self) -> None:
        for member in tuple(self._over_rate):
            if self._is_draining:
                member.lift_rate()
            if member.catch_up():
                self._over_rate.discard(member)

    def _renew_claims(self) -> None:
        self._access.renew(
            {
                client.admission.session_hash
                for client in self._registry.clients
                if client.admission.authorized and client.through is None
            }
        )

    def _close_idle_sessions(self) -> None:
        deadline_s = self._clock.seconds() - self._session_timeout_s
        for session in tuple(self._registry.sessions.values()):
            if session.last_activity_s <= deadline_s:
                self.log.info("session {session}: timed out", session=session.label)
                self._registry.close_session(session, "Session timeout")

    def _check_alive(self, client: ConnectedClient) -> None:
        client.connection.check_alive(self._clock.seconds())

    def _start(self, interval_s: float, call: LoopingCall) -> None:
        def failed(failure: Failure) -> None:
            self.log.failure("a check has failed; it will be made again", failure)
            if self._is_running:
                self._start(interval_s, call)

        call.start(interval_s, now=False).addErrback(failed)

    def _make_call(self, function: Callable[[], None]) -> LoopingCall:
        call = LoopingCall(function)
        call.clock = self._clock
        return call
