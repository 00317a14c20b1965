"""`python -m tests.benchmark.page_click`: a click on a card in a real Chromium, until the row is another.

The demo shop on the whole stack: the card's product page is fetched and shown, `select_item` and `view_item`
leave the page, and the row on it changes. One JSON line on stdout.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
import numpy as np
from playwright.sync_api import Page

from tests.benchmark.spread import Spread
from tests.benchmark.system import whole_stack
from tests.support.browser import launch_chromium
from tests.support.shop_pages import is_live

VISITORS: Final = 4
CLICKS: Final = 15  # of each visitor
REST_MS: Final = 500  # between two clicks, so that each is alone
PATIENCE_MS: Final = 10_000
START_MS: Final = 30_000

# In the page: when what happened, ms of its clock. Playwright's own looks would come late.
NOTE: Final = """
window.happened = {};
const note = window.note = (what) => (window.happened[what] ??= performance.now());
const setItem = Storage.prototype.setItem;
Storage.prototype.setItem = function (key, value) {
  if (key.startsWith("eddy.event.")) note(`${JSON.parse(value).type} tracked`);
  return setItem.call(this, key, value);
};
const fetch = window.fetch;
window.fetch = function (url, options) {
  const isEvents = String(url?.url ?? url).endsWith("/v1/events");
  if (isEvents) for (const { type } of JSON.parse(options.body).events) note(`${type} sent`);
  return fetch.call(this, url, options);
};
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => note(`${JSON.parse(data).slot} came`));
  }
};
"""
# It waits in the page, too: what looks from outside takes the browser's time.
CLICK: Final = """([place, patience]) => new Promise((done) => {
  const list = document.querySelector("#for-you-list");
  const row = () => [...list.children].map((card) => card.dataset.id).join();
  const before = row();
  const observer = new MutationObserver(() => {
    if (row() === before) return;
    note("row changed");
    observer.disconnect();
  });
  window.happened = {};
  observer.observe(list, { childList: true, subtree: true, attributes: true });
  note("clicked");
  list.querySelectorAll(".card .card-link")[place].click();
  const begin = performance.now();
  const look = setInterval(() => {
    const isOver = "row changed" in happened && "view_item sent" in happened;
    if (!isOver && performance.now() - begin < patience) return;
    clearInterval(look);
    done(happened);
  }, 20);
})"""
SINCE_CLICK: Final = (
    "select_item sent",
    "for_you came",
    "row changed",
    "view_item tracked",
    "view_item sent",
)


class Figures(msgspec.Struct, frozen=True):
    """ms since the click; `waited`: from a view that is tracked until it leaves the page."""

    clicks: int
    unchanged: int  # rows that were the same after ten seconds
    since_click: Mapping[str, Spread]
    waited: Spread


def measure(shop_url: str) -> Figures:
    """Visitors one after the other, each with a browser's profile of its own."""
    with launch_chromium() as browser:
        happened = []
        for _ in range(VISITORS):
            context = browser.new_context()
            context.add_init_script(NOTE)
            page = context.new_page()
            page.goto(shop_url)
            is_live(page, START_MS)
            happened += list(_clicks(page))
            context.close()
    changed = [each for each in happened if "row changed" in each and "view_item sent" in each]
    return Figures(
        len(happened),
        len(happened) - len(changed),
        {what: _spread(changed, "clicked", what) for what in SINCE_CLICK},
        _spread(changed, "view_item tracked", "view_item sent"),
    )


def _clicks(page: Page) -> Iterator[dict[str, float]]:
    for number in range(CLICKS):
        page.wait_for_timeout(REST_MS)
        happened: dict[str, float] = page.evaluate(CLICK, [3 + number % 4, PATIENCE_MS])
        yield happened


def _spread(happened: list[dict[str, float]], begin: str, end: str) -> Spread:
    found = [each[end] - each[begin] for each in happened if begin in each and end in each]
    return Spread.of(np.array(found) / 1000)


def main() -> None:
    """Prints the figures."""
    with whole_stack(lambda what, seconds: print(f"  {what}: {seconds:.1f} s", file=sys.stderr)) as system:
        print(json.dumps(msgspec.to_builtins(measure(system.shop_url))))


if __name__ == "__main__":
    main()
