"""Which phones are in a session, and which of them have answered. Pure.

Phones that today's clients run have no id; relays that know our extensions give every phone one.
Both kinds of relay are understood here: phones with an id are known one by one, the others are
counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from apptuner_relay.client.printable import printable

MAX_SHOWN_NAME = 80


@dataclass(frozen=True)
class Phone:
    """A phone as the relay describes it. The texts are untrusted."""

    id: str
    name: str = ""
    platform: str = ""

    def as_json(self) -> dict[str, str | None]:
        """The phone for another program."""
        return {"deviceId": self.id, "name": self.name or None, "platform": self.platform or None}

    def __str__(self) -> str:
        """The phone for a reader, safe to print."""
        name = printable(self.name, limit=MAX_SHOWN_NAME)
        shown_id = printable(self.id, limit=MAX_SHOWN_NAME)
        inside = [printable(self.platform, limit=16)] if self.platform else []
        if name and name != shown_id:
            inside.append(shown_id)
        return (name or shown_id) + (f" ({', '.join(inside)})" if inside else "")


def called(phone: Phone, others: Iterable[Phone]) -> str:
    """The phone for a reader, as short as it can be among others: its name, if no other has it.

    Safe to print.
    """
    name = printable(phone.name, limit=MAX_SHOWN_NAME)
    if not name or any(one.name == phone.name and one.id != phone.id for one in others):
        return str(phone)
    return name


class PhoneRoster:
    """The phones that are connected, as far as the relay has told."""

    def __init__(self) -> None:
        self.known: dict[str, Phone] = {}
        self.unnamed = 0
        """Phones that were announced without an id."""

    def __len__(self) -> int:
        return len(self.known) + self.unnamed

    def clear(self) -> None:
        """Forget everything: the connection it was told over is gone."""
        self.known.clear()
        self.unnamed = 0

    def heed(self, message: Mapping[str, Any]) -> bool:
        """Learn from a message; returns whether it changed who is here."""
        match message.get("type"):
            case "mobile_connected":
                return self._came(message)
            case "mobile_disconnected":
                return self._went(message)
            case "device_list":
                return self._listed(message)
        return False

    def _came(self, message: Mapping[str, Any]) -> bool:
        phone = phone_in(message)
        if phone is None:
            # A relay that lists phones by id has none without.
            self.unnamed += 1
            return True
        fresh = self.known.get(phone.id) != phone
        self.known[phone.id] = phone
        return fresh

    def _went(self, message: Mapping[str, Any]) -> bool:
        phone = phone_in(message)
        if phone is not None:
            return self.known.pop(phone.id, None) is not None
        if self.unnamed:
            self.unnamed -= 1
            return True
        return False

    def _listed(self, message: Mapping[str, Any]) -> bool:
        devices = message.get("devices")
        if not isinstance(devices, list):
            return False
        listed = (phone_in(entry, "name") for entry in devices if isinstance(entry, Mapping))
        now = {phone.id: phone for phone in listed if phone is not None}
        changed = now != self.known or self.unnamed > 0
        self.known, self.unnamed = now, 0
        return changed


def phone_in(message: Mapping[str, Any], name_key: str = "deviceName") -> Phone | None:
    """The phone that a message is about, or None when it does not name one."""
    device = message.get("deviceId")
    if not isinstance(device, str) or not device:
        return None
    name, platform = message.get(name_key), message.get("platform")
    return Phone(
        device,
        name if isinstance(name, str) else "",
        platform if isinstance(platform, str) else "",
    )


@dataclass(frozen=True)
class Acknowledgement:
    """What a phone said about a bundle."""

    success: bool
    error: str = ""
    """Untrusted."""
    name: str = ""
    """Of the phone, where the relay says it. Untrusted."""

    @classmethod
    def in_message(cls, ack: Mapping[str, Any]) -> Acknowledgement:
        """The answer in a `bundle_ack`. Anything but a plain true is a failure."""
        error, name = ack.get("error"), ack.get("deviceName")
        return cls(
            ack.get("success") is True,
            error if isinstance(error, str) else "",
            name if isinstance(name, str) else "",
        )


class Answers:
    """The answers that are due for one bundle, and those that came."""

    def __init__(self, expected: Iterable[Phone], unnamed: int = 0) -> None:
        self._expected = {phone.id: phone for phone in expected}
        self._unnamed = unnamed
        self._by_phone: dict[str, Acknowledgement] = {}
        self._loose: list[Acknowledgement] = []

    def take(
        self, device: str | None, answer: Acknowledgement, here: Mapping[str, Phone]
    ) -> Phone | None:
        """Note an answer; returns the phone it is from, or None when nobody can tell.

        An answer that does not name its phone is from the only phone that is `here`, or from the
        only one that still owes an answer, if there is just one.
        """
        if device is None:
            device = self._only_candidate(here)
        if device is None:
            self._loose.append(answer)
            return None
        self._by_phone[device] = answer
        return self._expected.get(device) or here.get(device) or Phone(device, answer.name)

    def _only_candidate(self, here: Mapping[str, Phone]) -> str | None:
        if self._unnamed:
            return None
        if len(here) == 1 and (only := next(iter(here))) in self._expected:
            return only
        owing = self.owing()
        return owing[0].id if len(owing) == 1 else None

    def owing(self) -> list[Phone]:
        """The phones known by id that have not answered."""
        return [phone for phone in self._expected.values() if phone.id not in self._by_phone]

    @property
    def missing(self) -> int:
        """How many answers are still due."""
        # A phone can name itself to us where the relay, which knows no names, could not.
        strangers = len(self._by_phone.keys() - self._expected.keys())
        unnamed = max(self._unnamed - strangers, 0)
        return max(len(self.owing()) + unnamed - len(self._loose), 0)

    @property
    def none_yet(self) -> bool:
        """Whether not one answer came."""
        return not self._by_phone and not self._loose

    @property
    def countable_only(self) -> bool:
        """Whether it is unknown which phones owe an answer."""
        return bool(self._unnamed or self._loose)

    @property
    def failed(self) -> bool:
        """Whether a phone said that it could not take the bundle."""
        return not all(answer.success for answer in (*self._by_phone.values(), *self._loose))
