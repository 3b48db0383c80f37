"""What the state of a session means for its phones. Pure."""

from __future__ import annotations

from apptuner_relay.client.doctor.finding import (
    Finding,
    failed,
    fine,
    show_ms,
    skipped,
    warned,
)
from apptuner_relay.client.doctor.http_answer import HttpAnswer
from apptuner_relay.client.doctor.session_report import (
    MOBILE,
    PhoneAnswer,
    Present,
    SentBundle,
    SessionReport,
)
from apptuner_relay.support.units import show_bytes, show_count, show_duration

SESSION_CHECKS = ("session", "claim", "token", "clients", "phones", "kept", "bundle")
"""In their order. What none of them says anything about is skipped."""

_ASK_KEY = (
    "Show the secret: --key @FILE, or $APPTUNER_KEY. It is the one with which the session's CLI "
    "connects."
)
_PHONE_HINT = (
    "On the phone: the same relay ({relay}) and the same id, letter for letter? A phone has to be "
    "in a network that reaches the relay: not 127.0.0.1, and the same Wi-Fi for a private address. "
    "A refused phone stands in the relay's log, with the reason."
)


def judge_session(session: str, relay: str, report: SessionReport) -> list[Finding]:
    """Every check of a session that could be looked into. `session` and `relay` are as given."""
    return [
        _judge_place(session, report),
        _judge_claim(report),
        _judge_desktop_side(report),
        _judge_phones(relay, report),
        _judge_kept(report),
        _judge_bundle(report),
    ]


def judge_refused_state(session: str, answer: HttpAnswer) -> Finding:
    """Why the relay does not tell. 404 is for `judge_nobody`, or says that it can't."""
    error = f": {answer.error}" if answer.error else ""
    figures = {"status": answer.status}
    match answer.status:
        case 401:
            return failed(
                "claim",
                f"{session} is claimed, and no secret was shown",
                f"{_ASK_KEY} Without it no CLI or page gets in. Phones need a join token only if "
                "the CLI wants it (push --tokens).",
                claimed=True,
                **figures,
            )
        case 403:
            return failed(
                "claim",
                f"the relay refuses that secret{error}",
                "Is it that of this session? The session keeps the secret of who claimed it first. "
                f"{_ASK_KEY}",
                claimed=True,
                **figures,
            )
        case 429:
            return warned(
                "session",
                f"the relay does not say now{error}",
                "There were too many questions, or wrong secrets, from this address. Wait a "
                "minute, and ask again.",
                **figures,
            )
        case 503:
            return warned(
                "session",
                f"the relay can't say now{error}",
                "Another relay has the session, and is not reached, or a relay stops. "
                "`apptuner-relay nodes` shows them.",
                **figures,
            )
    return warned(
        "session",
        f"the relay does not say who is there: HTTP {answer.status}{error}",
        "Its log may say why.",
        **figures,
    )


def judge_nobody(session: str, relay: str) -> Finding:
    """The relay knows nothing of such a session."""
    return failed(
        "session",
        f"nobody is in {session}, and nothing is cached of it",
        f"Start the CLI with this id and relay ({relay}), and have phones scan its QR code: ids "
        "count letter for letter, capitals are others. A phone that was refused stands in the "
        "relay's log, with the reason.",
        present=0,
    )


def _judge_place(session: str, report: SessionReport) -> Finding:
    count = len(report.present)
    text = f"{session} has {show_count(count, 'client')}"
    if report.node:
        text += f", on {report.node}"
    return fine("session", text, node=report.node or None, present=count)


def _judge_claim(report: SessionReport) -> Finding:
    figures = {"claimed": report.claimed, "tokens": report.tokens}
    if not report.claimed:
        return fine("claim", "not claimed: whoever knows the id may join", **figures)
    if report.tokens:
        text = "claimed, and phones need a join token, which `apptuner-relay share` makes"
        return fine("claim", text, **figures)
    return fine("claim", "claimed; phones need no token", **figures)


def _judge_desktop_side(report: SessionReport) -> Finding:
    figures = {"clients": [_figures_of(one) for one in report.others]}
    if any(one.role == "cli" for one in report.others):
        return fine("clients", ", ".join(map(_shown, report.others)), **figures)
    text = ", ".join(map(_shown, report.others)) or "nobody but phones"
    if report.kept is not None:
        return fine("clients", f"{text}; no CLI: phones get the cached bundle", **figures)
    return warned(
        "clients",
        f"{text}; no CLI is there, so nobody sends a bundle",
        "Start the project's CLI, or `apptuner-relay push`, with this relay and id.",
        **figures,
    )


def _judge_phones(relay: str, report: SessionReport) -> Finding:
    figures = {"phones": [_figures_of(one) for one in report.phones]}
    if not report.phones:
        return failed("phones", "no phone is there", _PHONE_HINT.format(relay=relay), **figures)
    text = ", ".join(map(_shown, report.phones))
    behind = [one.name for one in report.phones if one.behind]
    if behind:
        return warned(
            "phones",
            text,
            f"{' and '.join(behind)} takes a bundle more slowly than it comes, and gets it from "
            "the relay's disk. Bad Wi-Fi, or an app that is busy or in the background.",
            **figures,
        )
    return fine("phones", text, **figures)


def _judge_kept(report: SessionReport) -> Finding:
    kept = report.kept
    if kept is None and not report.caches:
        text = "this relay caches none at present: a phone that joins later gets the next one"
        return skipped("kept", text)
    if kept is None:
        return skipped("kept", "no bundle is cached: a phone that joins later gets the next one")
    age = "" if kept.age_s is None else f", {show_duration(kept.age_s)} old"
    return fine(
        "kept",
        f"{show_bytes(kept.size_bytes)}{age}, for phones that join later",
        bytes=kept.size_bytes,
        age_s=kept.age_s,
    )


def _judge_bundle(report: SessionReport) -> Finding:
    bundle = report.bundle
    if bundle is None:
        return skipped("bundle", "the relay remembers none of this session")
    figures: dict[str, object] = {
        "bytes": bundle.size_bytes,
        "form": bundle.form,
        "state": bundle.state,
        "in_s": bundle.in_s,
        "age_s": bundle.age_s,
        "phones": [
            {"name": one.name, "state": one.state, "error": one.error or None}
            for one in bundle.phones
        ],
    }
    head = _bundle_head(bundle)
    answers = "; ".join(_shown_answer(one) for one in bundle.phones)
    text = f"{head}; {answers}" if answers else head
    if bundle.state == "cut":
        return failed(
            "bundle",
            text,
            "It never came whole, and phones keep the code that they had. Send it again; if that "
            "was no newer bundle, look at the line of who sent it.",
            **figures,
        )
    if any(one.state == "failed" for one in bundle.phones):
        return failed(
            "bundle",
            text,
            "The bundle arrived, and the app could not run it: the error is in its code, or the "
            "phone's app has other native modules than the code expects.",
            **figures,
        )
    if not bundle.phones:
        return warned("bundle", f"{text}; it went to no phone", "No phone was there.", **figures)
    for state, hint in _WORRIES:
        if any(one.state == state for one in bundle.phones):
            return warned("bundle", text, hint, **figures)
    return fine("bundle", text, **figures)


_WORRIES = (
    (
        "sent",
        "The app may still load it, be in the background, or hang: look at the phone. Released "
        "apps answer once the code runs.",
    ),
    ("getting", "It is still on its way to a phone: a slow line, or one that sleeps."),
    ("waiting", "Is the app in the foreground, and the phone's network there?"),
    ("cut", "Its connection ended in the middle. It gets the bundle when it comes back."),
    ("left", "It left before it answered, and gets the bundle when it comes back."),
)
"""States of a phone that are no failures, the worst first."""


def _bundle_head(bundle: SentBundle) -> str:
    text = show_bytes(bundle.size_bytes)
    if bundle.form and bundle.form != "whole":
        text += f" ({bundle.form})"
    if bundle.state == "whole":
        # What came in one piece took no time that was measured.
        text += f" in {show_ms(bundle.in_s)}" if bundle.in_s else ""
    else:
        text += f", {bundle.state}" + (f": {bundle.why}" if bundle.why else "")
    return text if bundle.age_s is None else f"{text}, {show_duration(bundle.age_s)} ago"


def _shown_answer(one: PhoneAnswer) -> str:
    if one.state == "failed":
        return f"{one.name} failed: {one.error or 'no reason was given'}"
    after = "" if one.answered_s is None else f" after {show_ms(one.answered_s)}"
    why = f" ({one.why})" if one.why else ""
    return f"{one.name} {_STATES.get(one.state, one.state)}{after}{why}"


_STATES = {
    "waiting": "has got nothing of it yet",
    "getting": "is getting it",
    "sent": "has all of it, and has not answered",
    "cut": "got a part of it",
    "left": "has left",
    "superseded": "got a newer one instead",
}
"""What is said of a phone in a state; the others are words of their own."""
_ROLES = {"cli": "CLI", "upload": "an upload"}


def _shown(one: Present) -> str:
    details = [one.platform] if one.platform else []
    if one.role != MOBILE and one.name:
        details.append(one.name)
    if one.round_trip_ms is not None:
        details.append(show_ms(one.round_trip_ms / 1000))
    if one.since_s is not None:
        details.append(f"for {show_duration(one.since_s)}")
    if one.behind:
        details.append("behind")
    if one.through:
        details.append(f"through {one.through}")
    name = (one.name or "a phone") if one.role == MOBILE else _ROLES.get(one.role, one.role)
    return f"{name} ({', '.join(details)})" if details else name


def _figures_of(one: Present) -> dict[str, object]:
    return {
        "role": one.role,
        "name": one.name or None,
        "platform": one.platform or None,
        "round_trip_ms": one.round_trip_ms,
        "since_s": one.since_s,
        "behind": one.behind,
    }
