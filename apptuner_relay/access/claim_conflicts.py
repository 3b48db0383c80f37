"""Which clients may be in one session, as far as claims go. The relay that has the session checks
it at the moment at which a client joins.

Which claim counts is decided earlier, in `relay.admission`. But between that and the handshake's
end another client may have made a claim; and while relays can't ask each other, each relies on the
claims that it has seen.
"""

from collections.abc import Iterable

from apptuner_relay.session.roles import HasRole
from apptuner_relay.session.session import Admission, BadRequest, Role

CLAIMED = "This session was claimed with a secret that you have not shown"
OTHERS = "Somebody else has the session"
NEEDS_TOKEN = "This session takes phones with a join token only"
_FORBIDDEN = 403


def check_conflicts(newcomer: Admission, desktop_side: Iterable[HasRole]) -> None:
    """Check that a client may join beside the clients of the session's desktop side.

    :raises BadRequest: 403, they have joined by a claim that the newcomer does not share.
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
