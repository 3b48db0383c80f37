"""A run: a cluster on hosts of its own, its clients, and the steps of a plan done to them."""

import asyncio
import signal
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos_lib.checker import History, Verdict
from chaos_lib.hosts import REDIS_FULL_BYTES, STOP_LIMIT_S, Clients, Redis, Relay
from chaos_lib.network import Network
from chaos_lib.schedule import REDIS, Step

CONNECT_LIMIT_S = 60.0
"""Within which everybody is connected again, once all is well."""
SETTLE_S = 15.0
"""Then, within which all phones run what was saved last."""
FINAL_S = 30.0
POLL_S = 0.25


@dataclass
class Setting:
    """What a run is made of.

    :ivar options: more options of the relays.
    :ivar twistd: the command that runs twistd.
    :ivar env: the environment of the relays.
    :ivar out: a folder for logs and events.
    """

    seed: int
    sessions: int
    phones: int
    relays: list[str]
    options: list[str]
    twistd: list[str]
    env: dict[str, str]
    script: Path
    out: Path


class Run:
    """The processes, and what is done to them."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._network = Network([*setting.relays, REDIS])
        out = setting.out
        self._redis = Redis(self._network, out / "redis.log")
        self._relays = {
            name: Relay(
                self._network,
                name,
                setting.options,
                setting.twistd,
                setting.env,
                out / f"{name}.log",
            )
            for name in setting.relays
        }
        self.history = History()
        self._clients = Clients(
            self._network, setting.script, out / "events.jsonl", self.history.take
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._steps = (out / "steps.log").open("w")
        self._problems: list[str] = []
        self._began_s = 0.0

    async def go(self, steps: list[Step]) -> Verdict:
        """Do the steps, let everything come to rest, and judge.

        :raises Failed: a process could not be started, or the clients have died.
        """
        try:
            await self._redis.start("Ready to accept connections")
            await asyncio.gather(*(relay.up() for relay in self._relays.values()))
            await self._clients.start()
            setting = self._setting
            self._clients.order(
                "begin",
                seed=setting.seed,
                relays=[{"name": one.host, "url": one.url} for one in self._relays.values()],
                sessions=[f"CHAOS{number}" for number in range(setting.sessions)],
                phones=setting.phones,
            )
            self._began_s = time.monotonic()
            for step in steps:
                await asyncio.sleep(self._began_s + step.at_s - time.monotonic())
                self._note(str(step))
                self._do(step)
            self._clients.order("calm")
            while self._tasks:
                await asyncio.wait(set(self._tasks))
            await self._come_to_rest()
        finally:
            await self._end()
        verdict = self.history.judge()
        for problem in self._problems:
            verdict.wrong("at rest", problem, self.history.now_ms)
        for relay in self._relays.values():
            for error in relay.errors():
                verdict.wrong("log", error, self.history.now_ms)
        return verdict

    async def _come_to_rest(self) -> None:
        self._note("all is well: everybody connects")
        everybody = [
            f"s{number}{name}"
            for number in range(self._setting.sessions)
            for name in ("cli1", "page", *(f"p{p + 1}" for p in range(self._setting.phones)))
        ]
        if not await self._until(
            lambda: all(map(self.history.connected, everybody)), CONNECT_LIMIT_S
        ):
            missing = [one for one in everybody if not self.history.connected(one)]
            self._problems.append(f"not connected after {CONNECT_LIMIT_S:g} s: {missing}")
        self._clients.order("look")
        if not await self._until(lambda: self._is_current(), SETTLE_S):
            self._problems += self.history.stale()
        self._note("everybody saves and speaks once more")
        self.history.expected = {}
        self._clients.order("final")
        if not await self._until(lambda: self._is_current(), FINAL_S):
            self._problems += [f"after the last save {one}" for one in self.history.stale()]
        # What they said with it is as fast.
        await asyncio.sleep(2.0)

    def _is_current(self) -> bool:
        return bool(self.history.expected) and not self.history.stale()

    @staticmethod
    async def _until(condition: Any, limit_s: float) -> bool:
        give_up_s = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > give_up_s:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._clients.stop()
        for process in [*self._relays.values(), self._redis]:
            if process.process is not None:
                await process.kill()
        self._network.remove()
        self._steps.close()

    def _note(self, text: str) -> None:
        elapsed_s = time.monotonic() - self._began_s
        self._steps.write(f"{int(time.time() * 1000)} {elapsed_s:7.2f} {text}\n")
        self._steps.flush()

    # Steps, by kind

    def _do(self, step: Step) -> None:
        order = self._clients.order
        match step.kind:
            case "save":
                order("save", who=step.target)
            case "takeover":
                order("takeover", who=step.other, session=f"CHAOS{step.target}")
                self._later(self._leave(step))
            case "vanish" | "reset":
                order("act", who=step.target, what=step.kind)
            case "lock" | "crawl":
                order("act", who=step.target, what=step.kind, ms=step.lasts_s * 1000)
            case "die":
                order("act", who=step.target, what="dieSending")
            case "reset-bridges":
                self._network.reset(step.target, step.other)
            case kind:
                action = getattr(self, "_" + kind.replace("-", "_"))
                self._later(action(step))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)

        def done(task: "asyncio.Task[None]") -> None:
            self._tasks.discard(task)
            if not task.cancelled() and task.exception() is not None:
                self._problems.append(f"{task.exception()}")

        task.add_done_callback(done)

    async def _leave(self, step: Step) -> None:
        await asyncio.sleep(step.lasts_s)
        self._clients.order("leave", who=step.other)

    async def _kill(self, step: Step) -> None:
        relay = self._relays[step.target]
        await relay.up()
        await relay.kill()
        await asyncio.sleep(step.lasts_s)
        await relay.up()

    async def _stop(self, step: Step) -> None:
        relay = self._relays[step.target]
        await relay.up()
        begun_s = time.monotonic()
        relay.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(relay.over(), STOP_LIMIT_S)
        except TimeoutError:
            self._problems.append(f"{step.target} did not end within {STOP_LIMIT_S} s of SIGTERM")
            await relay.kill()
        self._note(f"{step.target} has ended after {time.monotonic() - begun_s:.1f} s")
        await relay.up()

    async def _freeze(self, step: Step) -> None:
        relay = self._relays[step.target]
        relay.signal(signal.SIGSTOP)
        await asyncio.sleep(step.lasts_s)
        relay.signal(signal.SIGCONT)

    async def _unplug(self, step: Step) -> None:
        self._network.unplug(step.target)
        await asyncio.sleep(step.lasts_s)
        self._network.plug(step.target)

    async def _cut(self, one: str, other: str, lasts_s: float) -> None:
        self._network.cut(one, other)
        self._network.cut(other, one)
        await asyncio.sleep(lasts_s)
        self._network.mend(one, other)
        self._network.mend(other, one)

    async def _cut_redis(self, step: Step) -> None:
        await self._cut(step.target, REDIS, step.lasts_s)

    async def _cut_relays(self, step: Step) -> None:
        await self._cut(step.target, step.other, step.lasts_s)

    async def _kill_redis(self, step: Step) -> None:
        await self._redis.kill()
        await asyncio.sleep(step.lasts_s)
        await self._redis.start("Ready to accept connections")

    async def _freeze_redis(self, step: Step) -> None:
        self._redis.signal(signal.SIGSTOP)
        await asyncio.sleep(step.lasts_s)
        self._redis.signal(signal.SIGCONT)

    async def _empty_redis(self, step: Step) -> None:
        await self._redis.command("FLUSHALL")

    async def _fill_redis(self, step: Step) -> None:
        await self._redis.command("CONFIG", "SET", "maxmemory", str(REDIS_FULL_BYTES))
        await asyncio.sleep(step.lasts_s)
        await self._redis.command("CONFIG", "SET", "maxmemory", "0")
