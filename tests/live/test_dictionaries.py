"""Bundles that are downloaded again, by clients that say what they have (RFC 9842) and decode what
has changed: the companion, and Chromium."""

import hashlib
import re
import sys
from pathlib import Path
from typing import Any

from apptuner_relay.support import zstd_library
from tests.live import browser as browsers
from tests.live.browser import Browser
from tests.live.clients import TYPESCRIPT
from tests.live.harness import LiveCase
from tests.live.processes import RelayProcess, run
from tests.live.test_upload import SESSION, curl, missing_curl

PATH = f"/bundles/{SESSION}"
FETCH = """
return fetch("URL", INIT).then(async (response) => {
  const code = await response.arrayBuffer();
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", code));
  const [entry] = performance.getEntriesByName(response.url).slice(-1);
  performance.clearResourceTimings();
  return {
    status: response.status,
    etag: response.headers.get("etag"),
    sha256: Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join(""),
    size: code.byteLength,
    wire: entry.encodedBodySize,
  };
});
"""


def missing_library() -> str | None:
    """Why nothing is coded against a dictionary here, or None."""
    return None if zstd_library.is_installed() else "needs backports.zstd: the extra delta"


class SavesCase(LiveCase):
    def setUp(self) -> None:
        self.code = TYPESCRIPT.read_bytes()

    async def save(self, relay: RelayProcess, number: int) -> str:
        """Upload the next bundle. Returns its SHA-256."""
        at = len(self.code) // 2
        at = self.code.index(b"\n", at)
        self.code = b"%b\nlog('\xc3\xa9 %d');%b\nID = %d;" % (
            self.code[:at],
            number,
            self.code[at:],
            number,
        )
        file = Path(self.mktemp()).resolve()
        file.write_bytes(self.code)
        status, found = await curl(relay, file)
        self.assertEqual(status, 201, found)
        return hashlib.sha256(self.code).hexdigest()


class FetchTest(SavesCase):
    """The companion, as a process of its own."""

    skip = missing_curl() or missing_library()

    async def test_save_after_save(self) -> None:
        relay = await self.relay()
        file = Path(self.mktemp()).resolve()
        command = [sys.executable, "-m", "apptuner_relay.client.main", "fetch"]
        command += ["--relay", f"ws://127.0.0.1:{relay.port}", "--session", SESSION]
        command += ["--output", str(file), "--have", str(file)]
        wires = []
        for number in range(4):
            sha256 = await self.save(relay, number)
            child = await run(command)
            self.assertIn(f"sha256 {sha256}", child.out, child.err)
            self.assertEqual(file.read_bytes(), self.code)
            found = re.search(r"(\d+) bytes on the wire", child.out)
            wires.append(int(found[1]) if found else None)
        first, *others = wires
        self.assertIsNone(first)
        for wire in others:
            assert wire is not None
            self.assertLess(wire, 5_000)
        self.assertIn("unchanged", (await run(command)).out)


class ChromiumTest(SavesCase):
    skip = browsers.missing() or missing_curl() or missing_library()

    async def page(self, relay: RelayProcess) -> Browser:
        """A page of the relay."""
        browser = Browser(Path("screenshots"))
        self.addCleanup(browser.stop)
        await browser.start()
        await browser.visit(f"http://127.0.0.1:{relay.port}/live")
        return browser

    async def download(self, browser: Browser, url: str, init: str = "{}") -> dict[str, Any]:
        """What the page gets, which is checked to be the last bundle."""
        found: dict[str, Any] = await browser.run(FETCH.replace("URL", url).replace("INIT", init))
        self.assertEqual((found["status"], found["size"]), (200, len(self.code)))
        self.assertEqual(found["sha256"], hashlib.sha256(self.code).hexdigest())
        return found

    async def test_save_after_save(self) -> None:
        relay = await self.relay()
        browser = await self.page(relay)
        base = await self.save(relay, 1)
        whole = await self.download(browser, f"{PATH}/{base}")
        self.assertGreater(whole["wire"], 500_000)
        # This one is never downloaded.
        await self.save(relay, 2)
        for number in range(3, 6):
            sha256 = await self.save(relay, number)
            for path in (PATH, f"{PATH}?x=1", f"{PATH}/{sha256}"):
                found = await self.download(browser, path)
                self.assertLess(found["wire"], 5_000, path)
                self.assertEqual(found["etag"], f'"{sha256}-dcz-{base[:12]}"')
            base = sha256

    async def test_a_page_of_another_origin(self) -> None:
        relay = await self.relay()
        browser = await self.page(await self.relay())
        url = f"http://127.0.0.1:{relay.port}{PATH}"
        first = await self.save(relay, 1)
        await self.download(browser, f"{url}/{first}")
        second = await self.save(relay, 2)
        found = await self.download(browser, url)
        self.assertEqual(found["etag"], f'"{second}-dcz-{first[:12]}"')
        # What takes a preflight.
        await self.download(browser, url, '{headers: {"If-None-Match": "\\"x\\""}}')
