"""Session ids that look like one of AppTuner's with a slip of the pen. Pure.

AppTuner's CLI makes ids of six characters, capitals and digits, without those that are mistaken for
one another. Ids of any other form are as good: they are other programs', and get no note.
"""

from __future__ import annotations

import re

_SIX = re.compile(r"[A-Za-z0-9]{6}")
_MISTAKEN_FOR = {"0": "D or Q", "O": "D or Q", "1": "7 or L", "I": "7 or L"}
"""What AppTuner's ids don't have, and which characters of theirs it is read or typed for."""


def session_id_note(session: str) -> str | None:
    """What to tell a user of this id, which is used as it is: one sentence, without a full stop.

    None where there is nothing to say of it.
    """
    if not _SIX.fullmatch(session):
        return None
    capitals = session.upper()
    strange = sorted(set(capitals) & _MISTAKEN_FOR.keys())
    if strange:
        # As it was typed: the reader is to find it.
        typed = {character.upper(): character for character in session}
        guesses = " and ".join(f"{_MISTAKEN_FOR[one]} for the {typed[one]}" for one in strange)
        case = ", in capitals" if session != capitals else ""
        return (
            f"{session} is used as given, but AppTuner's ids have no I, O, 0 or 1: perhaps it is "
            f"{guesses}{case}"
        )
    if session != capitals:
        return (
            f"{session} is used as given, but AppTuner's ids are in capitals: {capitals} was "
            "probably meant"
        )
    return None
