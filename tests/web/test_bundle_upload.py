"""`apptuner_relay.web.bundle_upload`: what phones get of an upload, how it is answered, and what
becomes of it whatever happens."""

import gzip
from typing import Any

from apptuner_relay.config.origins import Origins
from apptuner_relay.session.session import Role
from apptuner_relay.web.bundle_upload import RECEIPT_S
from apptuner_relay.web.site import make_site
from tests.log_capture import capture_log
from tests.memory import Client, Relay
from tests.spool.cases import SlowCase, Spooled, sha256, some_code
from tests.web.http import REMOTE
from tests.web.uploading import Uploader

SECRET = "a-secret-of-these-tests"
CODE = some_code(3000)


class UploadCase(Spooled):
    def setUp(self) -> None:
        super().setUp()
        self.site = make_site(self.relay.service)
        self.site.startFactory()

    def upload(self, length: int | None = None, **more: Any) -> Uploader:
        return Uploader(self.site, length, **more)

    def push(self, code: str = CODE, **more: Any) -> Uploader:
        """Upload a whole bundle."""
        body = code.encode()
        one = self.upload(len(body), **more)
        one.send(body)
        self.relay.clock.advance(0)
        return one

    def got(self, client: Client) -> list[str]:
        """The codes of the bundles that a client has got since the last call."""
        messages = client.received()
        return [one["payload"]["code"] for one in messages if one["type"] == "bundle_update"]

    @property
    def uploads(self) -> list[Any]:
        return [one for one in self.relay.service.clients if one.role is Role.UPLOAD]

    def counted(self, result: str) -> int:
        return self.relay.service.meters.counters.uploads[result]


class PassingOn(UploadCase):
    def test_phones_get_it_as_it_comes(self) -> None:
        phone = self.connect("mobile")
        one = self.upload()
        one.send(b"x" * 40_000)
        self.relay.wait(1)
        phone.read()
        self.assertGreater(sum(len(payload) for _, _, payload in phone.frames), 30_000)
        one.send(b"y" * 10)
        one.end()
        self.relay.clock.advance(0)
        self.assertEqual(self.got(phone), ["x" * 40_000 + "y" * 10])

    def test_the_answer(self) -> None:
        phones = [self.connect("mobile"), self.connect("mobile")]
        one = self.push()
        url = f"/bundles/ABC234/{sha256(CODE)}"
        self.assertEqual(one.status, 201)
        self.assertEqual(
            one.found,
            {"sha256": sha256(CODE), "size": len(CODE.encode()), "phones": 2, "url": url},
        )
        assert one.answer is not None
        self.assertEqual(one.answer.headers["location"], url)
        self.assertEqual([self.got(phone) for phone in phones], [[CODE], [CODE]])
        self.relay.clock.advance(0)
        self.assertEqual(self.uploads, [])
        self.assertEqual(self.counted("201"), 1)

    def test_it_is_kept_for_phones_that_come_later(self) -> None:
        self.push()
        self.assertEqual(self.got(self.connect("mobile")), [CODE])

    def test_a_phone_that_comes_in_the_middle_gets_all_of_it(self) -> None:
        one = self.upload()
        one.send(b"x" * 70_000)
        phone = self.connect("mobile")
        one.send(b"y")
        one.end()
        self.relay.clock.advance(0)
        self.assertEqual(self.got(phone), ["x" * 70_000 + "y"])
        self.assertEqual(one.status, 201)

    def test_any_pieces_and_codings(self) -> None:
        phone = self.connect("mobile")
        body = gzip.compress(CODE.encode())
        for size in (1, 7, 1000):
            one = self.upload(Content_Encoding="gzip")
            for at in range(0, len(body), size):
                one.send(body[at : at + size])
            one.end()
            self.relay.clock.advance(0)
            self.assertEqual(self.got(phone), [CODE])
            self.assertEqual(one.status, 201)

    def test_another_request_may_follow_on_the_connection(self) -> None:
        one = self.push()
        one.transport.clear()
        one.channel.dataReceived(b"GET /live HTTP/1.1\r\nHost: relay\r\n\r\n")
        self.assertEqual(one.status, 200)

    def test_nobody_hears_of_it_and_it_hears_of_nobody(self) -> None:
        cli, page, phone = self.connect("cli"), self.connect("dashboard"), self.connect("mobile")
        for client in (cli, page, phone):
            client.received()
        one = self.upload(10)
        phone.send(type="console_log", payload={"level": "log", "args": ["x"]})
        self.connect("mobile").lose()
        one.send(b"0123456789")
        self.relay.clock.advance(0)
        self.assertEqual(one.status, 201)
        self.assertEqual(phone.types(), ["bundle_update"])
        for client in (cli, page):
            self.assertNotIn("cli_disconnected", client.types())

    def test_a_cli_stays_and_sends_the_next_one(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        one = self.upload(4)
        one.send(b"1234")
        self.bundle(cli, "next")
        self.relay.clock.advance(0)
        self.assertEqual(one.status, 201)
        self.assertEqual(self.got(phone), ["1234", "next"])

    def test_a_bundle_that_began_later_takes_its_place(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        one = self.upload()
        one.send(b"x" * 1000)
        self.bundle(cli, "next")
        one.end()
        self.relay.clock.advance(0)
        self.assertEqual(one.status, 409)
        self.assertEqual(one.found["sha256"], sha256("x" * 1000))
        self.assertEqual(self.got(phone)[-1], "next")
        self.assertEqual(self.got(self.connect("mobile", "replay=1")), ["next"])


class ComingIn(UploadCase):
    def test_what_is_refused_at_once(self) -> None:
        for status, length, more in (
            (400, 10, {"path": "/bundles/a.b"}),
            (400, 10, {"path": "/bundles/"}),
            (404, 10, {"path": "/bundles/ABC234/x"}),
            (400, 0, {}),
            (400, 10, {"Content_Range": "bytes 0-9/20"}),
            (400, 10, {"Authorization": "Bearer short"}),
            (413, 10**9, {}),
            (415, 10, {"Content_Encoding": "br"}),
        ):
            with self.subTest(status=status, more=more):
                one = self.upload(length, Expect="100-continue", **more)
                self.assertEqual(one.status, status)
                self.assertFalse(one.is_asked_for_body)
                self.assertTrue(one.found["error"])
                self.assertEqual(self.counted(str(status)) > 0, True)
        self.assertEqual(self.uploads, [])

    def test_the_body_is_asked_for_once_it_may_come(self) -> None:
        one = self.upload(10, Expect="100-continue")
        self.assertTrue(one.is_asked_for_body)
        one.send(b"0123456789")
        self.relay.clock.advance(0)
        self.assertEqual(one.status, 201)

    def test_a_secret_claims(self) -> None:
        self.assertEqual(self.push(Authorization=f"Bearer {SECRET}").status, 201)
        self.assertEqual(self.push().status, 401)
        self.assertEqual(self.push(Authorization=f"Bearer {SECRET}-not").status, 403)
        self.assertEqual(self.push(Authorization=f"Bearer {SECRET}").status, 201)

    def test_a_cli_without_a_secret_is_not_locked_out(self) -> None:
        self.connect("cli")
        self.assertEqual(self.push(Authorization=f"Bearer {SECRET}").status, 409)
        self.assertEqual(self.push().status, 201)

    def test_one_at_a_time(self) -> None:
        first = self.upload(4)
        first.send(b"12")
        self.assertEqual(self.push().status, 409)
        event = self.relay.service.meters.events.rows()[0]
        self.assertEqual((event["kind"], event["level"]), ("refused", "notice"))
        self.assertRegex(str(event["text"]), "^upload from .* with 409: Another upload")
        first.send(b"34")
        self.relay.clock.advance(0)
        self.assertEqual(first.status, 201)
        self.assertEqual(self.push().status, 201)

    def test_a_relay_that_stops(self) -> None:
        self.relay.service.stopService()
        one = self.push()
        self.assertEqual(one.status, 503)
        assert one.answer is not None
        self.assertIn("retry-after", one.answer.headers)

    def test_no_websocket_has_this_role(self) -> None:
        self.assertEqual(Client(self.relay.service, "/upload/ABC234").status, 404)


class Pages(UploadCase):
    settings = {"allowed_origin": Origins.parse("https://dashboard.example.com")}

    def test_preflight(self) -> None:
        one = self.upload(0, method="OPTIONS", Origin="https://dashboard.example.com")
        assert one.answer is not None
        self.assertEqual(one.status, 204)
        self.assertEqual(one.answer.headers["access-control-allow-methods"], "GET, HEAD, PUT")
        self.assertEqual(
            self.upload(0, method="OPTIONS", Origin="https://evil.example").status, 403
        )

    def test_uploads(self) -> None:
        one = self.push(Origin="https://dashboard.example.com")
        assert one.answer is not None
        self.assertEqual(
            one.answer.headers["access-control-allow-origin"], "https://dashboard.example.com"
        )
        self.assertEqual(one.status, 201)
        self.assertEqual(self.push(Origin="https://evil.example").status, 403)


class Limits(UploadCase):
    settings = {"connect_rate": 1, "failed_joins": 1}

    def test_of_an_address(self) -> None:
        first, second = self.push(peer=REMOTE), self.push(peer=REMOTE)
        self.assertEqual((first.status, second.status), (201, 429))
        assert second.answer is not None
        self.assertIn("retry-after", second.answer.headers)
        self.assertIn("--connect-rate", second.found["error"])


class GoingWrong(UploadCase):
    settings = {"stall_timeout": 30.0, "max_message": 100_000}

    def setUp(self) -> None:
        super().setUp()
        self.phone = self.connect("mobile")

    def assertCut(self) -> None:
        """The phone, which has a part, is closed."""
        self.phone.read()
        assert self.phone.closed is not None
        self.assertEqual(self.phone.closed[0], 1011)
        self.relay.clock.advance(0)
        self.assertEqual(self.uploads, [])

    def begin(self, length: int | None = None, **more: Any) -> Uploader:
        """An upload of which the phone has a part."""
        one = self.upload(length, **more)
        one.send(b"x" * 70_000)
        self.relay.wait(1)
        return one

    def test_its_client_is_lost(self) -> None:
        lines = capture_log(self)
        self.begin().lose()
        self.assertCut()
        self.assertEqual(self.counted("lost"), 1)
        self.assertTrue(any("upload was cut short" in line for line in lines))

    def test_its_client_stops(self) -> None:
        one = self.begin()
        self.relay.wait(31)
        self.assertEqual(one.status, 408)
        self.assertCut()

    def test_no_body_at_all(self) -> None:
        one = self.upload(10)
        self.relay.wait(31)
        self.assertEqual(one.status, 408)
        self.relay.clock.advance(0)
        self.assertEqual(self.uploads, [])

    def test_it_is_no_text(self) -> None:
        one = self.begin()
        one.send(b"\xff")
        self.assertEqual(one.status, 400)
        self.assertCut()

    def test_it_is_too_long(self) -> None:
        one = self.begin()
        one.send(b"x" * 40_000)
        self.assertEqual(one.status, 413)
        self.assertCut()

    def test_the_operator_closes_its_session(self) -> None:
        one = self.begin()
        [session] = self.relay.service.sessions.values()
        self.relay.service.registry.close_session(session, "closed by the operator")
        self.assertEqual(one.status, 409)
        self.assertEqual(one.found["error"], "closed by the operator")

    def test_the_disk_fails(self) -> None:
        one = self.upload()
        self.disk.error = OSError(5, "I/O error")
        one.send(b"x" * 1000)
        one.end()
        self.relay.clock.advance(0)
        self.assertEqual(one.status, 507)
        self.assertEqual(one.found["phones"], 1)
        self.assertEqual(self.got(self.phone), ["x" * 1000])

    def test_no_receipt_comes(self) -> None:
        self.patch(self.disk, "append", lambda *arguments: None)
        one = self.push("x" * 1000)
        self.assertIsNone(one.status)
        self.relay.wait(RECEIPT_S + 1)
        self.assertEqual(one.status, 503)


class Unspooled(UploadCase):
    def setUp(self) -> None:
        super().setUp()
        self.relay.service.stopService()
        self.relay = Relay()
        self.site = make_site(self.relay.service)
        self.site.startFactory()

    def test_it_goes_to_the_phones(self) -> None:
        phone = self.connect("mobile")
        one = self.push()
        self.assertEqual(one.status, 507)
        self.assertEqual(one.found["phones"], 1)
        self.assertEqual(self.got(phone), [CODE])
        self.assertEqual(self.push().status, 507)

    def test_nobody_is_there(self) -> None:
        one = self.push()
        self.assertEqual((one.status, one.found["phones"]), (507, 0))


class Stopping(UploadCase):
    def test_one_that_is_under_way_arrives(self) -> None:
        phone = self.connect("mobile")
        one = self.upload()
        one.send(b"x" * 1000)
        self.relay.service.stopService()
        self.relay.wait(2)
        one.send(b"y")
        one.end()
        self.relay.wait(2)
        self.assertEqual(one.status, 201)
        self.assertEqual(self.got(phone), ["x" * 1000 + "y"])

    def test_one_that_has_not_begun_is_sent_away(self) -> None:
        one = self.upload(10)
        self.relay.service.stopService()
        self.relay.wait(2)
        self.assertEqual(one.status, 503)


class Holding(SlowCase, UploadCase):
    def test_it_is_not_read_while_the_disk_is_behind(self) -> None:
        one = self.upload(200_000)
        self.disk.backlog_bytes = 10**9
        one.send(b"x" * 100_000)
        held = not one.is_read
        self.disk.backlog_bytes = 0
        for call in self.disk.calls:
            call()
        self.relay.wait(1)
        one.send(b"x" * 100_000)
        self.relay.wait(1)
        self.assertTrue(held)
        self.assertEqual(one.status, 201)
        self.assertEqual(self.got(self.quick), ["x" * 200_000])
