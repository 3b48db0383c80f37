"""What the opening handshakes of all clients have in common, whoever has read them and whatever is
spoken afterwards: who the client is, and how it is refused.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from twisted.internet.interfaces import IAddress

from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import BadRequest
from apptuner_relay.support.client_address import FIELD, host_of
from apptuner_relay.support.http_fields import HttpFields
from apptuner_relay.wire.messages import http_refusal

_VALUE = re.compile("[\"':]")
"""Where what the client has sent begins, in Autobahn's reasons for a refusal."""
_RETRY_AFTER_S = 5
"""When a client that is refused with 503 may try again."""


class OpeningConnection:
    """A base class."""

    transport: Any
    relay: RelayService
    """The service that the connection belongs to."""
    origin: str | None = None
    """The web page that the client belongs to; see `read_caller`."""
    _refusal: BadRequest | None = None
    """Why the client is refused."""

    @property
    def request_target(self) -> str:
        """The request's target, with its query."""
        raise NotImplementedError

    @property
    def request_fields(self) -> Mapping[str, str]:
        """The request's header fields by name in lower case."""
        raise NotImplementedError

    @property
    def client_address(self) -> str | None:
        """The client's address; see `TrustedProxies.client`."""
        trusted = self.relay.settings.listening.trusted_proxy
        fields = [self.request_fields[FIELD]] if FIELD in self.request_fields else []
        return trusted.client(host_of(self.other_end), fields)

    @property
    def other_end(self) -> IAddress:
        """The other end of the connection: the client, or a proxy."""
        peer: IAddress = self.transport.getPeer()
        return peer

    def refusal(self, status: int, reason: str, fields: HttpFields) -> bytes:
        """Refuse the handshake with a JSON body, and count the refusal."""
        why = str(self._refusal) if self._refusal else _VALUE.split(reason, maxsplit=1)[0].strip()
        self.relay.refused(status, self.client_address, why, self.request_target)
        headers = [*fields, *(self._refusal.headers if self._refusal else ())]
        if status == HTTPStatus.SERVICE_UNAVAILABLE and not any(
            name == "Retry-After" for name, _ in headers
        ):
            headers.append(("Retry-After", str(_RETRY_AFTER_S)))
        return http_refusal(status, reason, headers)
