/** The demo shop's page: puts tracker, live rows, navigation, search, cart and panel together. */

import { createAnnouncer } from "/eddy/announcements.js";
import { configure, join } from "/eddy/live.js";
import { createTracker } from "/eddy/tracker.js";
import * as cart from "./cart.js";
import { startNavigation } from "./navigation.js";
import { createPanel } from "./panel.js";
import { createProfile } from "./profile.js";
import { createRow } from "./row.js";
import { createSearch } from "./search.js";
import { watchShown } from "./shown.js";
import { address, money, picture } from "./showing.js";

const FOR_YOU = "for_you";
const TOAST_MS = 4000;
const MOVES_NOTHING = new Set(["search", "view_item_list"]); // events that are no sign of what somebody likes
const STATUS = {
  connecting: "Connecting",
  live: "Live: follows every click",
  polling: "Asking every few seconds: no live connection can be had",
  offline: "Offline: clicks are kept",
  closed: "Closed",
};

const { ingest, recommender, row: rowLength } = document.documentElement.dataset;
const byId = (id) => document.getElementById(id);
const main = () => byId("main");
const ownEvents = new Set(); // ids of those that move nothing

const panel = createPanel(byId("panel"), byId("panel-button"));
const tracker = createTracker({ ingest, onTracked: tracked });
window.dataLayer ??= []; // a shop with GA4 has one already
tracker.listenToDataLayer(window.dataLayer);

function tracked(event) {
  if (MOVES_NOTHING.has(event.type)) ownEvents.add(event.event_id);
  panel.tracked(event);
}

/** JSON of the recommender. */
async function ask(path, withinMs, token) {
  const headers = token ? { "X-Eddy-Token": token } : {};
  const response = await fetch(recommender + path, { headers, signal: AbortSignal.timeout(withinMs) });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

// ---- Rows that are kept fresh

configure({
  recommender,
  tracker,
  href: ({ product_id }) => address(product_id),
  picture: ({ image_url }) => picture(image_url),
  money: (amount, currency) => money(amount, currency),
  onStatus(status) {
    byId("live-state").dataset.state = status;
    byId("live-state").title = STATUS[status];
    panel.status(status);
  },
});

const forYou = createRow(byId("for-you-list"), byId("card"));
const announcer = createAnnouncer((why) => {
  byId("news").textContent = why === undefined ? "" : `For you has changed${why ? `: ${why}` : ""}`;
});
const shownIn = new Map([[forYou.list, { list_id: FOR_YOU }]]); // list → where its products come from
let movedBy; // the newest event that the row is made from, null for none

join({
  wish: () => ({ kind: FOR_YOU, k: Number(rowLength) }),
  assigned() {},
  receive(message) {
    shownIn.set(forYou.list, { list_id: FOR_YOU, recommendation_id: message.recommendation_id });
    forYou.show(message.items);
    const why = message.items.find(({ source }) => source !== "popular")?.why;
    const text = why ? why[0].toUpperCase() + why.slice(1) : "Popular now. Look around, and this row follows.";
    if (byId("for-you-cause").textContent !== text) byId("for-you-cause").textContent = text;
    announcer.shown(message.items);
    requestAnimationFrame(() => panel.pushed(message, tracker.queued()));
    moved(message.caused_by);
  },
});

function moved(causedBy) {
  const isNews = causedBy && movedBy !== undefined && causedBy !== movedBy; // the first is what the page was made from
  movedBy = causedBy ?? null;
  if (!isNews) return;
  profile.again();
  if (!ownEvents.has(causedBy)) search.again();
}

// Rows on a product's page are <eddy-recommendations>; here is what this shop adds to them.

document.addEventListener("eddy-select", (event) => {
  const { item, slot, recommendation_id, href } = event.detail;
  clicked = { product_id: item.product_id, list_id: slot, recommendation_id };
  if (!event.cancelable) return;
  event.preventDefault();
  navigation.go(href);
});

document.addEventListener("eddy-update", ({ target, detail }) => {
  const isPopular = Boolean(detail.message.fallback); // it is not what the heading says, so it says what it is
  target.setAttribute("heading", isPopular ? "Popular now" : target.dataset.heading);
  if ("spare" in target.dataset) target.hidden = isPopular;
});

// ---- Pages

let clicked = {}; // the card that led to the next product page

const navigation = startNavigation({ onShown: shown, onTrouble: toast });
const watch = watchShown({ main, onChanged: changed });
const profile = createProfile({ ask, tracker, leave: (url) => location.assign(url) });
const search = createSearch({ ask, visitor: tracker.visitor, template: byId("card"), open: navigation.push, onShown: found });

function shown() {
  const { happened, once, query } = main().dataset;
  const isRepeated = once && sessionStorage.getItem(`shop.${once}`);
  if (once) sessionStorage.setItem(`shop.${once}`, "told");
  for (const push of isRepeated ? [] : JSON.parse(happened)) window.dataLayer.push(withCause(push));
  clicked = {};
  byId("toast").hidden = true;
  for (const list of shownIn.keys()) if (!list.isConnected) shownIn.delete(list);
  watch.look();
  panel.understood(undefined);
  search.show(main());
  profile.show(main());
  document.querySelector(".head input[type=search]").value = query ?? "";
  countCart();
}

/** A search has an answer. */
function found({ list_id, recommendation_id, lists, items, by, isNew }) {
  for (const list of lists) shownIn.set(list, { list_id, recommendation_id });
  const ecommerce = { item_list_id: list_id, recommendation_id, items: items.map(({ product_id }) => ({ item_id: product_id })) };
  if (isNew && items.length) window.dataLayer.push({ event: "view_item_list", ecommerce });
  panel.understood(by);
  watch.look();
}

/** Prices or stock on show are others: a search may have something else to show in its place. */
function changed(items) {
  if (items.some(({ availability }) => availability === "out_of_stock")) search.again();
}

/** A product that was opened from a row of recommendations says from which. */
function withCause(push) {
  const isIt = push.event === "view_item" && push.ecommerce.items[0].item_id === clicked.product_id;
  const { recommendation_id, list_id: item_list_id } = clicked;
  return isIt ? { ...push, ecommerce: { ...push.ecommerce, recommendation_id, item_list_id } } : push;
}

document.addEventListener("click", ({ target }) => {
  const card = target.closest(".card");
  if (!card || !target.closest(".card-link")) return;
  clicked = { list_id: main().dataset.list, ...shownIn.get(card.parentElement), product_id: card.dataset.id };
  tracker.track("select_item", clicked);
}, { capture: true }); // before the navigation takes the click

// ---- Cart

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const { cart: what, push } = form.dataset;
  if (form.method === "get") {
    event.preventDefault();
    navigation.go(`${form.action}?${new URLSearchParams(new FormData(form))}`);
  }
  if (!what) return;
  event.preventDefault();
  if (what === "order") {
    await navigation.go(form.action, { method: "POST" });
    return;
  }
  cart[what](event.submitter.value);
  window.dataLayer.push(JSON.parse(push));
  countCart();
  if (what === "add") toast("It is in your cart.");
  else await navigation.go(location.href, { push: false });
});

function countCart() {
  byId("cart-count").textContent = cart.count() || "";
  byId("cart-count").hidden = !cart.count();
}

// ---- Small things

let toastTimer;

function toast(text) {
  byId("toast").textContent = text;
  byId("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (byId("toast").hidden = true), TOAST_MS);
}

const fold = byId("row-fold");

function folded(isFolded) {
  byId("for-you").classList.toggle("is-folded", isFolded);
  fold.setAttribute("aria-expanded", String(!isFolded));
  fold.setAttribute("aria-label", isFolded ? "Unfold the row" : "Fold the row");
  localStorage.setItem("shop.folded", isFolded ? "yes" : "");
}

fold.addEventListener("click", () => folded(fold.getAttribute("aria-expanded") === "true"));
if (localStorage.getItem("shop.folded")) folded(true);

const scroll = (direction) => byId("for-you-list").scrollBy({ left: direction * 0.8 * innerWidth, behavior: "smooth" });
byId("row-back").addEventListener("click", () => scroll(-1));
byId("row-on").addEventListener("click", () => scroll(1));

shown();
