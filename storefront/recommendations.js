/**
 * <eddy-recommendations slot="for_you" k="12">: a row of products that stays fresh while the page is open.
 *
 * Attributes: `slot` says what the row shows: for_you, similar, popular, also_liked, complement_topic,
 * complement_type or search (inside another component, which takes `slot` for itself, write `kind`); `k` how many;
 * `product-id` what it is about; `query` a search's words; `category` a path, such as Women/Shoes, to stay in;
 * `heading`; `name` the row's name in events, where a page has two of a kind; `recommender` and `ingest` URLs,
 * where the page has not told them by `configure`. All may change at any time.
 *
 * Inside it: an element with slot="heading" replaces the heading, one with slot="empty" is shown where there is
 * nothing to show, and everything else is there until the first products have come.
 *
 * Events, bubbling out of it: `eddy-select` {item, slot, recommendation_id, position (from 1), href}, which
 * `preventDefault()` keeps from following the link, and which is not cancelable where the shopper asked for a new
 * tab; `eddy-update` {slot, message}, when a message is on show.
 *
 * Keys: every card is a link and a tab stop, as in any list; beyond that arrows, Home and End go from card to
 * card. The buttons scroll, and are there only while there is something to scroll to.
 */

import { createAnnouncer } from "./announcements.js";
import { createCards } from "./cards.js";
import { look } from "./look.js";
import { drawCard, money, newCard, skeleton } from "./markup.js";
import { cut } from "./page.js";

const HEADINGS = {
  for_you: "For you",
  similar: "Similar",
  popular: "Popular now",
  also_liked: "Also liked",
  complement_topic: "Goes with it",
  complement_type: "Completes it",
  search: "Found",
};
const ABOUT_A_PRODUCT = new Set(["similar", "also_liked", "complement_topic", "complement_type"]);
const TEXTS = {
  previous: "Scroll back",
  next: "Scroll on",
  sold_out: "Sold out",
  changed: (heading, why) => `${heading} has changed${why ? `: ${why}` : ""}`,
};
const K = { usual: 12, most: 100 };
const QUERY_MAX = 200;
const STEPS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

/** Defines the element, where there are elements. `page`: from page.js. */
export function defineElement(page) {
  if (globalThis.customElements && !customElements.get("eddy-recommendations")) {
    customElements.define("eddy-recommendations", elementOf(page));
  }
}

/** What the attributes ask for, or null where that is nothing yet; `attribute(name)` reads one. */
export function wishOf(attribute) {
  const kind = attribute("kind") ?? attribute("slot");
  const product_id = attribute("product-id") || undefined;
  const query = cut(attribute("query")?.trim() ?? "", QUERY_MAX) || undefined;
  if (!Object.hasOwn(HEADINGS, kind)) return null;
  if ((ABOUT_A_PRODUCT.has(kind) && !product_id) || (kind === "search" && !query)) return null;
  const k = Math.floor(Number(attribute("k") || K.usual));
  return {
    recommender: attribute("recommender") || undefined,
    ingest: attribute("ingest") || undefined,
    name: attribute("name") || undefined,
    kind,
    k: Math.min(K.most, Math.max(1, k || K.usual)),
    product_id: ABOUT_A_PRODUCT.has(kind) ? product_id : undefined,
    query: kind === "search" ? query : undefined,
    category: attribute("category") || undefined,
  };
}

function elementOf(page) {
  return class EddyRecommendations extends HTMLElement {
    static observedAttributes = ["slot", "kind", "k", "product-id", "query", "category", "name", "heading", "recommender", "ingest"];

    #parts = skeleton();
    #cards;
    #shown = new WeakMap(); // card → {item, recommendation_id}
    #leave; // of the page's rows
    #slot; // this row's part of the subscription
    #message; // the newest
    #known; // the kind that was looked at last
    #announcer = createAnnouncer((why) => {
      this.#parts.status.textContent = why === undefined ? "" : this.#texts().changed(this.#heading(), why);
    });
    #watching; // this row's size
    #ending; // the frame in which it is measured

    constructor() {
      super();
      const { list, previous, next } = this.#parts;
      const root = this.attachShadow({ mode: "open" });
      root.adoptedStyleSheets = [look()];
      root.append(this.#parts.row, this.#parts.fallback, this.#parts.empty, this.#parts.status);
      this.#cards = createCards(list, { make: newCard, fill: (card, item) => this.#fill(card, item) });
      list.addEventListener("click", (event) => this.#select(event));
      list.addEventListener("auxclick", (event) => event.button === 1 && this.#select(event));
      list.addEventListener("keydown", (event) => this.#step(event));
      list.addEventListener("scroll", () => this.#ends(), { passive: true });
      previous.addEventListener("click", () => this.#scroll(-1));
      next.addEventListener("click", () => this.#scroll(1));
    }

    /** The products on show, in the order of the newest message. */
    get items() {
      return this.#message?.items ?? [];
    }

    connectedCallback() {
      this.#leave = page.join({
        wish: () => wishOf((name) => this.getAttribute(name)),
        assigned: (slot) => this.#assigned(slot),
        receive: (message) => this.#receive(message),
      });
      this.#watching = new ResizeObserver(() => this.#ends());
      this.#watching.observe(this.#parts.list);
      this.#changed();
    }

    disconnectedCallback() {
      this.#leave();
      this.#leave = undefined;
      this.#watching.disconnect();
      this.#announcer.startAnew();
    }

    attributeChangedCallback() {
      if (this.#leave) this.#changed();
    }

    #changed() {
      this.#label();
      page.arrange();
      if (this.#kind === this.#known) return;
      this.#known = this.#kind;
      if (this.#kind && !Object.hasOwn(HEADINGS, this.#kind)) {
        console.warn(`eddy: <eddy-recommendations> shows ${Object.keys(HEADINGS).join(", ")}, not ${this.#kind}`);
      }
    }

    get #kind() {
      return this.getAttribute("kind") ?? this.getAttribute("slot");
    }

    #texts() {
      const { texts } = page.settings;
      return { ...TEXTS, ...texts, headings: { ...HEADINGS, ...texts?.headings } };
    }

    #label() {
      const { title, previous, next } = this.#parts;
      title.textContent = this.getAttribute("heading") ?? this.#texts().headings[this.#kind] ?? "";
      previous.setAttribute("aria-label", this.#texts().previous);
      next.setAttribute("aria-label", this.#texts().next);
    }

    #assigned(slot) {
      if (JSON.stringify(slot) === JSON.stringify(this.#slot)) return;
      this.#slot = slot;
      this.#announcer.startAnew(); // what comes next is no change, but something else
      if (slot || !this.#message) return;
      this.#message = undefined;
      this.#cards.show([]);
      this.#frame(true);
    }

    #receive(message) {
      this.#message = message;
      this.#label();
      this.#cards.show(message.items, () => this.#drawn(message));
      this.#announcer.shown(message.items);
    }

    #drawn(message) {
      this.#frame(false);
      const detail = { slot: this.#slot?.name, message };
      this.dispatchEvent(new CustomEvent("eddy-update", { detail, bubbles: true, composed: true }));
    }

    /** What is there beside the cards. */
    #frame(isNew) {
      const { row, list, notice, fallback, empty, emptySlot } = this.#parts;
      const isEmpty = !list.childElementCount;
      const hasEmpty = emptySlot.assignedNodes().length > 0;
      row.hidden = isNew || (isEmpty && !hasEmpty && !this.#message?.notice);
      list.hidden = isEmpty;
      fallback.hidden = !isNew;
      empty.hidden = isNew || !isEmpty || !hasEmpty;
      notice.textContent = this.#message?.notice ?? "";
      notice.hidden = !notice.textContent;
      // With the next frame: to measure is to lay out the page, and a message behind this one would wait for that.
      this.#ending ??= requestAnimationFrame(() => {
        this.#ending = undefined;
        this.#ends();
      });
    }

    #fill(card, item) {
      const { settings } = page;
      this.#shown.set(card, { item, recommendation_id: this.#message?.recommendation_id });
      drawCard(card, item, {
        href: settings.href ?? (({ url }) => url),
        picture: settings.picture ?? (({ image_url }) => image_url),
        money: settings.money ?? ((amount, currency) => money(amount, currency, this.closest("[lang]")?.lang)),
        sold_out: this.#texts().sold_out,
      });
    }

    #select(event) {
      const link = event.target.closest("a");
      if (!link) return;
      const card = link.parentElement;
      const { item, recommendation_id } = this.#shown.get(card);
      const isPlain = event.type === "click" && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
      const position = [...this.#parts.list.children].indexOf(card) + 1;
      const slot = this.#slot?.name;
      page.track("select_item", { product_id: item.product_id, list_id: slot, recommendation_id });
      const detail = { item, slot, recommendation_id, position, href: link.href };
      const told = new CustomEvent("eddy-select", { detail, bubbles: true, composed: true, cancelable: isPlain });
      if (!this.dispatchEvent(told)) event.preventDefault();
    }

    #step(event) {
      const step = STEPS[event.key];
      if (!step || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      const links = [...this.#parts.list.querySelectorAll("a[href]")];
      const at = links.indexOf(event.target.closest("a"));
      if (at < 0) return;
      event.preventDefault();
      links[Math.min(links.length - 1, Math.max(0, at + step))].focus();
    }

    #scroll(direction) {
      this.#parts.list.scrollBy({ left: direction * 0.8 * this.#parts.list.clientWidth });
    }

    /** Buttons are there while there is something to scroll to; at an end one of them has nothing to do. */
    #ends() {
      const { list, previous, next, buttons } = this.#parts;
      const rest = list.scrollWidth - list.clientWidth;
      buttons.hidden = rest <= 1;
      previous.setAttribute("aria-disabled", String(list.scrollLeft <= 1)); // `disabled` would lose the focus
      next.setAttribute("aria-disabled", String(list.scrollLeft >= rest - 1));
    }

    #heading() {
      const given = this.#parts.headingSlot.assignedElements();
      return (given.length ? given : [this.#parts.title]).map(({ textContent }) => textContent.trim()).join(" ");
    }
  };
}
