"""Whether a join token lets a phone in. Pure."""

from __future__ import annotations

from apptuner_relay.client.doctor.finding import Finding, failed, fine, warned
from apptuner_relay.client.doctor.http_answer import HttpAnswer
from apptuner_relay.support.units import show_duration

_NEW_ONE = "`apptuner-relay share` makes a new one. Phones that have joined with it stay."


def judge_token(expires_s: float, relay_now_s: float, answer: HttpAnswer | None) -> Finding:
    """A token of which the relay was asked with a request that phones may make.

    :param relay_now_s: what time it is at the relay, by which tokens expire.
    :param answer: None where there is none.
    """
    left_s = expires_s - relay_now_s
    figures = {
        "expires_ms": int(expires_s * 1000),
        "left_s": round(left_s),
        "status": None if answer is None else answer.status,
    }
    if left_s <= 0:
        return failed(
            "token",
            f"the join token expired {show_duration(-left_s)} ago, by the relay's clock",
            _NEW_ONE,
            **figures,
        )
    good_for = f"it is good for another {show_duration(left_s)}"
    if answer is None:
        return warned(
            "token",
            f"{good_for}, as it says itself; the relay did not answer whether it takes it",
            "A bundle may be on its way to the relay: ask again.",
            **figures,
        )
    match answer.status:
        case 200 | 206 | 304 | 404:
            return fine("token", f"the relay takes it; {good_for}", **figures)
        case 401 | 403:
            return failed(
                "token",
                f"the relay refuses it: {answer.error or f'HTTP {answer.status}'}",
                "It is of another session, or was signed with another secret than that with which "
                f"the session's CLI connects. {_NEW_ONE}",
                **figures,
            )
    return warned(
        "token",
        f"{good_for}, as it says itself; the relay answered with HTTP {answer.status}",
        "Its log may say why.",
        **figures,
    )
