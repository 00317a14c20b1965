/** What <eddy-recommendations> is made of: its parts, its cards, and what may be written into them. */

const PAGE = /^https?:/;
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
  const heading = named("div", "heading", headingSlot);
  heading.id = "heading";
  const previous = named("button", "previous");
  const next = named("button", "next");
  for (const button of [previous, next]) button.type = "button";
  const buttons = named("div", "buttons", previous, next);
  buttons.hidden = true;
  const notice = named("p", "notice");
  notice.hidden = true;
  const list = named("ul", "list");
  list.setAttribute("role", "list"); // Safari takes a list without bullets for none
  const row = named("section", "row", node("div", { class: "head" }, heading, buttons), notice, list);
  row.setAttribute("aria-labelledby", "heading");
  row.hidden = true;
  const fallback = node("slot");
  const emptySlot = node("slot", { name: "empty" });
  const empty = named("div", "empty", emptySlot);
  empty.hidden = true;
  const status = named("p", "status");
  status.setAttribute("role", "status");
  status.setAttribute("aria-live", "polite");
  return { title, headingSlot, previous, next, buttons, notice, list, row, fallback, emptySlot, empty, status };
}

/** A card with nothing in it. */
export function newCard() {
  const img = node("img", { part: "image", alt: "", loading: "lazy", decoding: "async" });
  img.hidden = true;
  img.addEventListener("error", () => (img.hidden = true));
  const [name, brand, price, why, badge] = ["name", "brand", "price", "why", "badge"].map((part) => named("span", part));
  const text = named("span", "text", name, brand, price, why);
  const link = named("a", "link", named("span", "picture", img), text, badge);
  return Object.assign(named("li", "card", link), { parts: { link, img, name, brand, price, why, badge } });
}

/** Draws an item into a card; `of` gives {href(item), picture(item), money(amount, currency), sold_out}. */
export function drawCard(card, item, of) {
  const { link, img, badge, why, name, brand, price } = card.parts;
  const isSoldOut = item.availability === "out_of_stock";
  card.className = card.part = isSoldOut ? "card sold-out" : "card";
  const href = safe(of.href(item), document.baseURI);
  if (href) link.href = href;
  else link.removeAttribute("href");
  const source = safe(of.picture(item), document.baseURI, PICTURE);
  if (source !== card.source) {
    card.source = source;
    img.hidden = !source;
    if (source) img.src = source;
    else img.removeAttribute("src");
  }
  badge.hidden = !isSoldOut;
  badge.textContent = of.sold_out;
  write(why, item.why);
  write(name, item.name);
  write(brand, item.brand);
  write(price, of.money(item.price, item.currency));
}

function write(element, text) {
  element.hidden = !text;
  if (element.textContent !== (text ?? "")) element.textContent = text ?? "";
}

function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** An element that a shop can style as a part, and our own style sheet by the same name as a class. */
const named = (tag, name, ...children) => node(tag, { class: name, part: name }, ...children);
