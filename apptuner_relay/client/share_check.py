"""Asks the relay whether phones can join with a URL that was just shown, and says what is in their
way. That nobody can be asked is no failure of `share`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

from apptuner_relay import __version__
from apptuner_relay.client.address import Relay
from apptuner_relay.client.credentials import authorization
from apptuner_relay.client.operator_api import NoFigures, parse_json, receive_body
from apptuner_relay.client.screen import Screen
from apptuner_relay.session.session import session_hash
from apptuner_relay.support.socket_errors import describe

STATE_PATH = "/session/state"
LIMIT_SECONDS = 2.0
_MAX_BYTES = 4 * 1024 * 1024


async def look_at(
    relay: Relay, session: str, key: str | None, reactor: Any, screen: Screen
) -> None:
    """Ask the relay where phones will look for it. What was shown is good with or without."""
    fields = {
        "User-Agent": f"apptuner-relay/{__version__}",
        "AppTuner-Session": session_hash(session),
        **authorization(key),
    }
    headers = Headers({name: [value] for name, value in fields.items()})
    try:
        url = relay.resolve(STATE_PATH).encode("ascii")
        agent = Agent(reactor, connectTimeout=LIMIT_SECONDS)
        waiting: Deferred[Any] = agent.request(b"GET", url, headers)
    except ValueError:
        screen.complain(f"there can be no host of the name {relay.host}")
        return
    timer = reactor.callLater(LIMIT_SECONDS, lambda: waiting.cancel())
    try:
        response = await waiting
        waiting = receive_body(response, _MAX_BYTES)
        body = await waiting
    except Exception as error:  # whatever it is, the URL is there
        _unreachable(relay, error, screen, timed_out=not timer.active())
        return
    finally:
        if timer.active():
            timer.cancel()
    try:
        answer = parse_json(body)
    except ValueError:
        answer = None
    for text in judged(response.code, answer if isinstance(answer, dict) else {}, key is not None):
        screen.complain(text)


def _unreachable(relay: Relay, error: Exception, screen: Screen, *, timed_out: bool) -> None:
    if isinstance(error, NoFigures):
        return
    reasons = getattr(error, "reasons", None)
    why = describe(reasons[0].value if reasons else error) or "the connection was lost"
    if timed_out:
        why = f"no answer in {LIMIT_SECONDS:g} s"
    screen.complain(
        f"no relay can be reached at {relay} from here ({why}): does it run, and listen on that "
        "address?"
    )


def judged(status: int, answer: dict[str, Any], with_key: bool) -> list[str]:
    """What is in the way of phones, as far as the relay's answer to `GET /session/state` says."""
    if status == 200:
        if answer.get("tokens") is True and not with_key:
            return ["the session asks phones for a token, and the URL has none: add --key SECRET"]
        return []
    if status == 401 and answer.get("claimed") is True and not with_key:
        return [
            "the session is claimed with a secret: where its CLI asks phones for tokens, they are "
            "refused with this URL. --key SECRET makes one with a token"
        ]
    if status == 403:
        return ["the session is claimed with another secret: the relay will not take this token"]
    return []
