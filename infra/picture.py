"""Makes the README's moving picture from the shop that runs here: `make up`, then `make picture`.

Two products are clicked, and the row "For you" follows. Time stands still while a frame is taken: animations
are held and moved on by hand, so the film is as smooth as the shop, however slow this machine is.
"""

import io
import shutil
import sys
from collections.abc import Iterator
from typing import Final

from PIL import Image
from playwright.sync_api import Locator, Page, expect, sync_playwright

from infra.stack.broker import ROOT
from infra.stack.lifecycle import answers
from infra.stack.settings import StackSettings
from services.settings import load

FILE: Final = ROOT / "infra" / "docs" / "shop.webp"
SIZE: Final = {"width": 1040, "height": 640}
WIDTH: Final = 800  # of the picture, pixels
QUALITY: Final = 75
KEY_FRAMES: Final = (3, 5)  # one in so many: between them a slow fade of pale colours would leave ghosts
BYTES_MAX: Final = 600_000
FRAME_MS: Final = 40
SHELVES: Final = (("Outdoor", 0), ("Home", 1))  # and which of their products is clicked
GLIDE_MS: Final = 640  # the longest animation of the row: 420 ms, and 200 ms later for its eighth card
STEPS: Final = 14  # of the pointer from one place to the next
PRESSED: Final = (0.2, 0.45, 0.7, 0.9)  # how far the ring of a click has grown
FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-color-profile=srgb"]

# A pointer, since a page's picture has none. Styles by script alone: the shop's policy allows no others.
POINTER: Final = """() => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = (d, fill, stroke) => {
    const part = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const drawn = { d, fill, stroke, "stroke-width": 1.4 };
    for (const [name, value] of Object.entries(drawn)) part.setAttribute(name, value);
    svg.append(part);
  };
  path("M3 1 L3 20 L8 15.5 L11 22.5 L14.2 21 L11.2 14.3 L18 14 Z", "#111", "#fff");
  const ring = document.createElement("div");
  for (const each of [ring, svg])
    Object.assign(each.style, { position: "fixed", left: 0, top: 0, zIndex: 9999, pointerEvents: "none" });
  Object.assign(svg.style, { width: "26px", height: "26px" });
  Object.assign(ring.style, { width: "44px", height: "44px", borderRadius: "50%", background: "#12615a" });
  document.documentElement.append(ring, svg);
  window.point = (x, y, pressed) => {
    svg.style.transform = `translate(${x - 3}px, ${y - 1}px)`;
    ring.style.transform = `translate(${x - 22}px, ${y - 22}px) scale(${0.4 + 0.6 * pressed})`;
    ring.style.opacity = pressed ? 0.75 * (1.15 - pressed) : 0;
  };
}"""
HELD: Final = "() => { for (const each of document.getAnimations()) each.pause(); }"
MOVED: Final = "(ms) => { for (const each of document.getAnimations()) each.currentTime = ms; }"
DONE: Final = "() => { for (const each of document.getAnimations()) each.finish(); }"
DECODED: Final = """async () => {
  const isSeen = ({ left, top, width }) => width && top < innerHeight && left < innerWidth;
  const seen = [...document.images].filter((each) => isSeen(each.getBoundingClientRect()));
  await Promise.allSettled(seen.map((each) => each.decode()));
  await document.fonts.ready;
}"""


class Film:
    """A page of the shop, its pointer, and the frames taken so far, each with the ms that it is shown."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._at = (SIZE["width"] * 0.62, SIZE["height"] * 0.5)
        self._time = page.context.new_cdp_session(page)
        self._time.send("Animation.enable")
        self.frames: list[tuple[Image.Image, int]] = []
        page.evaluate(POINTER)
        self._point(0)

    def hold(self, ms: int) -> None:
        """The page as it is."""
        self._page.evaluate(DECODED)
        self._take(ms)

    def click(self, card: Locator) -> None:
        """Goes to a product and clicks it; then the row glides to what fits."""
        cause = card.locator(".card-name").inner_text()
        for x, y in self._way(card):
            self._at = (x, y)
            self._page.mouse.move(x, y)
            self._point(0)
            self._finish()
            self._take(FRAME_MS)
        for pressed in PRESSED:
            self._point(pressed)
            self._take(2 * FRAME_MS)
        self._point(0)
        self._speed(0)
        self._page.mouse.click(*self._at)
        expect(self._page.get_by_role("heading", level=1)).to_have_text(cause)
        expect(self._page.locator("#for-you-cause")).to_contain_text(cause)
        self._page.evaluate(HELD)
        for ms in range(0, GLIDE_MS, FRAME_MS):
            self._page.evaluate(MOVED, ms)
            self._page.evaluate(DECODED)
            self._take(FRAME_MS)
        self._speed(1)
        self._finish()

    def _way(self, target: Locator) -> Iterator[tuple[float, float]]:
        box = target.bounding_box()
        assert box is not None
        (x, y), to = self._at, (box["x"] + box["width"] * 0.55, box["y"] + box["height"] * 0.5)
        for step in range(1, STEPS + 1):
            share = step / STEPS
            share = share * share * (3 - 2 * share)  # slow at both ends
            yield x + (to[0] - x) * share, y + (to[1] - y) * share

    def _point(self, pressed: float) -> None:
        self._page.evaluate("([x, y, pressed]) => window.point(x, y, pressed)", [*self._at, pressed])

    def _speed(self, rate: float) -> None:
        self._time.send("Animation.setPlaybackRate", {"playbackRate": rate})

    def _finish(self) -> None:
        self._page.evaluate(DONE)

    def _take(self, ms: int) -> None:
        image = Image.open(io.BytesIO(self._page.screenshot())).convert("RGB")
        height = round(WIDTH * image.height / image.width)
        self.frames.append((image.resize((WIDTH, height), Image.Resampling.LANCZOS), ms))


def film(page: Page, shop: str) -> Film:
    """A new visitor, to whom the row shows what is popular, clicks one product, and then another."""
    page.goto(f"{shop}/category/outdoor")
    expect(page.locator("#live-state")).to_have_attribute("data-state", "live")
    taken = Film(page)
    for shelf, place in SHELVES:
        page.get_by_role("navigation", name="Shop").get_by_role("link", name=shelf, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(shelf)
        taken.hold(900)
        taken.click(page.locator("main .card").nth(place))
        taken.hold(1500)
    return taken


def main() -> None:
    """Writes infra/docs/shop.webp."""
    settings = load(StackSettings)
    shop = f"http://127.0.0.1:{settings.shop_port}"
    if not answers(f"{shop}/readyz"):
        sys.exit(f"no shop answers at {shop}: `make up` starts it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        taken = film(browser.new_page(viewport={"width": SIZE["width"], "height": SIZE["height"]}), shop)
        browser.close()
    first, *others = (image for image, _ in taken.frames)
    first.save(
        FILE,
        save_all=True,
        append_images=others,
        duration=[ms for _, ms in taken.frames],
        loop=0,
        quality=QUALITY,
        method=6,
        kmin=KEY_FRAMES[0],
        kmax=KEY_FRAMES[1],
    )
    size = FILE.stat().st_size
    print(f"{FILE.relative_to(ROOT)}: {len(taken.frames)} frames, {size / 1000:.0f} kB")
    if size > BYTES_MAX:
        sys.exit(f"that is more than {BYTES_MAX / 1000:.0f} kB")


if __name__ == "__main__":
    main()
