"""The page of a session in Chromium, in front of a relay with real clients.

Screenshots are left in ``screenshots/`` of trial's temporary directory; their paths are printed.
"""

import hashlib
import json
import re
from typing import Any

from apptuner_relay.access.tokens import check_token, make_proof
from apptuner_relay.session.session import session_hash
from tests.live.browser import DESKTOP, PHONE, Browser
from tests.live.clients import Client
from tests.live.harness import together
from tests.live.page_case import PageCase
from tests.live.processes import KIB, MIB, RelayProcess
from tests.web.test_join_link import drawn, expected

SESSION = "ABC234"
SECRET = "a-secret-of-these-tests"
BEARER = f"Bearer {SECRET}"
PIXEL = "deviceId=d1&name=Pixel%209&platform=android"
IPHONE = "deviceId=d2&name=iPhone%2015&platform=ios"
MARKUP = (
    "<b id=made>SyntaxError</b>: Unexpected token '}' <img src=x onerror=document.title='made'>"
)
STEPS = "[...document.querySelectorAll('#steps li')].map((one) => one.dataset.state).join(' ')"
HEADLINE = "document.getElementById('headline').textContent"
ALL_DONE = "done done done done done"


class SessionPageCase(PageCase):
    async def page(self, relay: RelayProcess, session: str = SESSION) -> Browser:
        browser = await self.browser()
        await browser.visit(self.url(relay, session))
        return browser

    def url(self, relay: RelayProcess, session: str = SESSION) -> str:
        return f"http://127.0.0.1:{relay.port}/s" + (f"#{session}" if session else "")

    async def assertFits(self, browser: Browser) -> None:
        """Nothing is to be scrolled sideways, and nothing is cut off."""
        widths = "return [document.documentElement.scrollWidth, innerWidth]"
        needed, there = await browser.run(widths)
        self.assertLessEqual(needed, there)
        cut = await browser.run(
            "return [...document.querySelectorAll('main *')].filter((one) => one.clientWidth > 1"
            " && one.scrollWidth > one.clientWidth + 1"
            " && getComputedStyle(one).overflowX !== 'visible'"
            " && getComputedStyle(one).textOverflow !== 'ellipsis'"
            ").map((one) => one.className)"
        )
        self.assertEqual(cut, [])

    async def shot(self, browser: Browser, name: str) -> None:
        print(f"screenshot: {(await browser.screenshot(f'session-{name}')).resolve()}")

    async def steps(self, browser: Browser, expected_steps: str) -> None:
        await browser.until(f"({STEPS}) === {expected_steps!r}")

    async def headline(self, browser: Browser, text: str) -> None:
        await browser.until(f"({HEADLINE}) === {json.dumps(text)}")

    async def acknowledge(self, phone: Client, error: str | None = None) -> None:
        answer: dict[str, Any] = {"type": "bundle_ack", "success": error is None, "timestamp": 1}
        await phone.send(answer if error is None else answer | {"error": error})


class HealthyTest(SessionPageCase):
    async def test_from_nobody_to_a_reload(self) -> None:
        relay, node = await self.stage()
        browser = await self.page(relay)
        await self.headline(browser, "Nobody is in this session")
        await self.steps(browser, "missing missing missing later later")
        cli = await node.join("cli", SESSION)
        await self.headline(browser, "No phone is connected")
        pixel, iphone = await together(
            node.join("mobile", SESSION, PIXEL), node.join("mobile", SESSION, IPHONE)
        )
        await self.headline(browser, "No bundle has come yet")
        await self.steps(browser, "done done missing later later")
        await cli.push_filler(9 * MIB, chunked=True)
        await together(pixel.bundle(), iphone.bundle())
        await self.steps(browser, "done done done done now")
        await together(self.acknowledge(pixel), self.acknowledge(iphone))
        await self.steps(browser, ALL_DONE)
        await self.headline(browser, "Both phones run the last bundle")
        await browser.until("document.querySelectorAll('#client-rows tr').length === 3")
        await browser.until("document.getElementById('last-size').innerText.startsWith('9.')")
        await browser.until("document.querySelectorAll('#last-times li').length === 3")
        for size in (4 * MIB, 300 * KIB, 2 * MIB):
            await cli.push_filler(size, chunked=True)
            await together(pixel.bundle(), iphone.bundle())
            await together(self.acknowledge(pixel), self.acknowledge(iphone))
        await browser.until("document.querySelectorAll('#earlier-rows details').length === 3")
        await browser.until("document.querySelectorAll('#reload-chart .reload').length === 4")
        await self.steps(browser, ALL_DONE)
        await self.shot(browser, "light")
        await self.assertFits(browser)
        # The first poll of a session that nobody is in is answered with 404, and logged.
        complaints = await browser.complaints()
        self.assertEqual([one for one in complaints if "404" not in one], [])
        names = [name for role, name in await browser.accessible() if role == "button"]
        self.assertIn("Send again", names)

    async def test_no_request_has_the_id(self) -> None:
        relay, node = await self.stage()
        await node.join("cli", SESSION)
        browser = await self.page(relay)
        await self.headline(browser, "No phone is connected")
        urls = await browser.run("return performance.getEntries().map((one) => one.name)")
        self.assertTrue(any(url.endswith("/session/state") for url in urls))
        digest = hashlib.sha256(SESSION.encode()).hexdigest()
        for url in urls:
            self.assertNotIn(SESSION, url.partition("#")[0])
            self.assertNotIn(digest[:8], url)
        self.assertNotIn(SESSION, relay.log)
        self.assertNotIn(digest, relay.log)

    async def test_it_hashes_as_others_do(self) -> None:
        relay = await self.relay()
        browser = await self.page(relay, "")
        texts = ["", "abc", SESSION, "é€𝄞", *("x" * length for length in range(50, 70))]
        script = (
            "const {sha256Hex} = await import('./static/sha256.js');"
            f"return await Promise.all({json.dumps(texts)}.map(sha256Hex));"
        )
        found = await browser.run(f"return (async () => {{{script}}})()")
        self.assertEqual(found, [hashlib.sha256(text.encode()).hexdigest() for text in texts])

    async def test_rows_stay_where_they_are(self) -> None:
        relay, node = await self.stage()
        browser = await self.page(relay)
        cli, phone = await together(node.join("cli", SESSION), node.join("mobile", SESSION, PIXEL))
        for _ in range(2):
            await cli.push_filler(100 * KIB)
            await phone.bundle()
            await self.acknowledge(phone)
        await browser.until("document.querySelectorAll('#earlier-rows details').length === 1")
        await browser.run(
            "window.kept = [document.querySelector('#earlier-rows details'),"
            "document.querySelector('#client-rows tr')]; window.kept[0].open = true;"
            "window.steps = [...document.querySelectorAll('#steps li')]"
        )
        await cli.push_filler(120 * KIB)
        await phone.bundle()
        await self.acknowledge(phone)
        await browser.until("document.querySelectorAll('#earlier-rows details').length === 2")
        same = (
            "const rows = document.querySelectorAll('#earlier-rows details');"
            "return rows[1] === window.kept[0] && rows[1].open && !rows[0].open && "
            "document.querySelector('#client-rows tr') === window.kept[1] && "
            "[...document.querySelectorAll('#steps li')].every((one, i) => one === window.steps[i])"
        )
        self.assertTrue(await browser.run(same))


class FailedTest(SessionPageCase):
    async def test_what_the_phone_says_is_shown_as_text(self) -> None:
        relay, node = await self.stage()
        cli, pixel, iphone = await together(
            node.join("cli", SESSION),
            node.join("mobile", SESSION, PIXEL),
            node.join("mobile", SESSION, IPHONE),
        )
        browser = await self.page(relay)
        await cli.push_filler(2 * MIB, chunked=True)
        await together(pixel.bundle(), iphone.bundle())
        await together(self.acknowledge(pixel, MARKUP), self.acknowledge(iphone))
        await self.headline(browser, "Pixel 9 got the last bundle and could not run it")
        await self.steps(browser, "done done done done failed")
        shown = await browser.run("return document.querySelector('#detail .error').textContent")
        self.assertEqual(shown, MARKUP)
        self.assertIsNone(await browser.run("return document.getElementById('made')"))
        self.assertIn("✕ Session", await browser.run("return document.title"))
        self.assertEqual(await browser.complaints(), [])
        await self.shot(browser, "failed-light")
        await browser.look_from(DESKTOP, "dark")
        await self.shot(browser, "failed-dark")
        await browser.look_from(PHONE, "dark")
        await browser.until("document.documentElement.clientWidth < 400")
        await self.assertFits(browser)
        await self.shot(browser, "failed-phone-dark")

    async def test_a_bundle_that_is_cut_off(self) -> None:
        relay, node = await self.stage()
        cli, phone = await together(node.join("cli", SESSION), node.join("mobile", SESSION, PIXEL))
        browser = await self.page(relay)
        text = '{"type":"bundle_update","payload":{"code":"' + "x" * 200_000
        await cli.send_half(text, 500_000)
        await self.headline(browser, "A bundle is arriving")
        await cli.terminate()
        await self.headline(browser, "The last bundle did not arrive whole")
        await phone.closed()


class SentAgainTest(SessionPageCase):
    async def test_to_a_phone_that_came_late(self) -> None:
        relay, node = await self.stage()
        cli = await node.join("cli", SESSION)
        sent = await cli.push_filler(500 * KIB)
        phone = await node.join("mobile", SESSION, PIXEL)
        browser = await self.page(relay)
        await self.headline(browser, "A phone has not got the last bundle")
        await self.steps(browser, "done done done missing later")
        await browser.click("#again")
        got = await phone.bundle()
        self.assertEqual(got.code, sent.code)
        said = r"document.getElementById('said').innerText.replace(/\s+/g, ' ')"
        await browser.until(f"{said}.startsWith('Sent again to 1 phone')")
        await self.acknowledge(phone)
        await self.headline(browser, "Pixel 9 runs the last bundle")
        await browser.click("#again")
        await phone.bundle()
        await relay.logged(r"its last bundle is sent again to 1 phone, as 127\.0\.0\.1 asks")

    async def test_where_none_is_kept(self) -> None:
        relay, node = await self.stage("--spool-dir", "off")
        cli, phone = await together(node.join("cli", SESSION), node.join("mobile", SESSION, PIXEL))
        await cli.push_filler(100 * KIB)
        await phone.bundle()
        await self.acknowledge(phone)
        browser = await self.page(relay)
        await self.headline(browser, "Pixel 9 runs the last bundle")
        self.assertTrue(await browser.run("return document.getElementById('again').disabled"))


class ClaimedTest(SessionPageCase):
    async def claimed(self, *options: str) -> tuple[RelayProcess, Browser]:
        relay, node = await self.stage(*options)
        await node.join("cli", SESSION, f"key={SECRET}&tokens=1")
        return relay, await self.page(relay)

    async def test_the_secret_is_asked_for(self) -> None:
        relay, browser = await self.claimed()
        await browser.until("document.body.dataset.view === 'secret'")
        await self.shot(browser, "secret")
        self.assertEqual(await browser.run("return document.activeElement.id"), "secret")
        await browser.type("#secret", "another-secret-altogether")
        await browser.click("#ask-secret button")
        await browser.shows("secret-wrong", "That is not the secret of this session.")
        await browser.type("#secret", SECRET)
        await browser.click("#ask-secret button")
        await self.headline(browser, "No phone is connected")
        kept = await browser.run("return JSON.stringify([sessionStorage, {...localStorage}])")
        self.assertIn(SECRET, kept.partition("},")[0])
        self.assertNotIn(SECRET, kept.partition("},")[2])
        self.assertNotIn(SECRET, await browser.run("return location.href"))
        self.assertEqual(await browser.run("return document.cookie"), "")
        # It outlives a reload, until it is forgotten.
        await browser.run("location.reload()")
        await self.headline(browser, "No phone is connected")
        await browser.click("#forget")
        await browser.until("document.body.dataset.view === 'secret'")
        self.assertNotIn(SECRET, await browser.run("return JSON.stringify(sessionStorage)"))
        self.assertNotIn(SECRET, relay.log)

    async def test_the_qr_code_has_a_token(self) -> None:
        relay, browser = await self.claimed()
        await browser.until("document.body.dataset.view === 'secret'")
        await browser.type("#secret", SECRET)
        await browser.click("#ask-secret button")
        await self.headline(browser, "No phone is connected")
        await browser.click("#show-qr")
        await browser.until("document.getElementById('qr-url').innerText")
        url = await browser.run("return document.getElementById('qr-url').innerText")
        begin, _, token = url.partition("?token=")
        self.assertEqual(begin, f"ws://127.0.0.1:{relay.port}/mobile/{SESSION}")
        now_s = await browser.run("return Date.now() / 1000")
        check_token(make_proof(SECRET, session_hash(SESSION)), token, session_hash(SESSION), now_s)
        await browser.until("document.getElementById('qr-expiry').innerText.includes('until')")
        node = await self.node(relay)
        await node.join("mobile", SESSION, f"token={token}")


class QrTest(SessionPageCase):
    async def test_what_is_drawn_is_the_url(self) -> None:
        relay, _ = await self.stage()
        browser = await self.page(relay)
        await self.headline(browser, "Nobody is in this session")
        await browser.click("#show-qr")
        await browser.until("document.querySelector('#qr-code .dark')")
        url = await browser.run("return document.getElementById('qr-url').innerText")
        self.assertEqual(url, f"ws://127.0.0.1:{relay.port}/mobile/{SESSION}")
        box, path = await browser.run(
            "const code = document.getElementById('qr-code');"
            "return [code.getAttribute('viewBox'), code.querySelector('.dark').getAttribute('d')]"
        )
        found = re.fullmatch(r"0 0 (\d+) \1", box)
        assert found is not None
        self.assertEqual(drawn(path, int(found[1])), expected(url))
        # The relay listens on localhost only.
        await browser.until("document.getElementById('qr-note').innerText.startsWith('No phone')")
        await self.shot(browser, "qr")
        await browser.look_from(PHONE)
        await self.assertFits(browser)
        await browser.click("#qr .buttons [type=submit]")
        await browser.until("!document.getElementById('qr').open")

    async def test_the_public_url(self) -> None:
        relay = await self.relay("--public-url", "https://relay.example.com")
        browser = await self.page(relay)
        await self.headline(browser, "Nobody is in this session")
        await browser.click("#show-qr")
        await browser.shows("qr-url", f"wss://relay.example.com/mobile/{SESSION}")
        await self.shot(browser, "qr-public")


class IdTest(SessionPageCase):
    async def test_it_is_asked_for(self) -> None:
        relay, node = await self.stage()
        await node.join("cli", SESSION)
        browser = await self.page(relay, "")
        await browser.until("document.body.dataset.view === 'id'")
        self.assertEqual(await browser.run("return document.activeElement.id"), "id")
        await browser.type("#id", "abc1")
        await browser.until("document.getElementById('id-note').innerText.includes('“a”')")
        await self.shot(browser, "id")
        await browser.type("#id", SESSION)
        await browser.until("!document.getElementById('id-note').innerText")
        await browser.click("#ask-id button")
        await self.headline(browser, "No phone is connected")
        self.assertTrue((await browser.run("return location.href")).endswith(f"/s#{SESSION}"))
        # The keyboard is enough, and the way to the answer keeps the id.
        await browser.run("document.getElementById('skip').focus(); document.activeElement.click()")
        self.assertEqual(await browser.run("return document.activeElement.id"), "main")
        self.assertTrue((await browser.run("return location.href")).endswith(f"#{SESSION}"))
        await browser.click("#other")
        await browser.until("document.body.dataset.view === 'id'")

    async def test_one_that_is_none(self) -> None:
        relay = await self.relay()
        browser = await self.page(relay, "a%20b%3Cb%3E")
        await browser.shows("id-note", "“a b<b>” is no session id.")
        for odd in ("%E0%A4%A", "%"):
            await browser.visit("about:blank")
            await browser.visit(self.url(relay, odd))
            await browser.until("document.body.dataset.view === 'id'")
        self.assertEqual(await browser.complaints(), [])


class PhoneTest(SessionPageCase):
    async def test_nothing_is_cut_off(self) -> None:
        relay, node = await self.stage()
        long_name = "W" * 64
        cli, phone, other = await together(
            node.join("cli", SESSION),
            node.join("mobile", SESSION, f"deviceId={'d' * 64}&name={long_name}&platform=ios"),
            node.join("mobile", SESSION, PIXEL),
        )
        browser = await self.browser()
        await browser.look_from(PHONE, "light")
        await browser.visit(self.url(relay))
        for size in (3 * MIB, 200 * KIB, MIB):
            await cli.push_filler(size, chunked=True)
            await together(phone.bundle(), other.bundle())
            await together(self.acknowledge(phone), self.acknowledge(other))
        await self.steps(browser, ALL_DONE)
        await browser.until("document.querySelectorAll('#earlier-rows details').length === 2")
        await browser.run("document.querySelector('#earlier-rows details').open = true")
        await self.assertFits(browser)
        await self.shot(browser, "phone-light")
        await browser.look_from(PHONE, "dark")
        dark = await self.background(browser)
        self.assertLess(max(dark), 64)
        await self.shot(browser, "phone-dark")
        await browser.look_from(DESKTOP, "dark")
        await browser.until("document.documentElement.clientWidth > 1000")
        await self.assertFits(browser)
        await self.shot(browser, "dark")

    async def background(self, browser: Browser) -> list[int]:
        colour = await browser.run("return getComputedStyle(document.body).backgroundColor")
        return [int(part) for part in re.findall(r"\d+", colour)[:3]]


class LineTest(SessionPageCase):
    async def test_a_relay_that_is_lost_and_comes_back(self) -> None:
        relay, node = await self.stage()
        await node.join("cli", SESSION)
        browser = await self.page(relay)
        await self.headline(browser, "No phone is connected")
        await relay.stop()
        await browser.until(
            "document.getElementById('lost').innerText.startsWith('Connection lost.')"
        )
        again = RelayProcess(["--listen", f"tcp:{relay.port}:interface=127.0.0.1"])
        self.addCleanup(again.stop)
        await again.listening()
        await browser.until("document.getElementById('lost').hidden")
        await self.headline(browser, "Nobody is in this session")
