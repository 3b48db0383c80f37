"""Conditional requests (RFC 9110 §13) for representations with a strong entity tag and no
modification date.

Pure: header fields in, a decision out. Several lines of one field are joined with commas.
"""

import re

# obs-text, too. Possessive, so that no field takes more than one pass.
_MEMBER = re.compile(r'[ \t]*+(?:((?:W/)?"[\x21\x23-\x7e\x80-\xff]*+")[ \t]*+)?(?:,|\Z)')


def failed_precondition(etag: str, if_match: str | None, if_none_match: str | None) -> int | None:
    """The status that ends a GET or HEAD of an existing representation, 412 or 304; None to go on.

    ``etag`` is its strong entity tag, with the quotes. The order is that of §13.2.2; conditions on
    dates are ignored, as there is no date. A malformed field matches no entity tag, so that it
    never leads to a wrong "not modified".
    """
    if if_match is not None and not _names(if_match, etag, weak=False):
        return 412
    if if_none_match is not None and _names(if_none_match, etag, weak=True):
        return 304
    return None


def range_applies(etag: str, if_range: str | None) -> bool:
    """Whether ``Range`` applies, by ``If-Range`` (§13.1.5): a strong comparison, which a date never
    passes."""
    return if_range is None or if_range.strip(" \t") == etag


def _names(field: str, etag: str, weak: bool) -> bool:
    if field.strip(" \t") == "*":
        return True
    tags = _entity_tags(field)
    return etag in ([tag.removeprefix("W/") for tag in tags] if weak else tags)


def _entity_tags(field: str) -> list[str]:
    """The members of a list of entity tags; none where the list is malformed."""
    tags = []
    at = 0
    while at < len(field):
        member = _MEMBER.match(field, at)
        if member is None:
            return []
        if member[1]:
            tags.append(member[1])
        at = member.end()
    return tags
