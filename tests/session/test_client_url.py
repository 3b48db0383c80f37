"""`apptuner_relay.session.client_url`: what a URL says of a client."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.session.client_url import (
    BadRequest,
    asks_for_patches,
    check_session_id,
    parse_device,
    parse_path,
)
from apptuner_relay.session.roles import Device, Role


class Parsing(SynchronousTestCase):
    def test_patches_are_asked_for(self) -> None:
        self.assertEqual(
            [parse_device(query, "f", 1).patch for query in ("patch=1", "patch=yes", "")],
            [True, False, False],
        )

    def test_a_cli_asks_whether_it_may_send_patches(self) -> None:
        queries = ("patch=1", "key=x&patch=1", "patch=0", "patch", "")
        self.assertEqual(
            [asks_for_patches(query) for query in queries], [True, True, False, False, False]
        )
        with self.assertRaises(BadRequest):
            asks_for_patches("&".join(f"x{number}=1" for number in range(40)))

    def test_paths(self) -> None:
        self.assertEqual(parse_path("/cli/ABC234"), (Role.CLI, "ABC234"))
        self.assertEqual(parse_path("/mobile/a-b_C"), (Role.MOBILE, "a-b_C"))
        for path, status in [
            ("/", 404),
            ("/admin/ABC234", 404),
            ("/CLI/ABC234", 404),
            ("/cli", 400),
            ("/cli/", 400),
            ("/cli/a b", 400),
            ("/cli/ABC/234", 400),
            ("/cli/" + "A" * 65, 400),
            ("/cli/ABC%32", 400),
            ("/cli/ABC\n", 400),
        ]:
            with self.assertRaises(BadRequest) as caught:
                parse_path(path)
            self.assertEqual(caught.exception.status, status, path)

    def test_longest_session_id(self) -> None:
        self.assertEqual(check_session_id("A" * 64), "A" * 64)

    def test_device(self) -> None:
        device = parse_device("deviceId=x%3A1&name=My%20phone&platform=android", "made", 7)
        self.assertEqual(device, Device("x:1", "My phone", "android", 7))
        self.assertEqual(parse_device("", "made", 7), Device("made", None, None, 7))
        self.assertEqual(parse_device("model=Pixel+9", "made", 7).name, "Pixel 9")

    def test_name_is_cleaned(self) -> None:
        self.assertEqual(parse_device("name=a%1b%5B31mb%0Ac", "x", 0).name, "a[31mbc")
        self.assertEqual(len(parse_device("name=" + "n" * 500, "x", 0).name or ""), 64)
        self.assertIsNone(parse_device("name=%00%20", "x", 0).name)

    def test_bad_device(self) -> None:
        for query in ("deviceId=a%20b", "deviceId=" + "x" * 65, "platform=symbian", "a=1&" * 40):
            with self.assertRaises(BadRequest) as caught:
                parse_device(query, "x", 0)
            self.assertEqual(caught.exception.status, 400)

    @given(st.text(max_size=200))
    def test_any_query_is_read_or_refused(self, query: str) -> None:
        try:
            device = parse_device(query, "x", 0)
        except BadRequest as refusal:
            self.assertEqual(refusal.status, 400)
        else:
            self.assertTrue(device.name is None or device.name.isprintable())
