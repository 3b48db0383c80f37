"""The exchange of states in one channel: services may lose events, and whoever finds that out asks
the other side how things are. Neither side of it can make the other one speak without end.
"""

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.managed.gateway.channel_user import ChannelUser
from apptuner_relay.managed.protocol.numbered_events import event_overhead
from apptuner_relay.managed.protocol.state_messages import STATE_WANTED, find_bundle, state
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.roles import device_of
from apptuner_relay.support.clocks import in_ms

INTERVAL_S = 1.0
"""How often a user is asked, and answered, at the most."""


class StateExchange:
    """That of one session.

    :param bundles_url: where its bundles are.
    :param event_limit: how many bytes the data of an event may have.
    :param say: tells a user a text.
    """

    log = Logger()

    def __init__(
        self,
        relay: RelayService,
        session_hash: str,
        bundles_url: str,
        event_limit: int,
        say: Callable[[str, bytes], None],
    ) -> None:
        self._relay = relay
        self._session_hash = session_hash
        self._bundles_url = bundles_url
        self._event_limit = event_limit
        self._say = say

    def ask(self, user: ChannelUser) -> None:
        """Events of a user may have been lost, or have been: ask it for its state."""
        now_s = self._relay.clock.seconds()
        if now_s - user.asked_s >= INTERVAL_S:
            user.asked_s = now_s
            self._say(user.connection.user_id, STATE_WANTED)

    def answer(self, user: ChannelUser) -> None:
        """A user asks for the state."""
        if not user.answer_is_due:
            user.answer_is_due = True
            wait_s = user.answered_s + INTERVAL_S - self._relay.clock.seconds()
            self._relay.clock.callLater(max(0.0, wait_s), self._answer, user)

    def _answer(self, user: ChannelUser) -> None:
        user.answer_is_due = False
        user.answered_s = self._relay.clock.seconds()
        if not user.connection.is_open:
            return
        member = user.connection.member
        if member is None:
            self._tell(user, user.last_devices, user.last_bundle)
            return
        devices = [device_of(phone).row() for phone in member.session.mobiles]
        finding: Deferred[object] = find_bundle(
            self._relay.store, self._session_hash, self._bundles_url, in_ms(self._relay.wall_s())
        )

        def found(bundle: object) -> None:
            self._tell(user, devices, bundle)

        finding.addCallback(found).addErrback(self._failed)

    def _tell(self, user: ChannelUser, devices: Sequence[object], bundle: object) -> None:
        if user.connection.is_open:
            name = user.connection.user_id
            most_bytes = self._event_limit - event_overhead((name,))
            self._say(name, state(devices, bundle, most_bytes))

    def _failed(self, failure: Failure) -> None:
        self.log.failure("telling a user of a channel the state has failed", failure)
