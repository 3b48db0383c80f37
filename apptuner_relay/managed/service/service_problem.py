"""What is wrong with a managed service, in words for the operator. Pure."""

from http import HTTPStatus
from typing import NamedTuple

from apptuner_relay.managed.protocol.channel_service import ServiceRefused
from apptuner_relay.managed.protocol.close_codes import advise
from apptuner_relay.managed.service.service_websocket import ServiceEnding

_BY_STATUS = {
    HTTPStatus.UNAUTHORIZED: "it refuses our signature: look at --managed-secret",
    HTTPStatus.FORBIDDEN: "the application is disabled, or over its quota of messages",
    HTTPStatus.NOT_FOUND: "it has no such application: look at APP_ID and prefix in --managed",
}
_WRONG_CLOCK = "it refuses our signature, as the clock of this machine is off by more than 600 s"


class ServiceProblem(NamedTuple):
    """Something that is wrong."""

    code: int | None
    """The service's own code or HTTP status, of what it refuses until somebody changes something.
    None for what may pass."""
    text: str
    """In our own words."""
    said: str = ""
    """What the service or the network has said. It is for the log."""

    def __str__(self) -> str:
        return f"{self.text} ({self.said})" if self.said else self.text


def problem_of_ending(ending: ServiceEnding, is_permanent: bool) -> ServiceProblem:
    """The problem of a connection that has ended, or could not be made."""
    if not is_permanent:
        return ServiceProblem(None, ending.text)
    if ending.code is not None:
        return ServiceProblem(ending.code, advise(ending.code).text, ending.text)
    return ServiceProblem(ending.status, ending.text)


def problem_of_refusal(refused: ServiceRefused) -> ServiceProblem:
    """The problem of a request to the HTTP API that was refused."""
    said = str(refused)
    code = refused.code if refused.is_permanent else None
    if refused.code == HTTPStatus.UNAUTHORIZED and "timestamp" in said.lower():
        return ServiceProblem(code, _WRONG_CLOCK, said)
    known = _BY_STATUS.get(HTTPStatus(refused.code)) if refused.code in _BY_STATUS else None
    text = known or f"its HTTP API refuses a request with {refused.code}"
    return ServiceProblem(code, text, said)
