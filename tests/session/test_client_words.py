"""`apptuner_relay.session.client_words`: how the log describes a client."""

import dataclasses
from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.session.client_url import AGENT_CHARACTERS, parse_device, read_agent
from apptuner_relay.session.client_words import ClientWords, client_fields
from apptuner_relay.session.session import Admission, BadRequest, Role

CLI = Admission(Role.CLI, "00" * 32, None, "/bundles/x")


def phone(query: str, agent: str | None = None) -> Admission:
    device = parse_device(query, "fallback", 0)
    return dataclasses.replace(CLI, role=Role.MOBILE, device=device, agent=read_agent(query, agent))


class Words(SynchronousTestCase):
    def test_a_phone(self) -> None:
        one = phone("deviceId=5f2b&name=Pixel+9&platform=android", "okhttp/4.9.0")
        self.assertEqual(str(ClientWords(one)), '; "Pixel 9", android, 5f2b; okhttp/4.9.0')
        self.assertEqual(
            client_fields(one),
            {"deviceId": "5f2b", "name": "Pixel 9", "platform": "android", "agent": "okhttp/4.9.0"},
        )

    def test_one_that_says_nothing(self) -> None:
        self.assertEqual(str(ClientWords(phone(""))), "; fallback")
        self.assertEqual(str(ClientWords(CLI)), "")
        self.assertEqual(client_fields(CLI), {})

    def test_a_name_ends_where_it_ends(self) -> None:
        shown = str(ClientWords(phone('name=a"; b&deviceId=d1')))
        self.assertEqual(shown, '; "a\'; b", d1')

    def test_the_query_wins(self) -> None:
        self.assertEqual(read_agent("agent=kit/1.0", "Mozilla/5.0"), "kit/1.0")
        self.assertEqual(read_agent("agent=", "Mozilla/5.0"), "Mozilla/5.0")
        self.assertEqual(read_agent("name=x", None), None)

    def test_too_many_fields(self) -> None:
        with self.assertRaises(BadRequest):
            read_agent("agent=x&" * 40, None)

    @given(st.text())
    def test_an_agent_is_short_printable_and_in_one_line(self, header: str) -> None:
        agent = read_agent("", header)
        if agent is not None:
            self.assertTrue(agent.isascii() and agent.isprintable())
            self.assertTrue(0 < len(agent) <= AGENT_CHARACTERS)
            self.assertEqual(agent, agent.strip())

    @given(st.text(), st.text())
    def test_words_are_printable(self, name: str, agent: str) -> None:
        one = phone(urlencode({"name": name}), agent)
        self.assertTrue(str(ClientWords(one)).isprintable())
