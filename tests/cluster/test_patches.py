"""Patches of bundles between relays: from a CLI at another relay than the session's, to phones at
both, and while the session moves or its relay is lost."""

from typing import Any

from apptuner_relay.spool.code import bundle_messages
from apptuner_relay.wire.frames import TEXT
from tests.cluster.harness import KEY, ClusterCase, ClusterClient, ClusterRelay
from tests.memory import masked
from tests.memory_store import MemoryStore
from tests.relay.test_sent_patches import code_of, patch_text
from tests.spool.cases import sha256
from tests.spool.test_delivery_of_patches import NEW, NEWER, OLD, Phone


class PatchesCase(ClusterCase):
    """The session is a's."""

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.relays("ab", MemoryStore)
        self.turn(5)
        self.first = self.connect(self.a, "mobile?deviceId=first")
        self.assertEqual(self.owner, "a")

    def phone(self, relay: ClusterRelay, query: str = "", code: str | None = None) -> Phone:
        have = f"&have={sha256(code)}" if code else ""
        return Phone(self.connect(relay, f"mobile?patch=1{have}&{query}"), code)

    def cli(self, relay: ClusterRelay) -> ClusterClient:
        client = self.cluster.connect(relay, "/cli/ABC234?patch=1")
        self.turn()
        [welcome] = [one for one in client.received() if one["type"] == "connected"]
        self.assertIs(welcome["patch"], True)
        return client

    def bundle(self, cli: ClusterClient, code: str) -> None:
        cli.send(type="bundle_update", payload={"code": code}, timestamp=1)
        self.turn(1)

    def patch_cli(self, cli: ClusterClient, old: str, new: str) -> None:
        cli.send_raw(masked(TEXT, patch_text(old, new)))
        self.turn(1)

    def told(self, cli: ClusterClient) -> list[str]:
        """What the CLI was told: the SHA-256 of what is kept, or why the whole is wanted."""
        said: list[dict[str, Any]] = cli.received()
        kinds = ("bundle_kept", "bundle_wanted")
        return [one.get("sha256") or one["reason"] for one in said if one["type"] in kinds]

    def store_of(self, relay: ClusterRelay) -> MemoryStore:
        store = relay.store
        assert isinstance(store, MemoryStore)
        return store


class BridgedTest(PatchesCase):
    def goes_to_all(self, cli: ClusterClient) -> None:
        patched = [self.phone(self.a), self.phone(self.b)]
        released = [self.first, self.connect(self.b, "mobile")]
        self.bundle(cli, OLD)
        self.assertEqual(self.told(cli), [sha256(OLD)])
        for phone in patched:
            self.assertEqual(phone.read(), ["bundle_update", "bundle_id"])
        for one in released:
            one.received()
        for old, new in ((OLD, NEW), (NEW, NEWER)):
            self.patch_cli(cli, old, new)
            self.assertEqual(self.told(cli), [sha256(new)])
            self.assertEqual([phone.read() for phone in patched], [["bundle_patch"]] * 2)
            self.assertEqual([phone.code for phone in patched], [new] * 2)
            self.assertEqual([code_of(one.received()) for one in released], [[new]] * 2)
        query = f"patch=1&have={sha256(NEW)}&replay=1"
        late = Phone(self.cluster.connect(self.b, f"/mobile/ABC234?{query}"), NEW)
        self.turn(1)
        self.assertEqual((late.read()[-1], late.code), ("bundle_patch", NEWER))

    def test_from_a_cli_at_the_owner(self) -> None:
        self.goes_to_all(self.cli(self.a))

    def test_from_a_cli_at_another_relay(self) -> None:
        self.goes_to_all(self.cli(self.b))

    def test_what_is_refused(self) -> None:
        cli, phone = self.cli(self.b), self.phone(self.b)
        self.bundle(cli, OLD)
        phone.read()
        cli.received()
        self.patch_cli(cli, NEW, NEWER)
        self.assertEqual((self.told(cli), phone.read()), (["base"], []))
        self.bundle(cli, NEWER)
        self.assertEqual((self.told(cli), phone.read()), ([sha256(NEWER)], ["bundle_patch"]))
        self.assertEqual(phone.code, NEWER)

    def test_a_takeover_from_another_relay(self) -> None:
        former, phone = self.cli(self.a), self.phone(self.b)
        self.bundle(former, OLD)
        phone.read()
        newer = self.cli(self.b)
        self.assertEqual(self.closed(former), 1000)
        # It has the same text, but was not told that it is kept. It may be, all the same.
        self.patch_cli(newer, OLD, NEW)
        self.assertEqual((self.told(newer), phone.read()), ([sha256(NEW)], ["bundle_patch"]))


class MovingTest(PatchesCase):
    def setUp(self) -> None:
        super().setUp()
        self.remote, self.far = self.cli(self.b), self.phone(self.b)
        self.released = self.connect(self.b, "mobile")
        self.bundle(self.remote, OLD)
        self.far.read()
        for one in (self.remote, self.first, self.released):
            one.received()

    def assertGoesOn(self, old: str) -> None:
        """A patch of what was kept is taken by the new owner."""
        self.assertEqual(self.owner, "b")
        self.patch_cli(self.remote, old, NEWER)
        self.assertEqual(self.told(self.remote)[-1:], [sha256(NEWER)])
        self.assertEqual(code_of(self.released.received())[-1:], [NEWER])
        # What a phone has is not known to the new relay: it gets the whole, once.
        self.far.read()
        self.assertEqual((self.far.code, self.far.label), (NEWER, sha256(NEWER)))
        self.patch_cli(self.remote, NEWER, OLD)
        self.assertEqual((self.far.read(), self.far.code), (["bundle_patch"], OLD))

    def test_the_session_moves_between_two_patches(self) -> None:
        stopping = self.a.stop()
        self.turn(3)
        self.assertGoesOn(OLD)
        self.ends(stopping, self.first)

    def test_what_a_patch_has_made_is_written_out_for_the_move(self) -> None:
        self.patch(bundle_messages, "CHUNK_BYTES", 30_000)
        for one in (self.released, self.first):
            one.lose()
        self.turn()
        self.patch_cli(self.remote, OLD, NEW)
        self.far.read()
        self.assertEqual(self.far.code, NEW)
        offload = self.store_of(self.a).offload
        self.assertEqual(offload.written, 0)
        stopping = self.a.stop()
        self.turn(3)
        self.assertEqual(offload.written, 1)
        self.released = self.cluster.connect(self.b, "/mobile/ABC234?replay=1")
        self.turn()
        self.assertEqual(code_of(self.released.received()), [NEW])
        self.assertGoesOn(NEW)
        self.ends(stopping)

    def test_a_patch_that_is_being_checked_is_waited_for(self) -> None:
        offload = self.store_of(self.a).offload
        offload.patient = True
        self.patch_cli(self.remote, OLD, NEW)
        stopping = self.a.stop()
        self.turn(1)
        self.assertEqual(self.owner, "a")
        offload.patient = False
        offload.answer()
        self.turn(3)
        self.assertEqual(code_of(self.released.received()), [NEW])
        self.far.read()
        self.assertEqual(self.far.code, NEW)
        self.assertGoesOn(NEW)
        self.ends(stopping, self.first)

    def test_its_relay_is_lost(self) -> None:
        self.cluster.kill(self.a)
        self.turn(10)
        self.assertEqual(self.owner, "b")
        for one in (self.remote, self.far.client, self.released):
            one.received()
            one.messages.clear()
        self.patch_cli(self.remote, OLD, NEW)
        self.assertEqual(self.told(self.remote), ["base"])
        self.assertEqual((self.far.read(), code_of(self.released.received())), ([], []))
        self.bundle(self.remote, NEW)
        self.assertEqual(self.told(self.remote), [sha256(NEW)])
        self.assertEqual(self.far.read(), ["bundle_update", "bundle_id"])

    def test_it_is_lost_while_a_patch_is_being_checked(self) -> None:
        self.store_of(self.a).offload.patient = True
        self.patch_cli(self.remote, OLD, NEW)
        self.cluster.kill(self.a)
        self.turn(10)
        self.remote.received()
        self.patch_cli(self.remote, OLD, NEW)
        self.assertEqual(self.told(self.remote), ["base"])


class DrainTest(PatchesCase):
    """A relay that nobody takes the sessions of."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster.kill(self.b)
        self.turn(5)

    def test_a_patch_that_is_being_checked_still_arrives(self) -> None:
        cli, phone = self.cli(self.a), self.phone(self.a)
        self.bundle(cli, OLD)
        phone.read()
        self.first.received()
        offload = self.store_of(self.a).offload
        offload.patient = True
        self.patch_cli(cli, OLD, NEW)
        stopping = self.a.stop()
        self.turn(1)
        offload.patient = False
        offload.answer()
        self.turn(1)
        self.assertEqual(code_of(self.first.received()), [NEW])
        self.assertEqual((phone.read(), phone.code), (["bundle_patch"], NEW))
        self.ends(stopping, *self.cluster.clients)


class GuardTest(PatchesCase):
    """What is kept is never older than what phones run."""

    def kept(self, relay: ClusterRelay) -> bool:
        return self.store_of(relay).latest(KEY) is not None

    def test_a_patch_over_a_bridge_that_is_not_followed(self) -> None:
        cli = self.cli(self.a)
        for role in ("dashboard", "desktop"):
            self.bundle(cli, OLD)
            self.assertTrue(self.kept(self.a))
            page = self.connect(self.b, role)
            page.send_raw(masked(TEXT, patch_text(OLD, NEW)))
            self.turn()
            self.assertEqual(self.first.types()[-1:], ["bundle_patch"])
            self.assertFalse(self.kept(self.a))

    def test_nothing_of_it_moves_with_the_session(self) -> None:
        cli, page = self.cli(self.b), self.connect(self.b, "dashboard")
        self.bundle(cli, OLD)
        page.send_raw(masked(TEXT, patch_text(OLD, NEW)))
        stopping = self.a.stop()
        self.turn(3)
        self.assertEqual(self.owner, "b")
        self.assertFalse(self.kept(self.b))
        cli.received()
        self.patch_cli(cli, OLD, NEW)
        self.assertEqual(self.told(cli), ["base"])
        self.ends(stopping, self.first)

    def test_the_session_waits_for_a_patch_of_a_cli_that_has_gone(self) -> None:
        far, cli = self.connect(self.b, "mobile"), self.cli(self.a)
        self.bundle(cli, OLD)
        far.received()
        offload = self.store_of(self.a).offload
        offload.patient = True
        self.patch_cli(cli, OLD, NEW)
        cli.lose()
        stopping = self.a.stop()
        self.turn(1)
        self.assertEqual(self.owner, "a")
        offload.patient = False
        offload.answer()
        self.turn(3)
        self.assertEqual(self.owner, "b")
        self.assertEqual(code_of(far.received()), [NEW])
        self.assertEqual(code_of(self.connect_late(self.b)), [NEW])
        self.ends(stopping, self.first)

    def connect_late(self, relay: ClusterRelay) -> list[dict[str, Any]]:
        """What a phone gets that joins now."""
        late = self.cluster.connect(relay, "/mobile/ABC234?replay=1")
        self.turn()
        return late.received()
