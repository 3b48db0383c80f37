"""Looks whether a managed service does what the relay needs of it, and says what is wrong: the
secret, the application's id, the clock, the quota, client events that are off.

What is wrong with the connection itself, such as the key or a certificate, shows there
(`service_connection`).
"""

from collections.abc import Mapping
from http import HTTPStatus

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from apptuner_relay.managed.protocol.channel_names import start_of_channels
from apptuner_relay.managed.protocol.channel_service import ServiceRefused
from apptuner_relay.managed.protocol.envelopes import ServiceError
from apptuner_relay.managed.protocol.user_ids import new_tag
from apptuner_relay.managed.service.api_client import ApiClient, ServiceUnreached
from apptuner_relay.managed.service.service_connection import ServiceConnection
from apptuner_relay.managed.service.service_problem import ServiceProblem, problem_of_refusal

REFUSAL_S = 3.0
"""How long the service has to refuse a client event. It says nothing to one that it takes."""
SUBSCRIBED_S = 12.0
"""How long it has to let the relay into the channel for that."""
CLIENT_EVENT_REFUSED = 4301
_EVENT_NAME = "client-apptuner-check"


class CheckChannel:
    """Hears of the channel in which a client event is tried (`ChannelListener`). It is a private
    one of its own, in which nobody else is."""

    def __init__(self, prefix: str) -> None:
        self.name = f"private-{prefix}.check.{new_tag()}"
        self.answer: Deferred[str | None] = Deferred()
        """Fires with why the service refuses the channel; None where it does not."""

    def subscribed(self, members: Mapping[str, Mapping[str, object]]) -> None:
        """See `ChannelListener`."""
        self._answered(None)

    def unsubscribed(self, why: str) -> None:
        """See `ChannelListener`."""
        self._answered(why)

    def member_added(self, user_id: str, info: Mapping[str, object]) -> None:
        """See `ChannelListener`."""

    def member_removed(self, user_id: str) -> None:
        """See `ChannelListener`."""

    def event_received(self, name: str, data: str, user_id: str | None) -> None:
        """See `ChannelListener`."""

    def _answered(self, why: str | None) -> None:
        if not self.answer.called:
            self.answer.callback(why)


class StartCheck:
    """Checks one service.

    :param prefix: of the names of channels.
    :param sends_client_events: whether the relay publishes by them.
    """

    def __init__(
        self, api: ApiClient, prefix: str, sends_client_events: bool, clock: IReactorTime
    ) -> None:
        self._api = api
        self._prefix = prefix
        self._sends_client_events = sends_client_events
        self._clock = clock
        self._refusal: Deferred[ServiceError] | None = None

    def event_refused(self, error: ServiceError) -> None:
        """The service has refused an event."""
        refusal = self._refusal
        if error.code == CLIENT_EVENT_REFUSED and refusal is not None and not refusal.called:
            refusal.callback(error)

    async def run(self, connection: ServiceConnection) -> list[ServiceProblem]:
        """What is wrong.

        :param connection: one that is up.
        """
        problem = await self._check_api()
        problems = [problem] if problem else []
        # With a wrong secret, a second line would say the same.
        is_secret_good = not problem or problem.code != HTTPStatus.UNAUTHORIZED
        if self._sends_client_events and is_secret_good and connection.is_up:
            problem = await self._check_client_events(connection)
            problems += [problem] if problem else []
        return problems

    async def _check_api(self) -> ServiceProblem | None:
        try:
            await self._api.channels(start_of_channels(self._prefix))
        except ServiceRefused as refused:
            return problem_of_refusal(refused)
        except ServiceUnreached as unreached:
            return ServiceProblem(None, "its HTTP API can't be reached", str(unreached))
        return None

    async def _check_client_events(self, connection: ServiceConnection) -> ServiceProblem | None:
        channel = CheckChannel(self._prefix)
        connection.subscribe(channel.name, channel)
        self._refusal = refusal = Deferred[ServiceError]()
        try:
            why = await channel.answer.addTimeout(SUBSCRIBED_S, self._clock)
            if why is not None:
                # Where the connection was lost, the check is made again on the next one.
                is_refused = connection.is_up
                text = "it does not let the relay into a channel"
                return ServiceProblem(None, text, why) if is_refused else None
            connection.send_event(channel.name, _EVENT_NAME, "{}")
            error = await refusal.addTimeout(REFUSAL_S, self._clock)
        except TimeoutError:
            return None
        finally:
            self._refusal = None
            connection.unsubscribe(channel.name)
        text = (
            "it refuses client events: enable them for the application, or publish over HTTP, "
            "with events=http in --managed"
        )
        return ServiceProblem(error.code, text, error.text)
