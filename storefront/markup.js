/** What <eddy-recommendations> is made of: its parts, its cards, and what may be written into them. */

const PAGE = /^https?:/;
const SIZES = "(min-width: 31.25rem) 12.5rem, 40vw"; // of a card, as look.js has it
const PICTURE = /^(https?:|data:image\/)/i;

/** An address, relative to `base` or whole, of a form that the page may go to or draw; otherwise undefined. */
export function safe(url, base, form = PAGE) {
  if (!url) return undefined;
  try {
    const { href } = new URL(url, base);
    return form.test(href) ? href : undefined; // never javascript:
  } catch {
    return undefined;
  }
}

const formats = new Map(); // to make one takes longer than to draw a card

/** A price as people write it in a language; bare where the currency or the language is none. */
export function money(amount, currency, language) {
  const key = `${language} ${currency}`;
  try {
    if (!formats.has(key)) {
      formats.set(key, new Intl.NumberFormat(language || undefined, { style: "currency", currency }));
    }
    return formats.get(key).format(amount);
  } catch {
    return `${amount} ${currency}`;
  }
}

/** All of a row but its cards. */
export function skeleton() {
  const title = node("h2");
  const headingSlot = node("slot", { name: "heading" }, title);
  const instead = node("h2"); // what it says while the row is another
  instead.hidden = true;
  const heading = named("div", "heading", headingSlot, instead);
  heading.id = "heading";
  const line = named("p", "line");
  const previous = named("button", "previous");
  const next = named("button", "next");
  for (const button of [previous, next]) button.type = "button";
  const buttons = named("div", "buttons", previous, next);
  buttons.hidden = true;
  const notice = named("p", "notice");
  notice.hidden = true;
  const list = named("ul", "list");
  list.setAttribute("role", "list"); // Safari takes a list without bullets for none
  const waiting = named("div", "list waiting");
  waiting.setAttribute("aria-hidden", "true");
  const debug = named("div", "debug");
  debug.hidden = true;
  const sub = node("div", { class: "sub" }, line, notice);
  const row = named("section", "row", node("div", { class: "head" }, heading, buttons), sub, list, waiting, debug);
  row.setAttribute("aria-labelledby", "heading");
  row.hidden = true;
  const fallback = node("slot");
  const emptySlot = node("slot", { name: "empty" });
  const empty = named("div", "empty", emptySlot);
  empty.hidden = true;
  const status = named("p", "status");
  status.setAttribute("role", "status");
  status.setAttribute("aria-live", "polite");
  return {
    title, headingSlot, instead, line, previous, next, buttons, notice, list, waiting, debug, row, fallback, emptySlot, empty, status,
  };
}

/** A card with nothing in it. */
export function newCard() {
  const img = node("img", { part: "image", alt: "", loading: "lazy", decoding: "async" });
  img.hidden = true;
  img.addEventListener("error", () => (img.hidden = true));
  const [name, brand, price, why, badge] = ["name", "brand", "price", "why", "badge"].map((part) => named("span", part));
  const text = named("span", "text", name, brand, price, why);
  const link = named("a", "link", named("span", "picture", img), text, badge);
  const ask = node("button", { class: "ask", part: "ask", type: "button", "aria-haspopup": "dialog" });
  return Object.assign(named("li", "card", link, ask), { parts: { link, img, name, brand, price, why, badge, ask } });
}

/** Cards that are not there yet, as high as those that will be. */
export function placeholders(count) {
  return Array.from({ length: count }, () => named("span", "placeholder", node("span", { class: "picture" }), node("span", { class: "text" },
    ...["name", "brand", "price", "why"].map((line) => node("span", { class: line })))));
}

/** Draws an item into a card; `of` gives {href(item), picture(item), srcset(item), money(amount, currency), why(item), sold_out, ask}. */
export function drawCard(card, item, of) {
  const { link, img, badge, why, name, brand, price, ask } = card.parts;
  card.dataset.id = item.product_id;
  const isSoldOut = item.availability === "out_of_stock";
  card.className = card.part = isSoldOut ? "card sold-out" : "card";
  const href = safe(of.href(item), document.baseURI);
  if (href) link.href = href;
  else link.removeAttribute("href");
  const source = safe(of.picture(item), document.baseURI, PICTURE);
  if (source !== card.source) {
    card.source = source;
    img.hidden = !source;
    const larger = of.srcset(item);
    if (larger) Object.assign(img, { sizes: SIZES, srcset: larger }); // before src, or that is loaded as well
    else img.removeAttribute("srcset");
    if (source) img.src = source;
    else img.removeAttribute("src");
  }
  badge.hidden = !isSoldOut;
  badge.textContent = of.sold_out;
  ask.hidden = !item.reason && !item.why;
  write(ask, of.ask);
  ask.setAttribute("aria-label", `${of.ask} ${item.name}`);
  write(why, of.why(item));
  write(name, item.name);
  write(brand, item.brand);
  write(price, of.money(item.price, item.currency));
}

/** A line that has nothing to say keeps its place: cards are as high as each other, and as before. */
function write(element, text) {
  element.toggleAttribute("data-empty", !text);
  if (element.textContent !== (text ?? "")) element.textContent = text ?? "";
}

/** An element with attributes and children. */
export function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** An element that a shop can style as a part, and our own style sheet by the same name as a class. */
export const named = (tag, name, ...children) => node(tag, { class: name, part: name }, ...children);
