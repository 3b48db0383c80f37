"""What can be known of a session where ``/session/state`` is not to be had: the relay is older,
or a proxy does not pass it on. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from apptuner_relay.client.doctor.finding import Finding, failed, fine, skipped, warned
from apptuner_relay.client.doctor.http_answer import HttpAnswer
from apptuner_relay.client.printable import printable
from apptuner_relay.support.units import show_bytes

UNKNOWN_HERE = "the relay can't be asked for it"
ONE_PAGE = "not looked at, as this relay would close the session's dashboard for that"
_FIRST_WITH_PAGES = (0, 2)
"""The version since which pages of a session are connected side by side."""


def lets_pages_in(health: HttpAnswer) -> bool:
    """Whether one more page closes no other, as far as the answer to ``/health`` says. Relays of
    earlier versions, and the Node relay, have one dashboard in a session."""
    version = (health.json or {}).get("version")
    found = re.match(r"(\d{1,4})\.(\d{1,4})", version) if isinstance(version, str) else None
    return found is not None and (int(found[1]), int(found[2])) >= _FIRST_WITH_PAGES


def judge_missing_state(answer: HttpAnswer) -> Finding:
    """The answer to ``/session/state`` where there is no such path."""
    return warned(
        "session",
        "the relay can't be asked who is there; what follows was found by other means",
        "It is of an older version, or a proxy in front of it does not pass /session/ on (those in "
        "ops/ do).",
        status=answer.status,
    )


def judge_bundle_head(answer: HttpAnswer) -> Finding:
    """The answer to ``HEAD /bundles/{session}``: whether a bundle is cached."""
    match answer.status:
        case 200:
            length = answer.fields.get("content-length", "")
            size = int(length) if length.isdecimal() and len(length) < 13 else None
            shown = "a bundle" if size is None else show_bytes(size)
            return fine("kept", f"{shown}, for phones that join later", bytes=size)
        case 404:
            return skipped("kept", "no bundle is cached: a phone that joins later gets the next")
        case 401 | 403:
            return failed(
                "kept",
                f"phones need a join token ({answer.error or f'HTTP {answer.status}'})",
                "Show one: --token, as `apptuner-relay share` prints it behind token=. Phones "
                "need one as well, that has not expired.",
                status=answer.status,
            )
    return warned(
        "kept",
        f"the relay does not say: HTTP {answer.status} {answer.error}".rstrip(),
        "Its log may say why.",
        status=answer.status,
    )


def judge_refused_page(status: int, reason: str) -> Finding:
    """A page that was refused, which showed no secret."""
    if status == 401:
        return fine("claim", "claimed: the session's secret is needed", claimed=True)
    return warned("claim", f"a page was refused with HTTP {status}: {reason}", "See its log.")


def judge_devices(devices: Sequence[object], relay: str) -> list[Finding]:
    """What a page was told of the session in its first messages."""
    names = [
        printable(str(one.get("name") or one.get("deviceId") or "a phone"), limit=64)
        for one in devices
        if isinstance(one, dict)
    ]
    findings = [fine("claim", "not claimed: whoever knows the id may join", claimed=False)]
    if names:
        findings.append(fine("phones", ", ".join(names), phones=names))
    else:
        findings.append(
            failed(
                "phones",
                "no phone is there",
                f"On the phone: the same relay ({relay}) and the same id, letter for letter? "
                "A refused phone stands in the relay's log, with the reason.",
                phones=[],
            )
        )
    return findings
