"""`apptuner_relay.access.claim_register`: the claims of a relay by itself, as an operator sees
them."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access import claim_register
from apptuner_relay.access.claim_register import KeptClaim, MemoryClaimRegister, Outcome
from apptuner_relay.access.claims import Claim, MemoryClaims
from apptuner_relay.access.tokens import make_proof
from apptuner_relay.session.session import session_hash

TTL_S = 1000.0
HASHES = sorted(session_hash(f"S{n}") for n in range(5))
ONE, OTHER = (Claim(make_proof(f"0123456789abcdef-{n}", HASHES[0])) for n in range(2))


class RegisterTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.now_s = 1e6
        self.claims = MemoryClaims(TTL_S, lambda: self.now_s)
        self.released: list[str] = []
        self.register = MemoryClaimRegister(self.claims, lambda: self.now_s, self.released.append)

    def page(self, cursor: str | None = None, prefix: str = "") -> list[KeptClaim]:
        page = self.successResultOf(Deferred.fromCoroutine(self.register.page(cursor, prefix)))
        self.cursor = page.cursor
        return list(page.claims)

    def take_in(self, *claims: KeptClaim, replaces: bool = False) -> list[Outcome]:
        taking = self.register.take_in(claims, replaces)
        return self.successResultOf(Deferred.fromCoroutine(taking))

    def test_pages_have_each_claim_once(self) -> None:
        self.patch(claim_register, "PAGE", 2)
        for session in reversed(HASHES):
            self.claims.take(session, ONE)
        self.now_s += 7
        found, cursor = [], None
        while True:
            found += self.page(cursor)
            cursor = self.cursor
            if cursor is None:
                break
        self.assertEqual([one.session for one in found], HASHES)
        self.assertEqual({one.idle_s for one in found}, {7.0})
        self.assertEqual([one.session for one in self.page(prefix=HASHES[3][:8])], [HASHES[3]])

    def test_what_has_expired_is_not_listed(self) -> None:
        self.claims.take(HASHES[0], ONE)
        self.now_s += TTL_S
        self.assertEqual(self.page(), [])

    def test_release(self) -> None:
        self.claims.take(HASHES[0], ONE)
        for was_there in (True, False):
            releasing = Deferred.fromCoroutine(self.register.release(HASHES[0]))
            self.assertIs(self.successResultOf(releasing), was_there)
        self.assertIsNone(self.claims.find(HASHES[0]))
        self.assertIn(HASHES[0], self.released)
        taking = self.claims.take(HASHES[0], OTHER)
        self.assertEqual(self.successResultOf(taking), OTHER, "it can be claimed anew")

    def test_what_is_taken_in(self) -> None:
        self.claims.take(HASHES[0], ONE)
        self.claims.take(HASHES[1], ONE)
        self.now_s += 100
        claims = (
            KeptClaim(HASHES[0], ONE._replace(tokens=True), 5.0),
            KeptClaim(HASHES[1], OTHER, 5.0),
            KeptClaim(HASHES[2], ONE, 5.0),
            KeptClaim(HASHES[3], ONE, TTL_S),
            KeptClaim(HASHES[4], ONE, -50.0),
        )
        self.assertEqual(
            self.take_in(*claims),
            [Outcome.KNOWN, Outcome.CONFLICTING, Outcome.ADDED, Outcome.EXPIRED, Outcome.ADDED],
        )
        listed = {one.session: (one.claim, one.idle_s) for one in self.page()}
        self.assertEqual(listed[HASHES[0]], (ONE, 5.0), "the later use, and its own tokens")
        self.assertEqual(listed[HASHES[1]], (ONE, 100.0))
        self.assertEqual(listed[HASHES[2]], (ONE, 5.0))
        self.assertEqual(listed[HASHES[4]], (ONE, 0.0), "no time is in the future")
        self.assertEqual(self.released, [])
        self.assertEqual(self.take_in(claims[1], replaces=True), [Outcome.REPLACED])
        self.assertEqual(self.claims.find(HASHES[1]), OTHER)
        self.assertEqual(self.released, [HASHES[1]])

    def test_no_more_than_are_kept(self) -> None:
        self.patch(claim_register, "MOST_CLAIMS", 1)
        rows = [KeptClaim(session, ONE, 1.0) for session in HASHES[:2]]
        self.assertEqual(self.take_in(*rows), [Outcome.ADDED, Outcome.FULL])
