"""Who may be in a session beside whom, as far as claims go: looked at where the session is, at the
moment at which a client comes in.

Which claim counts is settled before that (`entrance`). But between the look at a claim and the
handshake's end another client may have made one; and while relays can't ask each other, each goes
by the claims that it has seen.
"""

from collections.abc import Iterable
from typing import Protocol

from apptuner_relay.session import Admission, BadRequest, Role

CLAIMED = "This session was claimed with a secret that you have not shown"
OTHERS = "Somebody else has the session"
NEEDS_TOKEN = "This session takes phones with a join token only"
_FORBIDDEN = 403


class Admitted(Protocol):
    """A member of a session."""

    @property
    def admission(self) -> Admission: ...


def check_company(newcomer: Admission, desktop_side: Iterable[Admitted]) -> None:
    """Whether a client may come in, given who is on the session's desktop side.

    :raises BadRequest: 403, they are there by a claim that it does not share.
    """
    if newcomer.role is Role.MOBILE:
        if not newcomer.authorized and any(
            one.admission.role is Role.CLI and one.admission.tokens for one in desktop_side
        ):
            raise BadRequest(_FORBIDDEN, NEEDS_TOKEN)
        return
    for one in desktop_side:
        there = one.admission
        if there.authorized and not newcomer.authorized:
            raise BadRequest(_FORBIDDEN, CLAIMED)
        if there.proof and newcomer.proof and there.proof != newcomer.proof:
            raise BadRequest(_FORBIDDEN, OTHERS)
