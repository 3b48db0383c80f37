"""Uploads over HTTP to a relay that does not have their session, and to one that gives it away."""

from typing import Any

from apptuner_relay.wire.bundle_patch import PATCH_MEDIA_TYPE
from tests.cluster.harness import ClusterCase, ClusterRelay
from tests.memory import Client
from tests.memory_store import MemoryStore
from tests.relay.test_sent_patches import code_of, patch_text
from tests.spool.cases import sha256, some_code
from tests.spool.test_delivery_of_patches import NEW, OLD
from tests.web.uploading import Uploader

CODE = some_code(30_000)


class UploadCase(ClusterCase):
    """The session is a's; a phone is at each of both."""

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.relays("ab", MemoryStore)
        self.turn(5)
        self.phones = [self.connect(self.a, "mobile"), self.connect(self.b, "mobile")]
        self.assertEqual(self.owner, "a")

    def upload(self, relay: ClusterRelay, length: int | None = None, **more: Any) -> Uploader:
        one = Uploader(relay.site, length, **more)
        self.turn()
        return one

    def push(self, relay: ClusterRelay, code: str = CODE, **more: Any) -> Uploader:
        body = code.encode()
        one = self.upload(relay, len(body), **more)
        one.send(body)
        self.turn(1)
        return one

    def got(self, client: Client) -> list[str]:
        messages = client.received()
        return [one["payload"]["code"] for one in messages if one["type"] == "bundle_update"]


class BridgedTest(UploadCase):
    def test_to_the_phones_of_both(self) -> None:
        one = self.push(self.b)
        self.assertEqual(one.status, 201, one.transport.value())
        self.assertEqual(one.found["sha256"], sha256(CODE))
        self.assertEqual(one.found["phones"], 2)
        self.assertEqual([self.got(phone) for phone in self.phones], [[CODE], [CODE]])
        self.turn(1)
        self.assertEqual(self.b.placement.bridged_count, 1)

    def test_the_body_is_asked_for_once_its_place_is_found(self) -> None:
        one = Uploader(self.b.site, 3, Expect="100-continue")
        self.assertFalse(one.is_asked_for_body)
        self.turn()
        self.assertTrue(one.is_asked_for_body)
        one.send(b"abc")
        self.turn(1)
        self.assertEqual(one.status, 201)

    def test_a_body_that_comes_at_once_waits(self) -> None:
        one = Uploader(self.b.site, 3)
        one.send(b"abc")
        self.turn(1)
        self.assertEqual(one.status, 201)
        self.assertEqual(self.got(self.phones[0]), ["abc"])

    def test_a_client_that_leaves_before_its_place_is_found(self) -> None:
        one = Uploader(self.b.site, 3)
        one.lose()
        self.turn(1)
        self.assertEqual(self.b.placement.bridged_count, 1)
        self.assertEqual(self.push(self.b).status, 201)

    def test_what_the_owner_refuses(self) -> None:
        first = self.upload(self.a, 4)
        self.assertEqual(self.push(self.b).status, 409)
        first.send(b"1234")
        self.turn(1)
        self.assertEqual(first.status, 201)

    def test_its_client_is_lost(self) -> None:
        one = self.upload(self.b)
        one.send(b"x" * 70_000)
        self.turn(1)
        one.lose()
        self.turn(1)
        self.assertEqual([self.closed(phone) for phone in self.phones], [1011, 1011])

    def test_the_owner_is_lost_in_the_middle(self) -> None:
        one = self.upload(self.b)
        one.send(b"x" * 70_000)
        self.turn(1)
        self.cluster.kill(self.a)
        self.turn(1)
        one.send(b"y" * 10)
        self.turn(1)
        self.assertEqual(one.status, 503)
        self.assertIn("lost", one.found["error"])


class PatchedTest(UploadCase):
    def patch_up(self, relay: ClusterRelay) -> Uploader:
        text = patch_text(OLD, NEW)
        head = {"Content_Type": PATCH_MEDIA_TYPE, "If_Match": f'"{sha256(OLD)}"'}
        one = self.upload(relay, len(text), **head)
        one.send(text)
        self.turn(1)
        return one

    def test_at_a_relay_that_does_not_have_the_session(self) -> None:
        patching = self.connect(self.b, "mobile?patch=1")
        self.assertEqual(self.push(self.a, OLD).status, 201)
        self.turn(1)
        for client in (*self.phones, patching):
            client.received()
        one = self.patch_up(self.b)
        self.assertEqual((one.status, one.found.get("phones")), (201, 3), one.found)
        self.assertEqual(one.found["sha256"], sha256(NEW))
        self.assertEqual([code_of(phone.received()) for phone in self.phones], [[NEW], [NEW]])
        self.assertEqual(patching.types(), ["bundle_patch"])

    def test_what_is_kept_is_something_else(self) -> None:
        self.assertEqual(self.push(self.a, NEW).status, 201)
        for relay in (self.a, self.b):
            one = self.patch_up(relay)
            self.assertEqual((one.status, one.found["reason"]), (412, "base"))
            self.turn(1)


class MovingTest(UploadCase):
    def test_one_that_has_not_begun_goes_along(self) -> None:
        one = self.upload(self.a, 3)
        self.a.stop()
        self.turn(3)
        if one.status is None:
            one.send(b"abc")
            self.turn(2)
        # It was taken along, or may come back at once.
        self.assertIn(one.status, (201, 503))

    def test_one_that_is_under_way_arrives_first(self) -> None:
        one = self.upload(self.a)
        one.send(b"x" * 70_000)
        self.turn(0.5)
        self.a.stop()
        self.turn(1)
        one.send(b"y")
        one.end()
        self.turn(3)
        self.assertEqual(one.status, 201)
        self.assertEqual(self.owner, "b")
        self.assertEqual(self.got(self.phones[1]), ["x" * 70_000 + "y"])
