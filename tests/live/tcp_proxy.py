"""A TCP proxy: ``python -m tests.live.tcp_proxy HOST TARGET-HOST TARGET-PORT`` listens on a free
port of HOST, prints its number, and ends with its standard input."""

import sys

from twisted.internet import reactor, stdio
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.portforward import ProxyFactory
from twisted.python.failure import Failure


class _Until(Protocol):
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        reactor.stop()  # type: ignore[attr-defined]


def main() -> None:
    host, target, port = sys.argv[1:]
    proxies = ProxyFactory(target, int(port))
    listening = reactor.listenTCP(0, proxies, interface=host)  # type: ignore[attr-defined]
    print(listening.getHost().port, flush=True)
    stdio.StandardIO(_Until())
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
