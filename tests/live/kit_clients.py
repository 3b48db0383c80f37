"""Clients of ops/clients/js, which come back after any end: the Python side of node/kit.mjs, and of
the page of it in Chromium."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.web.server import Site
from twisted.web.static import File

from tests.clients_js.javascript import program
from tests.live.browser import Browser
from tests.live.clients import NODE_DIRECTORY
from tests.live.processes import REPOSITORY, Child, within_patience

SESSION = "ABC234"
SOCKETS = {"node": "ws", "newer_node": "own", "bun": "own"}
"""Whose WebSocket the kit uses in each runtime: npm's, or that of the runtime itself."""
PAGE = """<!doctype html><meta charset="utf-8"><title>kit</title><script type="module">
import * as kit from '/ops/clients/js/index.js';
import { sha256Hex } from '/ops/clients/js/src/sha256.js';
import { createPlayers } from '/tests/live/node/kit_players.js';
const events = [];
window.handle = createPlayers({ kit, sha256: sha256Hex, report: (event) => events.push(event) });
window.take = () => events.splice(0);
document.body.dataset.ready = 'yes';
</script><body></body>
"""
_LOOK_S = 0.1

T = TypeVar("T")


class Code(NamedTuple):
    """The code of a bundle: so many lines, some of them changed."""

    lines: int
    changed: Mapping[int, str] = {}
    tail: str = ""

    def change(self, **changed: str) -> "Code":
        """With other lines: ``n7="…"`` for the line of number 7."""
        numbered = {int(name[1:]): text for name, text in changed.items()}
        return self._replace(changed={**self.changed, **numbered})

    @property
    def text(self) -> str:
        lines = (
            self.changed.get(n, f"var line{n} = 'café 🚀 {n % 97}';") for n in range(self.lines)
        )
        return "\n".join(lines) + "\n" + self.tail

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def spec(self) -> dict[str, Any]:
        """For kit_players.js."""
        return {"lines": self.lines, "changed": self.changed, "tail": self.tail}


class Stage(Protocol):
    """Where clients are played."""

    def start(self, kind: str, url: str, session: str = SESSION, **options: Any) -> "KitClient": ...

    def tell(self, **request: Any) -> None: ...


class KitProcess:
    """One process that plays any number of them.

    :param runtime: one of `tests.clients_js.javascript.SERVERS`.
    :param socket: whose WebSocket, if not that of `SOCKETS`.
    """

    def __init__(self, runtime: str, socket: str | None = None) -> None:
        self._cast = Cast(self.tell)
        self._ready: Deferred[None] = Deferred()
        self._child = Child(
            [program(runtime), str(NODE_DIRECTORY / "kit.mjs"), socket or SOCKETS[runtime]],
            on_line=self._line,
        )
        self.start = self._cast.start

    async def ready(self) -> None:
        await within_patience(self._ready, lambda: repr(self._child))

    def tell(self, **request: Any) -> None:
        self._child.write_line(json.dumps(request))

    def _line(self, line: str) -> None:
        event = json.loads(line)
        if event["event"] == "ready":
            self._ready.callback(None)
        else:
            self._cast.happened(event)

    async def stop(self) -> None:
        """End the process, and with it all of them."""
        await self._child.end()


class KitPage:
    """A page in Chromium that plays them, from a server of its own."""

    def __init__(self) -> None:
        self._browser = Browser(Path("screenshots"))
        self._cast = Cast(self.tell)
        self._port: Any = None
        self._told: list[str] = []
        self._looking = LoopingCall(self._look)
        self.start = self._cast.start

    async def ready(self) -> None:
        root = File(str(REPOSITORY))
        page = Path("kit_page").resolve()
        page.mkdir(exist_ok=True)
        (page / "index.html").write_text(PAGE, "utf-8")
        root.putChild(b"page", File(str(page)))
        self._port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")  # type: ignore[attr-defined]
        await self._browser.start()
        await self._browser.visit(f"http://127.0.0.1:{self._port.getHost().port}/page/index.html")
        await self._browser.until("document.body && document.body.dataset.ready")
        self._looking.start(_LOOK_S)

    def tell(self, **request: Any) -> None:
        self._told.append(json.dumps(request))

    def _look(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._exchange())

    async def _exchange(self) -> None:
        told, self._told = self._told, []
        script = "".join(f"window.handle({request});" for request in told)
        for event in await self._browser.run(f"{script} return window.take();"):
            self._cast.happened(event)

    async def stop(self) -> None:
        if self._looking.running:
            ended = self._looking.deferred
            self._looking.stop()
            await ended
        await self._browser.stop()
        if self._port is not None:
            await self._port.stopListening()


class Cast:
    """The clients that are played in one place.

    :param tell: has one do something.
    """

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._clients: dict[int, KitClient] = {}

    def start(self, kind: str, url: str, session: str = SESSION, **options: Any) -> "KitClient":
        """Have one connect.

        :param kind: phone, cli or dashboard.
        :param options: those of the kit that can be said in JSON.
        """
        client = KitClient(self._tell, len(self._clients) + 1, kind)
        self._clients[client.id] = client
        self._tell(op=kind, id=client.id, url=url, session=session, **options)
        return client

    def happened(self, event: dict[str, Any]) -> None:
        self._clients[event.pop("id")].happened(event)


class KitClient:
    """One client. What happens to it is in order."""

    def __init__(self, tell: Callable[..., None], number: int, kind: str) -> None:
        self.id = number
        self.kind = kind
        self.events: list[dict[str, Any]] = []
        self._tell = tell
        self._waiters: list[Deferred[None]] = []

    def those(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind."""
        return [event for event in self.events if event["event"] == kind]

    def send(self, code: Code) -> None:
        """Have a CLI send a bundle."""
        self._tell(op="send", id=self.id, code=code.spec)

    def log(self, level: str, *args: Any, flood: int = 0) -> None:
        """Have a phone log a line, behind so many others."""
        self._tell(op="log", id=self.id, level=level, args=args, flood=flood)

    def close(self) -> None:
        self._tell(op="close", id=self.id)

    async def happens(self, kind: str, times: int = 1) -> dict[str, Any]:
        """Wait for an event of a kind, the first or a later one."""
        return await self.until(lambda: (self.those(kind)[times - 1 : times] or [None])[0])

    async def in_state(self, state: str, times: int = 1) -> dict[str, Any]:
        """Wait until it was in a state so many times."""

        def look() -> dict[str, Any] | None:
            found = [one for one in self.those("state") if one["state"] == state]
            return (found[times - 1 : times] or [None])[0]

        return await self.until(look)

    async def bundle(self, code: Code) -> dict[str, Any]:
        """Wait until it has that code; the event."""
        wanted = code.sha256

        def look() -> dict[str, Any] | None:
            return next((one for one in self.those("bundle") if one["digest"] == wanted), None)

        return await self.until(look)

    async def sent(self, times: int = 1) -> dict[str, Any]:
        """Wait until so many bundles are sent; the event of the last of them."""
        return await self.happens("sent", times)

    async def until(self, look: Callable[[], T | None]) -> T:
        while (result := look()) is None:
            waiter: Deferred[None] = Deferred()
            self._waiters.append(waiter)
            await within_patience(waiter, lambda: repr(self))
        return result

    def happened(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def __repr__(self) -> str:
        return f"{self.kind} {self.id}:\n  " + "\n  ".join(map(str, self.events))
