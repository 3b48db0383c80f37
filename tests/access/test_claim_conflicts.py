"""Who may be in a session beside whom."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.claim_conflicts import check_conflicts
from apptuner_relay.session.session import Admission, BadRequest, Role


class Member:
    def __init__(self, role: Role, proof: str = "", **more: Any) -> None:
        self.admission = Admission(role, "", None, "", authorized=bool(proof), proof=proof, **more)


class Company(SynchronousTestCase):
    def comes(self, newcomer: Member, *there: Member) -> bool:
        try:
            check_conflicts(newcomer.admission, there)
        except BadRequest as refusal:
            self.assertEqual(refusal.status, 403)
            return False
        return True

    def test_without_claims_anybody(self) -> None:
        for role in Role:
            self.assertTrue(self.comes(Member(role), *(Member(one) for one in Role)))

    def test_a_claim_is_shared_by_its_secret(self) -> None:
        cli = Member(Role.CLI, "one")
        for role in (Role.CLI, Role.DASHBOARD, Role.DESKTOP):
            self.assertTrue(self.comes(Member(role, "one"), cli))
            self.assertFalse(self.comes(Member(role, "other"), cli))
            self.assertFalse(self.comes(Member(role), cli))

    def test_who_claims_is_not_kept_out_by_those_who_go_then(self) -> None:
        self.assertTrue(self.comes(Member(Role.CLI, "one"), Member(Role.DASHBOARD)))

    def test_phones_need_a_token_where_the_cli_says_so(self) -> None:
        easy, strict = Member(Role.CLI, "one"), Member(Role.CLI, "one", tokens=True)
        self.assertTrue(self.comes(Member(Role.MOBILE), easy))
        self.assertFalse(self.comes(Member(Role.MOBILE), strict))
        self.assertTrue(self.comes(Member(Role.MOBILE, "one"), strict))
