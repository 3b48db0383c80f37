"""How a client makes or uses a claim while it comes in: which claim counts is decided before it can
displace anybody, and a claim that was made for a client that then didn't come in is taken back.
"""

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.access.access import Access, Grant
from apptuner_relay.access.caller import Caller
from apptuner_relay.session import BadRequest, Role


class Claiming:
    """One client's. A claim that is new is tentative until the client is in."""

    log = Logger()

    def __init__(
        self, access: Access, role: Role, session: str, caller: Caller, grant: Grant
    ) -> None:
        self._access, self._role, self._session = access, role, session
        self._caller, self._grant = caller, grant
        self._is_decided = False

    def decide(self) -> Deferred[None]:
        """Claim the session, or use its claim. Only the first call does.

        :return: fails with `BadRequest`, as `Access.settle`.
        """
        if self._is_decided:
            return succeed(None)
        self._is_decided = True
        return self._settle(is_tentative=self._grant.claims)

    def confirm(self) -> None:
        """The client is in."""
        if self._grant.claims:
            self._settle(is_tentative=False).addErrback(self._failed)

    def give_back(self) -> None:
        """It won't be."""
        if self._is_decided and self._grant.claims:
            giving = Deferred.fromCoroutine(self._access.give_back(self._session, self._grant))
            giving.addErrback(self._failed)

    def _settle(self, is_tentative: bool) -> Deferred[None]:
        return Deferred.fromCoroutine(
            self._access.settle(self._role, self._session, self._caller, self._grant, is_tentative)
        )

    def _failed(self, failure: Failure) -> None:
        if failure.check(BadRequest):
            # Who looks after claims says so.
            return
        self.log.failure("a claim could not be confirmed or given back", failure)
