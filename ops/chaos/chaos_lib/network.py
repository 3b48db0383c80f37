"""Hosts of a run's own: a network namespace each, and one more that routes between them.

The router has the clients. What goes from one host to another passes it, so that it can be
dropped there without a word to either, in one direction or in both.
"""

import os
import shutil
from subprocess import CalledProcessError, run

from tests.live.namespaces import IP

SS = shutil.which("ss")
ROUTER = "router"
_NETWORKS = 250


class Network:
    """Namespaces by host name, and the addresses of all of them: 10.78.N.2 behind 10.78.N.1."""

    def __init__(self, hosts: list[str]) -> None:
        self._prefix = f"chaos{os.getpid()}"
        self._hosts = hosts
        self.address = {
            host: f"10.78.{(os.getpid() + number) % _NETWORKS}.2"
            for number, host in enumerate(hosts)
        }
        self._cuts: set[tuple[str, str]] = set()
        try:
            self._set_up()
        except CalledProcessError:
            self.remove()
            raise

    def _set_up(self) -> None:
        _ip("netns", "add", self._name(ROUTER))
        self._inside(ROUTER, "link", "set", "lo", "up")
        for host in self._hosts:
            here = self.address[host].removesuffix("2") + "1"
            _ip("netns", "add", self._name(host))
            peer = ("peer", "name", "out", "netns", self._name(host))
            self._inside(ROUTER, "link", "add", f"to-{host}", "type", "veth", *peer)
            self._inside(ROUTER, "addr", "add", f"{here}/30", "dev", f"to-{host}")
            self._inside(ROUTER, "link", "set", f"to-{host}", "up")
            self._inside(host, "addr", "add", f"{self.address[host]}/30", "dev", "out")
            self._inside(host, "link", "set", "lo", "up")
            self._inside(host, "link", "set", "out", "up")
            self._inside(host, "route", "add", "default", "via", here)
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        run([*self.within(ROUTER), "sh", "-c", forward], check=True)

    def within(self, host: str) -> list[str]:
        """What runs a command there."""
        return [str(IP), "netns", "exec", self._name(host)]

    def cut(self, source: str, target: str) -> None:
        """Nothing passes from one host to another any more."""
        if (source, target) not in self._cuts:
            self._cuts.add((source, target))
            self._rule("add", source, target)

    def mend(self, source: str, target: str) -> None:
        """It does again."""
        if (source, target) in self._cuts:
            self._cuts.discard((source, target))
            self._rule("del", source, target)

    def unplug(self, host: str) -> None:
        """The host has no network."""
        self._inside(ROUTER, "link", "set", f"to-{host}", "down")

    def plug(self, host: str) -> None:
        """It has one again."""
        self._inside(ROUTER, "link", "set", f"to-{host}", "up")

    def reset(self, host: str, peer: str) -> None:
        """Every connection that a host has to another is reset, at its own end."""
        if SS is not None:
            command = [*self.within(host), SS, "-K", "dst", self.address[peer]]
            run(command, check=False, capture_output=True)

    def remove(self) -> None:
        for host in [*self._hosts, ROUTER]:
            run([str(IP), "netns", "del", self._name(host)], check=False, capture_output=True)

    def _rule(self, verb: str, source: str, target: str) -> None:
        way = ("from", self.address[source], "to", self.address[target])
        self._inside(ROUTER, "rule", verb, *way, "priority", "100", "blackhole")

    def _name(self, host: str) -> str:
        return f"{self._prefix}-{host}"

    def _inside(self, host: str, *words: str) -> None:
        _ip("-n", self._name(host), *words)


def _ip(*words: str) -> None:
    run([str(IP), *words], check=True)
