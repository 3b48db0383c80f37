"""Any order of starts, chunks, whole bundles, losses and returns, from two senders to three phones
that join chunks as released ones do: no phone ever runs a mixture, or is left with half a bundle.
"""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Client, Relay
from tests.memory_store import MemoryStore

STALL_S = 30
SENDERS = ("cli", "desktop")
PHONES = ("p0", "p1", "p2")

TARGETS = st.sampled_from([None, None, None, *PHONES])
DEEDS = st.one_of(
    st.tuples(st.just("start"), st.sampled_from(SENDERS), TARGETS, st.integers(1, 4)),
    st.tuples(st.just("chunk"), st.sampled_from(SENDERS), TARGETS, st.just(0)),
    st.tuples(st.just("chunk"), st.sampled_from(SENDERS), TARGETS, st.just(0)),
    st.tuples(st.just("chunk"), st.sampled_from(SENDERS), TARGETS, st.just(0)),
    st.tuples(st.just("whole"), st.sampled_from(SENDERS), TARGETS, st.just(0)),
    st.tuples(st.just("lose"), st.sampled_from(SENDERS), st.none(), st.just(0)),
    st.tuples(st.just("drop"), st.sampled_from(PHONES), st.none(), st.just(0)),
    st.tuples(st.just("wait"), st.just(""), st.none(), st.integers(1, STALL_S + 5)),
)


@dataclass
class Phone:
    client: Client
    total: int = 0
    chunks: list[str] = field(default_factory=list)
    """Kept over a reconnect."""
    runs: list[str] = field(default_factory=list)

    waits: bool = False
    """Whether it has had a start on this connection, and not all chunks since."""

    def come_back(self, client: Client) -> None:
        self.client, self.waits = client, False
        self.read()

    def read(self) -> None:
        for message in self.client.received():
            if message["type"] == "bundle_start":
                self.total, self.chunks = message["totalChunks"], []
                self.waits = True
            elif message["type"] == "bundle_chunk":
                self.chunks.append(message["data"])
                assert self.waits, "a chunk without its start"
                if len(self.chunks) == self.total:
                    self.runs.append("+".join(self.chunks))
                    self.chunks, self.waits = [], False
            elif message["type"] == "bundle_update":
                self.chunks, self.waits = [], False
                self.runs.append(message["payload"]["code"])


@dataclass
class Series:
    name: str
    total: int
    sent: int = 0


class Model:
    def __init__(self, relay: Relay, query: str) -> None:
        self.relay = relay
        self.query = query
        self.count = 0
        self.senders = {role: self.connect(role) for role in SENDERS}
        self.begun: dict[tuple[str, str | None], Series] = {}
        self.whole: set[str] = set()
        """What may be run."""
        self.phones = {name: Phone(self.connect_phone(name)) for name in PHONES}

    def connect(self, role: str) -> Client:
        return self.relay.connect(f"/{role}/ABC234")

    def connect_phone(self, name: str) -> Client:
        return self.relay.connect(f"/mobile/ABC234?deviceId={name}{self.query}")

    def do(self, deed: str, who: str, target: str | None, number: int) -> None:
        more = {} if target is None else {"targetDeviceId": target}
        if deed == "start":
            self.count += 1
            series = self.begun[who, target] = Series(f"s{self.count}", number)
            self.whole.add("+".join(f"{series.name}:{i}" for i in range(number)))
            self.senders[who].send(type="bundle_start", totalChunks=number, **more)
        elif deed == "chunk":
            if (who, target) in self.begun:
                series = self.begun[who, target]
                at, series.sent = series.sent, series.sent + 1
                data = f"{series.name}:{at}"
                self.senders[who].send(type="bundle_chunk", index=at, **more, data=data)
                if series.sent == series.total:
                    del self.begun[who, target]
        elif deed == "whole":
            self.count += 1
            code = f"w{self.count}"
            self.whole.add(code)
            self.senders[who].send(type="bundle_update", **more, payload={"code": code})
            if target is None:
                self.begun.pop((who, None), None)
        elif deed == "lose":
            self.senders[who].lose()
            self.senders[who] = self.connect(who)
            for key in [key for key in self.begun if key[0] == who]:
                del self.begun[key]
        elif deed == "drop":
            self.phones[who].read()
            self.phones[who].client.lose()
            self.phones[who].come_back(self.connect_phone(who))
        else:
            self.relay.wait(number, 1)

    def check(self) -> None:
        for name, phone in self.phones.items():
            phone.read()
            for run in phone.runs:
                assert run in self.whole, f"{name} runs {run}"
            if phone.client.closed:
                assert phone.client.closed[0] == 1011, phone.client.closed
                phone.client.lose()
                phone.come_back(self.connect_phone(name))

    def end(self) -> None:
        """Nobody is left with part of a bundle for longer than a sender may be silent."""
        self.relay.wait(STALL_S + 3, 1)
        self.check()
        for name, phone in self.phones.items():
            assert not phone.waits, f"{name} is left with {phone.chunks} of {phone.total}"


class AnyOrder(SynchronousTestCase):
    def run_model(
        self, deeds: list[tuple[str, str, str | None, int]], spool: bool, query: str
    ) -> None:
        options = {"ping_interval": 1e6, "session_timeout": 1e6}
        model = Model(Relay(MemoryStore if spool else None, **options), query)
        for deed in deeds:
            model.do(*deed)
            model.check()
        model.end()

    @settings(deadline=None, max_examples=300)
    @given(st.lists(DEEDS, max_size=40), st.booleans(), st.sampled_from(["", "&replay=1"]))
    def test_no_mixture(
        self, deeds: list[tuple[str, str, str | None, int]], spool: bool, query: str
    ) -> None:
        never = {"ping_interval": 1e6, "ping_timeout": 1e6, "session_timeout": 1e6}
        relay = Relay(MemoryStore if spool else None, **never)
        model = Model(relay, query)
        for deed in deeds:
            model.do(*deed)
            model.check()
        model.end()
