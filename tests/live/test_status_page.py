"""The status page in Chromium, in front of a relay with real traffic: its figures, its history, and
who is let in. `test_status_page_sessions` has the sessions and the events.
"""

from tests.live.browser import DESKTOP, Browser
from tests.live.harness import together
from tests.live.page_case import LABEL, PHONE, SESSION, TOKEN, PageCase
from tests.live.processes import MIB, RelayProcess
from tests.web import sample_status

EVIL_NAME = "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"
ROW = f"document.querySelector('tr.session[data-key^=\"{LABEL}\"]')"


class TrafficTest(PageCase):
    async def test_numbers_follow_the_traffic(self) -> None:
        relay, node = await self.stage("--state-dir", self.state_of_a_month())
        browser = await self.page(relay)
        await browser.shows("state", "All well")
        await browser.shows("sessions", "0")
        await browser.shows("clients-note", "nobody is connected")
        await browser.until(
            "document.getElementById('no-sessions').innerText.startsWith('Nobody is connected.')"
        )
        cli, phone = await together(
            node.join("cli", SESSION),
            node.join("mobile", SESSION, "deviceId=d1&name=Pixel%208&platform=android"),
        )
        await browser.shows("clients-note", "2 clients: 1 phone, 1 CLI")
        await browser.shows("sessions", "1")
        evil = await node.join("mobile", SESSION, f"deviceId=d2&name={EVIL_NAME}&platform=ios")
        await browser.shows("clients-note", "3 clients: 2 phones, 1 CLI")
        for _ in range(3):
            await cli.push_filler(5 * MIB, chunked=True)
            # One that has not taken all of it yet would get the next one instead.
            await together(phone.bundle(), evil.bundle())
        await browser.shows("bundles", "3")
        await browser.shows("bundles-note", "3 in the last minute")
        await browser.until("document.getElementById('bundles-size').innerText.startsWith('15.')")
        await browser.until("document.getElementById('sending-today').innerText.startsWith('31.')")
        await browser.until(f"{ROW}?.innerText.includes('CLI · 2')")
        await browser.until(f"{ROW}.innerText.includes('31.')")
        await browser.until(
            f"{ROW}.innerText.includes('Pixel 8 (Android), <img src=x onerror=alert(1)>')"
        )
        # The first point of the charts.
        await browser.until("document.querySelector('[data-chart=sending] .line')")
        await self.shoot(browser, "light")
        source = await browser.run("return document.documentElement.outerHTML")
        self.assertNotIn(SESSION, source)
        self.assertEqual(await browser.complaints(), [])

    async def test_on_a_phone_and_in_the_dark(self) -> None:
        relay, node = await self.stage(
            *("--state-dir", self.state_of_a_month(), "--notice-sessions", "0"),
            *("--tune", "warning-time=1s lag-limit=off notice-cpu=off warning-cpu=off"),
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
        await browser.until("document.querySelector('#needs-list li[data-level=notice]')")
        # The warning is a band of the charts, is named below them, and links to what to do.
        await browser.until("document.querySelector('.band.edge[data-level=notice]')")
        await browser.until("document.getElementById('bands').innerText.includes('sessions')")
        advice = "document.querySelector('#needs-list a').getAttribute('href')"
        self.assertEqual(await browser.until(advice), "./advice#sessions_notice")
        await browser.run(f"{ROW}.click()")
        await browser.until("document.querySelector('tr.opened .closing button')")
        await browser.run("document.querySelector('tr.opened .closing button').click()")
        await self.assertFits(browser)
        for index, name in enumerate(("hour", "day", "month")):
            await browser.run(f"document.querySelectorAll('#ranges button')[{index}].click()")
            await browser.run("document.querySelector('#as-table').open = true")
            await browser.until(f"document.querySelector('#history-head[data-range={name}]')")
            await self.assertFits(browser)
        await self.shoot(browser, "phone-dark")
        dark = await self.background(browser)
        await browser.look_from(PHONE, "light")
        light = await self.background(browser)
        self.assertLess(max(dark), 64)
        self.assertGreater(min(light), 192)
        await self.shoot(browser, "phone-light")
        await browser.look_from((320, 640))
        await browser.until("document.documentElement.clientWidth === 320")
        await self.assertFits(browser)
        await browser.look_from(DESKTOP, "dark")
        await browser.until("document.documentElement.clientWidth > 1000")
        await self.assertFits(browser)
        await self.shoot(browser, "dark")
        self.assertEqual(await browser.complaints(), [])
        await browser.visit(f"http://127.0.0.1:{relay.port}/advice#sessions_notice")
        await browser.until("document.getElementById('sessions_notice').offsetHeight")
        await self.assertFits(browser)

    async def background(self, browser: Browser) -> list[int]:
        colour = await browser.run("return getComputedStyle(document.body).backgroundColor")
        return [int(part) for part in colour.strip("rgb()").split(",")]

    async def test_a_screen_reader_finds_its_way(self) -> None:
        relay, node = await self.stage("--state-dir", self.state_of_a_month())
        browser = await self.page(relay)
        await node.join("cli", SESSION)
        await browser.until(ROW)
        await browser.until("document.querySelector('[data-chart=lag] .line')")
        await browser.run(f"{ROW}.querySelector('button').click()")
        await browser.until("document.querySelector('tr.opened')")
        found = await browser.accessible()
        roles = {role for role, _ in found}
        self.assertLessEqual({"banner", "main", "contentinfo"}, roles)
        headings = [name for role, name in found if role == "heading"]
        self.assertEqual(headings[:3], ["AppTuner Relay", "Now", "Health"])
        self.assertRegex(headings[3], r"^History since the relay started, \d\d:\d\d$")
        names = {name for role, name in found if role == "columnheader"}
        self.assertLessEqual(
            {"Who", "Last reload", "Round trip"}, {name.strip(" ↑↓") for name in names}
        )
        self.assertIn(("button", LABEL), found)
        self.assertIn(("button", f"Close session {LABEL}…"), found)
        charts = [name for role, name in found if role == "image" and "last hour" in name]
        for chart, start in zip(
            charts,
            (
                "Sessions, the last hour: now ",
                "Sending, the last hour: now ",
                "Reload time, the last hour: nothing measured yet",
                "Bundles in 10 s, the last hour: now ",
                "CPU, the last hour: now ",
                "Event-loop lag, the last hour: now ",
            ),
            strict=True,
        ):
            self.assertTrue(chart.startswith(start), chart)
        self.assertFalse([found for found in found if found == ("button", "")])


VALUE = "document.querySelector('[data-chart={}] .value').innerText"


class HistoryTest(PageCase):
    async def test_pointing_at_the_charts(self) -> None:
        relay = await self.relay()
        browser = await self.page(relay)
        await browser.until("document.querySelector('[data-chart=lag] .line')")
        await browser.point_at("[data-chart=sending] svg", 0.5)
        for chart, unit in (("sessions", "0"), ("sending", "B/s"), ("lag", "s")):
            text = await browser.until(f"document.querySelector('.dot') && {VALUE.format(chart)}")
            self.assertRegex(text, rf"^\d\d:\d\d · .*{unit}$")
        # Another size of the window ends it, and what comes is shown again.
        await browser.look_from((DESKTOP[0] - 100, DESKTOP[1]))
        await browser.until("!document.querySelector('.dot')")
        line = "document.querySelector('[data-chart=lag] .line').getAttribute('d')"
        drawn = await browser.run(f"return {line}")
        await browser.until(f"{line} !== '{drawn}'")

    async def test_reading_the_charts_by_keys(self) -> None:
        browser = await self.show()
        await browser.until("document.querySelector('[data-chart=lag] .line')")
        await browser.run("document.querySelector('#charts').focus()")
        await browser.press("#charts", "ARROW_LEFT", "ARROW_LEFT")
        said = await browser.until("document.getElementById('charts-said').innerText")
        self.assertRegex(
            said,
            r"^11:59: Sessions 75, Sending 0\sB/s, Reload time –, .*CPU 7%, Event-loop lag 2\sms$",
        )
        await browser.press("#charts", "HOME")
        await browser.until(f"{VALUE.format('sessions')} === '11:00 · 60'")
        await browser.press("#charts", "ESCAPE")
        await browser.until("!document.querySelector('.dot')")

    async def test_an_hour_a_day_and_a_month(self) -> None:
        browser = await self.show()
        titles = "[...document.querySelectorAll('.chart b')].map((b) => b.innerText).join()"
        await browser.until(
            f"{titles} === 'Sessions,Sending,Reload time,Bundles in 10 s,CPU,Event-loop lag'"
        )
        peak = "document.querySelector('[data-chart=sessions] .peak').innerText"
        await browser.click("#ranges button:nth-child(2)")
        caption = await browser.until(f"{peak}.includes(' 80 at ') && {peak}")
        self.assertRegex(caption, r"^peak 80 at \d\d:\d\d · warns above 300$")
        ticks = "[...document.querySelectorAll('[data-chart=lag] text')].map((t) => t.textContent)"
        self.assertIn("06:00", await browser.until(ticks))
        await browser.click("#ranges button:nth-child(3)")
        caption = await browser.until(f"{titles}.startsWith('Peak sessions') && {peak}")
        self.assertEqual(caption, "peak 84 on Sun 25 Oct · warns above 300")
        bars = "document.querySelectorAll('[data-chart=sending] .bar').length"
        self.assertEqual(await browser.until(bars), 30)
        await browser.click("#as-table summary")
        row = "document.querySelector('#history-rows tr:nth-child(2)')?.innerText"
        text = await browser.until(f"{row}?.split(/\\s*[\\t\\n]\\s*/).join(' | ')")
        self.assertEqual(
            text.replace("\xa0", " "),
            "Sun 22 Nov | 84 | 231 | 3,120 | 1,912 | 28.7 GB | 41.3 GB | 1.00 s | 0",
        )
        await self.shoot(browser, "month")
        # The choice is remembered.
        await browser.run("location.reload()")
        await browser.until(f"{titles}.startsWith('Peak sessions')")
        self.assertEqual(await browser.complaints(), [])

    async def test_a_relay_that_has_just_started(self) -> None:
        young = sample_status.samples(360, 10_000)[-30:]
        browser = await self.show(
            hour=young,
            day=[],
            month=[sample_status.day("2026-11-23")],
            started_ms=sample_status.NOW_MS - 300_000,
        )
        note = await browser.until("document.getElementById('history-note').innerText")
        self.assertEqual(note, "since the relay started, 11:55")
        ticks = "[...document.querySelectorAll('[data-chart=lag] text')].map((t) => t.textContent)"
        self.assertIn("11:58", await browser.until(ticks))
        starts = "document.querySelector('[data-chart=lag] .line').getBoundingClientRect().left"
        left = await browser.until(starts)
        base = "document.querySelector('[data-chart=lag] .base').getBoundingClientRect().left"
        self.assertLess(left - await browser.until(base), 20)
        await browser.click("#ranges button:nth-child(2)")
        await browser.until(
            "document.querySelector('[data-chart=lag] .peak').innerText === 'nothing measured yet'"
        )
        await browser.click("#ranges button:nth-child(3)")
        bars = "document.querySelectorAll('[data-chart=sending] .bar').length"
        self.assertEqual(await browser.until(bars), 1)

    async def test_an_hour_with_a_gap(self) -> None:
        hour = sample_status.samples(360, 10_000)
        browser = await self.show(hour=hour[100:200] + hour[250:])
        lines = "document.querySelectorAll('[data-chart=sessions] .line').length"
        self.assertEqual(await browser.until(lines), 2)

    async def test_warnings_are_bands_and_thresholds_lines(self) -> None:
        past = {
            "name": "loop_lag",
            "level": "warning",
            "since_ms": sample_status.NOW_MS - 2_400_000,
            "until_ms": sample_status.NOW_MS - 2_000_000,
            "text": "The event loop is 312 ms late, above 250 ms",
        }
        hour = [
            [*row[:4], 9 * (row[4] or 0), *row[5:]] for row in sample_status.samples(360, 10_000)
        ]
        browser = await self.show(past_worries=[past], hour=hour)
        await browser.until("document.querySelectorAll('.band.edge').length === 6")
        await browser.shows("bands", "▲ 11:20–11:26 The event loop is 312 ms late, above 250 ms")
        labels = "[...document.querySelectorAll('text.threshold')].map((t) => t.textContent).join()"
        text = await browser.until(labels)
        self.assertEqual(text.replace("\xa0", " "), "notes above 100,warns above 250 ms")
        await self.shoot(browser, "bands", whole=False)


class FiguresTest(PageCase):
    """How the page shows the figures of a busy relay, as `tests.web.sample_status` has them."""

    async def test_units_for_people(self) -> None:
        browser = await self.show()
        for element, text in {
            "state": "All well",
            "uptime": "up 3 d 2 h",
            "sessions": "72",
            "sessions-note": "at most 76 today",
            "clients-note": "204 clients: 118 phones, 71 CLIs, 12 dashboards, 3 desktops",
            "bundles": "1,721",
            "bundles-note": "7 in the last minute",
            "bundles-size": "25.8 GB in, 15.0 MB each",
            "sending": "2.77 MB/s",
            "sending-today": "37.2 GB today, 131 GB since start",
            "reload": "0.84 s",
            "reload-note": "95% within 2.10 s, of 1,120 reloads",
            "reload-failed": "▲ 3 failures today",
            "cpu-value": "14 %",
            "cpu-note": "carries about 410 sessions",
            "lag-value": "1.80 ms",
            "memory-value": "86.8 MiB",
            "memory-note": "17% of 512 MiB",
            "spool-value": "614 MiB",
            "spool-note": "41 bundles, 30% of 2 GiB",
        }.items():
            await browser.shows(element, text)
        await self.shoot(browser, "busy")
        self.assertEqual(await browser.complaints(), [])

    async def test_a_relay_of_an_older_version(self) -> None:
        browser = await self.show()
        newer = (
            *("reload", "capacity", "thresholds", "past_worries", "events"),
            *("columns", "day", "month"),
        )
        self.status = {key: value for key, value in self.status.items() if key not in newer}
        kept = ("session", "roles", "devices", "age_s", "idle_s", "bytes_in", "bytes_out", "slow")
        self.rows = [
            {key: row[key] for key in kept}
            | {"clients": [{"role": "cli", "address": None}], "several_clis": False}
            for row in self.rows
        ]
        await browser.run("location.reload()")
        await browser.shows("reload", "–")
        await browser.shows("reload-note", "this relay does not measure it")
        await browser.shows("cpu-value", "–")
        await browser.shows("no-events", "This relay lists no events; its log has them.")
        await browser.until("document.querySelectorAll('tr.session').length === 4")
        await browser.click("tr.session .opens")
        await browser.until(
            "document.querySelector('.inside > .none').innerText"
            " === 'This relay keeps no record of bundles.'"
        )
        await browser.click("#ranges button:nth-child(2)")
        await browser.shows("history-note", "this relay keeps no such history")
        self.assertEqual(await browser.complaints(), [])

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
        await self.shoot(browser, "cluster-light")
        await browser.look_from(DESKTOP, "dark")
        await self.shoot(browser, "cluster-dark")
        await browser.look_from(PHONE)
        await browser.until("document.documentElement.clientWidth < 400")
        await self.assertFits(browser)
        await self.shoot(browser, "cluster-phone")
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
        await self.shoot(browser, "cluster-away")

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
        await self.shoot(browser, "managed")
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

    async def test_what_needs_attention(self) -> None:
        since_ms = sample_status.NOW_MS - 840_000
        lower = {
            "name": "cpu_notice",
            "level": "notice",
            "since_ms": since_ms,
            "text": "The event loop takes 55% of its core: plan another relay",
        }
        higher = lower | {
            "name": "cpu_warning",
            "level": "warning",
            "text": "The event loop takes 91% of its core: start another relay",
            "advice_url": "https://docs.example/troubleshoot.html#cpu",
        }
        late = higher | {
            "name": "loop_lag",
            "text": "The event loop is 612 ms late",
            "advice_url": "javascript:alert(1)",
        }
        memory = late | {
            "name": "memory",
            "text": "477 MiB of memory",
            "advice_url": "/advice#memory",
        }
        browser = await self.show(
            state="degraded",
            reasons=[late["text"]],
            worries=[lower, higher, late, memory],
            memory_bytes=500_000_000,
            loop_lag_ms=612,
        )
        await browser.shows("state", "Degraded")
        await browser.shows(
            "needs-list",
            "▲ Warning The event loop is 612 ms late since 11:46 (14 min) What to do "
            "▲ Warning The event loop takes 91% of its core: start another relay "
            "since 11:46 (14 min) What to do "
            "▲ Warning 477 MiB of memory since 11:46 (14 min) What to do",
        )
        links = "[...document.querySelectorAll('#needs-list a')].map((a) => a.getAttribute('href'))"
        self.assertEqual(
            await browser.until(links),
            ["#health", "https://docs.example/troubleshoot.html#cpu", "./advice#memory"],
        )
        await browser.until("document.querySelector('[data-gauge=memory][data-level=warning]')")
        await browser.shows("lag-note", "▲ above 250 ms")
        await self.shoot(browser, "warnings")
        await browser.look_from(PHONE, "dark")
        await browser.until("document.documentElement.clientWidth < 400")
        await self.assertFits(browser)
        await self.shoot(browser, "warnings-phone")

    async def test_draining(self) -> None:
        browser = await self.show(state="draining", reasons=["The relay restarts"])
        await browser.shows("state", "Draining")
        await browser.shows("needs-list", "▼ Draining The relay restarts")


class TokenTest(PageCase):
    async def test_signing_in_and_out(self) -> None:
        relay, node = await self.stage("--admin-token", TOKEN)
        browser = await self.page(relay)
        await self.shoot(browser, "sign-in")
        for wrong in ("not-the-token", "töken"):
            await browser.type("#token", wrong)
            await browser.click("#sign-in button")
            await browser.shows("wrong", "That is not the token.")
        await relay.logged(r"sign in, from 127.0.0.1 \(nothing\): wrong admin token")
        await self.shoot(browser, "sign-in-wrong")
        await browser.type("#token", TOKEN)
        await browser.click("#sign-in button")
        await browser.shows("state", "All well")
        self.assertEqual(await browser.run("return document.cookie"), "")
        await node.join("cli", SESSION)
        await browser.until(ROW)
        await browser.run(f"{ROW}.querySelector('button').click()")
        await browser.click("tr.opened .closing > button")
        await browser.click("tr.opened button.danger")
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
        await self.shoot(browser, "lost")
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
