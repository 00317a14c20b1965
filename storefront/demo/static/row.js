/**
 * A row of product cards that changes gently: cards that stay glide to their new places, new ones fade in, and
 * the card under the pointer or with the focus stays where it is until it is left.
 */

const GLIDE_MS = 420;
const EASE = "cubic-bezier(.2, .7, .2, 1)";

const isCalm = matchMedia("(prefers-reduced-motion: reduce)");
const canHover = matchMedia("(hover: hover)");

/** `list`: the <ul>; `template`: the <template> of a card. `show(items)` returns whether other products are there. */
export function createRow(list, template) {
  let wanted;
  let isHolding = false;

  function show(items) {
    wanted = items;
    return draw();
  }

  function draw() {
    const before = new Map([...list.children].map((card) => [card, card.getBoundingClientRect()]));
    const known = new Map([...before.keys()].map((card) => [card.dataset.id, card]));
    const held = heldCard();
    const place = [...before.keys()].indexOf(held);
    const next = wanted.map((item) => filled(known.get(item.product_id) ?? newCard(template), item));
    isHolding = Boolean(held);
    if (held) {
      const others = next.filter((card) => card !== held);
      next.splice(0, Infinity, ...others.slice(0, place), held, ...others.slice(place));
      next.length = Math.min(next.length, Math.max(wanted.length, place + 1));
    }
    for (const card of before.keys()) if (!next.includes(card)) card.remove();
    const at = next.indexOf(held); // it is not touched itself: a moved element loses focus and pointer
    next.slice(0, Math.max(at, 0)).forEach((card) => held.before(card));
    next.slice(at + 1).forEach((card) => list.append(card));
    if (!isCalm.matches) next.forEach((card, index) => glide(card, before.get(card), index));
    return next.some((card) => !before.has(card));
  }

  function heldCard() {
    const isIt = (card) => (canHover.matches && card.matches(":hover")) || card.matches(":focus-within");
    return [...list.children].find(isIt);
  }

  const letGo = () => requestAnimationFrame(() => isHolding && list.isConnected && draw());
  list.addEventListener("pointerleave", letGo);
  list.addEventListener("focusout", letGo);
  return { show, list };
}

function glide(card, from, index) {
  const to = card.getBoundingClientRect();
  if (!from) {
    const appear = [{ opacity: 0, transform: "translateY(10px) scale(.97)" }, { opacity: 1, transform: "none" }];
    card.animate(appear, { duration: GLIDE_MS, delay: 25 * Math.min(index, 8), easing: EASE, fill: "backwards" });
  } else if (from.left !== to.left || from.top !== to.top) {
    const shift = `translate(${from.left - to.left}px, ${from.top - to.top}px)`;
    card.animate([{ transform: shift }, { transform: "none" }], { duration: GLIDE_MS, easing: EASE });
  }
}

const newCard = (template) => template.content.firstElementChild.cloneNode(true);

function filled(card, item) {
  const part = (name) => card.querySelector(`.${name}`);
  card.dataset.id = item.product_id;
  card.classList.toggle("is-sold-out", item.availability === "out_of_stock");
  part("card-link").href = `/product/${encodeURIComponent(item.product_id)}`;
  const source = picture(item.image_url);
  if (part("card-picture").firstElementChild.getAttribute("src") !== source) {
    part("card-picture").firstElementChild.src = source;
  }
  part("badge").hidden = item.availability !== "out_of_stock";
  part("card-why").hidden = !item.why;
  part("card-why").textContent = item.why;
  part("card-name").textContent = item.name;
  part("card-brand").textContent = item.brand ?? "";
  part("card-price").textContent = money(item.price, item.currency);
  return card;
}

/** Paths are inside the catalogue's folder, which the shop serves. */
function picture(url) {
  if (!url) return "/static/favicon.svg";
  return /^(https?:\/\/|data:image\/)/.test(url) ? url : `/${url.replace(/^\/+/, "")}`;
}

const money = (amount, currency) => new Intl.NumberFormat("en-IE", { style: "currency", currency }).format(amount);
