"""The status page in Chromium, in front of a relay with real traffic.

Screenshots are left in ``screenshots/`` of trial's temporary directory.
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
from tests.live.browser import DESKTOP, PHONE, Browser, missing
from tests.live.harness import LiveCase, together
from tests.live.processes import KIB, MIB, RelayProcess
from tests.web import sample_status
from tests.workers import Inline

SESSION = "ABC234"
LABEL = hashlib.sha256(SESSION.encode()).hexdigest()[:8]
TOKEN = "correct-horse-battery"
EVIL_NAME = "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"


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
        """Nothing is to be scrolled sideways."""
        widths = "return [document.documentElement.scrollWidth, innerWidth]"
        needed, there = await browser.run(widths)
        self.assertLessEqual(needed, there)

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


class TrafficTest(PageCase):
    async def test_numbers_follow_the_traffic(self) -> None:
        relay, node = await self.stage("--state-dir", self.state_of_a_month())
        browser = await self.page(relay)
        await browser.shows("state", "All well")
        await browser.shows("sessions", "0")
        await browser.shows("no-sessions", "Nobody is connected.")
        cli, phone = await together(
            node.join("cli", SESSION),
            node.join("mobile", SESSION, "deviceId=d1&name=Pixel%208&platform=android"),
        )
        await browser.shows("connections", "2")
        await browser.shows("connections-note", "1 phone, 1 CLI")
        await browser.shows("sessions", "1")
        evil = await node.join("mobile", SESSION, f"deviceId=d2&name={EVIL_NAME}&platform=ios")
        await browser.shows("connections-note", "2 phones, 1 CLI")
        for _ in range(3):
            await cli.push_filler(5 * MIB, chunked=True)
            # One that has not taken all of it yet would get the next one instead.
            await together(phone.bundle(), evil.bundle())
        await browser.shows("today-bundles", "3")
        await browser.shows("bundles", "3")
        await browser.until("document.getElementById('today-in').innerText.startsWith('15.')")
        await browser.until("document.getElementById('total').innerText.startsWith('31.')")
        row = f"document.querySelector('tr[data-key=\"{LABEL}\"]')?.innerText"
        await browser.until(f"{row}?.includes('CLI · 2 phones') && {row}.includes('31.')")
        await browser.until(f"{row}.includes('Pixel 8 (Android), <img src=x onerror=alert(1)>')")
        # The first point of the charts.
        await browser.until("document.querySelector('[data-chart=sending] .line')")
        await browser.screenshot("light")
        source = await browser.run("return document.documentElement.outerHTML")
        self.assertNotIn(SESSION, source)
        self.assertEqual(await browser.complaints(), [])

    async def test_on_a_phone_and_in_the_dark(self) -> None:
        relay, node = await self.stage(
            "--state-dir",
            self.state_of_a_month(),
            "--notice-sessions",
            "0",
            "--tune",
            "warning-time=1s",
        )
        browser = await self.browser()
        await browser.look_from(PHONE, "dark")
        await browser.visit(f"http://127.0.0.1:{relay.port}/")
        await together(
            node.join("cli", SESSION),
            node.join("mobile", SESSION, "deviceId=d1&name=" + "W" * 64),
            node.join("cli", "OTHER2"),
        )
        await browser.until("document.querySelectorAll('#session-rows tr').length === 2")
        await browser.until("document.querySelectorAll('#day-rows tr').length === 30")
        await browser.until("document.querySelector('#warning-list li[data-level=notice]')")
        await self.assertFits(browser)
        shown = (
            "[...document.querySelectorAll('#day-rows tr')].filter((r) => r.offsetHeight).length"
        )
        self.assertEqual(await browser.run(f"return {shown}"), 7)
        await browser.run("document.querySelector('details').open = true")
        await self.assertFits(browser)
        await browser.screenshot("phone-dark")
        dark = await self.background(browser)
        await browser.look_from(PHONE, "light")
        light = await self.background(browser)
        self.assertLess(max(dark), 64)
        self.assertGreater(min(light), 192)
        await browser.screenshot("phone-light")
        await browser.click("#all-days")
        self.assertEqual(await browser.run(f"return {shown}"), 30)
        await self.assertFits(browser)
        await browser.look_from(DESKTOP, "dark")
        await browser.until("document.documentElement.clientWidth > 1000")
        await browser.screenshot("dark")

    async def background(self, browser: Browser) -> list[int]:
        colour = await browser.run("return getComputedStyle(document.body).backgroundColor")
        return [int(part) for part in colour.strip("rgb()").split(",")]

    async def test_a_screen_reader_finds_its_way(self) -> None:
        relay, node = await self.stage("--state-dir", self.state_of_a_month())
        browser = await self.page(relay)
        await node.join("cli", SESSION)
        await browser.until("document.querySelectorAll('#session-rows tr').length === 1")
        await browser.until("document.querySelector('[data-chart=lag] .line')")
        found = await browser.accessible()
        roles = {role for role, _ in found}
        self.assertLessEqual({"banner", "main", "contentinfo"}, roles)
        headings = [name for role, name in found if role == "heading"]
        self.assertEqual(headings[:2], ["AppTuner Relay", "Now"])
        for name in ("Peak sessions", "Sent", "Who", "Close"):
            self.assertIn(("columnheader", name), found)
        self.assertIn(("rowheader", LABEL), found)
        self.assertIn(("button", f"Close session {LABEL}"), found)
        charts = [name for role, name in found if role == "image" and "last hour" in name]
        self.assertEqual(len(charts), 3)
        for chart, title in zip(charts, ("Sessions", "Sending", "Event-loop lag"), strict=True):
            self.assertTrue(chart.startswith(f"{title} over the last hour: now "), chart)
        self.assertFalse([found for found in found if found == ("button", "")])

    async def test_pointing_at_the_charts(self) -> None:
        relay = await self.relay()
        browser = await self.page(relay)
        await browser.until("document.querySelector('[data-chart=lag] .line')")
        await browser.point_at("[data-chart=sending] svg", 0.5)
        value = "document.querySelector('[data-chart={}] .value').innerText"
        for chart, unit in (("sessions", "0"), ("sending", "B/s"), ("lag", "s")):
            text = await browser.until(f"document.querySelector('.dot') && {value.format(chart)}")
            self.assertRegex(text, rf"^\d\d:\d\d · .*{unit}$")
        # Another size of the window ends it, and what comes is shown again.
        await browser.look_from((DESKTOP[0] - 100, DESKTOP[1]))
        await browser.until("!document.querySelector('.dot')")
        line = "document.querySelector('[data-chart=lag] .line').getAttribute('d')"
        drawn = await browser.run(f"return {line}")
        await browser.until(f"{line} !== '{drawn}'")


class FiguresTest(PageCase):
    """How the page shows the metrics of a busy relay, as `tests.web.sample_status` has them."""

    async def show(self, **changes: Any) -> Browser:
        relay = RelayService(Settings(), reactor, Inline())  # type: ignore[arg-type]
        self.patch(Views, "status", lambda _: sample_status.status(**changes))
        self.patch(Views, "sessions", lambda _, most: sample_status.sessions()[:most])
        site = WatchedFactory(make_site(relay))
        port = reactor.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.addCleanup(site.all_gone)
        browser = await self.browser()
        await browser.visit(f"http://127.0.0.1:{port.getHost().port}/")
        return browser

    async def test_units_for_people(self) -> None:
        browser = await self.show()
        for element, text in {
            "state": "All well",
            "uptime": "up 3 d 2 h",
            "sessions": "72",
            "connections": "204",
            "connections-note": "118 phones, 71 CLIs, 12 dashboards, 3 desktops",
            "sending": "2.77 MB/s",
            "bundles-note": "105 MB, 15.0 MB each",
            "lag": "1.80 ms",
            "memory": "86.8 MiB",
            "memory-note": "17% of 512 MiB",
            "spool": "614 MiB",
            "spool-note": "41 bundles, 30% of 2 GiB",
            "total": "131 GB",
            "more-sessions": "",
            "today-bundles": "1,147",
        }.items():
            await browser.shows(element, text)
        marks = "[...document.querySelectorAll('#session-rows .slow:not([hidden])')]"
        await browser.until(f"{marks}.map((one) => one.innerText).join() === 'slow,several CLIs'")
        row = (
            "document.querySelector('#day-rows tr').innerText.split(/\\s*[\\t\\n]\\s*/).join(' | ')"
        )
        self.assertEqual(
            (await browser.until(row)).replace("\xa0", " "),
            "Sun 22 Nov | 84 | 231 | 1,912 | 28.7 GB | 41.3 GB | 3,120",
        )
        label = "document.querySelector('[data-chart=sessions] svg').getAttribute('aria-label')"
        self.assertEqual(
            await browser.until(label),
            "Sessions over the last hour: now 76 sessions, highest 80 at 11:11, lowest 40.",
        )
        await browser.screenshot("busy")

    async def test_alone(self) -> None:
        browser = await self.show()
        await browser.shows("sessions", "72")
        for section in ("cluster", "managed"):
            hidden = f"return document.getElementById('{section}').hidden"
            self.assertTrue(await browser.run(hidden))

    async def test_one_of_several(self) -> None:
        browser = await self.show(cluster=sample_status.cluster())
        for element, text in {
            "relays": "3",
            "relays-note": "1 draining",
            "bridged": "17",
            "bridged-note": "8% of 204 clients here",
            "inbound": "23",
            "redis": "connected",
            "more-nodes": "",
        }.items():
            await browser.shows(element, text)
        rows = "[...document.querySelectorAll('#node-rows tr')].map((row) => row.innerText).join()"
        text = (await browser.until(rows)).replace("\n", " ")
        self.assertRegex(text, r"relay-1\s*this one\s+ws://10\.0\.0\.1:3000\s+81\s+204\s+0\.1\.0")
        self.assertRegex(text, r"relay-3\s*draining\s+ws://10\.0\.0\.3:3000\s+99\s+212")
        found = await browser.accessible()
        names = [name for role, name in found if role == "rowheader" and "relay" in name]
        self.assertEqual(names, ["relay-1 this one", "relay-2", "relay-3 draining"])
        await self.assertFits(browser)
        await browser.screenshot("cluster-light")
        await browser.look_from(DESKTOP, "dark")
        await browser.screenshot("cluster-dark")
        await browser.look_from(PHONE)
        await browser.until("document.documentElement.clientWidth < 400")
        await self.assertFits(browser)
        await browser.screenshot("cluster-phone")
        self.assertEqual(await browser.complaints(), [])

    async def test_redis_unreachable(self) -> None:
        warning = {
            "name": "redis",
            "level": "warning",
            "since_ms": sample_status.NOW_MS - 75_000,
            "text": "Redis has been unreachable for 1 min 15 s",
        }
        away = sample_status.cluster(redis="away", redis_away_s=75.2, bridged=0, node_count=120)
        browser = await self.show(cluster=away, worries=[warning])
        await browser.shows("state", "1 warning")
        await browser.shows("redis", "unreachable")
        await browser.shows("redis-note", "for 1 min 15 s")
        await browser.shows("bridged-note", "0% of 204 clients here")
        await browser.shows("more-nodes", "and 117 more")
        await browser.screenshot("cluster-away")

    async def test_a_managed_service(self) -> None:
        browser = await self.show(managed=sample_status.managed())
        for element, text in {
            "managed-state": "up",
            "managed-note": "answers in 12.4 ms",
            "managed-members": "74",
            "managed-members-note": "in 61 channels",
            "managed-billed": "99,300",
            "managed-billed-note": "48,200 events, and their deliveries",
            "managed-dropped": "0",
            "managed-dropped-note": "1 refusal",
        }.items():
            await browser.shows(element, text)
        await self.assertFits(browser)
        await browser.screenshot("managed")
        self.assertEqual(await browser.complaints(), [])

    async def test_a_managed_service_that_refuses(self) -> None:
        refusal = {"code": 4004, "text": "no more connections"}
        refused = sample_status.managed(state="refused", refusal=refusal)
        browser = await self.show(managed=refused)
        await browser.shows("managed-state", "refused")
        await browser.shows("managed-note", "4004: no more connections")
        away = sample_status.managed(state="away", away_s=75.2)
        browser = await self.show(managed=away)
        await browser.shows("managed-state", "unreachable")
        await browser.shows("managed-note", "for 1 min 15 s")

    async def test_more_sessions_than_are_shown(self) -> None:
        browser = await self.show(sessions=1_172)
        await browser.shows("more-sessions", "and 1,072 more")

    async def test_sessions_whose_hashes_look_the_same(self) -> None:
        browser = await self.show()
        rows = (
            "const {setRows, make} = await import('/static/dom.js');"
            "const body = make('tbody'), items = ['a', 'b', 'a', 'c'];"
            "for (let i = 0; i < 3; i += 1) {"
            "  setRows(body, items, (x) => x, () => make('tr'), (r, x) => { r.textContent = x; });"
            "}"
            "return body.textContent"
        )
        self.assertEqual(await browser.run(f"return (async () => {{{rows}}})()"), "abac")

    async def test_warnings(self) -> None:
        warning = {
            "name": "sessions_warning",
            "level": "warning",
            "since_ms": sample_status.NOW_MS - 840_000,
            "text": "310 sessions, consistently above 300: optimise or scale out",
        }
        late = warning | {"name": "loop_lag", "text": "The event loop is 612 ms late"}
        browser = await self.show(
            state="degraded",
            reasons=[late["text"]],
            worries=[late, warning],
            memory_bytes=500_000_000,
        )
        await browser.shows("state", "Degraded")
        await browser.shows(
            "warning-list",
            "Warning The event loop is 612 ms late since 11:46 (14 min) "
            "Warning 310 sessions, consistently above 300: optimise or scale out "
            "since 11:46 (14 min)",
        )
        await browser.until("document.querySelector('#memory-gauge[data-high]') && true")
        await browser.screenshot("warnings")

    async def test_an_hour_with_a_gap(self) -> None:
        hour = sample_status.status()["hour"]
        browser = await self.show(hour=hour[100:200] + hour[250:])
        lines = "document.querySelectorAll('[data-chart=sessions] .line').length"
        self.assertEqual(await browser.until(lines), 2)

    async def test_draining(self) -> None:
        browser = await self.show(state="draining", reasons=["The relay restarts"])
        await browser.shows("state", "Draining")
        await browser.shows("warning-list", "Draining The relay restarts")


class ClosingTest(PageCase):
    async def test_closing_a_session(self) -> None:
        relay, node = await self.stage()
        cli, phone, other = await together(
            node.join("cli", SESSION), node.join("mobile", SESSION), node.join("cli", "OTHER2")
        )
        browser = await self.page(relay)
        button = f"tr[data-key='{LABEL}'] button"
        await browser.until(f'document.querySelector("{button}")')
        await browser.click(button)
        await browser.shows("confirm-title", f"Close session {LABEL}?")
        await browser.shows(
            "confirm-text", "This disconnects: CLI · phone. They may connect again."
        )
        await browser.screenshot("confirm", whole=False)
        await browser.click("#confirm button[value=cancel]")
        await cli.settle()
        self.assertFalse(cli.is_closed)
        await browser.click(button)
        await browser.click("#confirm-close")
        for client in (cli, phone):
            self.assertEqual(await client.closed(), (1000, "Closed by the operator"))
        await browser.shows("said", f"Session {LABEL} is closed: 2 clients disconnected.")
        await browser.until(f'!document.querySelector("{button}")')
        await browser.shows("sessions", "1")
        await other.settle()
        await relay.logged(rf"session {LABEL}: closed by the operator, from 127\.0\.0\.1")
        self.assertEqual(await browser.complaints(), [])


class TokenTest(PageCase):
    async def test_signing_in_and_out(self) -> None:
        relay, node = await self.stage("--admin-token", TOKEN)
        browser = await self.page(relay)
        await browser.screenshot("sign-in")
        for wrong in ("not-the-token", "töken"):
            await browser.type("#token", wrong)
            await browser.click("#sign-in button")
            await browser.shows("wrong", "That is not the token.")
        await relay.logged("wrong admin token from 127.0.0.1")
        await browser.screenshot("sign-in-wrong")
        await browser.type("#token", TOKEN)
        await browser.click("#sign-in button")
        await browser.shows("state", "All well")
        self.assertEqual(await browser.run("return document.cookie"), "")
        await node.join("cli", SESSION)
        button = f"tr[data-key='{LABEL}'] button"
        await browser.until(f'document.querySelector("{button}")')
        await browser.click(button)
        await browser.click("#confirm-close")
        await browser.shows("said", f"Session {LABEL} is closed: 1 client disconnected.")
        await browser.click("#sign-out")
        await browser.until("document.getElementById('sign-in') && true")
        self.assertNotIn(TOKEN, relay.log)

    async def test_programs(self) -> None:
        relay = await self.relay("--admin-token", TOKEN)
        for path in ("/", "/api/status", "/api/sessions", "/api/events", "/metrics"):
            self.assertEqual((await relay.get(path)).status, 401, path)
        for path in ("/health", "/ready", "/live", "/static/page.css"):
            self.assertEqual((await relay.get(path)).status, 200, path)
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        reply = await relay.get("/api/sessions", headers=bearer)
        self.assertEqual(reply.json(), {"sessions": []})
        close = await relay.get("/api/sessions/00000000/close", "POST", bearer)
        self.assertEqual(close.status, 404)

    async def test_metrics_for_everybody(self) -> None:
        relay = await self.relay("--admin-token", TOKEN, "--metrics", "open")
        self.assertEqual((await relay.get("/metrics")).status, 200)
        self.assertEqual((await relay.get("/api/status")).status, 401)


class LineTest(PageCase):
    async def test_a_relay_that_goes_and_comes_back(self) -> None:
        relay = await self.relay()
        browser = await self.page(relay)
        await browser.shows("state", "All well")
        await relay.stop()
        await browser.until("document.getElementById('lost').innerText.includes('Trying again')")
        await browser.shows("state", "Not connected")
        await browser.screenshot("lost")
        again = RelayProcess(["--listen", f"tcp:{relay.port}:interface=127.0.0.1"])
        self.addCleanup(again.stop)
        await again.listening()
        await browser.shows("state", "All well")
        self.assertTrue(await browser.run("return document.getElementById('lost').hidden"))

    async def test_the_page_asks_nobody_else_for_anything(self) -> None:
        relay = await self.relay()
        other = await self.relay()
        browser = await self.page(relay)
        await browser.shows("state", "All well")
        asked = await browser.run(
            "return performance.getEntriesByType('resource').map((entry) => entry.name)"
        )
        self.assertTrue(asked)
        for url in asked:
            self.assertTrue(url.startswith(f"http://127.0.0.1:{relay.port}/"), url)
        refused = await browser.run(
            "const refused = new Promise((done) => document.addEventListener("
            "'securitypolicyviolation', (e) => done(e.effectiveDirective), {once: true}));"
            f"fetch('http://127.0.0.1:{other.port}/health').catch(() => null);"
            "return refused"
        )
        self.assertEqual(refused, "connect-src")


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
