/**
 * <eddy-recommendations slot="for_you" k="12">: a row of products that stays fresh while the page is open.
 *
 * Attributes: `slot` says what the row shows: for_you, similar, popular, also_liked, complement_topic,
 * complement_type or search (inside another component, which takes `slot` for itself, write `kind`); `k` how many;
 * `product-id` what it is about, `product-ids` ("a,b") what complements of several go with, such as a cart; `query` a
 * search's words; `category` a path, such as Women/Shoes, to stay in; `heading`; `name` the row's name in events, where
 * a page has two of a kind; `page-type` and `page-category` which page of the shop this is, where `configure({page})`
 * does not say it; `objective` what the order is for, such as buy:0.7,click:0.3; `distinct="false"` lets it show what
 * rows before it show; `debug` shows the row's state, and how it came about, below it; `recommender` and `ingest` URLs,
 * where the page has not told them by `configure`. All may change at any time.
 *
 * Inside it: an element with slot="heading" replaces the heading, one with slot="empty" is shown where there is
 * nothing to show, and everything else is there until the first products have come; where there is nothing else, as
 * many empty cards are, so that nothing moves when products come.
 *
 * Events, bubbling out of it: `eddy-select` {item, slot, recommendation_id, position (from 1), href}, which
 * `preventDefault()` keeps from following the link, and which is not cancelable where the shopper asked for a new
 * tab; `eddy-update` {slot, message}, when a message is on show. On the document: `eddy-error` (diagnosis.js).
 *
 * Keys: every card is a link and a tab stop, as in any list, and "Why?" on it another; beyond that arrows, Home and End
 * go from card to card. The buttons scroll, and are there only while there is something to scroll to.
 */

import { createAnnouncer } from "./announcements.js";
import { createCards } from "./cards.js";
import { watchRow } from "./impressions.js";
import { look } from "./look.js";
import { drawCard, money, newCard, placeholders, safe, skeleton } from "./markup.js";
import { cut } from "./page.js";
import { explain, isPopularInstead } from "./sentences.js";

const HEADINGS = {
  for_you: "For you",
  similar: "Similar",
  popular: "Popular now",
  also_liked: "Also liked",
  complement_topic: "Goes with it",
  complement_type: "Completes it",
  search: "Found",
};
const COMPLEMENTS = new Set(["complement_topic", "complement_type"]);
const ABOUT_A_PRODUCT = new Set(["similar", "also_liked", ...COMPLEMENTS]);
export const TEXTS = {
  previous: "Scroll back",
  next: "Scroll on",
  sold_out: "Sold out",
  changed: (heading, why) => `${heading} has changed${why ? `: ${why}` : ""}`,
  ask: "Why?", // what opens at it is in popover.js, and so are its texts
  dismissed: "You will see less like it",
};
const K = { usual: 12, most: 100 };
const PATIENCE_MS = 10_000; // empty cards that stand for nothing are worse than none
const PLACEHOLDERS = 12; // no screen shows more of a row
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
  const several = COMPLEMENTS.has(kind) ? attribute("product-ids")?.split(",").map((id) => id.trim()).filter(Boolean) : undefined;
  const product_ids = several?.length ? several.slice(0, K.most) : undefined;
  if ((ABOUT_A_PRODUCT.has(kind) && !product_id && !product_ids) || (kind === "search" && !query)) return null;
  const [type, category] = [attribute("page-type") || undefined, attribute("page-category") || undefined];
  const k = Math.floor(Number(attribute("k") || K.usual));
  return {
    recommender: attribute("recommender") || undefined,
    ingest: attribute("ingest") || undefined,
    name: attribute("name") || undefined,
    kind,
    k: Math.min(K.most, Math.max(1, k || K.usual)),
    product_id: ABOUT_A_PRODUCT.has(kind) ? product_id : undefined,
    product_ids,
    query: kind === "search" ? query : undefined,
    category: attribute("category") || undefined,
    page: type || category ? { type, category } : undefined,
    objective: attribute("objective") || undefined,
    distinct: attribute("distinct") === "false" ? false : undefined,
    debug: attribute("debug") === null ? undefined : true,
  };
}

function elementOf(page) {
  return class EddyRecommendations extends HTMLElement {
    static observedAttributes = ["slot", "kind", "k", "product-id", "product-ids", "query", "category", "name", "heading", "page-type",
      "page-category", "objective", "distinct", "debug", "recommender", "ingest"];

    #parts = skeleton();
    #cards;
    #shown = new WeakMap(); // card → {item, recommendation_id}
    #leave; // of the page's rows
    #slot; // this row's part of the subscription
    #message; // the newest
    #said; // what it says of its products: see sentences.js
    #seen; // watches what of it the visitor sees
    #givingUp; // timer
    #isGivenUp = false;
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
      const isGone = (id) => page.dismissed.has(id);
      this.#cards = createCards(list, { make: newCard, fill: (card, item) => this.#fill(card, item), isGone });
      list.addEventListener("click", (event) => this.#select(event));
      list.addEventListener("auxclick", (event) => event.button === 1 && this.#select(event));
      list.addEventListener("keydown", (event) => this.#step(event));
      list.addEventListener("scroll", () => this.#ends(), { passive: true });
      previous.addEventListener("click", () => this.#scroll(-1));
      next.addEventListener("click", () => this.#scroll(1));
      list.addEventListener("click", ({ target }) => target.closest("button.ask") && this.#ask(target.closest("li")));
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
        dismissed: () => this.#message && this.#receive(this.#message),
        told: () => this.#debug(),
      });
      this.#seen = watchRow(this.#parts.list, page.track);
      this.#watching = new ResizeObserver(() => this.#ends());
      this.#watching.observe(this.#parts.list);
      this.#changed();
    }

    disconnectedCallback() {
      this.#leave();
      this.#leave = undefined;
      this.#watching.disconnect();
      this.#seen.stop();
      clearTimeout(this.#givingUp);
      this.#announcer.startAnew();
    }

    attributeChangedCallback() {
      if (this.#leave) this.#changed();
    }

    #changed() {
      this.#label();
      this.#wait();
      this.#debug();
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
      const { title, instead, headingSlot, line, previous, next } = this.#parts;
      const { headings, ...texts } = this.#texts();
      title.textContent = this.getAttribute("heading") ?? headings[this.#kind] ?? "";
      instead.textContent = headings.popular;
      instead.hidden = !this.#message || !isPopularInstead(this.#message);
      headingSlot.hidden = !instead.hidden; // it says what it is
      line.replaceChildren(...(this.#said?.line ? this.#named(this.#said.line) : []));
      previous.setAttribute("aria-label", texts.previous);
      next.setAttribute("aria-label", texts.next);
    }

    /** A line with the name in it set apart, and a link to the product where it has a page. */
    #named({ text, name, url }) {
      const at = text.indexOf(name); // another language may leave it out
      if (at < 0) return [text];
      const href = safe(url, document.baseURI);
      const said = document.createElement(href ? "a" : "em");
      if (href) said.href = href;
      said.append(name);
      return [text.slice(0, at), said, text.slice(at + name.length)];
    }

    /** Before the first products: empty cards where the page has put nothing itself. */
    #wait() {
      const { waiting, fallback } = this.#parts;
      const hasOwn = fallback.assignedNodes().some((node) => node.nodeType === Node.ELEMENT_NODE || node.textContent.trim());
      const wish = !this.#message && !hasOwn && !this.#isGivenUp ? wishOf((name) => this.getAttribute(name)) : null;
      const count = Math.min(wish?.k ?? 0, PLACEHOLDERS);
      if (waiting.childElementCount !== count) waiting.replaceChildren(...placeholders(count));
      this.#frame(!this.#message);
      clearTimeout(this.#givingUp);
      if (wish) this.#givingUp = setTimeout(() => [(this.#isGivenUp = true), this.#wait()], PATIENCE_MS);
    }

    #assigned(slot) {
      if (JSON.stringify(slot) === JSON.stringify(this.#slot)) return;
      this.#slot = slot;
      this.#announcer.startAnew(); // what comes next is no change, but something else
      if (slot || !this.#message) return;
      this.#message = this.#said = undefined;
      this.#cards.show([]);
      this.#wait();
    }

    #receive(message) {
      const { settings, dismissed } = page;
      const isOwnPage = this.#slot?.page?.type === "product";
      const items = message.items.filter(({ product_id }) => !dismissed.has(product_id));
      this.#message = { ...message, items };
      this.#said = explain(this.#message, { about: isOwnPage ? this.#slot.product_id : undefined, texts: settings.texts?.reasons, money: this.#money });
      this.#label();
      this.#cards.show(items, () => this.#drawn(message));
      this.#announcer.shown(items.map((item) => ({ ...item, why: this.#said.line?.text ?? this.#said.why(item) })));
    }

    #money = (amount, currency) =>
      page.settings.money ? page.settings.money(amount, currency) : money(amount, currency, this.closest("[lang]")?.lang);

    #drawn(message) {
      this.#wait();
      this.#seen.shown(this.#slot?.name, message);
      this.#debug();
      const detail = { slot: this.#slot?.name, message };
      this.dispatchEvent(new CustomEvent("eddy-update", { detail, bubbles: true, composed: true }));
    }

    /** How the row came about, where the page's developer asks. */
    async #debug() {
      const { debug } = this.#parts;
      debug.hidden = !this.hasAttribute("debug");
      if (debug.hidden) return;
      const { drawFunnel } = await import("./funnel.js");
      drawFunnel(debug, { status: page.state.status, slot: this.#slot, message: this.#message });
    }

    #ask(card) {
      const { item, recommendation_id } = this.#shown.get(card);
      const at = [...this.#parts.list.children].indexOf(card);
      page.ask({
        item, card, recommendation_id, slot: this.#slot, recommender: this.getAttribute("recommender") ?? undefined,
        sentences: this.#said.sentences(item), lang: this.closest("[lang]")?.lang,
        dismiss: () => this.#leaveOut(at),
      });
    }

    /** The focus goes to what stands where the card was. */
    #leaveOut(at) {
      const links = this.#parts.list.querySelectorAll("a[href]");
      links[Math.min(at, links.length - 1)]?.focus({ preventScroll: true });
      this.#parts.status.textContent = this.#texts().dismissed;
    }

    /** What is there beside the cards. */
    #frame(isNew) {
      const { row, list, waiting, notice, fallback, empty, emptySlot } = this.#parts;
      const isEmpty = !list.childElementCount;
      const hasEmpty = emptySlot.assignedNodes().length > 0;
      waiting.hidden = !waiting.childElementCount;
      row.hidden = waiting.hidden && (isNew || (isEmpty && !hasEmpty && !this.#message?.notice));
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
        srcset: settings.srcset ?? (() => undefined),
        money: this.#money,
        why: this.#said.why,
        sold_out: this.#texts().sold_out,
        ask: this.#texts().ask,
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
      const at = links.indexOf(event.target.closest("li")?.querySelector("a"));
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
      const { headingSlot, title, instead } = this.#parts;
      const given = headingSlot.assignedElements();
      return (!instead.hidden ? [instead] : given.length ? given : [title]).map(({ textContent }) => textContent.trim()).join(" ");
    }
  };
}
