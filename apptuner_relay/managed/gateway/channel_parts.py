"""What the channels of one service share, and how their users are admitted to sessions."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

from twisted.logger import Logger

from apptuner_relay.managed.gateway.expected_users import ExpectedUsers
from apptuner_relay.managed.gateway.outbox import OutboxOptions
from apptuner_relay.managed.protocol.channel_service import ChannelService
from apptuner_relay.managed.protocol.user_ids import UserId, device_from, parse_info
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import Admission
from apptuner_relay.support.log_throttle import LogThrottle


class UserAdmission(NamedTuple):
    """How a user is let in."""

    admission: Admission
    is_expected: bool
    """Whether this relay has authorized it just now."""


class ChannelNotes:
    """Lines of the log on channels, each kind of them now and then.

    :param seconds: the monotonic clock.
    """

    log = Logger()

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._ignored, self._skipped = LogThrottle(seconds), LogThrottle(seconds)

    def skip(self, session_hash: str, size: int) -> None:
        """A message of so many bytes can't pass through the channel."""
        count = self._skipped.count()
        if count is not None:
            self.log.warn(
                "session {session}: a message of {size} bytes can't pass through a channel of the "
                "managed service ({count} since the last such line)",
                session=session_hash[:8],
                size=size,
                count=count,
            )

    def ignore(self, session_hash: str, what: str, why: str) -> None:
        """Something in the channel comes from nobody of ours."""
        count = self._ignored.count()
        if count is not None:
            self.log.warn(
                "session {session}: ignored {what} in its channel: {why} ({count} since the last "
                "such line)",
                session=session_hash[:8],
                what=what,
                why=why,
                count=count,
            )


class ChannelParts(NamedTuple):
    """What the channels of one service share."""

    relay: RelayService
    service: ChannelService
    expected: ExpectedUsers
    outboxes: OutboxOptions
    bundles_url: str
    """Where bundles are, with a placeholder for the session's id."""
    notes: ChannelNotes
    """What is logged of them."""

    def admit(
        self, session_hash: str, user_id: UserId, info: Mapping[str, object]
    ) -> UserAdmission:
        """How a user is let in that has come into a session's channel. One that isn't expected was
        let in by another relay, or by this one before it was started again.

        :raises BadMember: no relay of ours has written ``info``.
        """
        admission = self.expected.take(str(user_id))
        is_expected = admission is not None
        if admission is None:
            admission = self._remember(session_hash, user_id, info)
        name = "" if self.service.is_local else str(user_id)
        return UserAdmission(dataclasses.replace(admission, channel_user=name), is_expected)

    def _remember(
        self, session_hash: str, user_id: UserId, info: Mapping[str, object]
    ) -> Admission:
        assert user_id.role is not None
        known = parse_info(info)
        # It may have got other code since.
        device = device_from(user_id, dataclasses.replace(known, have=None))
        return Admission(
            user_id.role,
            session_hash,
            device,
            self.bundles_url,
            client=user_id.tag,
            since_ms=known.since_ms,
            authorized=known.authorized,
            tokens=known.tokens,
            proof=known.proof,
            acks=known.acks,
        )
