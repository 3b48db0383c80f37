"""Chooses the content coding of a response (RFC 9110 §12.5.3). Pure."""

import re

from apptuner_relay.spool.bundle import BROTLI, GZIP, IDENTITY, ZSTD

PREFERENCE = (ZSTD, BROTLI, GZIP, IDENTITY)
"""The codings that the relay has; of several with the same weight the first is chosen."""

_WEIGHT = re.compile(r"[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_ANY = "*"
_ALIASES = {"x-gzip": GZIP}
_UNLISTED_IDENTITY = 0.0001
"""Below any weight that can be written: acceptable, but after any coding that is listed."""


def names_coding(accept_encoding: str | None, coding: str) -> bool:
    """Whether ``Accept-Encoding`` accepts a coding by its name, which ``*`` is not."""
    return _weights(accept_encoding or "").get(coding, 0.0) > 0


def preferred_coding(accept_encoding: str | None, named: str | None = None) -> str | None:
    """The coding of `PREFERENCE` with the highest weight in ``Accept-Encoding``; None where it
    accepts none of them, not even identity.

    :param named: a coding that is there as well, and is preferred, if ``Accept-Encoding`` names it.

    Without the field the coding is identity: not every client that omits it can decode. Malformed
    members are ignored; of a coding that is listed twice the last member counts.
    """
    if accept_encoding is None:
        return IDENTITY
    weights = _weights(accept_encoding)

    def weight(coding: str) -> float:
        unlisted = _UNLISTED_IDENTITY if coding == IDENTITY else 0.0
        return weights.get(coding, weights.get(_ANY, unlisted))

    more = (named,) if named is not None and named in weights else ()
    best = max((*more, *PREFERENCE), key=weight)
    return best if weight(best) else None


def _weights(field: str) -> dict[str, float]:
    weights = {}
    for member in field.split(","):
        name, semicolon, parameter = member.partition(";")
        coding = name.strip(" \t").lower()
        weight = _WEIGHT.fullmatch(parameter.strip(" \t"))
        if semicolon and weight is None:
            continue
        weights[_ALIASES.get(coding, coding)] = float(weight[1]) if weight else 1.0
    return weights
