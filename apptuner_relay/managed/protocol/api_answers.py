"""What a service answers to a request to its HTTP API. Pure.

There are services that send every refusal as 200, with the error in the body, so both are looked
at.
"""

from http import HTTPStatus
from typing import NamedTuple

from apptuner_relay.managed.protocol.envelopes import printable
from apptuner_relay.wire.text import parse_json

_PERMANENT = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
    }
)
_HINTS = {
    HTTPStatus.BAD_REQUEST: "it finds the request malformed",
    HTTPStatus.UNAUTHORIZED: "the key, the secret or the clock of this machine is wrong",
    HTTPStatus.FORBIDDEN: "the application is disabled, or over its quota of messages",
    HTTPStatus.NOT_FOUND: "it has no such application, or not at this path",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the event is too long: lower --managed-event-limit",
    HTTPStatus.TOO_MANY_REQUESTS: "it gets more requests than it allows",
}


class ApiRefusal(NamedTuple):
    """A request was refused."""

    code: int
    """An HTTP status, be it from the body."""
    text: str
    """For the operator: what it means, and the service's own words, made harmless for a log."""

    @property
    def is_permanent(self) -> bool:
        """Whether it will be refused until somebody changes something, or a day is over."""
        return self.code in _PERMANENT

    @property
    def over_quota(self) -> bool:
        """Whether it may be for the quota of messages."""
        return self.code == HTTPStatus.FORBIDDEN


class ApiAnswer(NamedTuple):
    """What a service has answered."""

    value: dict[str, object]
    """The body, which is empty of a refusal."""
    refusal: ApiRefusal | None


def read_answer(status: int, body: bytes) -> ApiAnswer:
    """Read an answer. Whatever comes, it is either good or a refusal.

    :param body: all of it.
    """
    try:
        value = parse_json(body) if body.strip() else {}
    except ValueError:
        value = None
    if not isinstance(value, dict):
        if status == HTTPStatus.OK:
            return _refused(HTTPStatus.BAD_GATEWAY, "an answer that is no JSON object")
        return _refused(status, printable(body.decode("utf-8", "replace")))
    if status == HTTPStatus.OK and "error" not in value:
        return ApiAnswer(value, None)
    words = value.get("error")
    code = value.get("code")
    if type(code) is not int or not 400 <= code <= 599:
        code = status if status >= 400 else HTTPStatus.INTERNAL_SERVER_ERROR
    return _refused(code, printable(words) if isinstance(words, str) else "")


def _refused(code: int, words: str) -> ApiAnswer:
    hint = _HINTS.get(HTTPStatus(code)) if code in _HINTS else None
    parts = [part for part in (hint, words.strip()) if part]
    return ApiAnswer({}, ApiRefusal(int(code), ": ".join(parts) or "it gives no reason"))
