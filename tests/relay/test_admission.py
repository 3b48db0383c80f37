"""`apptuner_relay.relay.admission`: what a client shows, its place, and the claim it makes. What
happens when two come at once is in ``tests.access.test_tentative_claim``."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.caller import Caller
from apptuner_relay.relay.admission import AdmissionControl
from apptuner_relay.relay.interfaces import DecideClaim, Place
from apptuner_relay.session.session import Admission, BadRequest, Role, session_hash
from tests.memory import Relay

SECRET, OTHER = "0123456789abcdef-secret", "0123456789abcdef-other"


class AdmissionCase(SynchronousTestCase):
    def start(self, **settings: Any) -> None:
        self.relay = Relay(**settings)
        self.service = self.relay.service
        self.control = AdmissionControl(self.service)

    def find(self, role: Role, caller: Caller) -> Place:
        admission = self.service.admit(role, "ABC234", "", address=caller.address)
        return self.successResultOf(self.control.find(admission, caller))

    def refused(self, role: Role, caller: Caller, session: str = "ABC234") -> int:
        """The HTTP status."""
        admission = self.service.admit(role, session, "", address=caller.address)
        finding = self.control.find(admission, caller)
        refusal: BadRequest = self.failureResultOf(finding, BadRequest).value
        return refusal.status

    def is_claimed(self) -> bool:
        claims = self.service.access.claims
        assert claims is not None
        return self.successResultOf(claims.look(session_hash("ABC234"))) is not None


class Admissions(AdmissionCase):
    def test_without_claims_a_secret_is_nothing(self) -> None:
        self.start(claims=False)
        self.find(Role.CLI, Caller(secret=SECRET)).abandon()
        self.assertEqual(self.relay.connect(f"/cli/ABC234?key={OTHER}").status, 101)

    def test_a_claim_is_given_back_when_the_client_never_enters(self) -> None:
        self.start(claims=True)
        place = self.find(Role.CLI, Caller(secret=SECRET))
        self.assertTrue(self.is_claimed())
        place.abandon()
        self.assertFalse(self.is_claimed())

    def test_a_claim_stays_with_the_client_that_has_entered(self) -> None:
        self.start(claims=True)
        self.relay.connect(f"/cli/ABC234?key={SECRET}")
        self.assertTrue(self.is_claimed())
        self.assertEqual(self.refused(Role.CLI, Caller(secret=OTHER)), 403)
        self.assertEqual(self.refused(Role.CLI, Caller()), 401)
        self.find(Role.CLI, Caller(secret=SECRET)).abandon()
        self.assertTrue(self.is_claimed())

    def test_a_session_that_is_full_gives_the_claim_back(self) -> None:
        self.start(claims=True)
        self.relay.connect("/cli/ABC234")
        self.assertEqual(self.refused(Role.CLI, Caller(secret=SECRET)), 409)
        self.assertFalse(self.is_claimed())

    def test_who_joins_sessions_that_are_not_there_is_guessing(self) -> None:
        self.start(failed_joins=3)
        caller = Caller(address="203.0.113.9")
        for number in range(3):
            admission = self.service.admit(Role.CLI, f"S{number}", "", address=caller.address)
            self.successResultOf(self.control.find(admission, caller)).abandon()
        self.assertEqual(self.service.access.failed_joins, 3)
        self.assertEqual(self.refused(Role.CLI, caller, "S3"), 429)

    def test_who_is_in_a_session_already_is_not(self) -> None:
        self.start(failed_joins=1)
        self.relay.connect("/mobile/ABC234")
        address = next(iter(self.service.clients)).admission.address
        before = self.service.access.failed_joins
        for _ in range(4):
            self.find(Role.CLI, Caller(address=address)).abandon()
        self.assertEqual(self.service.access.failed_joins, before)


class AdmittedLater(AdmissionCase):
    """Clients that come in later, by a way on which they show nothing."""

    def later(
        self, role: Role, caller: Caller, refusal: BadRequest | None = None
    ) -> Deferred[Admission]:
        async def reserve(admission: Admission, claim: DecideClaim) -> bool:
            self.reserved.append(admission)
            if refusal is not None:
                raise refusal
            return True

        self.reserved: list[Admission] = []
        admission = self.service.admit(role, "ABC234", "", address=caller.address)
        return Deferred.fromCoroutine(self.control.admit_later(admission, caller, reserve))

    def test_the_claim_is_made_at_once(self) -> None:
        self.start(claims=True)
        admission = self.successResultOf(self.later(Role.CLI, Caller(secret=SECRET)))
        self.assertEqual((admission.authorized, admission.claims), (True, True))
        self.assertEqual(self.reserved, [admission])
        self.assertTrue(self.is_claimed())
        self.assertEqual(self.refused(Role.CLI, Caller(secret=OTHER)), 403)
        self.successResultOf(self.later(Role.CLI, Caller(secret=SECRET)))

    def test_without_a_place_there_is_no_claim(self) -> None:
        self.start(claims=True)
        full = BadRequest(403, "full")
        self.failureResultOf(self.later(Role.CLI, Caller(secret=SECRET), full), BadRequest)
        self.assertFalse(self.is_claimed())

    def test_who_shows_nothing_is_asked_for_no_place(self) -> None:
        self.start(claims=True)
        self.relay.connect(f"/cli/ABC234?key={SECRET}")
        self.failureResultOf(self.later(Role.CLI, Caller()), BadRequest)
        self.assertEqual(self.reserved, [])

    def test_who_guesses_is_counted(self) -> None:
        self.start(failed_joins=1)
        caller = Caller(address="203.0.113.9")
        self.successResultOf(self.later(Role.MOBILE, caller))
        self.assertEqual(self.service.access.failed_joins, 1)
