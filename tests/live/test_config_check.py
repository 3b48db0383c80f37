"""``--check``: what is said of a configuration before a relay is started with it."""

import socket
from pathlib import Path

from tests.certificates import Authority
from tests.live.harness import LiveCase
from tests.live.ports import free_port
from tests.live.processes import Child, checkout_env, run, twistd_command
from tests.live.redis import RedisProcess, missing_redis

SECRET = "correct-horse"


class ConfigCheckTest(LiveCase):
    async def check(self, *options: str, exits: int) -> Child:
        child = await run(
            [*twistd_command(), "apptuner-relay", "--check", *options], env=self.env()
        )
        self.assertEqual((child.exit_code, child.err), (exits, ""), repr(child))
        return child

    def env(self) -> dict[str, str]:
        return checkout_env(APPTUNER_SPOOL_DIR=self.mktemp_absolute(), STATE_DIRECTORY="")

    def mktemp_absolute(self) -> str:
        return str(Path(self.mktemp()).absolute())

    def assertLine(self, child: Child, verdict: str, text: str) -> None:
        lines = [one for one in child.out.splitlines() if text in one]
        self.assertTrue(any(one.startswith(f"  {verdict} ") for one in lines), repr(child))

    async def test_a_good_file(self) -> None:
        pair = Authority().issue(90)
        chain, key = Path(self.mktemp_absolute()), Path(self.mktemp_absolute())
        chain.write_bytes(pair.chain)
        key.write_bytes(pair.key)
        folder = Path(self.mktemp_absolute())
        port = free_port()
        file = Path(self.mktemp_absolute())
        file.write_text(
            f'listen = ["tls:tcp:{port}:interface=127.0.0.1", "unix:{folder}/relay.sock"]\n'
            f'tls-cert = "{chain}"\n'
            f'tls-key = "{key}"\n'
            f'admin-token = "{SECRET}"\n'
            "[tune]\n"
            'window = "1MiB"\n'
        )
        child = await self.check(f"--config={file}", f"--state-dir={folder}/state", exits=0)
        self.assertLine(child, "ok", f"--listen tls:tcp:{port}:interface=127.0.0.1: free")
        self.assertLine(child, "ok", "relay.sock will be made")
        self.assertLine(child, "ok", "--tls-cert: ")
        self.assertLine(child, "ok", "--state-dir: ")
        self.assertIn(f"admin-token = ***  ({file}: admin-token)", child.out)
        self.assertIn(f"window = 1MiB  ({file}: tune window)", child.out)
        self.assertNotIn(SECRET, child.out)
        self.assertIn("5 ok, 0 warnings, 0 failed", child.out)
        # It has made none of what a relay makes.
        self.assertFalse(folder.exists())

    async def test_a_broken_one(self) -> None:
        port = free_port()
        child = await self.check(
            *("--listen", "tcp:99999", "--listen", f"tls:tcp:{port}", "--tls-cert", "/no/such.pem"),
            *("--redis", f"redis://:{SECRET}@127.0.0.1:{port}", "--cluster-secret", SECRET),
            *("--forward", f"/app/=http://127.0.0.1:{port}"),
            exits=1,
        )
        self.assertLine(child, "failed", "--listen tcp:99999")
        self.assertLine(child, "failed", "--tls-cert: /no/such.pem: No such file")
        self.assertLine(child, "failed", f"--redis redis://127.0.0.1:{port}: ")
        self.assertLine(child, "warning", f"--forward http://127.0.0.1:{port}: ")
        self.assertNotIn(SECRET, child.out)
        self.assertIn("1 warning, 3 failed", child.out)

    async def test_beside_a_relay_that_runs(self) -> None:
        folder = self.mktemp_absolute()
        relay = await self.relay("--state-dir", folder)
        listen = f"tcp:{relay.port}:interface=127.0.0.1"
        child = await self.check("--listen", listen, "--state-dir", folder, exits=0)
        self.assertLine(child, "warning", f"--listen {listen}: in use")
        self.assertLine(child, "warning", "another relay has it")
        self.assertEqual((await relay.get("/health")).json()["status"], "ok")

    async def test_a_server_that_says_nothing(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            at = f"127.0.0.1:{silent.getsockname()[1]}"
            options = ("--redis", f"redis://{at}", "--cluster-secret", SECRET)
            child = await self.check(*options, "--listen", f"tcp:{free_port()}", exits=1)
        self.assertLine(child, "failed", f"--redis redis://{at}: no answer in 5 s")

    async def test_redis(self) -> None:
        redis = RedisProcess("--requirepass", "5ecret-5ecret")
        self.addCleanup(redis.remove)
        await redis.start()
        options = ("--cluster-secret", SECRET, "--listen", f"tcp:{free_port()}")
        at = f"127.0.0.1:{redis.port}"
        child = await self.check("--redis", f"redis://:5ecret-5ecret@{at}", *options, exits=0)
        self.assertLine(child, "ok", f"--redis redis://{at}: answers, version ")
        child = await self.check("--redis", f"redis://:wrong@{at}", *options, exits=1)
        self.assertLine(child, "failed", f"--redis redis://{at}: ")
        self.assertNotIn("wrong", child.out.lower().replace("wrongpass", ""))

    test_redis.skip = missing_redis()  # type: ignore[attr-defined]
