"""All checks in their order: what is looked at when, and what can't be when something failed.

It says what it finds as soon as it knows. It ends in bounded time whatever hangs, and leaves
nobody disturbed: what it sends goes through a session of its own, with an id that nobody guesses.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from time import time as wall_s
from typing import Any

from twisted.internet.defer import CancelledError

from apptuner_relay.client.address import Relay
from apptuner_relay.client.bundles import ReadBundle
from apptuner_relay.client.doctor import judge_pace, judge_tls, judge_upgrade
from apptuner_relay.client.doctor.channel_probe import check_service, judge_relays_service
from apptuner_relay.client.doctor.dialing import Door, dial, look_up
from apptuner_relay.client.doctor.finding import TITLES, CheckState, Finding, skipped
from apptuner_relay.client.doctor.http_answer import HttpAnswer
from apptuner_relay.client.doctor.http_probe import HeardAnswer, HttpQuestion, NoAnswerError, ask
from apptuner_relay.client.doctor.judge_http import HttpProblem, judge_health, judge_silence
from apptuner_relay.client.doctor.judge_session import SESSION_CHECKS
from apptuner_relay.client.doctor.judge_way import judge_dials, judge_names
from apptuner_relay.client.doctor.probe_client import NotLetInError, ProbeClient
from apptuner_relay.client.doctor.session_visit import SessionVisit
from apptuner_relay.client.doctor.time_limit import OutOfTimeError, TimeLimit
from apptuner_relay.client.doctor.tls_probe import date_of, shake_hands
from apptuner_relay.client.member_connection import Target
from apptuner_relay.config.managed_url import ManagedUrl, ServiceHost
from apptuner_relay.support.clocks import in_ms

TOTAL_S = 12.5
"""For all checks together, those of `--patient` not counted; the program needs a little itself."""

LOOKUP_S = 2.5
DIAL_S = 2.5
HANDSHAKE_S = 2.5
HTTP_S = 6.0
"""Longer: balancers that reach no relay try for a while before they say so."""
UPGRADE_S = 2.5
TRANSFER_S = 6.0
PONG_S = 2.0
SECOND_LOOK_S = 1.0
"""For finding out what else a port speaks."""

PINGS = 7
PINGS_GIVEN_UP = 2
"""So many pings without an answer end the asking."""

TRANSFER_BYTES = 100_000
PATIENCE_S = 65.0
"""With `--patient`: longer than the 60 s after which many proxies cut."""
PROGRESS_EVERY_S = 10.0

_DEVICE = "doctor"
_ANSWER = "doctor_answer"
"""The type of the message with which the phone answers; a relay passes on what it doesn't know."""


class NothingFurtherError(Exception):
    """What was found leaves nothing else to check; the text says what that was."""


@dataclass(frozen=True)
class Complaint:
    """What is to be looked into."""

    relay: Relay
    session: str | None = None
    key: str | None = None
    token: str | None = None
    managed: ManagedUrl | None = None
    patience_s: float = 0.0
    """How long to be silent, to see whether that is cut; 0 for not at all."""

    @property
    def plan(self) -> list[str]:
        """The checks, in their order."""
        names = ["dns", "tcp", "http", "websocket", "compression", "round_trip", "clock"]
        if self.relay.secure:
            names.insert(2, "tls")
        names.append("transfer")
        if self.patience_s:
            names.append("idle")
        if self.managed is not None:
            names.append("managed")
        if self.session is not None:
            names += [one for one in SESSION_CHECKS if one != "token" or self.token is not None]
        return names


class Examination:
    """One run of all checks.

    :param report: is told each finding, in the order of the plan.
    :param progress: is told what takes long.
    """

    def __init__(
        self,
        complaint: Complaint,
        reactor: Any,
        report: Callable[[Finding], None],
        progress: Callable[[str], None],
        total_s: float = TOTAL_S,
    ) -> None:
        self.findings: list[Finding] = []
        self._complaint = complaint
        self._relay = complaint.relay
        self._reactor = reactor
        self._report = report
        self._progress = progress
        self._limit = TimeLimit(reactor, total_s)
        self._left = complaint.plan
        self._clients: list[ProbeClient] = []
        self._service_state: object = None
        self._ahead_s = 0.0
        """How far the relay's clock is ahead of this machine's."""

    async def run(self) -> None:
        """Check everything. Cancelled, it says what it has not checked, and ends."""
        try:
            await self._examine()
        except NothingFurtherError as reason:
            self._skip(self._left, f"not checked, as {reason} failed")
        except OutOfTimeError:
            self._skip(self._left, "not checked, as the checks before took all the time")
        except CancelledError:
            self._skip(self._left, "not checked: interrupted")
        finally:
            for client in self._clients:
                client.drop()

    @property
    def never_connected(self) -> bool:
        """Whether there was no connection at all."""
        broken = {one.name for one in self.findings if one.state is CheckState.FAILED}
        return bool(broken & {"dns", "tcp"})

    async def _examine(self) -> None:
        door = await self._find_door()
        if self._relay.secure:
            await self._check_tls(door)
        heard = await self._check_http(door)
        await self._check_websocket(door, heard)
        if self._complaint.managed is not None:
            await self._check_service(self._complaint.managed)
        if self._complaint.session is not None:
            visit = SessionVisit(
                self._reactor,
                self._limit,
                self._relay,
                self._complaint.session,
                door,
                heard.answer,
            )
            self._clients.append(visit.page)
            findings = await visit.look(self._complaint.key, self._complaint.token)
            if self._complaint.token is not None:
                findings.append(await visit.check_token(self._complaint.token, self._ahead_s))
            self._find_all(list(self._left), findings, visit.otherwise)

    # The way to the relay.

    async def _find_door(self) -> Door:
        relay = self._relay
        looked_up = await look_up(self._reactor, self._limit, relay.host, relay.port, LOOKUP_S)
        self._found(judge_names(looked_up))
        if not looked_up.addresses:
            raise NothingFurtherError(TITLES["dns"])
        dials = await dial(self._reactor, self._limit, looked_up.addresses, relay.port, DIAL_S)
        self._found(judge_dials(relay.host, relay.port, dials))
        open_ones = [one.address for one in dials if one.problem is None]
        if not open_ones:
            raise NothingFurtherError(TITLES["tcp"])
        return Door(relay.host, open_ones[0], relay.port, relay.secure)

    async def _check_tls(self, door: Door) -> None:
        question = HttpQuestion.of(self._relay, "/health", "HEAD")
        now_s = wall_s()
        report = await shake_hands(self._reactor, self._limit, door, now_s, question, HANDSHAKE_S)
        if report.problem is not None and await self._speaks_http(door):
            report = judge_tls.HandshakeReport(door.host, problem=judge_tls.TlsProblem.PLAIN_HTTP)
        finding = judge_tls.judge_handshake(report, now_s)
        self._found(finding)
        if finding.state is CheckState.FAILED:
            raise NothingFurtherError(TITLES["tls"])

    async def _speaks_http(self, door: Door) -> bool:
        """Whether the port answers to plain HTTP."""
        question = HttpQuestion.of(self._relay, "/health")
        endpoint = door.plain_endpoint(self._reactor, SECOND_LOOK_S)
        try:
            await ask(self._reactor, self._limit, endpoint, question, SECOND_LOOK_S)
        except NoAnswerError:
            return False
        return True

    async def _speaks_tls(self, door: Door) -> bool:
        """Whether the port answers to a TLS handshake."""
        question = HttpQuestion.of(self._relay, "/health", "HEAD")
        report = await shake_hands(
            self._reactor, self._limit, door, wall_s(), question, SECOND_LOOK_S
        )
        return report.certificate is not None

    async def _check_http(self, door: Door) -> HeardAnswer:
        question = HttpQuestion.of(self._relay, "/health")
        endpoint = door.endpoint(self._reactor, HTTP_S)
        try:
            heard = await ask(self._reactor, self._limit, endpoint, question, HTTP_S)
        except NoAnswerError as silence:
            problem = silence.problem
            if not door.secure and problem is not HttpProblem.SILENT:
                is_tls = problem is HttpProblem.TLS or await self._speaks_tls(door)
                problem = HttpProblem.TLS if is_tls else problem
            self._found(judge_silence(problem, silence.took_s, silence.words))
            raise NothingFurtherError(TITLES["http"]) from None
        if heard.answer.status == 400 and not door.secure and await self._speaks_tls(door):
            self._found(judge_silence(HttpProblem.TLS, heard.took_s, ""))
            raise NothingFurtherError(TITLES["http"])
        self._found(judge_health(heard.answer, heard.took_s))
        self._service_state = (heard.answer.json or {}).get("managed")
        return heard

    # Over WebSockets, in a session of its own.

    async def _check_websocket(self, door: Door, heard: HeardAnswer) -> None:
        session = f"doctor-{secrets.token_urlsafe(24)}"
        cli = self._client(door, "cli", session)
        try:
            await cli.join(UPGRADE_S)
        except NotLetInError as refused:
            self._found(_judge_not_let_in(refused, heard.answer))
            why = f"not checked, as {TITLES['websocket']} failed"
            self._skip(("compression", "round_trip"), why)
            self._judge_clocks([], heard)
            self._skip(("transfer", "idle"), why)
            return
        assert cli.answer is not None
        self._found(judge_upgrade.judge_upgrade(cli.answer, cli.took_s))
        extensions = cli.answer.fields.get("sec-websocket-extensions", "")
        self._found(judge_upgrade.judge_compression(extensions))
        self._judge_clocks(await self._check_round_trips(cli), heard)
        await self._check_transfer(door, cli, session)
        if self._complaint.patience_s:
            await self._check_idle(cli, self._complaint.patience_s)
        await cli.leave()

    def _client(self, door: Door, role: str, session: str, **query: str) -> ProbeClient:
        target = Target(self._relay, role, session, query or None)
        endpoint = door.endpoint(self._reactor, UPGRADE_S)
        client = ProbeClient(self._reactor, self._limit, target, endpoint)
        self._clients.append(client)
        return client

    async def _check_round_trips(self, cli: ProbeClient) -> list[judge_pace.Pong]:
        pongs: list[judge_pace.Pong] = []
        asked = 0
        began_s = self._reactor.seconds()
        while asked < PINGS and asked - len(pongs) < PINGS_GIVEN_UP:
            asked += 1
            pong = await cli.ping(PONG_S)
            if pong is not None:
                pongs.append(pong)
        if pongs:
            self._found(judge_pace.judge_round_trips(pongs, asked))
        else:
            self._found(judge_pace.judge_no_pong(asked, self._reactor.seconds() - began_s))
        return pongs

    def _judge_clocks(self, pongs: list[judge_pace.Pong], heard: HeardAnswer) -> None:
        finding = judge_pace.judge_clock(pongs)
        if finding is None:
            date_s = date_of(heard.answer.fields.get("date", ""))
            if date_s is None:
                finding = skipped("clock", "nothing that was answered says the time")
            else:
                finding = judge_pace.judge_date(date_s, heard.received_s, heard.took_s)
        ahead_s = finding.figures.get("relay_ahead_s")
        self._ahead_s = ahead_s if isinstance(ahead_s, float) else 0.0
        self._found(finding)

    async def _check_transfer(self, door: Door, cli: ProbeClient, session: str) -> None:
        phone = self._client(
            door, "mobile", session, deviceId=_DEVICE, name="apptuner-relay doctor"
        )
        try:
            await phone.join(UPGRADE_S)
        except NotLetInError as refused:
            words = refused.words or "a phone is not let in"
            self._found(judge_pace.judge_cut_transfer(TRANSFER_BYTES, refused.took_s, words))
            return
        code = b64encode(secrets.token_bytes(TRANSFER_BYTES * 3 // 4)).decode()[:TRANSFER_BYTES]
        # What is for one phone is not cached: nothing stays behind on the relay's disk.
        messages = ReadBundle(code).messages(in_ms(wall_s()), _DEVICE)
        began_s = self._reactor.seconds()
        cli.stream(messages)
        message = await phone.next_of("bundle_update", TRANSFER_S)
        took_s = self._reactor.seconds() - began_s
        if message is None:
            ending = phone.ending or cli.ending
            words = "" if ending is None else str(ending)
            self._found(judge_pace.judge_cut_transfer(len(code), took_s, words))
        else:
            self._found(await self._compared(cli, phone, message, code, began_s, took_s))
        await phone.leave()

    async def _compared(
        self,
        cli: ProbeClient,
        phone: ProbeClient,
        message: dict[str, Any],
        code: str,
        began_s: float,
        took_s: float,
    ) -> Finding:
        payload = message.get("payload")
        came = payload.get("code") if isinstance(payload, dict) else None
        if came != code:
            size = len(came) if isinstance(came, str) else 0
            return judge_pace.judge_damage(len(code), size)
        # Not an acknowledgement: the operator's figures of reloads are to be those of real phones.
        phone.send(_ANSWER)
        is_told = await cli.next_of(_ANSWER, PONG_S) is not None
        answered_s = self._reactor.seconds() - began_s if is_told else None
        return judge_pace.judge_transfer(len(code), took_s, answered_s)

    async def _check_idle(self, cli: ProbeClient, patience_s: float) -> None:
        self._limit.extend(patience_s)
        began_s = self._reactor.seconds()
        while cli.ending is None:
            lasted_s = self._reactor.seconds() - began_s
            if lasted_s >= patience_s:
                break
            self._progress(
                f"silent for {lasted_s:.0f} of {patience_s:.0f} s; "
                f"pings of the relay: {len(cli.pings_since(began_s))}"
            )
            await cli.stay(min(PROGRESS_EVERY_S, patience_s - lasted_s))
        silence = judge_pace.Silence.of(
            self._reactor.seconds() - began_s, cli.pings_since(began_s), cli.ending
        )
        self._found(judge_pace.judge_silence_kept(silence))

    async def _check_service(self, managed: ManagedUrl) -> None:
        relay = self._relay
        own = ServiceHost(relay.host, relay.port, relay.secure, relay.prefix)
        finding = await check_service(self._reactor, self._limit, managed, own, UPGRADE_S)
        if finding.state is CheckState.OK:
            finding = judge_relays_service(self._service_state) or finding
        self._found(finding)

    # What was found.

    def _found(self, finding: Finding) -> None:
        self._left.remove(finding.name)
        self.findings.append(finding)
        self._report(finding)

    def _find_all(self, names: Iterable[str], findings: list[Finding], otherwise: str) -> None:
        """Report these in the order of `names`; there is a text for those that are missing."""
        by_name = {one.name: one for one in findings}
        for name in names:
            self._found(by_name.get(name) or skipped(name, otherwise))

    def _skip(self, names: Iterable[str], why: str) -> None:
        for name in list(names):
            if name in self._left:
                self._found(skipped(name, why))


def _judge_not_let_in(refused: NotLetInError, health: HttpAnswer) -> Finding:
    """Why there is no WebSocket. `health` is what was answered to a plain request."""
    answer = refused.answer
    if answer is None:
        return judge_upgrade.judge_no_upgrade(refused.took_s, refused.words)
    if answer.status == 101:
        return judge_upgrade.judge_no_welcome(refused.took_s, refused.words)
    finding = judge_upgrade.judge_upgrade(answer, refused.took_s)
    if answer.status == health.status and not answer.error:
        finding = replace(finding, hint=f"It is the same as for {TITLES['http']} above.")
    return finding
