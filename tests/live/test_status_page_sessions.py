"""The sessions and the events of the status page, in Chromium: rows that stay where they are, that
are found, filtered, sorted, opened and closed.
"""

import hashlib

from tests.live.harness import together
from tests.live.page_case import LABEL, PHONE, SESSION, PageCase
from tests.live.processes import MIB
from tests.web import sample_status

HASHES = "[...document.querySelectorAll('tr.session .opens')].map((one) => one.innerText).join()"
OPENED = "document.querySelector('tr.opened')?.innerText.replace(/\\s+/g, ' ')"
TRIED = "document.querySelectorAll('tr.session').length"


def hash_of(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()


def row_of(label: str) -> str:
    """A selector of a session's row."""
    return f"tr.session[data-key^='{label}']"


class RowsTest(PageCase):
    """Rows of `sample_status`, which the test changes."""

    async def test_rows_do_not_swap_while_figures_change(self) -> None:
        rows = sample_status.sessions()
        # All four began within a tenth of a second.
        for i, row in enumerate(rows):
            row["since_ms"] = sample_status.NOW_MS - 60_000 + 30 * i
        browser = await self.show(rows)
        order = ",".join(row["session"] for row in self.rows)
        await browser.until(f"{HASHES} === {order!r}")
        for column in ("out", "idle"):
            await browser.click(f"#session-head [data-by={column}] button")
        idle_first = ",".join(row["session"] for row in self.rows)
        await browser.until(f"{HASHES} === {idle_first!r}")
        # What the rows are sorted by is the other way round now, and the relay lists them so.
        for i, row in enumerate(reversed(self.rows)):
            row["idle_s"] = 100 + i
        self.rows.reverse()
        await browser.until("!document.getElementById('sort-again').hidden")
        self.assertEqual(await browser.run(f"return {HASHES}"), idle_first)
        await browser.click("#sort-again")
        now_first = ",".join(row["session"] for row in self.rows)
        await browser.until(f"{HASHES} === {now_first!r}")
        await browser.until("document.getElementById('sort-again').hidden")
        self.assertEqual(await browser.complaints(), [])

    async def test_sorting(self) -> None:
        browser = await self.show()
        first, second, third, fourth = (row["session"] for row in self.rows)
        await browser.until(f"{HASHES}.startsWith('{first}')")
        await browser.click("#session-head [data-by=reload] button")
        # The second has had no bundle: what is not known comes last.
        await browser.until(f"{HASHES} === '{fourth},{third},{first},{second}'")
        await browser.click("#session-head [data-by=reload] button")
        await browser.until(f"{HASHES} === '{first},{third},{fourth},{second}'")
        await browser.until("document.querySelector('[data-by=reload][aria-sort=ascending]')")
        await browser.choose("#sort", "Trouble")
        await browser.until(f"{HASHES}.startsWith('{fourth},{third}')")

    async def test_filtering(self) -> None:
        browser = await self.show()
        first, second, third, fourth = (row["session"] for row in self.rows)
        await browser.until(f"{HASHES}.startsWith('{first}')")
        for shown, found in {
            "failed to reload": fourth,
            "slow or behind": third,
            "with trouble": f"{second},{third},{fourth}",
            "without a phone": "",
        }.items():
            await browser.choose("#show", shown)
            await browser.until(f"{HASHES} === '{found}'")
        await browser.shows("no-sessions", "No session without a phone.")
        await browser.choose("#show", "all")
        await browser.type("#find", "iphone")
        await browser.until(f"{HASHES} === '{first},{third}'")
        await browser.shows("sessions-listed", "2 of 4")
        await browser.type("#find", "nobody has this")
        await browser.shows("found", "Nothing that is listed has “nobody has this”.")

    async def test_what_is_opened_typed_and_scrolled_to_stays(self) -> None:
        browser = await self.show(sample_status.sessions(30))
        opened = self.rows[20]["session"]
        await browser.until(f'document.querySelector("{row_of(opened)}")')
        await browser.run(f'document.querySelector("{row_of(opened)}").click()')
        await browser.until("document.querySelector('tr.opened')")
        # No mouse: rows that are pointed at would stay for longer.
        await browser.run("document.querySelector('tr.opened .closing > button').click()")
        await browser.until("document.activeElement.innerText === 'Cancel'")
        above = "document.querySelector('tr.opened').getBoundingClientRect().top"
        top = await browser.run(f"return {above}")
        # Others come and go, above and below.
        gone = self.rows.pop(3)["session"]
        self.rows.append(self.rows[0] | {"session": "ffffffff", "since_ms": sample_status.NOW_MS})
        self.status |= {"sessions": 73}
        await browser.until(f'document.querySelector("{row_of("ffffffff")}")')
        await browser.until(f'document.querySelector("{row_of(gone)}.gone")')
        self.assertLess(abs(await browser.run(f"return {above}") - top), 1)
        focus = "return document.activeElement.innerText"
        self.assertEqual(await browser.run(focus), "Cancel")
        # Also when the row of the one that has ended goes, ten seconds later.
        self.status |= {"now_ms": sample_status.NOW_MS + 11_000, "sessions": 74}
        await browser.until(f'!document.querySelector("{row_of(gone)}")')
        self.assertEqual(await browser.run(focus), "Cancel")
        self.assertLess(abs(await browser.run(f"return {above}") - top), 1)
        question = await browser.run("return document.querySelector('.question p').innerText")
        self.assertIn(f"Close session {opened}?", question)

    async def test_an_opened_row_whose_session_ends_says_so(self) -> None:
        browser = await self.show()
        ended = self.rows[1]
        await browser.until(f"{TRIED} === 4")
        await browser.run(f'document.querySelector("{row_of(ended["session"])}").click()')
        await browser.click("tr.opened .closing > button")
        # The same id is used again: that is another session.
        again = ended | {"since_ms": sample_status.NOW_MS - 1000}
        self.rows[1] = again
        self.status |= {"sessions": 71}
        await browser.until(f"{OPENED}.includes('This session has ended')")
        await browser.until("document.querySelector('tr.opened button.danger').disabled")
        await browser.until(f"{TRIED} === 5")

    async def test_an_opened_row(self) -> None:
        browser = await self.show()
        failed = self.rows[3]["session"]
        await browser.until(f"{TRIED} === 4")
        await browser.click(f"{row_of(failed)} .opens")
        text = await browser.until(f"{OPENED}?.includes('cut short') && {OPENED}")
        text = text.replace("\xa0", " ")
        for part in (
            "Phone · Pixel 9, Android 192.0.2.14 okhttp/4.9.2 21.3 ms, 3 min 30 s ago 8 min live",
            "9.30 MB, whole 0.21 s 0.90 s ▲ failed on Pixel 9 Pixel 9: SyntaxError: Unexpected",
            "▲ cut short: its sender left",
            "Quiet for 9 s.",
        ):
            self.assertIn(part, text)
        await self.shoot(browser, "opened")
        await browser.look_from(PHONE, "dark")
        await browser.until("document.documentElement.clientWidth < 400")
        await self.assertFits(browser)
        await self.shoot(browser, "opened-phone")
        await browser.click(f"{row_of(failed)} .opens")
        await browser.until("!document.querySelector('tr.opened')")

    async def test_sessions_that_are_not_listed(self) -> None:
        sought = hash_of(SESSION)
        rows = sample_status.sessions(400)
        rows.append(rows[0] | {"session": sought[:8], "since_ms": 5})
        browser = await self.show(rows, sessions=1_172)
        await browser.until(f"{TRIED} === 100")
        note = await browser.until("document.getElementById('more-note').innerText")
        self.assertTrue(note.startswith("and 1,072 more."), note)
        await browser.type("#find", SESSION.lower())
        await browser.until(f"{HASHES} === {sought[:8]!r}")
        await browser.shows("found", f"{SESSION} is the session {sought[:8]}. Open its own page")
        # The relay was asked for a part of the hash, and for nothing else that was typed.
        asked = [hash_ for hash_ in self.asked if hash_]
        self.assertIn(sought[:16], asked)
        self.assertTrue(all(len(hash_) == 16 for hash_ in asked), asked)
        await browser.run(f'document.querySelector("{row_of(sought[:8])}").click()')
        href = "document.querySelector('tr.opened a.own:not([hidden])')?.getAttribute('href')"
        self.assertEqual(await browser.until(href), f"s#{SESSION}")
        # It stays, though it is not listed and no longer looked for.
        await browser.type("#find", " ")
        await browser.until(f"{TRIED} > 100")
        await browser.click("#more")
        await browser.until(f"{TRIED} > 200")
        await browser.until("document.querySelector('tr.opened:not(.gone)')")
        self.assertEqual(await browser.complaints(), [])

    async def test_hashes_that_look_the_same(self) -> None:
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

    async def test_events(self) -> None:
        browser = await self.show()
        events = "document.getElementById('event-rows').innerText.replace(/\\s+/g, ' ')"
        text = await browser.until(f"{events}.includes('Refused') && {events}")
        for part in (
            "▲ Failed Pixel 9: SyntaxError: Unexpected token '}' (app.js:812)",
            "Refused phone from 198.51.100.7: 401, a join token is needed",
            "Left CLI: 1001, going away",
        ):
            self.assertIn(part, text)
        await browser.choose("#event-kind", "warnings")
        kinds = "[...document.querySelectorAll('#event-rows li')].map((li) => li.dataset.kind)"
        await browser.until(f"{kinds}.join() === 'warning,warning'")
        await browser.choose("#event-kind", "all")
        # The session of an event is looked for by its hash.
        await browser.run(
            "document.querySelector('#event-rows li[data-kind=failed] button').click()"
        )
        await browser.until(f"{HASHES} === '1f2e3d4c'")
        self.assertEqual(await browser.run("return document.activeElement.id"), "find")


class TrafficTest(PageCase):
    """What real clients do, as the page tells it."""

    async def test_why_a_phone_did_not_reload(self) -> None:
        relay, node = await self.stage()
        secret = {"Authorization": "Bearer correct-horse-battery-staple"}
        cli = await node.join("cli", SESSION, headers=secret)
        phone = await node.join(
            "mobile",
            SESSION,
            "deviceId=d1&name=Pixel%209&platform=android",
            headers=secret | {"User-Agent": "okhttp/4.9.2"},
        )
        browser = await self.page(relay)
        row = f'document.querySelector("{row_of(LABEL)}")'
        await browser.until(row)
        await browser.run(f"{row}.click()")
        await cli.push_filler(2 * MIB)
        await phone.bundle()
        await phone.send({"type": "bundle_ack", "success": True})
        await cli.push_filler(MIB)
        await phone.bundle()
        error = "SyntaxError: Unexpected token <img src=x onerror=alert(1)>"
        await phone.send({"type": "bundle_ack", "success": False, "error": error})
        await node.refused("cli", SESSION, headers={"Authorization": "Bearer " + "x" * 20})
        # The row: what the phone said, and the last reload.
        await browser.until(f"{OPENED}.includes('failed on Pixel 9')")
        text = await browser.until(f"{OPENED}.includes('acknowledged by Pixel 9') && {OPENED}")
        self.assertIn(error, text)
        self.assertIn("okhttp/4.9.2", text)
        await browser.until(f"{row}.innerText.includes('▲ 1\u00a0failure')")
        reload = "document.getElementById('reload').innerText"
        self.assertRegex(await browser.until(f"{reload} !== '–' && {reload}"), r"^\d.*\sm?s$")
        await browser.until(
            "document.getElementById('reload-failed').innerText === '▲ 1\u00a0failure today'"
        )
        # The events: the refusal and why, and the failure.
        events = "document.getElementById('event-rows').innerText"
        for part in ("Refused", "Failed", "Connected", error):
            await browser.until(f"{events}.includes({part!r})")
        refused = "document.querySelector('#event-rows li[data-kind=refused]').innerText"
        self.assertRegex(await browser.until(refused), r"403")
        # The round trip, which the relay measures within 15 s.
        agents = "[...document.querySelectorAll('.inner:first-child tbody tr')]"
        mine = f"{agents}.find((tr) => tr.innerText.includes('okhttp')).cells[3].innerText"
        self.assertRegex(await browser.until(f"{mine} !== '–' && {mine}"), r"^\d.*\sms$")
        await self.shoot(browser, "failed")
        await phone.close()
        await browser.until(f"{events}.includes('Left')")
        # It is looked for by its id, and its own page has the same.
        await browser.type("#find", SESSION)
        href = "document.querySelector('#found a')?.getAttribute('href')"
        self.assertEqual(await browser.until(href), f"s#{SESSION}")
        await browser.look_from(PHONE, "dark")
        await browser.until("document.documentElement.clientWidth < 400")
        await self.assertFits(browser)
        await self.shoot(browser, "failed-phone")
        self.assertEqual(await browser.complaints(), [])
        await browser.click("#found a")
        await browser.until("location.pathname === '/s' && document.getElementById('headline')")


class ClosingTest(PageCase):
    async def test_closing_a_session(self) -> None:
        relay, node = await self.stage()
        cli, phone, other = await together(
            node.join("cli", SESSION),
            node.join("mobile", SESSION, "deviceId=d1&name=Pixel%209&platform=android"),
            node.join("cli", "OTHER2"),
        )
        browser = await self.page(relay)
        row = row_of(LABEL)
        await browser.until(f'document.querySelector("{row}")')
        await browser.click(f"{row} .opens")
        await browser.click("tr.opened .closing > button")
        text = await browser.until("document.querySelector('.question p').innerText")
        self.assertEqual(
            text.replace("\xa0", " "),
            f"Close session {LABEL}? This disconnects CLI · phone: Pixel 9 (Android). "
            "They may connect again.",
        )
        await self.shoot(browser, "confirm", whole=False)
        await browser.click(".question .quiet")
        await cli.settle()
        self.assertFalse(cli.is_closed)
        await browser.click("tr.opened .closing > button")
        await browser.click(".question .danger")
        for client in (cli, phone):
            self.assertEqual(await client.closed(), (1000, "Closed by the operator"))
        await browser.shows("said", f"Session {LABEL} is closed: 2 clients disconnected.")
        await browser.until(f"{OPENED}.includes('This session has ended')")
        await browser.shows("sessions", "1")
        await other.settle()
        await relay.logged(rf"session {LABEL}: close, from 127\.0\.0\.1 \(\w+\): done")
        self.assertEqual(await browser.complaints(), [])

    async def test_closing_while_rows_come_and_go(self) -> None:
        relay, node = await self.stage()
        names = [f"MANY{n}" for n in range(8)]
        clients = await together(*(node.join("cli", name) for name in names))
        browser = await self.page(relay)
        await browser.until(f"{TRIED} === 8")
        chosen = hash_of(names[5])[:8]
        await browser.click(f"{row_of(chosen)} .opens")
        await browser.click("tr.opened .closing > button")
        # Those above it leave, and others come, while it is asked.
        for client in clients[:5]:
            await client.close()
        await together(*(node.join("cli", f"NEW{n}") for n in range(4)))
        await browser.until(f"{TRIED} >= 9 && document.querySelectorAll('tr.gone').length >= 5")
        await browser.click(".question .danger")
        self.assertEqual(await clients[5].closed(), (1000, "Closed by the operator"))
        await browser.shows("said", f"Session {chosen} is closed: 1 client disconnected.")
        for client in clients[6:]:
            await client.settle()
            self.assertFalse(client.is_closed)
