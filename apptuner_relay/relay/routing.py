"""Where a message goes: to whom in the session, and what its sender is answered. Pure."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, NamedTuple

from apptuner_relay.session.roles import M, Role
from apptuner_relay.session.session import Session
from apptuner_relay.wire import messages

NO_PHONE = "Mobile device not connected"


class Routing(NamedTuple, Generic[M]):
    """Where a message goes."""

    members: Sequence[M]
    """Nobody, where it was answered."""
    type: str | None = None
    everybody: bool = False
    """Whether it is for all members of the other side, late joiners included."""
    target: str | None = None
    """The device that it is for alone."""
    answer: Callable[[int], bytes] | None = None
    """Makes the relay's answer to the sender, a JSON text, from the time in ms since the epoch."""
    complaint: str | None = None
    """An error for the sender that may be due for every message, and is sent at intervals."""


def route_message(
    sender: M, session: Session[M], head: bytes, complete: bool, binary: bool
) -> Routing[M]:
    """Where the message of ``sender`` that begins with ``head`` goes.

    :param head: up to `messages.HEAD_BYTES`, inflated.
    :param complete: whether that is all of the message.
    """
    if binary:
        audience = session.audience(sender)
        alone = not audience and sender.role is not Role.MOBILE
        return Routing(audience, complaint=NO_PHONE if alone else None)
    try:
        kind, target = messages.sniff(head, complete)
    except messages.NotAnObject as refusal:
        return Routing((), answer=partial(messages.error, str(refusal)))
    if kind == "ping":
        return Routing((), kind, answer=messages.pong)
    if sender.role is Role.MOBILE:
        return Routing(session.audience(sender), kind, True)
    if target is not None:
        phone = session.phone(target)
        if phone is not None:
            return Routing((phone,), kind, target=target)
        text = f"Device {target} is not connected"
        return Routing((), kind, target=target, answer=partial(messages.error, text))
    phones = session.mobiles
    alone = not phones and kind not in messages.BUNDLE_TYPES
    return Routing(phones, kind, True, complaint=NO_PHONE if alone else None)
