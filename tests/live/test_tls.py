"""TLS and the PROXY protocol, with a relay under twistd and clients that others wrote."""

import ssl
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.python.failure import Failure

from tests.certificates import NAME, Authority, Live, Pair
from tests.live.clients import TYPESCRIPT, Client, NodeClients
from tests.live.harness import LiveCase, together
from tests.live.processes import MIB, RelayProcess, exchange, run, within_patience
from tests.live.slow_phone import SlowPhone

V2 = "\r\n\r\n\0\r\nQUIT\n"
REQUEST = "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class TlsCase(LiveCase):
    def setUp(self) -> None:
        self.authority = Authority()
        self.live = Live(Path(self.mktemp()))
        self.trust = self.live.chain.with_name("authority.pem").resolve()
        self.trust.write_bytes(self.authority.pem)
        self.first = self.install()

    def install(self, days: float = 90) -> Pair:
        pair = self.authority.issue(days)
        self.live.install(pair.chain, pair.key)
        return pair

    async def serve(self, *options: str, prefix: str = "tls:") -> RelayProcess:
        listen = ["--listen", f"{prefix}tcp:0:interface=127.0.0.1"]
        certificate = self.live.options if "tls:" in prefix else []
        relay = RelayProcess([*listen, *certificate, *options])
        self.addCleanup(relay.stop)
        await relay.listening()
        return relay

    async def join(self, node: NodeClients, relay: RelayProcess, role: str) -> Client:
        url = relay.url(role, "ABC234").replace("ws:", "wss:")
        return await node.join(role, "ABC234", url=url, ca=self.authority.pem.decode())

    async def openssl(self, relay: RelayProcess, *options: str) -> str:
        """All that openssl says of a handshake."""
        address = f"127.0.0.1:{relay.port}"
        words = ["openssl", "s_client", "-connect", address, "-CAfile", str(self.trust), *options]
        # It would wait for what to send.
        child = await run(["sh", "-c", 'exec "$@" </dev/null', "sh", *words])
        return child.out + child.err

    async def assertServes(self, relay: RelayProcess, pair: Pair) -> None:
        """A new connection is shown this certificate, and trusts it."""
        shown = await self.openssl(relay, "-verify_return_error", "-verify_hostname", NAME)
        self.assertIn("Verify return code: 0 (ok)", shown)
        pem = shown[shown.index("-----BEGIN") :]
        der = ssl.PEM_cert_to_DER_cert(pem[: pem.index("-----END")] + "-----END CERTIFICATE-----")
        self.assertEqual(Certificate.load(der).serialNumber(), pair.serial)

    async def metrics(self, relay: RelayProcess) -> str:
        words = ["curl", "-sS", "--cacert", str(self.trust)]
        child = await run([*words, f"https://127.0.0.1:{relay.port}/metrics"])
        self.assertEqual(child.exit_code, 0, repr(child))
        return child.out


class HandshakeTest(TlsCase):
    async def test_curl(self) -> None:
        relay = await self.serve()
        url = f"https://127.0.0.1:{relay.port}/health"
        child = await run(["curl", "-sSv", "--cacert", str(self.trust), url])
        self.assertIn('"status":"ok"', child.out, repr(child))
        self.assertIn("TLSv1.3", child.err)
        self.assertIn("server accepted http/1.1", child.err)

    async def test_versions_and_ciphers(self) -> None:
        relay = await self.serve()
        for options, sign in [
            (["-tls1_3"], "TLSv1.3, Cipher is TLS_AES"),
            (["-tls1_2"], "TLSv1.2, Cipher is ECDHE"),
            (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "alert protocol version"),
            (["-tls1_2", "-cipher", "ECDHE+AES+SHA"], "alert handshake failure"),
            (["-alpn", "h2"], "No ALPN negotiated"),
        ]:
            self.assertIn(sign, await self.openssl(relay, *options))
        await relay.logged("turned 127.0.0.1 away: the TLS handshake has failed: .*unsupported")

    async def test_resumption(self) -> None:
        relay = await self.serve()
        ticket = str(self.trust.with_name("ticket"))
        self.assertIn("New, ", await self.openssl(relay, "-tls1_2", "-sess_out", ticket))
        self.assertIn("Reused, ", await self.openssl(relay, "-tls1_2", "-sess_in", ticket))

    async def test_plain_http(self) -> None:
        relay = await self.serve()
        reply = await relay.get("/health")
        self.assertEqual(reply.status, 400)
        self.assertEqual(reply.headers["content-type"], "application/json")
        self.assertIn("speaks TLS", reply.json()["error"])
        # All of it is read before the connection ends, or the answer might be lost.
        child = await run(
            ["curl", "-sS", "--data-binary", f"@{TYPESCRIPT}", f"http://127.0.0.1:{relay.port}/"]
        )
        self.assertIn("speaks TLS", child.out, repr(child))
        node = await self.node(relay)
        self.assertEqual((await node.refused("cli", "ABC234")).status, 400)
        await relay.logged("plain HTTP to a port of TLS")
        self.assertIn('turned_away_total{reason="plain_http"} 3.0', await self.metrics(relay))

    async def test_a_handshake_that_does_not_finish(self) -> None:
        relay = await self.serve("--handshake-timeout", "1")
        self.assertEqual(await relay.raw("\x16\x03\x01"), b"")
        await relay.logged("turned 127.0.0.1 away: the TLS handshake took more than 1 s")

    async def test_a_handshake_that_does_not_begin(self) -> None:
        relay = await self.serve("--handshake-timeout", "1")
        self.assertEqual(await relay.raw(""), b"")
        await relay.logged("turned 127.0.0.1 away: it did not begin in 1 s")

    async def test_a_request_that_does_not_come(self) -> None:
        relay = await self.serve("--handshake-timeout", "1")
        secure = await Secure.connect(self, relay)
        self.assertEqual(await secure.over(), b"")

    async def test_what_is_no_tls(self) -> None:
        relay = await self.serve()
        await relay.raw("\x80\x2e\x01\x03\x01")
        await relay.raw("\x16" + "\0" * 1000)
        await relay.logged("the TLS handshake has failed")
        await self.assertServes(relay, self.first)


class RenewalTest(TlsCase):
    async def test_renewed_while_bundles_pass(self) -> None:
        relay = await self.serve("--tune", "tls-look=1")
        node = await self.node(relay)
        cli, phone = await together(self.join(node, relay, "cli"), self.join(node, relay, "mobile"))
        await cli.settle()
        await phone.pause()
        code = await cli.start_filler(15_000_000)
        new = self.install()
        await relay.logged("TLS certificate taken: of relay.test")
        await self.assertServes(relay, new)
        await phone.resume()
        self.assertEqual((await phone.bundle()).code, code)
        dashboard = await self.join(node, relay, "dashboard")
        await phone.send({"type": "console_log"})
        await together(cli.expect("console_log"), dashboard.expect("console_log"))
        self.assertFalse(cli.is_closed or phone.is_closed)
        self.assertIn('reloads_total{result="taken"} 1.0', await self.metrics(relay))

    async def test_renewed_at_a_signal(self) -> None:
        relay = await self.serve("--tune", "tls-look=1h")
        await self.assertServes(relay, self.first)
        new = self.install()
        relay.child.signal("HUP")
        await relay.logged("TLS certificate taken")
        await self.assertServes(relay, new)

    async def test_a_wrong_pair(self) -> None:
        relay = await self.serve("--tune", "tls-look=1")
        new = self.authority.issue()
        self.live.install(new.chain, self.first.key)
        await relay.logged("THE NEW TLS CERTIFICATE IS REFUSED: the key in .* is not that of")
        await self.assertServes(relay, self.first)
        self.assertIn('reloads_total{result="refused"} 1.0', await self.metrics(relay))
        self.live.install(new.chain, new.key)
        await relay.logged("TLS certificate taken")
        await self.assertServes(relay, new)


class StartTest(TlsCase):
    async def refused(self, *options: str) -> str:
        """It ends with 1 and one line, which is returned."""
        relay = RelayProcess(options)
        relay.forget()
        self.addCleanup(relay.child.kill)
        await within_patience(relay.child.over(), lambda: repr(relay.child))
        self.assertEqual(relay.child.exit_code, 1, repr(relay.child))
        lines = relay.child.err.splitlines()
        self.assertEqual(len(lines), 1, repr(relay.child))
        return lines[0]

    async def test_what_is_missing(self) -> None:
        for options, sign in [
            (["--listen", "tls:tcp:0"], "tls: needs --tls-cert"),
            (["--listen", "proxy:tcp:0"], "proxy: needs --trusted-proxy"),
            (["--listen", "tls:proxy:tcp:0"], "in this order"),
            (["--listen", "tls:tcp:0", "--tls-cert", "/no/such.pem"], "/no/such.pem: No such"),
            (["--listen", "tls:tcp:0", "--tls-cert", str(self.live.chain)], "no complete private"),
        ]:
            self.assertIn(sign, await self.refused(*options))

    async def test_one_that_expires(self) -> None:
        self.install(days=3)
        relay = await self.serve()
        await relay.logged("The TLS certificate of relay.test, 127.0.0.1 expires in 2 days")


class FlowTest(TlsCase):
    async def test_fifteen_megabytes_to_a_phone_that_reads_nothing(self) -> None:
        relay = await self.serve()
        node = await self.node(relay)
        cli, phone = await together(self.join(node, relay, "cli"), self.join(node, relay, "mobile"))
        sent = await cli.push(TYPESCRIPT)
        self.assertEqual((await phone.bundle()).code, sent.code)
        relay.reset_peak()
        before = relay.rss()
        await phone.pause()
        codes = [await cli.start_filler(15_000_000) for _ in range(3)]
        # The relay takes all of them, and answers others meanwhile.
        self.assertIn("apptuner_relay_connections", await self.metrics(relay))
        await cli.all_sent()
        await phone.resume()
        # It is in the middle of the first; the last has taken the place of the second.
        for code in (codes[0], codes[2]):
            self.assertEqual((await phone.bundle()).code, code)
        grown = relay.peak_rss() - before
        self.assertLess(grown, 10 * MIB, f"the relay has grown by {grown / MIB:.1f} MiB")

    async def test_a_sender_that_dies_in_the_middle_of_a_bundle(self) -> None:
        relay = await self.serve()
        node = await self.node(relay)
        cli, phone = await together(self.join(node, relay, "cli"), self.join(node, relay, "mobile"))
        start = '{"type":"bundle_update","payload":{"code":"'
        await cli.send_half(start + "x" * MIB, claim=9 * MIB)
        await phone.bytes_arrived(MIB // 2)
        await cli.terminate()
        code, reason = await phone.closed()
        self.assertEqual(code, 1011)
        self.assertIn("cut short", reason)


class ProxyHeaderTest(TlsCase):
    """Who may see the operator's pages tells whom the relay takes a client for."""

    LOCAL = (
        "PROXY TCP4 127.0.0.1 127.0.0.1 5000 443\r\n",
        V2 + "\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\x13\x14\x01\x3b",
        V2 + "\x20\0\0\0",
    )
    ELSEWHERE = (
        "PROXY TCP4 10.1.2.3 127.0.0.1 5000 443\r\n",
        V2 + "\x21\x11\0\x0c\x0a\x01\x02\x03\x7f\0\0\x01\x13\x14\x01\x3b",
        V2 + "\x21\x21\0\x24" + "\0" * 15 + "\x02" + "\0" * 15 + "\x01\x13\x14\x01\x3b",
        "PROXY UNKNOWN\r\n",
        V2 + "\x21\0\0\0",
    )

    async def test_plain(self) -> None:
        relay = await self.serve("--trusted-proxy", "127.0.0.1", prefix="proxy:")
        for headers, status in ((self.LOCAL, b"200"), (self.ELSEWHERE, b"403")):
            for header in headers:
                reply = await relay.raw(header + REQUEST.format("/api/status"))
                self.assertEqual(reply[9:12], status, header)
        child = await run(["curl", "-sS", "--haproxy-protocol", relay_url(relay, "http")])
        self.assertIn('"status":"ok"', child.out, repr(child))

    async def test_before_tls(self) -> None:
        relay = await self.serve("--trusted-proxy", "127.0.0.1", prefix="proxy:tls:")
        for headers, status in ((self.LOCAL, b"200"), (self.ELSEWHERE, b"403")):
            for header in headers:
                secure = await Secure.connect(self, relay, header)
                secure.write(REQUEST.format("/api/status"))
                self.assertEqual((await secure.over())[9:12], status, header)
        words = ["curl", "-sS", "--haproxy-protocol", "--cacert", str(self.trust)]
        child = await run([*words, relay_url(relay, "https")])
        self.assertIn('"status":"ok"', child.out, repr(child))
        # Plain HTTP is told so here as well.
        reply = await relay.raw(self.LOCAL[0] + REQUEST.format("/health"))
        self.assertEqual(reply[9:12], b"400")

    async def test_without_one(self) -> None:
        relay = await self.serve("--trusted-proxy", "127.0.0.1", prefix="proxy:")
        bad = "PROXY TCP4 127.0.0.256 127.0.0.1 5000 443\r\n"
        for start in ("", bad, V2 + "\x21\x11\0\0"):
            self.assertEqual(await relay.raw(start + REQUEST.format("/health")), b"")
        await relay.logged("turned 127.0.0.1 away: no PROXY header")
        reply = await relay.raw(self.LOCAL[0] + REQUEST.format("/metrics"))
        self.assertIn(b'turned_away_total{reason="proxy_header"} 3.0', reply)

    async def test_of_somebody_else(self) -> None:
        relay = await self.serve("--trusted-proxy", "10.0.0.0/8", prefix="proxy:")
        for header in (self.LOCAL[0], ""):
            self.assertEqual(await relay.raw(header + REQUEST.format("/health")), b"")
        await relay.logged("turned 127.0.0.1 away: it is not in --trusted-proxy")

    async def test_a_unix_socket(self) -> None:
        path = self.trust.parent / "s"
        listen = ["--listen", f"proxy:unix:{path}", "--listen", "tcp:0:interface=127.0.0.1"]
        relay = RelayProcess([*listen, "--trusted-proxy", "unix"])
        self.addCleanup(relay.stop)
        await relay.listening()
        for header, status in ((self.LOCAL[0], b"200"), (self.ELSEWHERE[0], b"403")):
            reply = await exchange(f"unix:{path}", header + REQUEST.format("/api/status"))
            self.assertEqual(reply[9:12], status)

    async def test_a_bundle(self) -> None:
        plain = ["--listen", "tcp:0:interface=127.0.0.1", "--trusted-proxy", "127.0.0.1"]
        relay = await self.serve(*plain, prefix="proxy:")
        proxied = relay.port
        relay.port = int((await relay.logged(r"listening on tcp:127.0.0.1:(\d+)")).group(1))
        node = await self.node(relay)
        cli = await node.join("cli", "ABC234")
        relay.port = proxied
        phone = await ProxiedPhone.join(relay, "ABC234")
        self.addCleanup(phone.leave)
        await cli.expect("mobile_connected")
        phone.hurry()
        sent = await cli.push(TYPESCRIPT)
        self.assertEqual(await phone.bundle(0), sent.code)


class ProxiedPhone(SlowPhone):
    """A phone behind a load balancer."""

    def connectionMade(self) -> None:
        self.transport.write(ProxyHeaderTest.ELSEWHERE[0].encode())  # type: ignore[union-attr]
        super().connectionMade()


class Secure(Protocol):
    """A connection of TLS, after a header in plain text."""

    def __init__(self, case: TlsCase) -> None:
        trust = Certificate.loadPEM(case.authority.pem)
        self._options = optionsForClientTLS(NAME, trust)
        self._received = b""
        self._over: Deferred[bytes] = Deferred()

    @classmethod
    async def connect(cls, case: TlsCase, relay: RelayProcess, header: str = "") -> "Secure":
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{relay.port}")
        secure = cls(case)
        await connectProtocol(endpoint, secure)
        transport: Any = secure.transport
        transport.write(header.encode())
        transport.startTLS(secure._options)
        return secure

    def write(self, request: str) -> None:
        self.transport.write(request.encode())  # type: ignore[union-attr]

    async def over(self) -> bytes:
        """All that came until the connection was closed."""
        return await within_patience(self._over, lambda: repr(self._received))

    def dataReceived(self, data: bytes) -> None:
        self._received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._over.callback(self._received)


def relay_url(relay: RelayProcess, scheme: str) -> str:
    return f"{scheme}://127.0.0.1:{relay.port}/health"
