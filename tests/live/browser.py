"""Headless Chromium, driven by Selenium, for the tests of web pages.

Selenium blocks, so it is called in threads. Waits are for changes of the page's document.
"""

import base64
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.threads import deferToThread

from tests.live.processes import PATIENCE_S

try:
    from selenium import webdriver
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.select import Select
except ImportError:
    webdriver = None  # type: ignore[assignment]

CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")
DESKTOP = (1180, 900)
PHONE = (360, 740)
_PAGE_PATIENCE_S = 2 * PATIENCE_S
"""A browser is many processes, and a chart's first point takes ten seconds of its own."""

# Calls back with the value of an expression as soon as that is something. The expression is part of
# the script, as the page's policy forbids eval.
WAIT = """
const [done] = arguments;
const look = () => {
  const value = (EXPRESSION);
  if (value) { observer.disconnect(); done(value); }
};
const observer = new MutationObserver(look);
observer.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
look();
"""

T = TypeVar("T")


def missing() -> str | None:
    """Why there can be no browser here, or None."""
    if webdriver is None:
        return "needs selenium: ops/test installs it"
    if CHROMIUM is None or CHROMEDRIVER is None:
        return "needs chromium and chromium-driver: ops/test installs them"
    return None


class Browser:
    """One window. Every method but `start` is for after it."""

    def __init__(self, screenshots: Path) -> None:
        self._screenshots = screenshots
        self._driver: Any = None

    async def start(self) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        options.add_argument("--headless=new")
        options.add_argument("--disable-dev-shm-usage")
        options.add_argument("--hide-scrollbars")
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})

        def launch() -> Any:
            return webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))

        self._driver = await deferToThread(launch)
        self._driver.set_script_timeout(_PAGE_PATIENCE_S)
        await self._cdp("Emulation.setTimezoneOverride", {"timezoneId": "UTC"})
        await self.look_from(DESKTOP)

    async def stop(self) -> None:
        if self._driver is not None:
            await deferToThread(self._driver.quit)

    async def look_from(self, size: tuple[int, int], scheme: str = "light") -> None:
        """A screen of this size, and ``light`` or ``dark`` by the viewer's taste."""
        width, height = size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self._cdp("Emulation.setDeviceMetricsOverride", screen)
        taste = [{"name": "prefers-color-scheme", "value": scheme}]
        await self._cdp("Emulation.setEmulatedMedia", {"features": taste})

    async def visit(self, url: str) -> None:
        await self._do(lambda: self._driver.get(url))

    async def until(self, expression: str) -> Any:
        """The value of a JavaScript expression, as soon as it is something."""

        def wait() -> Any:
            try:
                return self._driver.execute_async_script(WAIT.replace("EXPRESSION", expression))
            except TimeoutException:
                text = self._driver.execute_script("return document.body.innerText")
                raise AssertionError(f"never {expression}:\n{text}") from None

        return await self._do(wait)

    async def shows(self, element_id: str, text: str) -> None:
        """Wait until an element has this text, spaces and line breaks apart."""
        squeezed = (
            f"document.getElementById({element_id!r})?.innerText.replace(/\\s+/g, ' ').trim()"
        )
        await self.until(f"{squeezed} === {text!r}")

    async def run(self, script: str) -> Any:
        """What a script returns; a promise is waited for."""
        return await self._do(lambda: self._driver.execute_script(script))

    async def click(self, selector: str) -> None:
        """As with a mouse: what is hidden or covered can't be clicked."""
        await self._do(lambda: self._driver.find_element("css selector", selector).click())

    async def type(self, selector: str, text: str) -> None:
        def enter() -> None:
            field = self._driver.find_element("css selector", selector)
            field.clear()
            field.send_keys(text)

        await self._do(enter)

    async def choose(self, selector: str, text: str) -> None:
        """Choose an option of a ``select``."""

        def enter() -> None:
            element = self._driver.find_element("css selector", selector)
            Select(element).select_by_visible_text(text)

        await self._do(enter)

    async def press(self, selector: str, *keys: str) -> None:
        """Press keys by their names in Selenium's ``Keys``, one after the other, in an element."""

        def enter() -> None:
            element = self._driver.find_element("css selector", selector)
            for key in keys:
                element.send_keys(getattr(webdriver.Keys, key))

        await self._do(enter)

    async def point_at(self, selector: str, x_share: float) -> None:
        """Move the mouse over an element, so far from its left."""

        def move() -> None:
            element = self._driver.find_element("css selector", selector)
            offset = int(element.size["width"] * (x_share - 0.5))
            actions = webdriver.ActionChains(self._driver)
            actions.move_to_element_with_offset(element, offset, 0).perform()

        await self._do(move)

    async def screenshot(self, name: str, whole: bool = True) -> Path:
        """The whole page, or what the window shows of it, as a PNG."""
        shot = await self._cdp("Page.captureScreenshot", {"captureBeyondViewport": whole})
        self._screenshots.mkdir(exist_ok=True)
        path = self._screenshots / f"{name}.png"
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    async def accessible(self) -> list[tuple[str, str]]:
        """Role and name of everything that a screen reader finds."""
        tree = await self._cdp("Accessibility.getFullAXTree", {})
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in tree["nodes"]
            if not node["ignored"]
        ]

    async def complaints(self) -> list[str]:
        """What the browser has logged as an error since the last call."""
        log = await self._do(lambda: self._driver.get_log("browser"))
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    async def _cdp(self, command: str, parameters: dict[str, Any]) -> Any:
        return await self._do(lambda: self._driver.execute_cdp_cmd(command, parameters))

    @staticmethod
    async def _do(call: Callable[[], T]) -> T:
        return await deferToThread(call)
