"""Asks the relay for one session: by its API, or, where that is older, by what it has instead."""

from __future__ import annotations

from time import time as wall_s
from typing import Any
from urllib.parse import quote

from apptuner_relay.access.tokens import expiry_of
from apptuner_relay.client.address import Relay
from apptuner_relay.client.credentials import authorization
from apptuner_relay.client.doctor.dialing import Door
from apptuner_relay.client.doctor.finding import Finding, skipped, warned
from apptuner_relay.client.doctor.http_answer import HttpAnswer
from apptuner_relay.client.doctor.http_probe import HttpQuestion, NoAnswerError, ask
from apptuner_relay.client.doctor.judge_older import (
    ONE_PAGE,
    UNKNOWN_HERE,
    judge_bundle_head,
    judge_devices,
    judge_missing_state,
    judge_refused_page,
    lets_pages_in,
)
from apptuner_relay.client.doctor.judge_session import (
    judge_nobody,
    judge_refused_state,
    judge_session,
)
from apptuner_relay.client.doctor.judge_token import judge_token
from apptuner_relay.client.doctor.probe_client import NotLetInError, ProbeClient
from apptuner_relay.client.doctor.session_report import read_session
from apptuner_relay.client.doctor.time_limit import TimeLimit
from apptuner_relay.client.member_connection import Target
from apptuner_relay.session.session import session_hash

STATE_PATH = "/session/state"
SESSION_FIELD = "AppTuner-Session"
STATE_S = 3.0
PAGE_S = 2.0
LIST_S = 0.5
"""For a page's first messages: they come at once, or not at all."""

_UNKNOWN_PATH = "Not found"
"""What relays answer to a path that they don't know."""


class SessionVisit:
    """Looks at a session without taking anybody's place in it.

    :param health: the relay's answer to ``/health``.
    """

    def __init__(
        self,
        reactor: Any,
        limit: TimeLimit,
        relay: Relay,
        session: str,
        door: Door,
        health: HttpAnswer,
    ) -> None:
        self._reactor = reactor
        self._limit = limit
        self._relay = relay
        self._session = session
        self._door = door
        self._may_join = lets_pages_in(health)
        self.page = ProbeClient(
            # Without a secret: one that is shown to an unclaimed session would claim it.
            reactor,
            limit,
            Target(relay, "dashboard", session),
            door.endpoint(reactor, PAGE_S),
        )
        """Joins only where the relay has no other way to tell who is there."""
        self.otherwise = UNKNOWN_HERE
        """What to say of the checks of which nothing was found."""

    async def look(self, key: str | None, token: str | None) -> list[Finding]:
        """What can be known of it."""
        fields = {SESSION_FIELD: session_hash(self._session), **authorization(key)}
        try:
            answer = await self._ask("GET", STATE_PATH, fields)
        except NoAnswerError as silence:
            return [
                warned(
                    "session",
                    f"the relay does not say who is there: {silence.words or 'no answer'}",
                    "Another relay may have the session, and not be reached: "
                    "`apptuner-relay nodes` shows them.",
                )
            ]
        value = answer.json
        if answer.status == 200 and value is not None:
            return judge_session(self._session, str(self._relay), read_session(value))
        if answer.status == 404 and answer.error not in ("", _UNKNOWN_PATH):
            self.otherwise = "not checked, as nobody is there"
            return [judge_nobody(self._session, str(self._relay))]
        if answer.status in (404, 405):
            return await self._look_at_older(answer, token or key)
        if answer.status in (401, 403):
            self.otherwise = "the relay tells it to those who show the secret"
        return [judge_refused_state(self._session, answer)]

    async def check_token(self, token: str, ahead_s: float) -> Finding:
        """Whether the relay takes a join token. Its clock is so far ahead of this machine's."""
        try:
            answer = await self._ask("HEAD", self._bundle_path, authorization(token))
        except NoAnswerError:
            answer = None
        return judge_token(expiry_of(token) or 0, wall_s() + ahead_s, answer)

    @property
    def _bundle_path(self) -> str:
        return f"/bundles/{quote(self._session, safe='')}"

    async def _look_at_older(self, refusal: HttpAnswer, credential: str | None) -> list[Finding]:
        """What a relay tells that has no such path, or a proxy that lets no such path through."""
        findings = [judge_missing_state(refusal), skipped("bundle", UNKNOWN_HERE)]
        findings.append(skipped("clients", UNKNOWN_HERE))
        try:
            answer = await self._ask("HEAD", self._bundle_path, authorization(credential))
        except NoAnswerError as silence:
            # A relay waits for a bundle that is on its way.
            words = silence.words or "no answer in time"
            findings.append(skipped("kept", f"the relay does not say: {words}"))
        else:
            findings.append(judge_bundle_head(answer))
        return findings + await self._look_as_page()

    async def _look_as_page(self) -> list[Finding]:
        """Join as a dashboard, where pages are connected side by side: nobody but the relay
        notices."""
        if not self._may_join:
            return [skipped("claim", ONE_PAGE), skipped("phones", ONE_PAGE)]
        page = self.page
        try:
            await page.join(PAGE_S)
        except NotLetInError as refused:
            if refused.answer is None:
                return [skipped("claim", UNKNOWN_HERE)]
            return [judge_refused_page(refused.answer.status, refused.words)]
        listed = await page.next_of("device_list", LIST_S)
        await page.leave()
        devices = (listed or {}).get("devices")
        return judge_devices(devices if isinstance(devices, list) else [], str(self._relay))

    async def _ask(self, method: str, path: str, fields: dict[str, str]) -> HttpAnswer:
        question = HttpQuestion.of(self._relay, path, method, fields)
        endpoint = self._door.endpoint(self._reactor, STATE_S)
        heard = await ask(self._reactor, self._limit, endpoint, question, STATE_S)
        return heard.answer
