/** The demo shop's page: puts tracker, live rows, navigation, search, cart and panel together. */

import { createAnnouncer } from "../eddy/announcements.js";
import { watchRow } from "../eddy/impressions.js";
import { ask as askWhy, configure, dismissed, join } from "../eddy/live.js";
import { explain, isPopularInstead } from "../eddy/sentences.js";
import { createTracker } from "../eddy/tracker.js";
import * as cart from "./cart.js";
import { startNavigation } from "./navigation.js";
import { createPanel } from "./panel.js";
import { createProfile } from "./profile.js";
import { createRow } from "./row.js";
import { createSearch } from "./search.js";
import { giveWay } from "./dock.js";
import { watchShown } from "./shown.js";
import { address, money, picture, pictures } from "./showing.js";

const FOR_YOU = "for_you";
const LONGEST = 44; // characters of a sentence on the row's cards
const FOLLOWS = "Look around, and this row follows.";
const TOAST_MS = 4000;
const MOVES_NOTHING = new Set(["search", "view_item_list"]); // events that put no results in another order
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
const ownEvents = new Set(); // ids of those

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
  srcset: ({ image_url }) => pictures(image_url),
  profile: "/profile",
  page: pageOf(main()),
  money: (amount, currency) => money(amount, currency),
  onStatus(status) {
    byId("live-state").dataset.state = status;
    byId("live-state").title = STATUS[status];
    panel.status(status);
  },
});

const forYou = createRow(byId("for-you-list"), byId("card"), {
  onAsk: why, isGone: (id) => dismissed.has(id), sizes: "96px",
});
const seen = watchRow(forYou.list, tracker.track);
const announcer = createAnnouncer((because) => {
  byId("news").textContent = because === undefined ? "" : `For you has changed${because ? `: ${because}` : ""}`;
});
const shownIn = new Map([[forYou.list, { list_id: FOR_YOU }]]); // list → where its products come from
let movedBy; // the newest event that the row is made from, null for none
let slot; // what the row asks for
let newest; // its message
let said; // what that says of its products

join({
  wish: () => ({ kind: FOR_YOU, k: Number(rowLength) }),
  assigned: (assigned) => (slot = assigned),
  dismissed: () => newest && draw(newest),
  receive(message) {
    newest = message;
    shownIn.set(forYou.list, { list_id: FOR_YOU, recommendation_id: message.recommendation_id });
    draw(message);
    seen.shown(FOR_YOU, message);
    requestAnimationFrame(() => panel.pushed(message, tracker.queued()));
    moved(message.caused_by);
  },
});

function draw(message) {
  const items = message.items.filter(({ product_id }) => !dismissed.has(product_id));
  said = explain({ ...message, items }, { money, longest: LONGEST });
  forYou.show(items, said.why);
  const isPopular = isPopularInstead(message);
  const first = items.find(({ source }) => source !== "popular");
  write("for-you-title", isPopular ? "Popular now" : "For you");
  write("for-you-cause", isPopular ? FOLLOWS : (said.line?.text ?? sentence((first && said.why(first)) || FOLLOWS)));
  announcer.shown(items.map((item) => ({ ...item, why: said.line?.text ?? said.why(item) })));
}

function write(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

const sentence = (text) => text[0].toUpperCase() + text.slice(1);

/** The shopper asks of a card of the row. */
function why(card, item) {
  const { recommendation_id } = newest;
  const at = [...forYou.list.children].indexOf(card);
  askWhy({
    item, card, slot, recommendation_id, sentences: said.sentences(item),
    dismiss() {
      const links = forYou.list.querySelectorAll(".card-link");
      links[Math.min(at, links.length - 1)]?.focus({ preventScroll: true });
      toast("You will see less like it.");
    },
  });
}

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
  if ("spare" in target.dataset) target.hidden = isPopularInstead(detail.message);
});

// ---- Pages

let clicked = {}; // the card that led to the next product page

const navigation = startNavigation({ onShown: shown, onTrouble: toast });
const watch = watchShown({ main, onChanged: changed });
const profile = createProfile({ ask, tracker, leave: (url) => location.assign(url) });
const search = createSearch({ ask, visitor: tracker.visitor, template: byId("card"), open: navigation.push, onShown: found });

/** Which page of the shop this is, for what its rows show. */
function pageOf({ dataset: { page: type, category } }) {
  return { type, category };
}

function shown() {
  configure({ page: pageOf(main()) });
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

giveWay(byId("for-you"));

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
