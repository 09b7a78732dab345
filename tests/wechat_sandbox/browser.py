"""A real Chromium, spoken to over its DevTools protocol with aiohttp. `BROWSER_PATH` names another one."""

import asyncio
import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--disable-quic", "--disable-dev-shm-usage", "--remote-debugging-port=0",
)  # fmt: skip


def found() -> str | None:
    """The browser of this machine, if there is one."""
    return os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, _NAMES)), None)


@dataclass
class Page:
    """One tab. What the console said and what failed to load is collected in `problems`; dialogs in `dialogs`."""

    socket: aiohttp.ClientWebSocketResponse
    problems: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _waiting: dict[int, "asyncio.Future[Any]"] = field(default_factory=dict)

    async def listen(self) -> None:
        """Read what the browser says, until it ends."""
        async for message in self.socket:
            said = json.loads(message.data)
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            else:
                await self._heard(said["method"], said["params"])

    async def _heard(self, method: str, facts: dict[str, Any]) -> None:
        match method:
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(facts["exceptionDetails"])[:500])
            case "Runtime.consoleAPICalled" if facts["type"] in ("error", "warning", "assert"):
                self.problems.append(json.dumps(facts["args"])[:500])
            case "Log.entryAdded" if facts["entry"]["level"] in ("error", "warning"):
                self.problems.append(f"{facts['entry']['text']} {facts['entry'].get('url', '')}")
            case "Page.javascriptDialogOpening":
                self.dialogs.append(facts["message"])
                await self.socket.send_json(
                    {"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
                )
                self._waiting[0] = asyncio.get_running_loop().create_future()

    async def do(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        answer = await asyncio.wait_for(self._waiting[number], 30)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    async def js(self, expression: str) -> Any:
        """The value of an expression; a promise is waited for."""
        answer = await self.do("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, (expression, answer)
        return answer["result"].get("value")

    async def until(self, expression: str, seconds: float = 15) -> Any:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not (value := await self.js(expression)):
            assert time.monotonic() < end, (expression, await self.js("document.body.innerText"))
            await asyncio.sleep(0.05)
        return value

    async def goto(self, url: str) -> None:
        """Open an address and wait until its main part is drawn."""
        await self.do("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && !!document.querySelector('#main section')")

    async def click(self, text: str, within: str = "main") -> None:
        """Click the first button or link that has the text, where a person would."""
        find = (
            f"[...document.querySelectorAll({json.dumps(within + ' button, ' + within + ' a')})]"
            f".find((one) => one.textContent.includes({json.dumps(text)}) && !one.disabled)"
        )
        await self.until(f"!!{find}")
        spot = await self.js(
            f"(() => {{ const one = {find}; one.scrollIntoView({{block: 'center'}});"
            " const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.do("Input.dispatchMouseEvent", type=kind, x=spot[0], y=spot[1], button="left", clickCount=1)

    async def key(self, name: str, code: int, text: str = "") -> None:
        """Press one key."""
        more = {"text": text} if text else {}
        await self.do("Input.dispatchKeyEvent", type="keyDown", key=name, windowsVirtualKeyCode=code, **more)
        await self.do("Input.dispatchKeyEvent", type="keyUp", key=name, windowsVirtualKeyCode=code)

    async def write(self, text: str) -> None:
        """Write into what has the focus."""
        await self.do("Input.insertText", text=text)

    async def screen(self, width: int, *, dark: bool = False, height: int = 900) -> None:
        """The size of the window, and whether the person likes it dark."""
        await self.do(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.do("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self, file: Path) -> None:
        """The whole page as a PNG."""
        taken = await self.do("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(taken["data"]))


@asynccontextmanager
async def page(folder: Path) -> AsyncIterator[Page]:
    """A tab of a browser of its own, which ends with the block; `folder` is its profile."""
    program = found()
    assert program is not None
    flags = [*_FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else []), f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen([program, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        place = folder / "DevToolsActivePort"
        end = time.monotonic() + 60
        while not place.exists() or "\n" not in place.read_text():
            assert time.monotonic() < end, "the browser did not start"
            await asyncio.sleep(0.05)
        port = int(place.read_text().split("\n")[0])
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tab = next(one for one in await answer.json() if one["type"] == "page")
            async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                made = Page(socket)
                listening = asyncio.create_task(made.listen())
                for name in ("Page", "Runtime", "Log"):
                    await made.do(f"{name}.enable")
                yield made
                listening.cancel()
    finally:
        process.terminate()
        process.wait(20)
