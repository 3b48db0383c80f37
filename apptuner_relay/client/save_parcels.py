"""What is sent of a save: a patch of the one before where that is possible, or all of it; over the
member's own connection or over HTTP. What is sent when is for `save_pushing`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThread

from apptuner_relay.client.address import Relay
from apptuner_relay.client.bundles import Form, ReadBundle
from apptuner_relay.client.carriers import Parcel
from apptuner_relay.client.file_watch import InThread
from apptuner_relay.client.membership import Membership
from apptuner_relay.client.policy import Patience
from apptuner_relay.client.saved_file import Save
from apptuner_relay.client.screen import Screen
from apptuner_relay.spool.code.patch_making import make_patch
from apptuner_relay.spool.code.text_diff import TooDifferent
from apptuner_relay.support.clocks import in_ms
from apptuner_relay.wire.bundle_patch import MOST_PATCH_BYTES, build_patch

if TYPE_CHECKING:
    from apptuner_relay.client.http_carrier import HttpCarrier


class SaveParcel(NamedTuple):
    """A save that is ready to be sent."""

    parcel: Parcel
    is_patch: bool = False
    no_patch_because: str = ""
    """Why it is whole although it might have been a patch."""


class SaveParcels(Protocol):
    """Makes them ready."""

    serves_one: bool
    """Whether one phone can be sent to. If not, the relay itself serves phones that come later."""
    is_kept: bool
    """Whether a bundle is kept as soon as it is sent: the relay's answer has said so by then."""

    @property
    def refusal(self) -> str:
        """Why the relay has refused the last parcel, a patch; else nothing."""

    def make(self, save: Save, base: Save | None, target: str | None) -> Deferred[SaveParcel]:
        """Make a save ready for a phone, or for all: where `base` is given, and `target` isn't, as
        a patch of that if there is one. Fails with `BundleError` for what no relay would take.
        """


class SaveMessages:
    """As messages, over the connection of a member."""

    serves_one = True
    is_kept = False
    refusal = ""

    def __init__(
        self, membership: Membership, form: Form | None, *, in_thread: InThread = deferToThread
    ) -> None:
        self._membership = membership
        self._form = form
        self._in_thread = in_thread

    def make(self, save: Save, base: Save | None, target: str | None) -> Deferred[SaveParcel]:
        """See `SaveParcels`."""
        # Finding what has changed may take a quarter of a second, and pings don't wait for that.
        made = self._in_thread(save_messages, save, base, target, self._form, in_ms(time.time()))
        return made.addCallback(self._packed)

    def _packed(self, made: SavedMessages) -> SaveParcel:
        size = sum(map(len, made.messages))
        parcel = Parcel(size, size, lambda told: self._membership.stream(made.messages, told))
        return SaveParcel(parcel, made.is_patch, made.no_patch_because)


class SavedMessages(NamedTuple):
    """A save as messages."""

    messages: list[bytes]
    is_patch: bool = False
    no_patch_because: str = ""


def save_messages(
    save: Save, base: Save | None, target: str | None, form: Form | None, timestamp: int
) -> SavedMessages:
    """A save as a patch of `base`, or as a whole bundle in a form, at a time in ms. Pure.

    Raises `BundleError` for what no relay would take.
    """
    because = ""
    if base is not None and target is None:
        patch, because = save_patch(save, base, timestamp)
        if patch is not None:
            return SavedMessages([patch], True)
    bundle = ReadBundle.of(save.code.decode(), form=form)
    return SavedMessages(bundle.messages(timestamp, target), False, because)


def save_patch(save: Save, base: Save, timestamp: int) -> tuple[bytes | None, str]:
    """The message that makes a save of another, at a time in ms; where there is none that is of
    use, None and why. Pure.
    """
    try:
        # Its thread's own time: on a busy machine a whole bundle takes longer, too.
        patch = make_patch(base.code, base.sha256, save.code, save.sha256, time.thread_time)
    except TooDifferent:
        return None, "too much has changed for a patch"
    message = build_patch(patch, timestamp)
    if len(message) > min(MOST_PATCH_BYTES, len(save.code)):
        return None, f"a patch would have {len(message):,} bytes"
    return message, ""


class SaveUploads:
    """Over HTTP, to all phones."""

    serves_one = False
    is_kept = True

    def __init__(
        self,
        reactor: Any,
        relay: Relay,
        session: str,
        credential: str | None,
        patience: Patience,
        screen: Screen,
        *,
        in_thread: InThread = deferToThread,
    ) -> None:
        self._in_thread = in_thread
        self._carrier: HttpCarrier | None = None
        self._reactor = reactor
        self._relay = relay
        self._session = session
        self._credential = credential
        self._patience = patience
        self._screen = screen

    def make(self, save: Save, base: Save | None, target: str | None) -> Deferred[SaveParcel]:
        """See `SaveParcels`."""
        if base is None:
            return succeed(self._packed((None, ""), save, base))
        made = self._in_thread(save_patch, save, base, in_ms(time.time()))
        return made.addCallback(self._packed, save, base)

    @property
    def refusal(self) -> str:
        """See `SaveParcels`."""
        return "" if self._carrier is None else self._carrier.refusal

    def _packed(self, made: tuple[bytes | None, str], save: Save, base: Save | None) -> SaveParcel:
        from apptuner_relay.client.http_carrier import HttpCarrier

        patch, because = made
        carrier = self._carrier = HttpCarrier(
            self._reactor,
            self._relay,
            self._session,
            self._credential,
            save.code if patch is None else patch,
            self._patience,
            self._screen,
            base=None if patch is None or base is None else base.sha256,
        )
        return SaveParcel(carrier.pack([None]), patch is not None, because)
