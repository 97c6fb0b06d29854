"""A real browser at the monitor's page: Debian's Chromium without a window, driven by Playwright.

`python -m switchyard_testkit.browser install` brings the browser, `… pictures FOLDER` takes the README's pictures.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from switchyard_testkit.envoy import free_port
from switchyard_testkit.errors import MachineError, TestkitError
from switchyard_testkit.machine import BROWSER_PACKAGES, SEARCH, ensure_packages
from switchyard_testkit.page_kinds import CANCELLATION, SILENT, SUGGESTIONS, tell_kinds
from switchyard_testkit.page_story import FLIGHTS, tell
from switchyard_testkit.page_world import TOKEN, PageWorld
from switchyard_testkit.waiting import until

Scheme = Literal["light", "dark"]
DESKTOP, PHONE = (1280, 900), (390, 844)
PATIENCE = 100_000
"""Milliseconds that a step of the browser may take, on a machine that others want too."""


@dataclass(frozen=True)
class Look:
    """How the pages are looked at."""

    name: str
    scheme: Scheme
    size: tuple[int, int]
    most: int
    """How many pixels of a page a picture shows at most, downwards."""


PICTURED = (
    Look("light", "light", (1280, 560), 2700),
    Look("dark", "dark", (1280, 560), 2700),
    Look("phone", "light", (390, 844), 2100),
)
PATHS = {
    "overview": "/page/",
    "deployment": f"/page/deployments/{FLIGHTS}",
    "features": f"/page/deployments/{FLIGHTS}/features",
    "feature": f"/page/deployments/{FLIGHTS}/feature?name=wind",
}

KINDS = {
    "classes": f"/page/deployments/{CANCELLATION}",
    "ranking": f"/page/deployments/{SUGGESTIONS}",
    "silent": f"/page/deployments/{SILENT}",
    "no features": f"/page/deployments/{SILENT}/features",
    "found none": "/page/?find=nobody",
}
"""Pages of the world of other kinds, and states in which there is nothing to show."""


@dataclass(frozen=True)
class Part:
    """What a picture shows of a page: from the top of one element down to the end of another."""

    path: str
    begin: str = "body"
    end: str = "body"


PARTS = {
    "overview": Part(PATHS["overview"]),
    "deployment": Part(PATHS["deployment"], end="#rollout"),
    "evidence": Part(PATHS["deployment"], begin="#traffic", end="#drift"),
    "quality": Part(PATHS["deployment"], begin="#quality", end="#ledger"),
    "feature": Part(PATHS["feature"]),
}
PARTS_OF_KINDS = {"classes": Part(KINDS["classes"], begin="#quality", end="#quality")}
FRAME = """([begin, end, most]) => {
  const down = at => [at.top + scrollY, at.bottom + scrollY];
  const box = one => down(one.getBoundingClientRect());
  const [[top], [, bottom]] = [begin, end].map(one => box(document.querySelector(one)));
  if (bottom - top <= most) return [top, Math.min(bottom + 12, document.documentElement.scrollHeight)];
  const seen = [...document.querySelectorAll('main *')].filter(one => one.checkVisibility());
  const lines = seen.flatMap(one => [...one.childNodes].filter(node => node.nodeType === 3 && node.data.trim()))
    .flatMap(text => {
      const range = document.createRange();
      range.selectNode(text);
      return [...range.getClientRects()].map(down);
    });
  const whole = [...lines, ...seen.filter(one => one.matches('figure, .badge')).map(box)];
  const ends = seen.filter(one => one.matches('section, article, figure, .wide, td, li, p')).map(one => box(one)[1]);
  const fits = at => at <= top + most && !whole.some(([over, under]) => over < at - 1 && under > at + 1);
  return [top, Math.max(...ends.filter(fits))];
}"""


def frame(page: Page, part: Part, *, most: int) -> tuple[float, float]:
    """From where to where the page is in the picture, in pixels. What is longer is cut between its lines."""
    begin, end = page.evaluate(FRAME, [part.begin, part.end, most])
    return float(begin), float(end)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser. It runs as root here, where its sandbox cannot; it loads nothing but our own page."""
    program = shutil.which("chromium-headless-shell", path=SEARCH) or shutil.which("chromium", path=SEARCH)
    if program is None:
        raise MachineError("no Chromium is installed; run `python -m switchyard_testkit.browser install`.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"], timeout=PATIENCE)
        yield browser
        browser.close()


@contextmanager
def served(world: PageWorld) -> Iterator[str]:
    """The monitor over HTTP on the loopback; answers its address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(world.app(), host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, name="page")
    thread.start()
    try:
        until(lambda: server.started, "the page is served", seconds=60, every=0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


@dataclass
class Watched:
    """A tab, and all that it asked for and complained about."""

    page: Page
    base: str
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        self.page.on("console", lambda message: self.complaints.append(f"console {message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))

    def go(self, path: str) -> int:
        """Load an address of the page; answers the status."""
        answer = self.page.goto(f"{self.base}{path}", wait_until="networkidle")
        return answer.status if answer else 0

    def log_in(self, token: str = TOKEN) -> None:
        """Fill the form in, as a person does."""
        self.page.get_by_label("Token").fill(token)
        with self.page.expect_navigation(wait_until="networkidle"):
            self.page.get_by_role("button", name="Log in").click()

    @property
    def outside(self) -> list[str]:
        """What was asked of anybody else."""
        return [url for url in self.asked if not url.startswith(f"{self.base}/")]


@contextmanager
def tab(browser: Browser, base: str, *, scheme: Scheme = "light", size: tuple[int, int] = DESKTOP) -> Iterator[Watched]:
    """A browser window of its own, that knows no cookie yet."""
    width, height = size
    context = browser.new_context(
        color_scheme=scheme,
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
        has_touch=width < 600,
    )
    context.set_default_timeout(PATIENCE)
    yield Watched(context.new_page(), base)
    context.close()


def take_pictures(folder: Path) -> list[Path]:
    """The pictures of the README."""
    folder.mkdir(parents=True, exist_ok=True)
    taken: list[Path] = []
    with chromium() as browser:
        for told, parts in ((tell, PARTS), (tell_kinds, PARTS_OF_KINDS)):
            with tempfile.TemporaryDirectory() as held:
                world = PageWorld(Path(held))
                told(world)
                with served(world) as base:
                    for look in PICTURED:
                        taken += _pictures(browser, base, look, parts, folder)
                world.close()
    return taken


def _pictures(browser: Browser, base: str, look: Look, parts: Mapping[str, Part], folder: Path) -> list[Path]:
    taken: list[Path] = []
    with tab(browser, base, scheme=look.scheme, size=look.size) as watched:
        watched.go("/page/")
        watched.log_in()
        for what, part in parts.items():
            watched.go(part.path)
            begin, end = frame(watched.page, part, most=look.most)
            clip = {"x": 0, "y": begin, "width": look.size[0], "height": end - begin}
            taken.append(folder / f"{what}-{look.name}.png")
            watched.page.screenshot(path=taken[-1], clip=clip, full_page=True)  # type: ignore[arg-type]
    return taken


def main(arguments: list[str]) -> int:
    """`install` or `pictures FOLDER`."""
    match arguments:
        case ["install"]:
            # Debian's newest, of no fixed version: a security update takes the one before it out of the archive.
            ensure_packages(BROWSER_PACKAGES)
        case ["pictures", folder]:
            for path in take_pictures(Path(folder)):
                print(path)
        case _:
            raise MachineError(f"{' '.join(arguments)!r} is no command; use install or pictures FOLDER.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TestkitError as error:
        sys.exit(str(error))
