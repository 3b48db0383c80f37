"""`apptuner_relay.client.save_pushing` in whatever order things happen: nothing breaks, and in the
end the phones have the newest save."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.bundles import BundleError
from apptuner_relay.client.carriers import Parcel
from apptuner_relay.client.newcomers import LONG_GRACE_SECONDS
from apptuner_relay.client.pushing import SETTLE_SECONDS
from apptuner_relay.client.save_parcels import SaveParcel
from apptuner_relay.client.save_pushing import VERDICT_SECONDS, SavePush
from apptuner_relay.client.saved_file import Save

from .little_relay import Recorder

SAVES = [Save.of(f"let x = {number}".encode()) for number in range(4)]
PHONES = st.sampled_from(("ann", "bob", "cid"))


class Way:
    """What is sent of a save, and what the relay then has."""

    def __init__(self, machine: SavesMachine, save: Save, base: Save | None, target: str | None):
        self.machine, self.save, self.base, self.target = machine, save, base, target
        self.making: Deferred[SaveParcel] = Deferred()
        self.done: Deferred[bool] = Deferred()
        self.progress: Callable[[int], None] = lambda sent: None
        self.stopped = False

    def made(self) -> None:
        parcel = Parcel(10, 10, self.start)
        self.making.callback(SaveParcel(parcel, self.base is not None))

    def start(self, progress: Callable[[int], None]) -> Way:
        self.progress = progress
        self.machine.sending = self
        return self

    def stop(self) -> None:
        self.stopped = True

    def finish(self) -> None:
        """It arrives."""
        self.machine.sending = None
        if self.stopped:
            self.done.callback(False)
            return
        self.progress(10)
        self.machine.arrived(self)
        self.done.callback(True)


class SavesMachine(RuleBasedStateMachine):
    """A relay that takes patches, keeps bundles, and loses neither; its connections are lost."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.screen = Clock(), Recorder()
        self.serves_one, self.refusal = True, ""
        self.connected = False
        self.phones: dict[str, Save | None] = {}
        """Who is there, and what it has."""
        self.kept: Save | None = None
        """What the relay has, and what it is still to say of it."""
        self.verdicts: list[tuple[str, dict[str, Any]]] = []
        self.making: list[Way] = []
        self.sending: Way | None = None
        self.newest: Save | None = None
        self.given_up: set[Save] = set()

    # As parcels.

    def make(self, save: Save, base: Save | None, target: str | None) -> Deferred[SaveParcel]:
        self.refusal = ""
        self.making.append(Way(self, save, base, target))
        return self.making[-1].making

    @initialize(uploads=st.booleans())
    def begin(self, uploads: bool) -> None:
        self.is_kept = uploads
        self.serves_one = not uploads
        self.part = SavePush("app.js", 60.0, self, self.clock, self.screen)

    # As the relay.

    def arrived(self, way: Way) -> None:
        if way.base is not None and (self.kept is None or way.base.sha256 != self.kept.sha256):
            self.verdicts.append(("bundle_wanted", {"reason": "base"}))
            return
        for phone in self.phones if way.target is None else {way.target} & self.phones.keys():
            self.phones[phone] = way.save
        if way.target is None:
            self.kept = way.save
            self.verdicts.append(("bundle_kept", {"sha256": way.save.sha256}))

    def hear(self, kind: str, **body: Any) -> None:
        self.part.received({"type": kind, **body})

    @precondition(lambda self: not self.connected)
    @rule(patches=st.booleans(), listed=st.booleans())
    def connect(self, patches: bool, listed: bool) -> None:
        self.connected = True
        self.part.welcomed()
        self.hear("connected", **({"patch": True} if patches else {}))
        for phone in self.phones:
            self.hear("mobile_connected", deviceId=phone)
        if listed:
            self.hear("device_list", devices=[{"deviceId": phone} for phone in self.phones])

    @precondition(lambda self: self.connected)
    @rule()
    def lose(self) -> None:
        self.connected = False
        self.verdicts.clear()
        self.sending = None
        self.part.disconnected()

    @rule(save=st.sampled_from(SAVES))
    def save(self, save: Save) -> None:
        self.newest = save
        self.part.saved(save)

    @precondition(lambda self: self.making)
    @rule(too_large=st.booleans())
    def make_one(self, too_large: bool) -> None:
        way = self.making.pop(0)
        if too_large and way.target is None:
            self.given_up.add(way.save)
            way.making.errback(Failure(BundleError("too large")))
        else:
            way.made()

    @precondition(lambda self: self.sending)
    @rule()
    def send_one(self) -> None:
        assert self.sending is not None
        base = self.sending.base
        if self.is_kept and base is not None and self.kept != base:
            self.refusal = "base"
            self.sending.stop()
        self.sending.finish()

    @precondition(lambda self: self.verdicts)
    @rule()
    def say(self) -> None:
        kind, body = self.verdicts.pop(0)
        if not self.is_kept:
            self.hear(kind, **body)

    @precondition(lambda self: self.connected)
    @rule(phone=PHONES)
    def phone_comes(self, phone: str) -> None:
        self.phones[phone] = None
        self.hear("mobile_connected", deviceId=phone)

    @precondition(lambda self: self.connected)
    @rule(phone=PHONES)
    def phone_goes(self, phone: str) -> None:
        self.phones.pop(phone, None)
        self.hear("mobile_disconnected", deviceId=phone)

    @precondition(lambda self: self.connected)
    @rule(phone=PHONES, success=st.booleans())
    def acknowledge(self, phone: str, success: bool) -> None:
        if self.phones.get(phone) is not None:
            self.hear("bundle_ack", deviceId=phone, success=success)

    @precondition(lambda self: self.connected)
    @rule(reason=st.none() | st.text(max_size=5))
    def wanted(self, reason: str | None) -> None:
        self.hear("bundle_wanted", reason=reason)

    @rule(seconds=st.sampled_from((SETTLE_SECONDS, 1.0, 10.0, 60.0)))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def at_most_one_is_sent(self) -> None:
        assert len([way for way in self.making if way.making is self.part._making]) <= 1

    def teardown(self) -> None:
        if not hasattr(self, "part"):
            return
        if not self.connected:
            self.connect(True, True)
        for _ in range(20):
            self.clock.advance(max(VERDICT_SECONDS, LONG_GRACE_SECONDS) + 1)
            while self.making:
                self.make_one(False)
            while self.sending is not None:
                self.send_one()
            while self.verdicts:
                self.say()
        if self.newest is not None and self.newest not in self.given_up:
            assert self.kept == self.newest, self.screen.out.getvalue()
            if self.serves_one:
                assert set(self.phones.values()) <= {self.newest}, self.phones
        self.part.tidy()
        assert self.clock.getDelayedCalls() == []


class RandomSavesTest(SynchronousTestCase):
    def test_whatever_happens(self) -> None:
        run_state_machine_as_test(
            SavesMachine, settings=settings(max_examples=150, stateful_step_count=40, deadline=None)
        )
