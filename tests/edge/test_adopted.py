"""`apptuner_relay.edge.adopted`: sockets that the process was started with."""

import os
import socket
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from apptuner_relay.edge.adopted import AdoptedEndpoint, BadSocket, PassedSocket, PassedSockets

PID = 4711
FIRST = 3


def passed(initial: bytes = b"", **variables: str) -> PassedSockets:
    return PassedSockets.from_environment(variables, PID, initial)


class EnvironmentTest(SynchronousTestCase):
    """Descriptors of this process happen to be what is passed on: nothing is done with them."""

    def setUp(self) -> None:
        self.patch(os, "set_inheritable", lambda fd, inheritable: None)

    def test_as_systemd_has_it(self) -> None:
        environment = {
            "LISTEN_PID": str(PID),
            "LISTEN_FDS": "2",
            "LISTEN_FDNAMES": "relay:admin",
            "HOME": "/",
        }
        found = PassedSockets.from_environment(environment, PID)
        self.assertEqual(
            [(one.index, one.fd, one.name) for one in found], [(0, 3, "relay"), (1, 4, "admin")]
        )
        self.assertEqual(environment, {"HOME": "/"})

    def test_none(self) -> None:
        self.assertEqual(list(passed()), [])
        wrong = self.assertRaises(ValueError, passed().find, "systemd:index=0")
        self.assertIn("is its .socket unit started?", str(wrong))

    def test_twisted_has_taken_them(self) -> None:
        initial = b"HOME=/\0LISTEN_PID=%d\0LISTEN_FDS=1\0LISTEN_FDNAMES=relay\0" % PID
        for left in ({}, {"LISTEN_FDNAMES": "relay"}):
            (one,) = passed(initial, **left)
            self.assertEqual((one.fd, one.name), (3, "relay"))

    def test_for_another_process(self) -> None:
        others = passed(LISTEN_PID="1", LISTEN_FDS="1", LISTEN_FDNAMES="relay")
        wrong = self.assertRaises(ValueError, others.find, "systemd:name=relay")
        self.assertIn("for process 1 (LISTEN_PID)", str(wrong))
        wrong = self.assertRaises(BadSocket, passed(LISTEN_FDS="1").find, "systemd:index=0")
        self.assertIn("LISTEN_PID, which says for whom, is missing", str(wrong))

    def test_no_number(self) -> None:
        for count in ("x", "-1", "²"):
            self.assertEqual(list(passed(LISTEN_PID=str(PID), LISTEN_FDS=count)), [])

    def test_names_that_are_missing(self) -> None:
        nameless = passed(LISTEN_PID=str(PID), LISTEN_FDS="2")
        self.assertEqual([one.index for one in nameless.find("systemd:index=1")], [1])
        wrong = self.assertRaises(ValueError, nameless.find, "systemd:name=relay")
        self.assertIn("LISTEN_FDNAMES is missing", str(wrong))
        self.assertIn("index=0", str(wrong))

    def test_too_few_names(self) -> None:
        some = passed(LISTEN_PID=str(PID), LISTEN_FDS="2", LISTEN_FDNAMES="relay")
        wrong = self.assertRaises(ValueError, some.find, "systemd:name=relay")
        self.assertIn("1 names for 2 sockets", str(wrong))
        self.assertEqual(len(some.find("systemd:index=0")), 1)


class EndpointTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.sockets = PassedSockets((1003, 1004, 1005), ("relay", "admin", "relay"))

    def indices(self, description: str) -> list[int]:
        return [one.index for one in self.sockets.find(description)]

    def test_all_of_a_name(self) -> None:
        self.assertEqual(self.indices("systemd:name=relay"), [0, 2])
        self.assertEqual(self.indices("systemd:domain=INET6:name=admin"), [1])

    def test_an_index(self) -> None:
        for description in (
            "systemd:index=1",
            "systemd:domain=UNIX:index=1",
            "systemd:INET:1",
            "systemd:INET6:index=1",
        ):
            self.assertEqual(self.indices(description), [1])

    def test_there_is_none(self) -> None:
        for description in ("systemd:name=web", "systemd:index=3"):
            wrong = self.assertRaises(ValueError, self.sockets.find, description)
            self.assertIn("no such socket", str(wrong))
            self.assertIn("socket 1 (admin)", str(wrong))

    def test_no_endpoint(self) -> None:
        for description in (
            "systemd:",
            "systemd:domain=INET",
            "systemd:domain=IPX:index=0",
            "systemd:index=0:name=relay",
            "systemd:index=-1",
            "systemd:index=x",
            "systemd:name=",
            "systemd:name=relay:backlog=50",
            "systemd:INET:0:relay:more",
        ):
            self.assertRaises(ValueError, self.sockets.find, description)


class SocketCase(TestCase):
    def held(self, family: int, kind: int, address: object) -> socket.socket:
        one = socket.socket(family, kind)
        self.addCleanup(one.close)
        one.bind(address)  # type: ignore[arg-type]
        return one

    def passed(self, held: socket.socket) -> PassedSocket:
        """It, as a process has it that was started with it."""
        return PassedSocket(0, os.dup(held.fileno()), "relay")


class RefusedTest(SocketCase):
    def assertRefused(self, why: str, fd: int) -> None:
        before = os.fstat(fd) if fd >= 0 else None
        one = PassedSocket(0, fd, "relay")
        wrong = self.assertRaises(BadSocket, one.take, "systemd:index=0")
        self.assertIn(why, str(wrong))
        self.assertEqual(len(str(wrong).splitlines()), 1)
        self.assertIsNone(one.taken_by)
        if before is not None:
            self.assertTrue(os.path.samestat(before, os.fstat(fd)))

    def test_datagrams(self) -> None:
        held = self.held(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        self.assertRefused("no stream socket (SOCK_DGRAM)", held.fileno())

    def test_packets(self) -> None:
        held = self.held(socket.AF_UNIX, socket.SOCK_SEQPACKET, "")
        held.listen()
        self.assertRefused("no stream socket (SOCK_SEQPACKET)", held.fileno())

    def test_one_that_does_not_listen(self) -> None:
        held = self.held(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        self.assertRefused("not listening", held.fileno())
        one, other = socket.socketpair()
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        self.assertRefused("not listening", one.fileno())

    def test_what_is_no_socket(self) -> None:
        with open(os.devnull) as file:
            self.assertRefused("no socket", file.fileno())

    def test_nothing_at_all(self) -> None:
        fd = os.dup(0)
        os.close(fd)
        one = PassedSocket(0, fd, None)
        self.assertRaises(BadSocket, one.take, "systemd:index=0")

    def test_twice(self) -> None:
        held = self.held(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        held.listen()
        one = self.passed(held)
        one.take("systemd:index=0").close()
        wrong = self.assertRaises(BadSocket, one.take, "systemd:name=relay")
        self.assertIn("'systemd:index=0' listens on already", str(wrong))


class Greeter(Protocol):
    def connectionMade(self) -> None:
        self.transport.write(b"hello")  # type: ignore[union-attr]
        self.transport.loseConnection()  # type: ignore[union-attr]


def greeting(family: int, address: object) -> bytes:
    with socket.socket(family) as client:
        client.settimeout(60)
        client.connect(address)  # type: ignore[arg-type]
        return client.recv(99)


class AdoptedTest(SocketCase):
    timeout = 60

    async def serve_twice(self, held: socket.socket, addresses: Sequence[object]) -> None:
        """Have two ports adopt it, one after the other, and look whether it stays as it is."""
        held.listen(77)
        for _ in range(2):
            one = self.passed(held)
            factory = Factory.forProtocol(Greeter)
            factory.noisy = False
            port = await AdoptedEndpoint(reactor, one.take("systemd:index=0")).listen(factory)
            for address in addresses:
                family = held.family if isinstance(address, str) else socket.AF_INET
                if isinstance(address, tuple) and ":" in address[0]:
                    family = socket.AF_INET6
                self.assertEqual(await deferToThread(greeting, family, address), b"hello")
            stopping: Deferred[None] = port.stopListening()
            await stopping
        # It listens on: whoever comes now waits for the next one.
        with socket.socket(held.family) as client:
            client.settimeout(60)
            client.connect(held.getsockname())
            held.accept()[0].close()

    async def test_ipv4(self) -> None:
        held = self.held(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        await self.serve_twice(held, [held.getsockname()])

    async def test_ipv6_for_both(self) -> None:
        try:
            held = socket.socket(socket.AF_INET6)
            self.addCleanup(held.close)
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            held.bind(("::", 0))
        except OSError as wrong:
            self.skipTest(f"no IPv6 here: {wrong}")
        port = held.getsockname()[1]
        await self.serve_twice(held, [("127.0.0.1", port), ("::1", port)])

    async def test_a_unix_socket(self) -> None:
        # Paths of UNIX sockets may have some 100 characters, and that of a test has more.
        folder = tempfile.mkdtemp()
        path = Path(folder, "relay.sock")
        self.addCleanup(os.rmdir, folder)
        held = self.held(socket.AF_UNIX, socket.SOCK_STREAM, str(path))
        self.addCleanup(path.unlink)
        path.chmod(0o660)
        await self.serve_twice(held, [str(path)])
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o660)

    async def test_a_unix_socket_of_somebody_else(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("needs root, to be somebody else")
        folder = tempfile.mkdtemp()
        path = Path(folder, "relay.sock")
        self.addCleanup(os.rmdir, folder)
        held = self.held(socket.AF_UNIX, socket.SOCK_STREAM, str(path))
        self.addCleanup(path.unlink)
        held.listen()
        one = self.passed(held)
        os.seteuid(65534)
        try:
            port = await AdoptedEndpoint(reactor, one.take("systemd:index=0")).listen(Factory())
            await port.stopListening()
        finally:
            os.seteuid(0)
        self.assertTrue(path.exists())

    async def test_an_abstract_unix_socket(self) -> None:
        held = self.held(socket.AF_UNIX, socket.SOCK_STREAM, "")
        await self.serve_twice(held, [])
        self.assertIn("@", self.passed(held).describe())
