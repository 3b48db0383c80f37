"""A relay on a machine whose clock is set. What the wall clock says is a file's affair here
(`set_clock`), so that this machine's own goes on."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.live.cluster import SECRET, ClusterCase, owner_in
from tests.live.harness import LiveCase
from tests.live.processes import PATIENCE_S, REPOSITORY, RelayProcess
from tests.live.redis import client_of
from tests.live.slow_phone import SlowPhone
from tests.live.systemd import NotifySocket

BACK_S, FAR_BACK_S, FORWARD_S = -31.0, -3600.0, 1800.0


class WallClock:
    """The wall clock of processes that have `env`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    @property
    def env(self) -> dict[str, str]:
        path = os.pathsep.join([str(REPOSITORY / "tests/live/set_clock"), str(REPOSITORY)])
        return {"PYTHONPATH": path, "SET_CLOCK": str(self._file.absolute())}

    def set(self, ahead_s: float) -> None:
        """Set it, as seen from the true time."""
        new = self._file.with_suffix(".new")
        new.write_text(str(ahead_s))
        new.replace(self._file)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that only looking tells."""
    given_up_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < given_up_s, "never"
        await deferLater(reactor, 0.1)


class DeadPhone(SlowPhone):
    """It answers nothing, pings included."""

    def dataReceived(self, data: bytes) -> None: ...


class ClockTest(LiveCase):
    async def set_relay(self, *options: str, **env: str) -> tuple[RelayProcess, WallClock]:
        """A relay, and its wall clock."""
        clock = WallClock(Path(self.mktemp()))
        return await self.relay(*options, env={**clock.env, **env}), clock

    async def test_the_watchdog_is_pinged_on(self) -> None:
        systemd = NotifySocket()
        self.addCleanup(systemd.close)
        _, clock = await self.set_relay(NOTIFY_SOCKET=systemd.path, WATCHDOG_USEC="400000")
        await systemd.told("WATCHDOG=1")
        for ahead_s in (BACK_S, FAR_BACK_S, FORWARD_S, 0):
            clock.set(ahead_s)
            # One may have been on its way.
            for _ in range(2):
                await systemd.told("WATCHDOG=1")

    async def test_a_dead_phone_goes(self) -> None:
        relay, clock = await self.set_relay("--ping-interval", "1", "--tune", "ping-timeout=1")
        node = await self.node(relay)
        cli = await node.join("cli", "ABC234")
        await DeadPhone.join(relay, "ABC234")
        self.assertTypes(await cli.take(2), ["mobile_connected", "device_list"])
        clock.set(FAR_BACK_S)
        self.assertEqual((await cli.next()).type, "mobile_disconnected")

    async def test_sessions_and_bundles_live_on(self) -> None:
        timeout_s = 6
        relay, clock = await self.set_relay(
            *("--session-timeout", f"{timeout_s}", "--bundle-ttl", "60"),
            *("--spool-dir", str(Path(self.mktemp()).absolute())),
        )
        node = await self.node(relay)
        sender = await node.join("cli", "BUNDLE")
        await sender.send({"type": "bundle_update", "payload": {"code": "1"}})
        await sender.close()
        joined_s = time.monotonic()
        cli = await node.join("cli", "ABC234")
        clock.set(FORWARD_S)
        self.assertEqual(await cli.closed(), (1000, "Session timeout"))
        self.assertGreaterEqual(time.monotonic() - joined_s, timeout_s)
        phone = await node.join("mobile", "BUNDLE")
        self.assertEqual((await phone.next()).type, "bundle_update")


class LeaseTest(ClusterCase):
    async def test_an_owner_whose_clock_was_put_back_keeps_its_sessions(self) -> None:
        redis = await self.redis()
        clock = WallClock(Path(self.mktemp()))
        options = ("--redis", redis.url, "--cluster-secret", SECRET)
        owner = await self.relay(*options, "--node", "a", env=clock.env)
        other = await self.member(redis.url, "b")
        node = await self.node(owner)
        cli = await self.join(node, owner, "cli")
        clock.set(FAR_BACK_S)
        with client_of(redis) as client:
            # Four beats last for longer than a lease.
            for _ in range(4):
                before = client("ZSCORE", "apptuner:nodes", "a")
                await until(lambda: client("ZSCORE", "apptuner:nodes", "a") != before)  # noqa: B023
        self.assertEqual(owner_in(redis), "a")
        # Relays' clocks may not be far apart where one lets another in.
        clock.set(0)
        phone = await self.join(node, other, "mobile")
        self.assertEqual((await cli.next()).type, "mobile_connected")
        await cli.send({"type": "bundle_update", "payload": {"code": "1"}})
        self.assertEqual((await phone.next()).type, "bundle_update")
