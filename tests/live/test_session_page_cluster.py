"""The page of a session at a relay that does not have the session, in Chromium: two relays that
share their sessions through Redis."""

import json

from apptuner_relay.session.session import session_hash
from tests.live.browser import missing
from tests.live.cluster import ClusterCase, owner_in
from tests.live.harness import together
from tests.live.processes import MIB
from tests.live.test_session_page import (
    ALL_DONE,
    IPHONE,
    MARKUP,
    PIXEL,
    SECRET,
    SESSION,
    SessionPageCase,
)


class OtherRelayTest(SessionPageCase, ClusterCase):
    skip = ClusterCase.skip or missing()

    async def test_the_same_answer_at_every_relay(self) -> None:
        redis, (a, b), node = await self.cluster(2)
        cli = await self.join(node, a, "cli")
        self.assertEqual(owner_in(redis), "a")
        pixel, iphone = await together(
            self.join(node, b, "mobile", query=PIXEL), self.join(node, a, "mobile", query=IPHONE)
        )
        await cli.push_filler(3 * MIB, chunked=True)
        await together(pixel.bundle(), iphone.bundle())
        await together(self.acknowledge(pixel), self.acknowledge(iphone))
        browser = await self.page(b)
        await self.headline(browser, "Both phones run the last bundle")
        await self.steps(browser, ALL_DONE)
        await browser.shows("node", "on a")
        await browser.until("document.querySelectorAll('#client-rows tr').length === 3")
        rows = "document.getElementById('client-rows').innerText"
        await browser.until(f"{rows}.includes('through b')")
        await browser.click("#again")
        await together(pixel.bundle(), iphone.bundle())
        await together(self.acknowledge(pixel, MARKUP), self.acknowledge(iphone))
        await self.headline(browser, "Pixel 9 got the last bundle and could not run it")
        await self.shot(browser, "cluster")
        self.assertEqual(await browser.complaints(), [])
        fields = {"AppTuner-Session": session_hash(SESSION)}
        states = [(await relay.get("/session/state", headers=fields)).json() for relay in (a, b)]
        for state in states:
            del state["now_ms"]
        self.assertEqual(*states)
        for relay in (a, b):
            self.assertNotIn(fields["AppTuner-Session"], relay.log)

    async def test_the_owner_is_lost(self) -> None:
        _, (a, b), node = await self.cluster(2)
        await self.join(node, a, "cli")
        browser = await self.page(b)
        await self.headline(browser, "No phone is connected")
        a.child.signal("STOP")
        try:
            lost = "document.getElementById('lost')"
            await browser.until(f"{lost}.innerText.includes('t be reached now')")
        finally:
            a.child.signal("CONT")
        await browser.until(f"{lost}.hidden")

    async def test_claims_are_known_everywhere(self) -> None:
        _, (a, b), node = await self.cluster(2)
        await self.join(node, a, "cli", query=f"key={SECRET}&tokens=1")
        fields = {"AppTuner-Session": session_hash(SESSION)}
        refused = await b.get("/session/state", headers=fields)
        self.assertEqual((refused.status, refused.json()["claimed"]), (401, True))
        fields["Authorization"] = f"Bearer {SECRET}"
        state = (await b.get("/session/state", headers=fields)).json()
        self.assertEqual((state["node"], state["tokens"]), ("a", True))
        browser = await self.page(b)
        await browser.until("document.body.dataset.view === 'secret'")
        await browser.type("#secret", SECRET)
        await browser.click("#ask-secret button")
        await self.headline(browser, "No phone is connected")
        await browser.click("#show-qr")
        url = await browser.until("document.getElementById('qr-url').innerText")
        self.assertTrue(url.startswith(f"ws://127.0.0.1:{b.port}/mobile/{SESSION}?token="))
        await node.join("mobile", SESSION, url=url)
        await self.headline(browser, "No bundle has come yet")
        self.assertNotIn(SECRET, json.dumps([a.log, b.log]))
