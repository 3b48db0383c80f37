"""Clients of a `harness.MemoryCluster` that behave as released ones do, whatever happens to them:
they come back after any close, through whichever relay there is, and a CLI answers
``mobile_connected`` with a bundle. What they send and get is written down for the checker of
`ops/chaos`, which says afterwards whether each message came or somebody was told.
"""

import json
import random
from collections.abc import Callable
from typing import Any

from apptuner_relay.wire.frames import CLOSE, CONTINUATION, PONG, TEXT
from tests.chaos import checker
from tests.cluster.harness import SESSION, ClusterClient, ClusterRelay, MemoryCluster
from tests.memory import masked

STEP_S = 0.05
"""How often everybody looks at what has come."""
_BACK_S = {"cli": 2.0, "mobile": 1.0, "dashboard": 1.0}
"""How long after a close somebody connects again."""
_BUNDLING_S = 0.05
_TOGETHER_MS = 12_000
"""Phones come back at once that lost their relay within such a time: that of a lease, and what it
takes then."""
_PATIENCE_S = 15.0
"""How long the answer to a handshake may take."""
_ABNORMAL = 1006
_TOLD = ("error", "device_list", "mobile_connected", "mobile_disconnected")


class ClusterHistory(checker.History):
    """A CLI to which several phones come back at once hears of one of them, and answers for all."""

    def _judge(
        self, message: checker.Sent, receiver: checker.Connection, bundles: list[checker.Sent]
    ) -> None:
        ends_ms = message.sent_ms + _TOGETHER_MS
        for told, _, t_ms in self._heard_of:
            is_about_them = told.role == "cli" and told in (message.sender, receiver)
            is_new = (message.sender.name, message.n) not in receiver.got
            if is_about_them and is_new and message.sent_ms <= t_ms <= ends_ms:
                self.verdict.counts["told the CLI"] += 1
                return
        super()._judge(message, receiver, bundles)


class World:
    """A cluster and its people, in one session.

    :param pick: makes up what nobody decides on: through which relay somebody comes back.
    """

    def __init__(self, cluster: MemoryCluster, pick: random.Random) -> None:
        self.cluster = cluster
        self.pick = pick
        self.history = ClusterHistory()
        self.people: dict[str, Person] = {}
        self.version = 1
        """Of what a CLI has saved last: it has something from the beginning."""
        self.is_busy = True
        """Whether everybody talks all the time."""
        self.talk_s = 0.2
        """How often, then."""

    @property
    def now_s(self) -> float:
        """The cluster's time."""
        return self.cluster.clock.seconds()

    def add(self, role: str, name: str) -> "Person":
        """Add somebody, who keeps connected."""
        kinds: dict[str, Callable[..., Person]] = {"cli": Cli, "mobile": Phone}
        person = self.people[name] = kinds.get(role, Person)(self, role, name)
        return person

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until_s = self.now_s + seconds
        while self.now_s < until_s - 1e-9:
            self.cluster.turn(STEP_S)
            for person in tuple(self.people.values()):
                person.look()

    def note(self, event: str, **what: Any) -> None:
        """Record an event for the checker."""
        self.history.take({"t": round(1000 * self.now_s), "ev": event, **what})

    def choose_relay(self) -> ClusterRelay | None:
        """A relay that takes connections; None where none does."""
        there = [one for one in self.cluster.relays.values() if not one.is_dead]
        return self.pick.choice(there) if there else None


class Person:
    """Somebody who keeps a connection to the session."""

    def __init__(self, world: World, role: str, name: str) -> None:
        self.role, self.name = role, name
        self.conn = ""
        self.client: ClusterClient | None = None
        self.is_welcome = False
        self.n = 0
        self._world = world
        self._connections = 0
        self._back_s = 0.0
        self._dialled_s = 0.0
        self._talk_s = 0.0
        self._pings = 0
        self._held: list[bytes] = []
        """Frames of a message whose rest is to be sent yet."""

    # What a schedule has them do

    def talk(self) -> None:
        """Send a message for the other side."""
        self._send("talk", lambda n: [{"type": "talk", "from": self.conn, "n": n}])

    def leave(self) -> None:
        """Close the connection properly, and come back later."""
        if self.client is not None and self.is_welcome and not self.client.is_over:
            self.client.send_raw(masked(CLOSE, b"\x03\xe8"))
            self._lost(1000)

    def vanish(self) -> None:
        """Lose the connection, and make another one later."""
        if self.client is not None:
            self._lost(_ABNORMAL)

    # What happens

    def look(self) -> None:
        """Read what has come, and act on it."""
        client = self.client
        if client is None:
            if self._world.now_s >= self._back_s:
                self._connect()
            return
        client.read()
        if client.pings > self._pings:
            self._pings = client.pings
            client.send_raw(masked(PONG, b""))
        for message in client.received():
            self._take(message)
            if self.client is not client:
                return
        if client.closed is not None:
            self._lost(client.closed[0], client.closed[1])
        elif self._is_over(client):
            self._lost(_ABNORMAL)
        elif self._world.is_busy and self._world.now_s >= self._talk_s:
            self._talk_s = self._world.now_s + self._world.talk_s
            self.talk()

    def _is_over(self, client: ClusterClient) -> bool:
        late = not self.is_welcome and self._world.now_s >= self._dialled_s + _PATIENCE_S
        return late or client.is_over or client.transport.disconnecting or client.status >= 400

    def cut(self) -> None:
        """Its relay's process has ended."""
        if self.client is not None:
            self._lost(_ABNORMAL)

    @property
    def relay(self) -> ClusterRelay | None:
        """The relay that it is connected to, if it is."""
        return self._relay if self.client is not None else None

    def _connect(self) -> None:
        relay = self._world.choose_relay()
        if relay is None:
            return
        self._relay = relay
        self._connections += 1
        self.conn = f"{self.name}.{self._connections}"
        self.n = self._pings = 0
        self.is_welcome = False
        self._held = []
        self._dialled_s = self._world.now_s
        self._note("dial", role=self.role, session=SESSION, relay=relay.name)
        query = f"?deviceId={self.name}" if self.role == "mobile" else ""
        self.client = client = ClusterClient(relay.service, f"/{self.role}/{SESSION}{query}")
        client.transport._checkState = lambda: None  # type: ignore[method-assign]

    def _lost(self, code: int, reason: str = "") -> None:
        client, self.client = self.client, None
        assert client is not None
        if code != _ABNORMAL:
            client.answer_close()
        client.lose()
        self._note("close", code=code, reason=reason)
        self._back_s = self._world.now_s + _BACK_S[self.role]

    def _note(self, event: str, **what: Any) -> None:
        self._world.note(event, conn=self.conn, who=self.name, **what)

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "connected":
            if self.is_welcome:
                self._note("twice")
            self.is_welcome = True
            self._note("open")
            self._begin()
        elif kind in ("talk", "bundle_ack"):
            self._note("got", kind=kind, n=message["n"], whole=True, **{"from": message["from"]})
        elif kind == "bundle_update":
            self._run(message["payload"]["code"])
        elif kind in _TOLD:
            devices = [one["deviceId"] for one in message.get("devices", ())]
            self._note("told", type=kind, device=message.get("deviceId"), devices=devices)
            self._told(kind)

    def _begin(self) -> None: ...
    def _told(self, kind: str) -> None: ...
    def _run(self, code: str) -> None: ...

    def _send(self, kind: str, make: Callable[[int], list[dict[str, Any]]], **more: Any) -> None:
        """Send what the checker follows."""
        client = self.client
        if client is None or not self.is_welcome or client.is_over or self._held:
            return
        self.n += 1
        self._note("sent", n=self.n, kind=kind, **more)
        for message in make(self.n):
            client.send(**message)
        self._note("handed", n=self.n)


class Cli(Person):
    """Sends bundles."""

    _bundle_s: float | None = None

    def save(self, size: int = 100) -> None:
        """Send a new version of the code, of so many characters at least."""
        self._world.version += 1
        self._bundle(size)

    def begin_to_save(self, size: int = 100) -> None:
        """Send the first half of a bundle; the other half is sent soon."""
        client = self.client
        if client is None or not self.is_welcome or client.is_over or self._held:
            return
        self._world.version += 1
        self.n += 1
        self._note("sent", n=self.n, kind="bundle", version=self._world.version)
        text = json.dumps(self._message(self.n, size)).encode()
        half = len(text) // 2
        client.send_raw(masked(TEXT, text[:half], fin=False))
        self._held = [masked(CONTINUATION, text[half:])]
        self._rest_s = self._world.now_s + 0.3

    def look(self) -> None:
        """See `Person`."""
        super().look()
        client = self.client
        if client is None:
            return
        if self._held and self._world.now_s >= self._rest_s:
            frames, self._held = self._held, []
            for one in frames:
                client.send_raw(one)
            self._note("handed", n=self.n)
        if self._bundle_s is not None and self._world.now_s >= self._bundle_s:
            self._bundle_s = None
            self._bundle(100)

    def _message(self, n: int, size: int) -> dict[str, Any]:
        head = json.dumps({"from": self.conn, "n": n, "version": self._world.version})
        return {"type": "bundle_update", "payload": {"code": f"{head}\n{'x' * size}"}}

    def _bundle(self, size: int) -> None:
        version = self._world.version
        self._send("bundle", lambda n: [self._message(n, size)], version=version)

    def _told(self, kind: str) -> None:
        if kind == "mobile_connected" and self._bundle_s is None:
            self._bundle_s = self._world.now_s + _BUNDLING_S


class Phone(Person):
    """Runs bundles, and acknowledges them."""

    def _run(self, code: str) -> None:
        head = json.loads(code.partition("\n")[0])
        self._note("got", kind="bundle", whole=True, **head)
        self._send(
            "bundle_ack",
            lambda n: [{"type": "bundle_ack", "success": True, "from": self.conn, "n": n}],
        )
