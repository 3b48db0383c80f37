"""What the tests of the status page share: `PageCase`, a browser in front of a relay, and the
figures of a page as `tests.web.sample_status` has them.

Screenshots are left in ``screenshots/`` of trial's temporary directory; their paths are printed.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ServerFactory
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from apptuner_relay.config.settings import Settings
from apptuner_relay.operator.views import Views
from apptuner_relay.relay.service import RelayService
from apptuner_relay.web.site import make_site
from tests.live.browser import Browser, missing
from tests.live.harness import LiveCase
from tests.live.processes import KIB, RelayProcess
from tests.web import sample_status
from tests.workers import Inline

SESSION = "ABC234"
LABEL = hashlib.sha256(SESSION.encode()).hexdigest()[:8]
TOKEN = "correct-horse-battery"
PHONE = (390, 844)

# What is cut, hidden or sticks out to the side: text of charts included.
CUT = """
const wide = document.documentElement.scrollWidth - innerWidth;
const name = (e) => `${e.tagName}#${e.id}.${e.getAttribute('class')} ${e.textContent.slice(0, 40)}`;
const isShown = (e) => e.getClientRects().length && !e.closest('.unseen, .skip')
  && getComputedStyle(e).clipPath === 'none' && !e.closest('thead');
const out = [...document.querySelectorAll('header *, main *, footer *')].filter((e) => {
  if (!isShown(e)) return false;
  const box = e.getBoundingClientRect();
  if (box.right > innerWidth + 1 || box.left < -1) return true;
  return getComputedStyle(e).overflowX !== 'visible' && !(e instanceof SVGElement)
    && e.tagName !== 'SELECT' && e.tagName !== 'INPUT' && e.scrollWidth > e.clientWidth + 1;
}).map(name);
return wide > 0 || out.length ? [`${wide} px`, ...out] : [];
"""


class PageCase(LiveCase):
    skip = LiveCase.skip or missing()

    async def browser(self) -> Browser:
        browser = Browser(Path("screenshots"))
        self.addCleanup(browser.stop)
        await browser.start()
        return browser

    async def page(self, relay: RelayProcess) -> Browser:
        browser = await self.browser()
        await browser.visit(f"http://127.0.0.1:{relay.port}/")
        return browser

    async def assertFits(self, browser: Browser) -> None:
        """Nothing is cut, and nothing is to be scrolled sideways."""
        self.assertEqual(await browser.run(CUT), [])

    async def shoot(self, browser: Browser, name: str, whole: bool = True) -> None:
        """Leave a screenshot, and say where."""
        path = await browser.screenshot(name, whole)
        print(f"\nscreenshot: {path.resolve()}")

    async def show(self, rows: list[dict[str, Any]] | None = None, **changes: Any) -> Browser:
        """The page of a relay whose figures are those of `sample_status`, with these changes. Its
        sessions, ``self.rows``, are ``rows``, or four."""
        self.rows = sample_status.sessions() if rows is None else rows
        self.status = sample_status.status(**changes)
        self.asked: list[str] = []

        def sessions(
            _: Views, most: int | None = None, prefix: str = "", has_bundles: bool = True
        ) -> list[dict[str, Any]]:
            self.asked.append(prefix)
            found = [row for row in self.rows if prefix.startswith(row["session"]) or not prefix]
            left_out = () if has_bundles else ("bundles",)
            return [
                {key: value for key, value in row.items() if key not in left_out}
                for row in found[:most]
            ]

        self.patch(Views, "status", lambda _: self.status)
        self.patch(Views, "sessions", sessions)
        relay = RelayService(Settings(), reactor, Inline())  # type: ignore[arg-type]
        site = WatchedFactory(make_site(relay))
        port = reactor.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.addCleanup(site.all_gone)
        browser = await self.browser()
        await browser.visit(f"http://127.0.0.1:{port.getHost().port}/")
        return browser

    def state_of_a_month(self) -> str:
        """A state directory that remembers 40 days."""
        directory = Path(self.mktemp()).resolve()
        directory.mkdir()
        days = {}
        for ago in range(1, 41):
            date = (datetime.now(UTC) - timedelta(days=ago)).strftime("%Y-%m-%d")
            days[date] = a_day(date, ago)
        (directory / "days.json").write_text(json.dumps({"days": days}))
        return str(directory)


class WatchedFactory(WrappingFactory):
    """Knows when its last connection has gone."""

    def __init__(self, wrapped: ServerFactory) -> None:
        super().__init__(wrapped)
        self._waiting: list[Deferred[None]] = []

    def all_gone(self) -> Deferred[None]:
        gone: Deferred[None] = Deferred()
        self._waiting.append(gone)
        self._look()
        return gone

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:
        super().unregisterProtocol(p)
        # The wrapped one is told of it after this.
        reactor.callLater(0, self._look)  # type: ignore[attr-defined]

    def _look(self) -> None:
        if not self.protocols:
            waiting, self._waiting = self._waiting, []
            for gone in waiting:
                gone.callback(None)


def a_day(date: str, ago: int) -> dict[str, Any]:
    busy = 40 + 37 * ago % 61
    return {
        "date": date,
        "peak_sessions": busy,
        "peak_connections": 3 * busy,
        "bundles": 20 * busy,
        "bundle_bytes": 300_000 * KIB * busy,
        "bytes_out": 700_000 * KIB * busy,
        "connections": 31 * busy,
    }
