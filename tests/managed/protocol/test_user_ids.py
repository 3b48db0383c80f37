"""`managed.protocol.user_ids`: who is in a channel, and that nothing that comes by way of a
service makes a relay fail."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.protocol.user_ids import (
    MOST_INFO_BYTES,
    MOST_USER_ID_CHARACTERS,
    BadMember,
    MemberInfo,
    UserId,
    device_from,
    is_of_relay,
    make_channel_data,
    new_tag,
    parse_channel_data,
    parse_info,
    parse_user_id,
)
from apptuner_relay.session.roles import Device, Role

TAG = "9f2c00112233"
SHA256 = "9f86d081" * 8
PHONE = UserId(Role.MOBILE, TAG, "pixel-9")
FULL = MemberInfo(
    since_ms=1764412800000,
    name="Pixel 9",
    platform="android",
    have=SHA256,
    authorized=True,
    tokens=True,
    proof="A" * 43,
)

# What a parser of JSON gives.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


class UserIds(SynchronousTestCase):
    def test_what_is_written_is_read(self) -> None:
        for user_id, text in (
            (PHONE, f"mobile:{TAG}:pixel-9"),
            (UserId(Role.MOBILE, TAG, "a:b.c_d-E"), f"mobile:{TAG}:a:b.c_d-E"),
            (UserId(Role.CLI, TAG, ""), f"cli:{TAG}:"),
            (UserId(None, TAG, "relay-1"), f"relay:{TAG}:relay-1"),
        ):
            self.assertEqual(str(user_id), text)
            self.assertEqual(parse_user_id(text), user_id)
            self.assertEqual(user_id.is_relay, user_id.role is None)
            self.assertEqual(is_of_relay(text), user_id.role is None)

    def test_what_no_relay_writes(self) -> None:
        for text in (
            "",
            "10",
            f"mobile:{TAG}",
            f"mobile:{TAG}:",
            f"relay:{TAG}:",
            f"cli:{TAG}:x",
            f"phone:{TAG}:x",
            f"Mobile:{TAG}:x",
            f"mobile:{TAG[1:]}:x",
            f"mobile:{TAG.upper()}:x",
            f"mobile:{TAG}:a b",
            f"mobile:{TAG}:a\n",
            f"mobile:{TAG}:" + "x" * 65,
            f" mobile:{TAG}:x",
        ):
            with self.assertRaises(BadMember, msg=text):
                parse_user_id(text)

    def test_the_longest_fits(self) -> None:
        longest = str(UserId(Role.DASHBOARD, TAG, "x" * 64))
        self.assertLessEqual(len(longest), MOST_USER_ID_CHARACTERS)

    def test_tags_are_new(self) -> None:
        tags = {new_tag() for _ in range(20)}
        self.assertEqual(len(tags), 20)
        for tag in tags:
            self.assertEqual(parse_user_id(f"cli:{tag}:").tag, tag)


class Infos(SynchronousTestCase):
    def test_what_is_written_is_read(self) -> None:
        for info in (FULL, MemberInfo(since_ms=0)):
            written = json.loads(json.dumps(info.to_dict()))
            self.assertEqual(parse_info(written), info)

    def test_what_is_not_known_is_not_written(self) -> None:
        self.assertEqual(
            MemberInfo(since_ms=7).to_dict(), {"name": None, "platform": None, "since": 7}
        )

    def test_fields_of_a_newer_relay_are_ignored(self) -> None:
        self.assertEqual(parse_info({"since": 7, "new": [1]}), MemberInfo(since_ms=7))

    def test_what_no_relay_writes(self) -> None:
        for wrong in (
            {"since": None},
            {"since": -1},
            {"since": True},
            {"since": 1.5},
            {"since": "7"},
            {"since": 2**53},
            {"name": ""},
            {"name": "x" * 65},
            {"name": "a\nb"},
            {"name": 7},
            {"platform": "symbian"},
            {"platform": []},
            {"have": SHA256.upper()},
            {"have": ""},
            {"authorized": 1},
            {"tokens": "true"},
            {"proof": "a b"},
            {"proof": ""},
            {"proof": {}},
        ):
            with self.assertRaises(BadMember, msg=str(wrong)):
                parse_info({"since": 7, **wrong})

    @given(
        st.dictionaries(
            st.sampled_from(
                ["since", "name", "platform", "have", "authorized", "tokens", "proof", "x"]
            ),
            JSON,
        )
    )
    def test_anything_is_an_info_or_an_error(self, info: dict[str, Any]) -> None:
        try:
            read = parse_info(info)
        except BadMember:
            return
        self.assertEqual(parse_info(read.to_dict()), read)


class ChannelData(SynchronousTestCase):
    def test_what_is_written_is_read(self) -> None:
        text = make_channel_data(PHONE, FULL)
        self.assertEqual(json.loads(text)["user_id"], f"mobile:{TAG}:pixel-9")
        self.assertEqual(parse_channel_data(text), (PHONE, FULL))

    def test_the_longest_that_clients_may_say_fits(self) -> None:
        info = MemberInfo(
            since_ms=2**53 - 1,
            name="\U0001f600" * 64,
            platform="android",
            have=SHA256,
            authorized=True,
            tokens=True,
            proof="A" * 43,
        )
        text = make_channel_data(UserId(Role.MOBILE, TAG, "x" * 64), info)
        info_bytes = len(json.dumps(json.loads(text)["user_info"], ensure_ascii=False).encode())
        self.assertLess(info_bytes, MOST_INFO_BYTES)

    def test_what_no_relay_reads_is_not_written(self) -> None:
        with self.assertRaises(BadMember):
            make_channel_data(PHONE, MemberInfo(since_ms=7, name="a\nb"))

    def test_what_no_relay_writes(self) -> None:
        for text in (
            "",
            "[]",
            "{",
            '{"user_id":10,"user_info":{"since":7}}',
            f'{{"user_id":"cli:{TAG}:"}}',
            f'{{"user_id":"cli:{TAG}:","user_info":null}}',
            f'{{"user_id":"cli:{TAG}:","user_info":{{"since":7,"x":"{"x" * 1024}"}}}}',
            f'{{"user_id":"cli:{TAG}:","user_info":{{"since":NaN}}}}',
            "\ud800",
            "[" * 5000,
        ):
            with self.assertRaises(BadMember, msg=text[:80]):
                parse_channel_data(text)

    @given(JSON)
    def test_anything_is_somebody_or_an_error(self, value: Any) -> None:
        for text in (json.dumps(value), json.dumps({"user_id": value, "user_info": value})):
            with self.assertRaises(BadMember):
                parse_channel_data(text)


class Devices(SynchronousTestCase):
    def test_a_phone_downloads_its_bundles(self) -> None:
        self.assertEqual(
            device_from(PHONE, FULL),
            Device("pixel-9", "Pixel 9", "android", 1764412800000, have=SHA256, announce=True),
        )

    def test_others_have_none(self) -> None:
        self.assertIsNone(device_from(UserId(Role.CLI, TAG, ""), FULL))
        self.assertIsNone(device_from(UserId(None, TAG, "relay-1"), FULL))
