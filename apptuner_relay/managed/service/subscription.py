"""One channel's subscription on a connection to a managed service (`subscription_states`): who is
in the channel, and what its listener is told.
"""

from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from apptuner_relay.managed.protocol.channel_service import ChannelListener
from apptuner_relay.managed.service.subscription_states import (
    TRANSITIONS,
    SubscriptionEvent,
    SubscriptionState,
)

ANSWER_S = 10.0
"""How long a service may take to answer."""
FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 60.0
SLOW_RETRY_S = 300.0
"""After a refusal that only an operator can remove."""

Info = Mapping[str, object]
"""A member's ``user_info``."""


class Subscription:
    """The subscription.

    :param ask: is called when the service is to be asked, or asked again.
    """

    def __init__(
        self,
        channel: str,
        listener: ChannelListener,
        clock: IReactorTime,
        ask: Callable[["Subscription"], None],
    ) -> None:
        self.channel = channel
        self.state = SubscriptionState.WANTED
        self.user_ids: set[str] = set()
        """Who is in the channel."""
        self._listener = listener
        self._clock = clock
        self._ask = ask
        self._timer: IDelayedCall | None = None
        self._retry_s = FIRST_RETRY_S

    @property
    def is_subscribed(self) -> bool:
        """Whether the relay is in the channel."""
        return self.state is SubscriptionState.SUBSCRIBED

    @property
    def is_wanted(self) -> bool:
        """Whether the service has yet to be asked."""
        return self.state is SubscriptionState.WANTED

    def asked(self) -> None:
        """The service was asked."""
        if self._happens(SubscriptionEvent.ASK):
            self._set_timer(ANSWER_S, self._unanswered)

    def succeeded(self, members: Mapping[str, Info]) -> None:
        """The service has let the relay in.

        :param members: those that are there, the relay included.
        """
        if self._happens(SubscriptionEvent.SUCCEEDED):
            self._cancel_timer()
            self._retry_s = FIRST_RETRY_S
            self.user_ids = set(members)
            self._listener.subscribed(members)

    def failed(self, why: str, is_permanent: bool) -> None:
        """The service has refused.

        :param is_permanent: whether it will, until somebody changes something.
        """
        if not self._happens(SubscriptionEvent.FAILED):
            return
        self._set_timer(SLOW_RETRY_S if is_permanent else self._retry_s, self._retry)
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)
        self.user_ids.clear()
        self._listener.unsubscribed(why)

    def lost(self, why: str) -> None:
        """The connection was lost. The service has to be asked anew on the next one."""
        was_subscribed = self.is_subscribed
        if self._happens(SubscriptionEvent.LOST):
            self._cancel_timer()
            self.user_ids.clear()
            if was_subscribed:
                self._listener.unsubscribed(why)

    def end(self) -> bool:
        """It is not wanted any more. Returns whether the service has to be told."""
        was_asked = not self.is_wanted
        self._happens(SubscriptionEvent.END)
        self._cancel_timer()
        return was_asked

    def added(self, user_id: str, info: Info) -> None:
        """Somebody has come into the channel."""
        if self.is_subscribed and user_id not in self.user_ids:
            self.user_ids.add(user_id)
            self._listener.member_added(user_id, info)

    def removed(self, user_id: str) -> None:
        """Somebody has left the channel."""
        if self.is_subscribed and user_id in self.user_ids:
            self.user_ids.remove(user_id)
            self._listener.member_removed(user_id)

    def event(self, name: str, data: str, user_id: str | None) -> None:
        """An event of somebody else has come."""
        if self.is_subscribed:
            self._listener.event_received(name, data, user_id)

    def _happens(self, event: SubscriptionEvent) -> bool:
        after = TRANSITIONS.get((self.state, event))
        self.state = after or self.state
        return after is not None

    def _unanswered(self) -> None:
        self.failed(f"no answer within {ANSWER_S:g} s", is_permanent=False)

    def _retry(self) -> None:
        if self._happens(SubscriptionEvent.RETRY):
            self._ask(self)

    def _set_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._clock.callLater(seconds, call)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
