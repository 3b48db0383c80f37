"""How a client that joins makes or renews its session's claim. Which claim counts is known before
the client can displace another, and a claim made for a client that then doesn't join is taken back.
"""

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.access.access_control import Access, Grant
from apptuner_relay.access.caller import Caller
from apptuner_relay.session.session import BadRequest, Role


class TentativeClaim:
    """The claim of one client. A new claim is tentative until the client has joined."""

    log = Logger()

    def __init__(
        self, access: Access, role: Role, session: str, caller: Caller, grant: Grant
    ) -> None:
        self._access, self._role, self._session = access, role, session
        self._caller, self._grant = caller, grant
        self._is_taken = False

    def take(self) -> Deferred[None]:
        """Claim the session, or renew its claim. Further calls do nothing, and neither does one for
        a client that isn't authorized.

        :return: fails with `BadRequest`, as `Access.claim`.
        """
        if self._is_taken or not self._grant.authorized:
            return succeed(None)
        self._is_taken = True
        return self._claim(is_tentative=self._grant.claims)

    def make(self) -> Deferred[None]:
        """Make the claim for good, for a client that comes in later.

        :return: fails with `BadRequest`, as `Access.claim`.
        """
        return self._claim(is_tentative=False) if self._grant.claims else self.take()

    def confirm(self) -> None:
        """The client has joined."""
        if self._grant.claims:
            self._claim(is_tentative=False).addErrback(self._failed)

    def give_back(self) -> None:
        """The client will not join."""
        if self._is_taken and self._grant.claims:
            giving = Deferred.fromCoroutine(self._access.give_back(self._session, self._grant))
            giving.addErrback(self._failed)

    def _claim(self, is_tentative: bool) -> Deferred[None]:
        return Deferred.fromCoroutine(
            self._access.claim(self._role, self._session, self._caller, self._grant, is_tentative)
        )

    def _failed(self, failure: Failure) -> None:
        if failure.check(BadRequest):
            # `Claims` or `Access` has logged it.
            return
        self.log.failure("a claim could not be confirmed or given back", failure)
