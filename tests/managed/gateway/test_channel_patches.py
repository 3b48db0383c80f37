"""Patches of bundles, where some clients of the session are in a channel: they take none, and send
none that the relay would follow."""

from apptuner_relay.session.session import Role
from apptuner_relay.wire.frames import TEXT
from tests.managed.gateway.gateway_case import SESSION, GatewayCase
from tests.memory import masked
from tests.memory_store import MemoryStore
from tests.relay.test_sent_patches import patch_text
from tests.spool.cases import sha256
from tests.spool.test_delivery_of_patches import NEW, OLD, Phone


class InAChannel(GatewayCase):
    store = MemoryStore

    def test_a_phone_is_told_of_what_a_patch_has_made(self) -> None:
        cli = self.relay.connect(f"/cli/{SESSION}?patch=1")
        near = Phone(self.relay.connect(f"/mobile/{SESSION}?patch=1"))
        phone = self.come()
        cli.send(type="bundle_update", payload={"code": OLD})
        self.turn(0.5)
        near.read()
        self.assertEqual([one["sha256"] for one in phone.received()], [sha256(OLD)])
        cli.send_raw(masked(TEXT, patch_text(OLD, NEW)))
        self.turn(0.5)
        [told] = phone.received()
        self.assertEqual((told["type"], told["sha256"]), ("bundle_available", sha256(NEW)))
        self.assertEqual((near.read(), near.code), (["bundle_patch"], NEW))

    def test_a_cli_sends_what_is_kept_no_more(self) -> None:
        sender = self.relay.connect(f"/cli/{SESSION}?patch=1")
        phone = Phone(self.relay.connect(f"/mobile/{SESSION}?patch=1"))
        sender.send(type="bundle_update", payload={"code": OLD})
        self.turn(0.5)
        phone.read()
        cli = self.come(Role.CLI)
        cli.send({"type": "bundle_patch", "base": sha256(OLD)})
        self.turn(0.5)
        self.assertEqual(phone.client.types(), ["bundle_patch"])
        store = self.relay.store
        assert isinstance(store, MemoryStore)
        self.assertEqual(store.files(), [])
