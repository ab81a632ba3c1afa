"""A real browser for tests: Chromium without a window, spoken to over a pipe in its own DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def find_chromium() -> str | None:
    """Return the path of an installed Chromium or Chrome, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


class Browser:
    """One page of a headless Chromium: load, evaluate, press, drag, look.

    Everything the page logs, throws or asks of a network is kept in ``errors`` and ``requests``.
    """

    def __init__(self, program: str) -> None:
        self.profile = tempfile.TemporaryDirectory()
        command_read, self.commands = os.pipe()
        self.answers, answer_write = os.pipe()
        # The protocol's pipe is file descriptors 3 and 4 of the browser.
        shell = f'exec "$@" 3<&{command_read} 4>&{answer_write}'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "chromium", program, *FLAGS, f"--user-data-dir={self.profile.name}"],
            pass_fds=(command_read, answer_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(command_read)
        os.close(answer_write)
        self.buffer, self.number, self.session = b"", 0, None
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.events: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        self.size(1280, 900)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.commands)
        os.close(self.answers)
        self.profile.cleanup()

    # ---- protocol
    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.commands, data) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _receive(self, wait_s: float = 30.0) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.answers], [], [], wait_s)
            part = os.read(self.answers, 1 << 20) if ready else b""
            if not part:
                raise RuntimeError("the browser does not answer")
            self.buffer += part
        text, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(text)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event:
            self.events.append(event)
        if event == "Runtime.exceptionThrown":
            detail = params["exceptionDetails"]
            self.errors.append(detail.get("exception", {}).get("description", detail["text"]))
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(f"console: {params['args']}")
        elif event == "Log.entryAdded":
            self.errors.append(f"log: {params['entry']['text']}")
        elif event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    # ---- what a reader does
    def open(self, path: Path) -> float:
        """Load a file, wait until it is drawn, and return the seconds that took."""
        self.errors.clear(), self.requests.clear(), self.events.clear()
        begin = time.perf_counter()
        self.send("Page.navigate", url=path.resolve().as_uri())
        while "Page.loadEventFired" not in self.events:
            self._receive()
        self.settle()
        return time.perf_counter() - begin

    def settle(self) -> None:
        """Wait until what was asked for is on the screen."""
        self.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0))))")

    def js(self, expression: str) -> Any:
        """Return the value of an expression, awaited; raise what it throws."""
        result = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description", expression))
        return result["result"].get("value")

    def size(self, width: int, height: int, ratio: float = 1.0, mobile: bool = False) -> None:
        """Set the window, the device's pixels per point, and whether it is a phone."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=ratio, mobile=mobile
        )

    def prefer(self, scheme: str) -> None:
        """Set the system's colour scheme, light or dark."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def box(self, selector: str, nth: int = 0) -> tuple[float, float, float, float]:
        """Scroll an element into sight and return its left, top, width and height."""
        return tuple(
            self.js(
                f"(() => {{ const node = document.querySelectorAll({json.dumps(selector)})[{nth}];"
                "node.scrollIntoView({block: 'center'}); const r = node.getBoundingClientRect();"
                "return [r.left, r.top, r.width, r.height]; })()"
            )
        )

    def click(self, selector: str, nth: int = 0, count: int = 1) -> None:
        """Press the middle of an element."""
        left, top, width, height = self.box(selector, nth)
        for i in range(count):
            for kind in ("mousePressed", "mouseReleased"):
                self._mouse(kind, left + width / 2, top + height / 2, clickCount=i + 1)
        self.settle()

    def drag(self, selector: str, start: float, end: float, nth: int = 0) -> None:
        """Drag across an element, from and to shares of its width."""
        left, top, width, height = self.box(selector, nth)
        y = top + height / 2
        self._mouse("mousePressed", left + start * width, y, clickCount=1)
        for share in (0.3, 0.7, 1.0):
            self._mouse("mouseMoved", left + (start + share * (end - start)) * width, y)
        self._mouse("mouseReleased", left + end * width, y, clickCount=1)
        self.settle()

    def hover(self, selector: str, x: float, y: float = 0.5, nth: int = 0) -> None:
        """Move the pointer to shares of an element's width and height."""
        left, top, width, height = self.box(selector, nth)
        self._mouse("mouseMoved", left + x * width, top + y * height)
        self.settle()

    def _mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        button = "none" if kind == "mouseMoved" and not more else "left"
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, **more)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """Write what is on the screen, or the whole page, as PNG."""
        data = self.send("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))
