"""Relays of the version before patches in one cluster with this one, as during an upgrade: their
clients are served, and no patch passes an owner that can't check it."""

import base64
import json
from dataclasses import replace
from typing import Any

from apptuner_relay.cluster.bridge.peer_auth import BadPass, Pass, PassVerifier
from apptuner_relay.cluster.bridge.remote_member import NO_PATCHES
from apptuner_relay.cluster.bridge.roster import MigratingClient
from apptuner_relay.session.session import Admission, Device, Role
from apptuner_relay.wire.bundle_patch import PATCH_MEDIA_TYPE
from apptuner_relay.wire.frames import CLOSE_SERVICE_RESTART
from tests.cluster.harness import SECRET, ClusterCase, ClusterClient, ClusterRelay
from tests.memory_store import MemoryStore
from tests.relay.test_sent_patches import code_of, patch_text
from tests.spool.cases import sha256
from tests.spool.test_delivery_of_patches import NEW, NEWER, OLD, Phone
from tests.web.uploading import Uploader

DEVICE_FIELDS = {
    *("device_id", "name", "platform", "connected_at_ms", "chunks", "replay", "have", "announce"),
}
"""Those that the earlier version knows. It refuses a phone with any other."""


class EarlierVerifier(PassVerifier):
    """Reads passes as the earlier version does."""

    def read(self, text: str, wall_s: float) -> Pass:
        said = json.loads(base64.urlsafe_b64decode(text.partition(".")[0]))["device"]
        if said is not None and set(said) != DEVICE_FIELDS:
            raise BadPass("it was written by a relay of another version")
        shown = super().read(text, wall_s)
        device = shown.admission.device
        if device is not None:
            device = replace(device, patch=False)
        admission = replace(shown.admission, patches=False, acks=False, device=device)
        return replace(shown, admission=admission)


class VersionsCase(ClusterCase):
    def current(self, name: str) -> ClusterRelay:
        return self.cluster.relay(name, MemoryStore)

    def earlier(self, name: str) -> ClusterRelay:
        """A relay that knows nothing of patches."""
        relay = self.cluster.relay(name, MemoryStore)
        relay.peers.features = frozenset()
        relay.placement.verifier = EarlierVerifier(SECRET, name)
        admit = relay.service.admit

        def without(role: Role, session_id: str, query: str, *more: Any, **most: Any) -> Admission:
            return admit(role, session_id, query.replace("patch=1", ""), *more, **most)

        relay.service.admit = without  # type: ignore[method-assign]
        return relay

    def connect_cli(self, relay: ClusterRelay) -> tuple[ClusterClient, bool]:
        """A CLI that would send patches, and whether it is told that it may."""
        client = self.cluster.connect(relay, "/cli/ABC234?patch=1")
        self.turn()
        [welcome] = [one for one in client.received() if one["type"] == "connected"]
        return client, welcome.get("patch", False)

    def phone(self, relay: ClusterRelay, code: str | None = None) -> Phone:
        have = f"&have={sha256(code)}" if code else ""
        return Phone(self.connect(relay, f"mobile?patch=1{have}"), code)

    def bundle(self, cli: ClusterClient, code: str) -> None:
        cli.send(type="bundle_update", payload={"code": code}, timestamp=1)
        self.turn(1)

    def is_closed_for_it(self, cli: ClusterClient) -> bool:
        """Whether a CLI is closed as the relay that its session moves to takes no patches."""
        cli.read()
        return cli.closed == (CLOSE_SERVICE_RESTART, NO_PATCHES)

    def moves(self, relay: ClusterRelay, to: str) -> None:
        """The relay stops, and another one has its session."""
        relay.stop()
        self.turn(3)
        self.assertEqual(self.owner, to)


class AnEarlierOwner(VersionsCase):
    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.earlier("a"), self.current("b")
        self.turn(5)
        self.near = self.connect(self.a, "mobile")

    def test_phones_are_served_as_if_they_took_none(self) -> None:
        cli, _ = self.connect_cli(self.b)
        phones = self.phone(self.b), self.phone(self.a)
        for code in (OLD, NEW):
            self.bundle(cli, code)
            for phone in phones:
                self.assertEqual((phone.read(), phone.code), (["bundle_update"], code))
        up_to_date = self.phone(self.b, NEW)
        self.bundle(cli, NEW)
        self.assertEqual(up_to_date.read(), ["bundle_unchanged"])

    def test_a_cli_is_not_offered_any(self) -> None:
        for relay in (self.a, self.b):
            cli, may_patch = self.connect_cli(relay)
            self.assertFalse(may_patch)
            self.bundle(cli, OLD)
            self.assertEqual(code_of(self.near.received()), [OLD])
            self.assertNotIn("bundle_kept", cli.types())

    def test_an_upload_has_to_be_whole(self) -> None:
        text = patch_text(OLD, NEW)
        base = f'"{sha256(OLD)}"'
        one = Uploader(self.b.site, len(text), Content_Type=PATCH_MEDIA_TYPE, If_Match=base)
        one.send(text)
        self.turn(1)
        self.assertEqual((one.status, self.near.types()), (503, []))
        self.assertIn("send the bundle whole", one.found["error"])


class AnEarlierEdge(VersionsCase):
    def test_its_clients_are_served_as_if_they_took_none(self) -> None:
        a, b = self.current("a"), self.earlier("b")
        self.turn(5)
        phone = self.phone(a)
        far = self.phone(b)
        cli, may_patch = self.connect_cli(b)
        self.assertFalse(may_patch)
        self.bundle(cli, OLD)
        self.assertEqual(phone.read(), ["bundle_update", "bundle_id"])
        self.assertEqual(far.read(), ["bundle_update"])
        self.bundle(cli, NEW)
        self.assertEqual((phone.read(), phone.code), (["bundle_patch"], NEW))
        self.assertEqual((far.read(), far.code), (["bundle_update"], NEW))


class Moving(VersionsCase):
    """The session is a's. When a stops it moves to b, where most of the phones are."""

    def stage(self, a: ClusterRelay, b: ClusterRelay, c: ClusterRelay) -> None:
        self.turn(5)
        self.connect(a, "mobile")
        self.near, *_ = (self.connect(b, "mobile") for _ in range(3))
        self.far = self.phone(c)
        self.cli, self.may_patch = self.connect_cli(c)

    def test_to_a_relay_that_takes_no_patches(self) -> None:
        a, b, c = self.current("a"), self.earlier("b"), self.current("c")
        self.stage(a, b, c)
        cli, far = self.cli, self.far
        self.assertTrue(self.may_patch)
        self.bundle(cli, OLD)
        self.moves(a, "b")
        self.assertTrue(self.is_closed_for_it(cli))
        cli.answer_close()
        self.near.received(), far.read()
        cli, may_patch = self.connect_cli(c)
        self.assertFalse(may_patch)
        self.bundle(cli, NEW)
        self.assertEqual(code_of(self.near.received()), [NEW])
        self.assertEqual((far.read(), far.code), (["bundle_update"], NEW))

    def test_a_cli_that_was_offered_none_notices_nothing(self) -> None:
        a, b, c = self.earlier("a"), self.earlier("b"), self.current("c")
        self.stage(a, b, c)
        self.assertFalse(self.may_patch)
        self.moves(a, "b")
        self.far.read()
        self.bundle(self.cli, NEW)
        self.assertEqual((self.far.read(), self.far.code), (["bundle_update"], NEW))
        self.assertIsNone(self.closed(self.cli))

    def test_to_a_relay_that_takes_patches(self) -> None:
        a, b, c = self.earlier("a"), self.current("b"), self.current("c")
        self.stage(a, b, c)
        cli, far = self.cli, self.far
        self.bundle(cli, OLD)
        self.moves(a, "b")
        far.read()
        self.bundle(cli, NEW)
        self.assertEqual((far.read(), far.code), (["bundle_update", "bundle_id"], NEW))
        self.bundle(cli, NEWER)
        self.assertEqual((far.read(), far.code), (["bundle_patch"], NEWER))
        self.assertIsNone(self.closed(cli))

    def test_what_is_said_of_a_phone_that_comes_along(self) -> None:
        row = MigratingClient("c", Role.MOBILE, Device("d1", None, None, 5, patch=True)).to_json()
        device: Any = row["device"]
        self.assertEqual(set(device), DEVICE_FIELDS)
