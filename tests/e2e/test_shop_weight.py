"""What the shop's pages weigh, and that nothing on them jumps: figures as Lighthouse takes them, in Chromium.

Times are printed and bound nothing: they are the machine's. Figures go to build/screens/shop-weight.json,
pictures beside them.
"""

import json
from typing import Any, Final

import pytest
from playwright.sync_api import Page, expect

from infra.stack.broker import ROOT
from infra.stack.lifecycle import Stack
from tests.support.shop_pages import NARROW, STILL, WIDE, Open, is_live, look_for, wait_for_answer

pytestmark = pytest.mark.timeout(600)  # the first test waits for the whole stack

SCREENS: Final = ROOT / "build" / "screens"
CLS_MAX: Final = 0.02
KB_MAX: Final = (
    420  # of a first visit, transferred: 57 of it fonts, about 60 scripts and styles, else pictures
)
PATHS: Final = {
    "home": "/",
    "category": "/category/women/shoes",
    "product": "/product/p0005",
    "search": "/search?q=boots",
}
# An answer that comes more than half a second after the key is no longer taken for what was expected to move.
WATCH: Final = """
  const ask = window.fetch;
  window.fetch = async (what, ...how) => {
    const { pathname } = new URL(what.url ?? what, location);
    if (pathname === "/v1/search") await new Promise((resolve) => setTimeout(resolve, 700));
    return ask(what, ...how);
  };
  window.shifts = [];
  window.lcp = 0;
  new PerformanceObserver((list) => {
    for (const { value, hadRecentInput, sources } of list.getEntries()) {
      const nodes = sources.map(({ node }) => node?.className || node?.nodeName);
      if (!hadRecentInput) window.shifts.push([value, nodes]);
    }
  }).observe({ type: "layout-shift", buffered: true });
  new PerformanceObserver((list) => (window.lcp = list.getEntries().at(-1).startTime))
    .observe({ type: "largest-contentful-paint", buffered: true });
"""
READ: Final = """() => {
  const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const own = all.filter(({ name }) => name.startsWith(location.origin));
  return { lcp_ms: Math.round(window.lcp), shifts: window.shifts, requests: own.length,
    kb: Math.round(own.reduce((sum, { transferSize }) => sum + transferSize, 0) / 1024) };
}"""


def measure(page: Page) -> dict[str, Any]:
    page.evaluate(STILL)
    found: dict[str, Any] = page.evaluate(READ)
    return found | {"cls": round(sum(value for value, _ in found["shifts"]), 4)}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1280", "390"])
def test_pages_are_light_and_nothing_on_them_jumps(
    stack: Stack, open_page: Open, viewport: dict[str, int], scheme: str
) -> None:
    figures = {}
    for name, path in PATHS.items():
        page = open_page(f"{stack.shop_url}{path}", viewport=viewport, color_scheme=scheme, script=WATCH)
        is_live(page)
        if name == "search":
            wait_for_answer(page)
        if name == "product":
            expect(page.locator("eddy-recommendations [part~=card]").first).to_be_visible()
        figures[name] = measure(page)
        if name == "search":  # the next one, on the same page
            look_for(page, "floral cushions under €40, not pink")
            figures["search again"] = measure(page) | {"kb": 0}
        page.screenshot(path=SCREENS / f"{name}-{scheme}-{viewport['width']}.png")
        page.context.close()
    file = SCREENS / "shop-weight.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | {f"{viewport['width']} {scheme}": figures}, indent=2))
    print(json.dumps(figures))
    for name, found in figures.items():
        assert found["cls"] <= CLS_MAX, (name, found["shifts"])
        assert found["kb"] <= KB_MAX, (name, found)
