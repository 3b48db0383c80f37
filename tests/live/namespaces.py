"""Two hosts of the test's own: network namespaces, each with a way to this one and to each other.

here 10.77.1.1 ── 10.77.1.2 a 10.77.3.1 ── 10.77.3.2 b 10.77.2.2 ── 10.77.2.1 here
"""

import itertools
import os
import shutil
from subprocess import CalledProcessError, run

IP = shutil.which("ip") or shutil.which("/usr/sbin/ip")


def missing_namespaces() -> str | None:
    """Why there can be no network namespaces here, if there can't."""
    if IP is None:
        return "needs Debian's iproute2"
    name = f"apptuner-probe-{os.getpid()}"
    probe = run([IP, "netns", "add", name], capture_output=True, text=True, check=False)
    if probe.returncode:
        return f"can't make network namespaces: {probe.stderr.strip()}"
    run([IP, "netns", "del", name], check=True)
    return None


_numbers = itertools.count()
"""A link goes some time after its namespace, so each has a name and networks of its own."""
_MOST_TESTS = 80


class TwoHosts:
    """Namespaces a and b."""

    def __init__(self) -> None:
        count = next(_numbers)
        number = f"{os.getpid() % 100_000}-{count}"
        first = 3 * ((os.getpid() + count) % _MOST_TESTS)
        self.here = {"a": f"10.77.{first}.1", "b": f"10.77.{first + 1}.1"}
        """This host, as a namespace sees it."""
        self.outside = {"a": f"10.77.{first}.2", "b": f"10.77.{first + 1}.2"}
        """A namespace, as this host sees it."""
        self.between = {"a": f"10.77.{first + 2}.1", "b": f"10.77.{first + 2}.2"}
        """A namespace, as the other one sees it."""
        self._names = {one: f"apptuner-{number}-{one}" for one in "ab"}
        self._links = {one: f"at{number}{one}" for one in "ab"}
        try:
            self._set_up()
        except CalledProcessError:
            self.remove()
            raise

    def _set_up(self) -> None:
        for one, name in self._names.items():
            self._ip("netns", "add", name)
            link = self._links[one]
            self._ip("link", "add", link, "type", "veth", "peer", "name", "out", "netns", name)
            self._ip("addr", "add", f"{self.here[one]}/24", "dev", link)
            self._ip("link", "set", link, "up")
            self._inside(one, "addr", "add", f"{self.outside[one]}/24", "dev", "out")
            self._inside(one, "link", "set", "out", "up")
            self._inside(one, "link", "set", "lo", "up")
        peer = ("peer", "name", "across", "netns", self._names["b"])
        self._inside("a", "link", "add", "across", "type", "veth", *peer)
        for one in "ab":
            self._inside(one, "addr", "add", f"{self.between[one]}/24", "dev", "across")
            self._inside(one, "link", "set", "across", "up")

    def within(self, one: str) -> list[str]:
        """What runs a command there."""
        return [str(IP), "netns", "exec", self._names[one]]

    def cut(self, one: str, link: str) -> None:
        """Nothing goes over a link (``out`` or ``across``) of a namespace any more."""
        self._inside(one, "link", "set", link, "down")

    def mend(self, one: str, link: str) -> None:
        """It does again."""
        self._inside(one, "link", "set", link, "up")

    def remove(self) -> None:
        for name in self._names.values():
            run([str(IP), "netns", "del", name], check=False, capture_output=True)

    def _inside(self, one: str, *words: str) -> None:
        self._ip("-n", self._names[one], *words)

    @staticmethod
    def _ip(*words: str) -> None:
        run([str(IP), *words], check=True)
