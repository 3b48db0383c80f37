"""The directory in a real Redis, with everything that happens to servers and nodes."""

import json
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from apptuner_relay.cluster.ownership.directory import DirectoryUnreachable, Events, Lease
from apptuner_relay.cluster.ownership.redis_directory import RedisDirectory, Timing, make_directory
from apptuner_relay.config.redis_url import parse_redis_url
from tests.live.harness import together
from tests.live.ports import free_port
from tests.live.processes import PATIENCE_S, Child, checkout_env, within_patience
from tests.live.redis import RedisProcess, SentinelProcess, client_of, missing_redis
from tests.live.test_ownership import SESSIONS
from tests.log_capture import capture_log

QUICK = Timing(lease=1.5, renew=0.5)
SECRET = "hunter2-hunter2"
RIGHTS = (
    "~apptuner:* &apptuner:* -@all +ping +select +role +eval +evalsha +get +set +del +exists "
    "+pexpire +pttl +scan +time +hset +hget +hmget +zadd +zrem +zrange +zremrangebyscore "
    "+publish +subscribe +unsubscribe"
)
"""All that a relay's user needs, for Redis' ACL SETUSER."""


class Heard(Events):
    """Remembers events, and lets a test wait for one."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []
        self._watches: list[tuple[str, Deferred[None]]] = []

    def _note(self, *event: object) -> None:
        self.seen.append(event)
        for name, watch in self._watches:
            if name == event[0] and not watch.called:
                watch.callback(None)

    async def event(self, name: str) -> tuple[object, ...]:
        """The first event of a name, past or to come."""
        if not any(event[0] == name for event in self.seen):
            watch: Deferred[None] = Deferred()
            self._watches.append((name, watch))
            await within_patience(watch, lambda: f"no {name} in {self.seen}")
        return next(event for event in self.seen if event[0] == name)

    def lost(self, session: str, lease: Lease | None) -> None:
        self._note("lost", session, lease)

    def moved(self, session: str) -> None:
        self._note("moved", session)

    def drained(self, node: str) -> None:
        self._note("drained", node)

    def kicked(self, session: str, role: str, reason: str) -> None:
        self._note("kicked", session, role, reason)

    def unreachable(self) -> None:
        self._note("away")

    def reachable(self) -> None:
        self._note("back")


async def subscribed(server: RedisProcess, session: str) -> None:
    """Wait until somebody hears who gets a session of another node: that is asked for on another
    connection than the one that claims."""
    channel = f"apptuner:on:{session}"

    async def is_so() -> bool:
        with client_of(server) as redis:
            return redis("PUBSUB", "NUMSUB", channel) != [channel, 0]

    await until(is_so)


async def until(try_it: Callable[[], Awaitable[bool]]) -> None:
    """Try until it is so: for what only the server's clock decides."""
    until_s = reactor.seconds() + PATIENCE_S  # type: ignore[attr-defined]
    while not await try_it():
        assert reactor.seconds() < until_s, "never"  # type: ignore[attr-defined]
        await deferLater(reactor, 0.05)  # type: ignore[arg-type]


class NodeProcess:
    """`directory_node`, and what it prints."""

    def __init__(self, url: str, node: str) -> None:
        self.replies: list[Any] = []
        self.events: list[Any] = []
        self._watches: list[tuple[Callable[[], bool], Deferred[None]]] = []
        command = [sys.executable, "-m", "tests.live.directory_node", url, node, str(QUICK.lease)]
        self.child = Child(command, env=checkout_env(), on_line=self._line)

    def _line(self, line: str) -> None:
        said = json.loads(line)
        if "event" in said:
            self.events.append(said["event"])
        else:
            self.replies.append(said.get("reply"))
        for so, watch in self._watches:
            if not watch.called and so():
                watch.callback(None)

    async def _when(self, so: Callable[[], bool]) -> None:
        if not so():
            watch: Deferred[None] = Deferred()
            self._watches.append((so, watch))
            await within_patience(watch, lambda: repr(self.child))

    async def ready(self) -> None:
        await self._when(lambda: bool(self.replies))

    async def order(self, words: str) -> Any:
        count = len(self.replies)
        self.child.write_line(words)
        await self._when(lambda: len(self.replies) > count)
        return self.replies[count]

    async def event(self, name: str) -> Any:
        await self._when(lambda: any(event[0] == name for event in self.events))
        return next(event for event in self.events if event[0] == name)

    async def end(self) -> None:
        self.child.signal("KILL")
        await within_patience(self.child.over(), lambda: repr(self.child))


class DirectoryCase(TestCase):
    timeout = 120
    skip = missing_redis()

    async def server(self, *options: str, tls: bool = False) -> RedisProcess:
        server = RedisProcess(*options, tls=tls)
        self.addCleanup(lambda: ensureDeferred(server.remove()))
        await server.start()
        return server

    def directory(
        self, url: str, node: str, authorities: Path | None = None, timing: Timing = QUICK
    ) -> tuple[RedisDirectory, Heard]:
        heard = Heard()
        directory = make_directory(
            reactor,
            parse_redis_url(url),
            node,
            f"ws://{node}:3000",
            heard,
            connections=lambda: 3,
            version="0",
            authorities=authorities,
            timing=timing,
        )
        self.addCleanup(directory.stop)
        return directory, heard

    async def started(self, url: str, node: str) -> tuple[RedisDirectory, Heard]:
        directory, heard = self.directory(url, node)
        await directory.start()
        return directory, heard

    async def process(self, url: str, node: str) -> NodeProcess:
        process = NodeProcess(url, node)
        self.addCleanup(lambda: ensureDeferred(process.end()))
        await process.ready()
        return process


class TwoNodesTest(DirectoryCase):
    async def test_they_agree_whose_a_session_is(self) -> None:
        server = await self.server()
        (one, _), (two, heard) = await together(
            self.started(server.url, "n1"), self.started(server.url, "n2")
        )
        lease = await one.claim(SESSIONS[0])
        self.assertEqual((lease.node, lease.address), ("n1", "ws://n1:3000"))
        self.assertEqual(await two.claim(SESSIONS[0]), lease)
        await subscribed(server, SESSIONS[0])
        await one.release(SESSIONS[0])
        self.assertEqual(await heard.event("moved"), ("moved", SESSIONS[0]))
        lease = await two.claim(SESSIONS[0])
        self.assertEqual((lease.node, lease.epoch), ("n2", 2))
        self.assertEqual(await one.claim(SESSIONS[0]), lease)

    async def test_a_look_is_no_claim(self) -> None:
        server = await self.server()
        (one, _), (two, _) = await together(
            self.started(server.url, "n1"), self.started(server.url, "n2")
        )
        self.assertIsNone(await one.look(SESSIONS[0]))
        lease = await two.claim(SESSIONS[0])
        for each in (one, two):
            self.assertEqual(await each.look(SESSIONS[0]), lease)
        self.assertEqual(one.held(), [])
        await two.release(SESSIONS[0])
        self.assertIsNone(await one.look(SESSIONS[0]))
        await server.kill()
        with self.assertRaises(DirectoryUnreachable):
            await one.look(SESSIONS[0])

    async def test_claims_at_once_have_one_winner_each(self) -> None:
        server = await self.server()
        nodes = [(await self.started(server.url, f"n{n}"))[0] for n in range(3)]
        sessions = [f"{n:064x}" for n in range(200)]
        claims = [[node.claim(session) for session in sessions] for node in nodes]
        owners = [[await claim for claim in some] for some in claims]
        self.assertEqual(owners[0], owners[1])
        self.assertEqual(owners[0], owners[2])
        held = [lease for node in nodes for lease in node.held()]
        self.assertEqual(sorted(held), sorted(owners[0]))

    async def test_stop_gives_back_and_leaves(self) -> None:
        server = await self.server()
        one, _ = await self.started(server.url, "n1")
        two, heard = await self.started(server.url, "n2")
        await one.claim(SESSIONS[0])
        await two.claim(SESSIONS[0])
        await subscribed(server, SESSIONS[0])
        await one.stop()
        await heard.event("moved")
        self.assertEqual([info.node for info in await two.nodes()], ["n2"])
        self.assertEqual((await two.claim(SESSIONS[0])).epoch, 2)
        with self.assertRaises(DirectoryUnreachable):
            await one.claim(SESSIONS[1])

    async def test_kicks_and_drains_are_heard(self) -> None:
        server = await self.server()
        one, heard_one = await self.started(server.url, "n1")
        two, heard_two = await self.started(server.url, "n2")
        await one.claim(SESSIONS[0])
        await two.kick(SESSIONS[0], "mobile", "zu laut: é")
        expected = ("kicked", SESSIONS[0], "mobile", "zu laut: é")
        self.assertEqual(await heard_one.event("kicked"), expected)
        await one.announce_drain()
        self.assertEqual(await heard_two.event("drained"), ("drained", "n1"))

    async def test_a_unix_socket_with_a_database_and_a_user_of_few_rights(self) -> None:
        server = await self.server()
        with client_of(server) as redis:
            redis("ACL", "SETUSER", "relay", "on", f">{SECRET}", *RIGHTS.split())
        url = f"unix://relay:{SECRET}@{server.socket}?db=3"
        one, _ = await self.started(url, "n1")
        two, heard = await self.started(url, "n2")
        self.assertEqual((await one.claim(SESSIONS[0])).node, "n1")
        self.assertEqual((await two.claim(SESSIONS[0])).node, "n1")
        await one.kick(SESSIONS[0], "cli", "")
        await heard.event("kicked")
        self.assertEqual(len(await two.nodes()), 2)
        await subscribed(server, SESSIONS[0])
        await one.stop()
        await heard.event("moved")
        with client_of(server) as redis:
            self.assertEqual(redis("DBSIZE"), 0)
            redis("SELECT", 3)
            self.assertEqual(redis("EXISTS", f"apptuner:session:{SESSIONS[0]}"), 1)


class NodeFaultsTest(DirectoryCase):
    async def test_an_owner_that_was_killed_is_succeeded(self) -> None:
        server = await self.server()
        two, _ = await self.started(server.url, "n2")
        one = await self.process(server.url, "n1")
        self.assertEqual((await one.order(f"claim {SESSIONS[0]}"))[1], "n1")
        await one.end()
        await until(lambda: self.is_owned_by(two, "n2"))
        self.assertEqual((await two.claim(SESSIONS[0])).epoch, 2)

    async def test_an_owner_that_was_frozen_past_its_lease_learns_whose_it_is(self) -> None:
        server = await self.server()
        two, _ = await self.started(server.url, "n2")
        one = await self.process(server.url, "n1")
        await one.order(f"claim {SESSIONS[0]}")
        await one.order(f"claim {SESSIONS[1]}")
        one.child.signal("STOP")
        await until(lambda: self.is_owned_by(two, "n2"))
        one.child.process.signalProcess(signal.SIGCONT)
        self.assertEqual(
            await one.event("lost"),
            ["lost", SESSIONS[0], [SESSIONS[0], "n2", "ws://n2:3000", 2]],
        )
        self.assertEqual(await one.order("held"), [SESSIONS[1]])
        self.assertEqual((await two.claim(SESSIONS[1])).node, "n1")

    async def test_a_process_started_again_need_not_wait_for_its_own_lease(self) -> None:
        server = await self.server()
        one = await self.process(server.url, "n1")
        await one.order(f"claim {SESSIONS[0]}")
        await one.end()
        again, _ = await self.started(server.url, "n1")
        self.assertEqual((await again.claim(SESSIONS[0])).epoch, 2)

    async def is_owned_by(self, asking: RedisDirectory, node: str) -> bool:
        return (await asking.claim(SESSIONS[0])).node == node


class ServerFaultsTest(DirectoryCase):
    async def test_a_server_that_was_killed_and_starts_empty(self) -> None:
        server = await self.server()
        (one, heard_one), (two, heard_two) = await together(
            self.started(server.url, "n1"), self.started(server.url, "n2")
        )
        first, second = await one.claim(SESSIONS[0]), await two.claim(SESSIONS[1])
        await server.kill()
        await heard_one.event("away")
        self.assertEqual((one.state, await one.claim(SESSIONS[0])), ("away", first))
        await server.start()
        await heard_one.event("back")
        await heard_two.event("back")
        self.assertEqual(await one.claim(SESSIONS[1]), second)
        self.assertEqual(await two.claim(SESSIONS[0]), first)
        self.assertEqual(heard_one.seen + heard_two.seen, [("away",), ("back",)] * 2)
        self.assertEqual((one.state, one.unreachable_since_s), ("connected", None))
        await subscribed(server, SESSIONS[0])
        await one.release(SESSIONS[0])
        await heard_two.event("moved")

    async def test_a_server_that_was_frozen_past_all_leases(self) -> None:
        server = await self.server()
        (one, heard_one), (two, heard_two) = await together(
            self.started(server.url, "n1"), self.started(server.url, "n2")
        )
        first = await one.claim(SESSIONS[0])
        server.freeze()
        failing = two.claim(SESSIONS[0])
        with self.assertRaises(DirectoryUnreachable):
            await failing
        await heard_one.event("away")
        await until(lambda: self.is_stale(one))
        server.thaw()
        await heard_one.event("back")
        await heard_two.event("back")
        self.assertEqual(await two.claim(SESSIONS[0]), first)
        self.assertEqual(one.held(), [first])
        self.assertNotIn("lost", [event[0] for event in heard_one.seen])

    async def is_stale(self, directory: RedisDirectory) -> bool:
        return not directory.fresh

    async def test_stop_does_not_wait_for_a_server_that_is_frozen(self) -> None:
        server = await self.server()
        one, _ = await self.started(server.url, "n1")
        await one.claim(SESSIONS[0])
        server.freeze()
        await within_patience(one.stop(), lambda: "stop() hangs")
        self.assertEqual(one.held(), [])

    async def test_a_server_that_comes_after_the_nodes(self) -> None:
        lines = capture_log(self)
        server = RedisProcess()
        self.addCleanup(lambda: ensureDeferred(server.remove()))
        one, heard = await self.started(server.url, "n1")
        self.assertEqual((one.state, heard.seen), ("away", [("away",)]))
        with self.assertRaises(DirectoryUnreachable):
            await one.claim(SESSIONS[0])
        await server.start()
        await heard.event("back")
        self.assertEqual((await one.claim(SESSIONS[0])).node, "n1")
        self.assertEqual(len([line for line in lines if "unreachable" in line]), 1, lines)

    async def test_a_failing_over_under_sentinel(self) -> None:
        master = await self.server()
        replica = await self.server("--replicaof", f"127.0.0.1 {master.port}")
        sentinel = SentinelProcess(master)
        self.addCleanup(lambda: ensureDeferred(sentinel.remove()))
        with client_of(replica) as redis:
            await until(lambda: self.is_linked(redis))
        await sentinel.start()
        await sentinel.logged("+slave ")
        unused = free_port()
        url = f"redis+sentinel://127.0.0.1:{unused},127.0.0.1:{sentinel.port}/relay"
        (one, heard), (two, _) = await together(self.started(url, "n1"), self.started(url, "n2"))
        self.assertEqual(one.state, "connected")
        first = await one.claim(SESSIONS[0])
        await master.kill()
        await heard.event("away")
        await sentinel.logged("+switch-master")
        await heard.event("back")
        await until(lambda: self.answers(two))
        self.assertEqual(await two.claim(SESSIONS[0]), first)
        self.assertEqual(one.held(), [first])

    async def is_linked(self, redis: Any) -> bool:
        return "master_link_status:up" in redis("INFO", "replication")

    async def answers(self, directory: RedisDirectory) -> bool:
        return directory.state == "connected"


class SecretsTest(DirectoryCase):
    async def test_a_wrong_password_is_said_and_not_shown(self) -> None:
        lines = capture_log(self)
        server = await self.server("--requirepass", "right")
        url = f"redis://:{SECRET}@127.0.0.1:{server.port}"
        one, heard = await self.started(url, "n1")
        self.assertEqual((one.state, heard.seen), ("away", [("away",)]))
        with self.assertRaises(DirectoryUnreachable) as caught:
            await one.claim(SESSIONS[0])
        self.assertTrue(any("WRONGPASS" in line for line in lines), lines)
        for text in (*lines, str(caught.exception), repr(one.__dict__)):
            self.assertNotIn(SECRET, text)

    async def test_no_password_where_one_is_needed(self) -> None:
        lines = capture_log(self)
        server = await self.server("--requirepass", "right")
        one, _ = await self.started(server.url, "n1")
        self.assertEqual(one.state, "away")
        self.assertTrue(any("NOAUTH" in line for line in lines), lines)
        right, _ = await self.started(f"redis://:right@127.0.0.1:{server.port}", "n2")
        self.assertEqual(right.state, "connected")

    async def test_a_sentinel_with_a_password_of_its_own(self) -> None:
        lines = capture_log(self)
        server = await self.server("--requirepass", "right")
        sentinel = SentinelProcess(
            server, f"requirepass {SECRET}", "sentinel auth-pass relay right"
        )
        self.addCleanup(lambda: ensureDeferred(sentinel.remove()))
        await sentinel.start()
        url = f"redis+sentinel://:right@127.0.0.1:{sentinel.port}"
        one, _ = await self.started(f"{url}/relay?sentinel_password={SECRET}", "n1")
        self.assertEqual((await one.claim(SESSIONS[0])).node, "n1")
        stranger, _ = await self.started(f"{url}/relay", "n2")
        self.assertEqual(stranger.state, "away")
        self.assertTrue(any("NOAUTH" in line for line in lines), lines)
        other, _ = await self.started(f"{url}/other?sentinel_password={SECRET}", "n3")
        self.assertEqual(other.state, "away")
        self.assertTrue(any("knows no service other" in line for line in lines), lines)
        self.assertFalse(any(SECRET in line for line in lines), lines)

    async def test_a_user_that_may_not_run_scripts(self) -> None:
        lines = capture_log(self)
        server = await self.server()
        with client_of(server) as redis:
            redis("ACL", "SETUSER", "relay", "on", f">{SECRET}", "~*", "&*", "+ping")
        one, _ = await self.started(f"redis://relay:{SECRET}@127.0.0.1:{server.port}", "n1")
        self.assertEqual(one.state, "away")
        self.assertTrue(any("NOPERM" in line for line in lines), lines)


class TlsTest(DirectoryCase):
    async def test_only_a_certificate_that_can_be_verified(self) -> None:
        lines = capture_log(self)
        ours, others = Authority(Path(self.mktemp())), Authority(Path(self.mktemp()))
        good, _, _ = await self.tls(ours, "127.0.0.1", ours)
        self.assertEqual(good.state, "connected")
        self.assertEqual((await good.claim(SESSIONS[0])).node, "n1")
        unknown, _, _ = await self.tls(ours, "127.0.0.1", others)
        self.assertEqual(unknown.state, "away")
        self.assertTrue(any("certificate verify failed" in line for line in lines), lines)
        system, _, _ = await self.tls(ours, "127.0.0.1", None)
        self.assertEqual(system.state, "away")
        elsewhere, _, url = await self.tls(ours, "127.0.0.2", ours)
        self.assertEqual(elsewhere.state, "away")
        self.assertTrue(any(url in line for line in lines), lines)

    async def tls(
        self, signer: "Authority", name: str, trusted: "Authority | None"
    ) -> tuple[RedisDirectory, Heard, str]:
        certificate, key = signer.sign(name)
        server = await self.server(
            *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
            *("--tls-ca-cert-file", str(signer.path), "--tls-auth-clients", "no"),
            tls=True,
        )
        authorities = trusted.path if trusted else None
        directory, heard = self.directory(server.url, "n1", authorities)
        await directory.start()
        return directory, heard, server.url


class Authority:
    """Signs certificates for a day."""

    def __init__(self, folder: Path) -> None:
        folder = folder.absolute()
        folder.mkdir(parents=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test authority")])
        self.path = folder / "ca.pem"
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        own = self._builder(self._name, self._key).add_extension(constraints, critical=True)
        self.path.write_bytes(self._pem(own))

    def sign(self, address: str) -> tuple[Path, Path]:
        """A certificate for an IP address, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Redis")])
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        certificate = self._builder(subject, key).add_extension(names, critical=False)
        paths = (self._folder / f"{address}.pem", self._folder / f"{address}.key")
        paths[0].write_bytes(self._pem(certificate))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
        )

    def _pem(self, builder: x509.CertificateBuilder) -> bytes:
        signed = builder.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)
