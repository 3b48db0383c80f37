"""Who has answered, if it was no AppTuner relay: a proxy, a balancer, a web site. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from apptuner_relay.client.doctor.http_answer import HttpAnswer

MAX_QUOTED_CHARACTERS = 80


class Answerer(NamedTuple):
    """What seems to have answered, and what to do about that."""

    text: str
    hint: str


_BEHIND = (
    "Is the relay running, and does the proxy send requests to the relay's host and port? From the "
    "proxy's machine: curl http://RELAY:3000/health."
)
_ROUTES = (
    "Does the path in --relay (if there is one) belong to the relay, and does the proxy pass it "
    "on? The relay's paths are /health, /session/, /bundles/, /cli/, /dashboard/, /desktop/ and "
    "/mobile/."
)


def is_relay(answer: HttpAnswer) -> bool:
    """Whether an answer to ``/health`` is a relay's: this one's, or the Node relay's."""
    value = answer.json or {}
    return isinstance(value.get("status"), str) and (
        "connections" in value or "sessions" in value or "reasons" in value
    )


def name_answerer(answer: HttpAnswer) -> Answerer:
    """Whose answer it seems to be, if it isn't a relay's."""
    who = _name(answer)
    said = f"{who} answers with HTTP {answer.status}"
    if answer.phrase:
        said += f" ({answer.phrase[:MAX_QUOTED_CHARACTERS]})"
    return Answerer(said + _detail(answer), _hint(answer, who))


def _name(answer: HttpAnswer) -> str:
    fields = answer.fields
    if "cf-ray" in fields:
        return "Cloudflare"
    server = fields.get("server", "")[:MAX_QUOTED_CHARACTERS]
    page = answer.body[:4096].lower()
    if not server:
        # HAProxy names itself nowhere, and its pages are these.
        if b"no server is available to handle this request" in page or page.startswith(
            (b"<html><body><h1>50", b"<html><body><h1>40")
        ):
            return "HAProxy (by its page)"
        if "via" in fields:
            return f"a proxy (Via: {fields['via'][:MAX_QUOTED_CHARACTERS]})"
        return "a server that does not name itself"
    return f"a server (Server: {server})"


def _detail(answer: HttpAnswer) -> str:
    if answer.error:
        return f": {answer.error}"
    if 300 <= answer.status < 400 and "location" in answer.fields:
        return f", which leads to {answer.fields['location']}"
    title = re.search(rb"<title[^>]*>\s*([^<]{1,200}?)\s*</title", answer.body, re.IGNORECASE)
    if title is not None:
        return f", a page with the title {title[1].decode('utf-8', 'replace')!r}"
    return ""


_Condition = Callable[[HttpAnswer], bool]
_HINTS: tuple[tuple[_Condition, str], ...] = (
    (
        lambda answer: bool(answer.error) and answer.status in (400, 404),
        "A relay says so, it seems: what stands behind the host in --relay reaches it, though it "
        "should not, or a proxy has changed the path.",
    ),
    (
        lambda answer: _leads_to_tls(answer),
        "The relay is reached over TLS only: use wss:// in --relay. Phones follow no redirections.",
    ),
    (
        lambda answer: 300 <= answer.status < 400,
        "WebSockets follow no redirections: use the address that it leads to in --relay.",
    ),
    (lambda answer: answer.status in (502, 521, 522, 523), f"It reaches no relay. {_BEHIND}"),
    (
        lambda answer: answer.status == 503,
        f"It knows no relay that is well (its health checks fail), or is overloaded. {_BEHIND}",
    ),
    (
        lambda answer: answer.status in (504, 524),
        f"The relay behind it does not answer in time: it hangs, or a firewall is between. "
        f"{_BEHIND}",
    ),
    (
        lambda answer: answer.status in (401, 403, 407),
        "It wants a password or a permission of its own before anything reaches the relay: an "
        "access list, a login page, a company's proxy. AppTuner's clients can't show any.",
    ),
    (lambda answer: answer.status == 404, f"It knows no such path. {_ROUTES}"),
    (
        lambda answer: answer.status == 400 and b"https" in answer.body.lower(),
        "The port speaks TLS: use wss:// in --relay.",
    ),
    (
        lambda answer: answer.status in (400, 421),
        "It takes requests for other hosts only: its configuration lacks the host of --relay.",
    ),
    (lambda answer: answer.status == 429, "It has too many requests from here. Wait a while."),
    (
        lambda answer: 200 <= answer.status < 300,
        f"That is some other web site or program. Is it the right host, port and path? {_ROUTES}",
    ),
)


def _leads_to_tls(answer: HttpAnswer) -> bool:
    location = answer.fields.get("location", "").lower()
    return 300 <= answer.status < 400 and location.startswith(("https:", "wss:"))


def _hint(answer: HttpAnswer, who: str) -> str:
    for fits, hint in _HINTS:
        if fits(answer):
            return hint
    return f"Is it the right host, port and path? {_ROUTES}"
