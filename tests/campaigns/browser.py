"""What leaves for a browser, in a real one: `python -m tests.campaigns.browser [FOLDER]` leaves its pictures there.

Needs Debian's chromium-headless-shell (64 MB), which is why it is no test of every day. `tuibench serve`: it opens the
printed address, looks whether anything is asked of another machine, types into the prompt, goes to the sessions by key,
and takes a picture of each. The HTML export of a run in which every text is hostile, and of the sample session: nothing
is asked of anyone, no error is told, no page is wider than its window, no text becomes an element; pictures wide and
narrow, light and dark.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from tests.store.test_export import hostile
from tuibench import paths
from tuibench.store.export.html import as_html
from tuibench.store.session import load
from tuibench.store.side_by_side import side_by_side

CHROMIUM = shutil.which("chromium-headless-shell") or "chromium"
KEYS = {"F2": 113, "F3": 114}


class Browser:
    """One page, driven through Chromium's own protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._n_sent = 0
        self.requested: set[str] = set()
        self.complaints: list[str] = []

    async def call(self, method: str, **parameters: object) -> dict[str, object]:
        """Send a command and return its result; requests of the page that are seen meanwhile are noted."""
        self._n_sent += 1
        await self._socket.send_json({"id": self._n_sent, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive(timeout=30)).data)
            if message.get("method") == "Network.requestWillBeSent":
                self.requested.add(message["params"]["request"]["url"])
            if message.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"}:
                self.complaints.append(json.dumps(message["params"])[:300])
            if message.get("id") == self._n_sent:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    async def evaluate(self, expression: str) -> Any:
        """Return what a JavaScript expression amounts to."""
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"]["value"]  # type: ignore[index] # as the protocol has it

    async def press(self, key: str) -> None:
        """Press a function key, or type a text."""
        if key in KEYS:
            for kind in ("keyDown", "keyUp"):
                code = KEYS[key]
                await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)
        else:
            for char in key:
                await self.call("Input.dispatchKeyEvent", type="char", text=char, key=char)

    async def picture(self, path: Path) -> None:
        """Save what is seen."""
        taken = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(str(taken["data"])))  # noqa: ASYNC240 - nothing else waits
        print(path)


async def visit(look: Callable[[Browser], Awaitable[None]]) -> None:
    """Start a browser and look at pages with it."""
    with tempfile.TemporaryDirectory() as profile:
        options = [
            "--headless",
            "--no-sandbox",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "--window-size=1280,860",
        ]
        chromium = await asyncio.create_subprocess_exec(
            CHROMIUM, *options, "about:blank", stderr=asyncio.subprocess.PIPE
        )
        try:
            assert chromium.stderr is not None
            while not (heard := re.search(rb"DevTools listening on ws://([^/]+)/", await chromium.stderr.readline())):
                pass
            devtools = heard[1].decode()
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://{devtools}/json") as answer:
                    page = next(one for one in await answer.json() if one["type"] == "page")
                async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    browser = Browser(socket)
                    try:
                        await look(browser)
                    finally:
                        # Debian starts it through a script, whose end it would outlive.
                        await browser.call("Browser.close")
        finally:
            with suppress(ProcessLookupError):
                chromium.terminate()
            await chromium.wait()


async def look_at_dashboard(browser: Browser, address: str, folder: Path) -> None:
    """Take the pictures of the dashboard."""
    for domain in ("Page", "Network"):
        await browser.call(f"{domain}.enable")
    await browser.call("Page.navigate", url=address)
    while not await browser.evaluate("document.querySelector('body.-first-byte') !== null"):  # noqa: ASYNC110 - its
        await asyncio.sleep(1)
    await asyncio.sleep(5)
    focused = await browser.evaluate("document.activeElement.className")
    assert "xterm" in focused, f"the terminal has no focus, but {focused!r}"
    await browser.press("Hello from a browser")
    await asyncio.sleep(1)
    await browser.picture(folder / "browser-bench.png")
    await browser.press("F3")
    await asyncio.sleep(2)
    await browser.picture(folder / "browser-sessions.png")
    print("address line:", await browser.evaluate("location.href"))
    base = address.partition("/?")[0]
    foreign = {url for url in browser.requested if not url.startswith((base, "data:", "blob:"))}
    print("asked of others:", foreign or "nothing")


async def look_at_exports(browser: Browser, folder: Path) -> None:
    """Take the pictures of exported pages, and fail where one does what it must not."""
    for domain in ("Page", "Network", "Log", "Runtime"):
        await browser.call(f"{domain}.enable")
    sample = side_by_side([(path, load(path)) for path in sorted(paths.sample_sessions().glob("*.toml"))[:1]])
    for name, comparison in (("sample", sample.comparison), ("hostile", hostile())):
        page = folder / f"export-{name}.html"
        page.write_text(as_html(comparison), encoding="utf-8")
        browser.requested.clear()
        await browser.call("Page.navigate", url=page.resolve().as_uri())
        await asyncio.sleep(1)
        for width in (1280, 400):
            for scheme in ("light", "dark"):
                scheme_feature = {"name": "prefers-color-scheme", "value": scheme}
                await browser.call("Emulation.setEmulatedMedia", features=[scheme_feature])
                await browser.call(
                    "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
                )
                wide, foreign = await browser.evaluate(
                    "[document.documentElement.scrollWidth,"
                    " document.querySelectorAll('script, img, iframe, link, object, a, form').length]"
                )
                assert wide <= width, f"{page}: {wide} pixels wide in a window of {width}"
                assert not foreign, f"{page}: {foreign} elements that it should not have"
                await browser.picture(folder / f"export-{name}-{width}-{scheme}.png")
        assert browser.requested <= {page.resolve().as_uri()}, browser.requested
        assert not browser.complaints, browser.complaints
    print("exports: no request, no complaint, no foreign element, no page wider than its window")


async def main(folder: Path) -> None:
    await visit(partial(look_at_exports, folder=folder))
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "TUIBENCH_SESSIONS": f"{scratch}/sessions", "TUIBENCH_CONFIG": f"{scratch}/config"}
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tuibench", "serve", "--port", "0", stdout=asyncio.subprocess.PIPE, env=environment
        )
        try:
            assert server.stdout is not None
            address = (await server.stdout.readline()).decode().strip()
            await asyncio.sleep(1)
            await visit(partial(look_at_dashboard, address=address, folder=folder))
        finally:
            server.terminate()
            await server.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
