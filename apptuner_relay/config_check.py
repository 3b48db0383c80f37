"""``--check``: tries out what the options name, without serving anybody, and prints what is in
force.

It takes nothing from a relay that runs with the same options: a port in use and a state directory
that is locked are warnings, and directories that are missing are not made. Secrets are not printed.
"""

import errno
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import trustRootFromCertificates
from twisted.python.failure import Failure

from apptuner_relay.config.options import Options
from apptuner_relay.config.settings import Settings
from apptuner_relay.edge.adopted import ADOPTED, PassedSockets
from apptuner_relay.edge.certificate import BadCertificate, read_certificate
from apptuner_relay.edge.endpoints import are_adopted, explain_endpoint, make_endpoints
from apptuner_relay.edge.prefixes import split_prefixes
from apptuner_relay.operator.state_file import (
    StateDirectory,
    StateError,
    StateTaken,
    find_directory,
)
from apptuner_relay.spool.spool_directory import SpoolDirectory
from apptuner_relay.support.authorities import BadCertificates, read_authorities
from apptuner_relay.support.client_address import NOBODY
from apptuner_relay.support.units import show_count, show_memory
from apptuner_relay.support.version import release

PATIENCE_S = 5.0
"""How long a server has to answer."""
_DAY_S = 86400.0
_UNIX = "unix:"


class Verdict(Enum):
    """What a check has found."""

    FINE = "ok"
    WARNING = "warning"
    FAILED = "failed"


class CheckResult(NamedTuple):
    """One line of the report."""

    verdict: Verdict
    subject: str
    """The option that it is about."""
    text: str


Check = Callable[[Settings, Any], AsyncIterator[CheckResult]]


def check_and_exit(options: Options, reactor: Any) -> NoReturn:
    """Check what ``options`` name, print it, and exit: with 1 if something has failed."""
    results: list[CheckResult] = []

    async def check() -> None:
        try:
            async for result in find(options.settings, reactor):
                results.append(result)
                print(_line(result), flush=True)
        finally:
            reactor.stop()

    def failed(failure: Failure) -> None:
        text = f"the check itself has failed: {failure.getErrorMessage()}"
        results.append(CheckResult(Verdict.FAILED, "--check", text))
        print(_line(results[-1]), flush=True)

    def begin() -> None:
        Deferred.fromCoroutine(check()).addErrback(failed)

    print(f"AppTuner Relay {release()}: checking its options")
    reactor.callWhenRunning(begin)
    reactor.run()
    for line in _in_force(options):
        print(line)
    count = sum(one.verdict is Verdict.FAILED for one in results)
    warned = sum(one.verdict is Verdict.WARNING for one in results)
    fine = len(results) - count - warned
    print(f"{fine} ok, {show_count(warned, 'warning')}, {count} failed")
    sys.exit(1 if count else 0)


async def find(settings: Settings, reactor: Any) -> AsyncIterator[CheckResult]:
    """What is found, in the order of the options."""
    for check in _CHECKS:
        async for result in check(settings, reactor):
            yield result


def _line(result: CheckResult) -> str:
    return f"  {result.verdict.value:8}{result.subject}: {result.text}"


def _in_force(options: Options) -> Iterator[str]:
    if not options.in_force:
        yield "in force: every option at its default"
        return
    yield "in force, beside defaults:"
    for one in options.in_force:
        yield f"  {one.option.name} = {one.shown}  ({one.source})"


async def _listening(settings: Settings, reactor: Any) -> AsyncIterator[CheckResult]:
    for description in settings.listening.listen:
        subject = f"--listen {description}"
        try:
            prefixes = split_prefixes(description)
            if prefixes.proxied and settings.listening.trusted_proxy == NOBODY:
                raise ValueError("proxy: needs --trusted-proxy, which says whose headers count")
            if prefixes.secure and settings.listening.tls_cert is None:
                raise ValueError("tls: needs --tls-cert, the certificate's file")
            verdict, text = await _try_endpoint(prefixes.endpoint, reactor)
        except Exception as wrong:  # endpoint plugins raise whatever parsing raises
            verdict, text = Verdict.FAILED, explain_endpoint(wrong)
        yield CheckResult(verdict, subject, text)


async def _try_endpoint(endpoint: str, reactor: Any) -> tuple[Verdict, str]:
    if endpoint.startswith(ADOPTED):
        return Verdict.FINE, "is for a socket that systemd passes on, which isn't there now"
    (found,) = make_endpoints(endpoint, reactor, PassedSockets([], []))
    if endpoint.startswith(_UNIX):
        # To listen there would replace the file of a relay that runs.
        return _may_make(Path(endpoint.removeprefix(_UNIX).partition(":")[0]))
    try:
        port = await found.listen(Factory.forProtocol(Protocol))
    except CannotListenError as wrong:
        reason = wrong.socketError
        text = getattr(reason, "strerror", None) or str(reason)
        if getattr(reason, "errno", None) == errno.EADDRINUSE:
            return Verdict.WARNING, "in use; by the relay that this one is to replace?"
        return Verdict.FAILED, text
    await maybeDeferred(port.stopListening)
    return Verdict.FINE, "free"


async def _certificate(settings: Settings, reactor: Any) -> AsyncIterator[CheckResult]:
    listening, days = settings.listening, settings.warnings.tls_expiry_days
    if listening.tls_cert is None:
        return
    try:
        certificate = read_certificate(listening.tls_cert, listening.tls_key)
        certificate.make_context()
    except BadCertificate as wrong:
        yield CheckResult(Verdict.FAILED, "--tls-cert", str(wrong))
        return
    left_s = certificate.expires_s - time.time()
    verdict = Verdict.FINE
    if left_s <= 0:
        verdict = Verdict.FAILED
    elif days is not None and left_s < days * _DAY_S:
        verdict = Verdict.WARNING
    yield CheckResult(verdict, "--tls-cert", f"{certificate.shown}, until {certificate.expires}")


async def _authorities(settings: Settings, reactor: Any) -> AsyncIterator[CheckResult]:
    for option, path in (
        ("--redis-ca", settings.cluster.redis_ca),
        ("--node-ca", settings.cluster.node_ca),
        ("--managed-ca", settings.managed.managed_ca),
    ):
        if path is None:
            continue
        try:
            count = len(read_authorities(path))
        except BadCertificates as wrong:
            yield CheckResult(Verdict.FAILED, option, str(wrong))
        else:
            yield CheckResult(
                Verdict.FINE, option, f"{path}: {show_count(count, 'authority', 'authorities')}"
            )


async def _spool(settings: Settings, reactor: Any) -> AsyncIterator[CheckResult]:
    if settings.bundles.spool_dir is None:
        return
    path, subject = Path(settings.bundles.spool_dir), "--spool-dir"
    if not path.exists():
        verdict, text = _may_make(path)
        yield CheckResult(verdict, subject, text)
        return
    try:
        directory = SpoolDirectory(path)
        try:
            directory.probe()
            free = directory.free_bytes()
        finally:
            directory.remove()
    except OSError as wrong:
        yield CheckResult(Verdict.FAILED, subject, f"{path}: {wrong.strerror or wrong}")
        return
    limit = settings.bundles.spool_limit
    verdict = Verdict.FINE if free >= limit else Verdict.WARNING
    text = f"{path}: {show_memory(free)} free, --spool-limit is {show_memory(limit)}"
    yield CheckResult(verdict, subject, text)


async def _state(settings: Settings, reactor: Any) -> AsyncIterator[CheckResult]:
    path, subject = find_directory(settings.logs.state_dir, os.environ), "--state-dir"
    if path is None:
        return
    given = settings.logs.state_dir != "auto"
    if not path.exists():
        verdict, text = _may_make(path)
        if verdict is Verdict.FAILED and not given:
            # The relay starts all the same, and warns.
            verdict = Verdict.WARNING
        yield CheckResult(verdict, subject, text)
        return
    try:
        StateDirectory(path).close()
    except StateTaken:
        after = "starts without it"
        if given:
            waits = are_adopted(settings.listening.listen)
            after = "waits for it" if waits else "refuses to start until it is free"
        text = f"{path}: another relay has it, perhaps the one that this one replaces; this one "
        yield CheckResult(Verdict.WARNING, subject, text + after)
    except StateError as wrong:
        yield CheckResult(Verdict.FAILED if given else Verdict.WARNING, subject, str(wrong))
    else:
        yield CheckResult(Verdict.FINE, subject, f"{path}: can be written")


async def _redis(settings: Settings, reactor: Any) -> AsyncIterator[CheckResult]:
    url = settings.cluster.redis
    if url is None:
        return
    try:
        from apptuner_relay.cluster.ownership.redis_endpoint import make_endpoint
        from apptuner_relay.cluster.ownership.redis_protocol import (
            Commands,
            RespFactory,
            reason_of,
        )
    except ImportError as missing:
        text = f"{missing}; install apptuner-relay with its extra redis"
        yield CheckResult(Verdict.FAILED, "--redis", text)
        return

    async def ask() -> str:
        ca = settings.cluster.redis_ca
        authorities = None if ca is None else read_authorities(ca)
        connection: Any = await make_endpoint(reactor, url, authorities).connect(
            RespFactory(Commands)
        )
        try:
            await connection.sign_in(url.credentials, url.db)
            about = await connection.info("server")
        finally:
            connection.transport.abortConnection()
            await connection.gone
        return f"answers, version {about.get('redis_version', 'unknown')}"

    verdict, text = await _asked(ask(), reactor, reason_of)
    yield CheckResult(verdict, f"--redis {url}", text)


async def _managed(settings: Settings, reactor: Any) -> AsyncIterator[CheckResult]:
    managed = settings.managed
    url = managed.managed
    if url is None or url.service is None or managed.managed_secret is None:
        return
    service, secret, ca = url.service, managed.managed_secret, managed.managed_ca
    # Most relays need none of it.
    from apptuner_relay.managed.protocol.channel_names import start_of_channels
    from apptuner_relay.managed.protocol.signatures import Signer
    from apptuner_relay.managed.service.api_client import ApiClient, make_agent
    from apptuner_relay.operator.managed_counters import ManagedCounters

    async def ask() -> str:
        trust = None if ca is None else trustRootFromCertificates(read_authorities(ca))
        agent = make_agent(reactor, PATIENCE_S, trust)
        signer, counters = Signer(url.key, secret), ManagedCounters()
        api = ApiClient(service, signer, agent, counters, reactor, time.time)
        try:
            await api.channels(start_of_channels(managed.managed_prefix))
        finally:
            await api.stop()
        return "its HTTP API answers, and takes the secret"

    verdict, text = await _asked(ask(), reactor, Failure.getErrorMessage)
    if verdict is Verdict.FAILED:
        # The relay starts all the same, and connects once it can.
        verdict = Verdict.WARNING
    yield CheckResult(verdict, f"--managed {url}", text)


async def _upstreams(settings: Settings, reactor: Any) -> AsyncIterator[CheckResult]:
    for upstream in sorted({route.upstream for route in settings.forwarding.forward.routes}):
        url = urlsplit(upstream)
        port = url.port or (443 if url.scheme == "https" else 80)
        endpoint = HostnameEndpoint(reactor, url.hostname or "", port)

        async def connect(endpoint: HostnameEndpoint = endpoint) -> str:
            connection: Any = await endpoint.connect(Factory.forProtocol(Protocol))
            connection.transport.abortConnection()
            return "takes connections"

        verdict, text = await _asked(connect(), reactor, Failure.getErrorMessage)
        if verdict is Verdict.FAILED:
            # The relay starts all the same, and answers 502 there until it comes up.
            verdict = Verdict.WARNING
        yield CheckResult(verdict, f"--forward {upstream}", text)


_CHECKS: tuple[Check, ...] = (
    _listening,
    _certificate,
    _authorities,
    _spool,
    _state,
    _redis,
    _managed,
    _upstreams,
)


async def _asked(
    answer: Awaitable[str], reactor: Any, explain: Callable[[Failure], str]
) -> tuple[Verdict, str]:
    """The answer of a server, or why there is none."""
    asked: Deferred[str] = Deferred.fromCoroutine(answer)  # type: ignore[arg-type]
    try:
        return Verdict.FINE, await asked.addTimeout(PATIENCE_S, reactor)
    except Exception as wrong:  # whatever it is, it is reported
        if isinstance(wrong, TimeoutError):
            return Verdict.FAILED, f"no answer in {PATIENCE_S:g} s"
        return Verdict.FAILED, explain(Failure(wrong))


def _may_make(path: Path) -> tuple[Verdict, str]:
    """Whether a file or directory that is missing could be made."""
    if path.exists():
        return Verdict.FINE, "there already"
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    if os.access(parent, os.W_OK | os.X_OK):
        return Verdict.FINE, f"{path} will be made"
    return Verdict.FAILED, f"{path} is missing, and {parent} can't be written"
