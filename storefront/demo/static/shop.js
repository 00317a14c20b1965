/** The demo shop's page: puts tracker, live rows, navigation, cart and panel together. */

import { connect } from "/eddy/live.js";
import { createTracker } from "/eddy/tracker.js";
import * as cart from "./cart.js";
import { startNavigation } from "./navigation.js";
import { createPanel } from "./panel.js";
import { createRow } from "./row.js";

const FOR_YOU = "for_you";
const SIMILAR = 6;
const TOAST_MS = 4000;
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

const panel = createPanel(byId("panel"), byId("panel-button"));
const tracker = createTracker({ ingest, onTracked: panel.tracked });
window.dataLayer ??= []; // a shop with GA4 has one already
tracker.listenToDataLayer(window.dataLayer);

// ---- Rows that are kept fresh

const forYou = {
  slot: { name: FOR_YOU, kind: FOR_YOU, k: Number(rowLength) },
  row: createRow(byId("for-you-list"), byId("card")),
};
let similar; // on a product's page
const newest = new Map(); // slot → the message that is on show

const live = connect({
  recommender,
  visitor: tracker.visitor,
  slots: slots(),
  onRecommendations: show,
  onStatus(status) {
    byId("live-state").dataset.state = status;
    byId("live-state").title = STATUS[status];
    panel.status(status);
  },
});

function slots() {
  return [forYou, similar].filter(Boolean).map(({ slot }) => slot);
}

function show(message) {
  const place = [forYou, similar].find((each) => each?.slot.name === message.slot);
  if (!place) return;
  newest.set(message.slot, message);
  const isNews = place.row.show(message.items);
  if (place === forYou) tell(message.items, isNews);
  requestAnimationFrame(() => panel.pushed(message, tracker.queued()));
}

function tell(items, isNews) {
  const why = items.find(({ source }) => source !== "popular")?.why;
  const text = why ? why[0].toUpperCase() + why.slice(1) : "Popular now. Look around, and this row follows.";
  if (byId("for-you-cause").textContent !== text) byId("for-you-cause").textContent = text;
  if (isNews) byId("news").textContent = why ? `For you has changed: ${why}` : "For you has changed";
}

// ---- Pages

let clicked = {}; // the card that led to the next product page

const navigation = startNavigation({ onShown: shown, onTrouble: toast });

function shown() {
  const { happened, once, product, query } = main().dataset;
  const isRepeated = once && sessionStorage.getItem(`shop.${once}`);
  if (once) sessionStorage.setItem(`shop.${once}`, "told");
  for (const push of isRepeated ? [] : JSON.parse(happened)) window.dataLayer.push(withCause(push));
  clicked = {};
  byId("toast").hidden = true;
  const before = similar?.slot.name;
  const list = byId("similar");
  const name = `similar:${product}`;
  similar = list && { slot: { name, kind: "similar", k: SIMILAR, product_id: product }, row: createRow(list, byId("card")) };
  if (similar?.slot.name !== before) live.subscribe(slots());
  document.querySelector(".head input[type=search]").value = query ?? "";
  byId("cart-count").textContent = cart.count() || "";
  byId("cart-count").hidden = !cart.count();
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
  const slot = [forYou, similar].find((each) => each?.row.list.contains(card))?.slot.name;
  const message = newest.get(slot);
  clicked = {
    product_id: card.dataset.id,
    list_id: slot ?? main().dataset.list,
    recommendation_id: message?.seq ? `${slot}:${message.seq}` : undefined,
  };
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
  byId("cart-count").textContent = cart.count() || "";
  byId("cart-count").hidden = !cart.count();
  if (what === "add") toast("It is in your cart.");
  else await navigation.go(location.href, { push: false });
});

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
