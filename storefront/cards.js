/**
 * A list of product cards that changes gently: cards that stay glide to their new places, new ones fade in. The
 * card under the pointer or with the focus is not moved until it is left, and none while a finger is on the list.
 */

const GLIDE_MS = 420;
const EASE = "cubic-bezier(.2, .7, .2, 1)";
const TAP_MS = 350; // a tap's click comes after the finger has left: it is to meet the card that was tapped

/**
 * `list`: the <ul>; `make()` gives a new card, `fill(card, item)` draws an item into it. `show(items, onDrawn)`
 * draws items with a `product_id` now, or when the finger is gone; `onDrawn` is called after that. A card that was there
 * before tells its product by data-id. What `isGone(product_id)` goes at once, whatever holds it.
 */
export function createCards(list, { make, fill, isGone = () => false }) {
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)");
  const canHover = matchMedia("(hover: hover)");
  const ids = new WeakMap(); // card → product_id
  let wanted = [];
  let waiting; // onDrawn of what waits for the finger
  let isHolding = false;
  let isTouched = false;
  let lifting; // timer

  function show(items, onDrawn) {
    wanted = items;
    waiting = onDrawn;
    if (!isTouched) draw();
  }

  function draw() {
    const now = [...list.children];
    const known = new Map(now.map((card) => [ids.get(card) ?? card.dataset.id, card]));
    const moves = String([...known.keys()]) !== String(wanted.map(({ product_id }) => product_id));
    const before = new Map(moves && !isCalm.matches ? now.map((card) => [card, card.getBoundingClientRect()]) : []);
    const held = heldCard();
    const place = now.indexOf(held);
    const next = wanted.map((item) => filled(known.get(item.product_id) ?? make(), item));
    isHolding = Boolean(held);
    if (held) {
      const others = next.filter((card) => card !== held);
      next.splice(0, Infinity, ...others.slice(0, place), held, ...others.slice(place));
      next.length = Math.min(next.length, Math.max(wanted.length, place + 1));
    }
    arrange(next, held);
    if (moves && !isCalm.matches) {
      // All are measured before one moves: one layout, not twelve. New ones are not: a page's first rows wait for none.
      const places = next.map((card) => before.has(card) && card.getBoundingClientRect());
      next.forEach((card, index) => glide(card, before.get(card), places[index], index));
    }
    const tell = waiting;
    waiting = undefined;
    tell?.();
  }

  function filled(card, item) {
    ids.set(card, item.product_id);
    fill(card, item);
    return card;
  }

  function arrange(next, held) {
    const now = [...list.children];
    if (now.length === next.length && now.every((card, index) => card === next[index])) return;
    for (const card of now) if (!next.includes(card)) card.remove();
    const at = next.indexOf(held); // it is not touched itself: a moved element loses focus and pointer
    next.slice(0, Math.max(at, 0)).forEach((card) => held.before(card));
    next.slice(at + 1).forEach((card) => list.append(card));
  }

  function heldCard() {
    const isIt = (card) => (canHover.matches && card.matches(":hover")) || card.matches(":focus-within");
    return [...list.children].find((card) => isIt(card) && !isGone(ids.get(card)));
  }

  const letGo = () => requestAnimationFrame(() => isHolding && !isTouched && list.isConnected && draw());
  list.addEventListener("pointerleave", letGo);
  list.addEventListener("focusout", letGo);

  // Touch events rather than pointer events: those end as soon as the browser scrolls, though the finger is there.
  list.addEventListener("touchstart", () => {
    clearTimeout(lifting);
    isTouched = true;
  }, { passive: true });
  for (const end of ["touchend", "touchcancel"]) {
    list.addEventListener(end, ({ touches }) => {
      clearTimeout(lifting);
      if (![...touches].some(({ target }) => list.contains(target))) lifting = setTimeout(lifted, TAP_MS);
    }, { passive: true });
  }

  function lifted() {
    isTouched = false;
    if (waiting) draw();
    else letGo();
  }

  return { show };
}

function glide(card, from, to, index) {
  if (!from) {
    const appear = [{ opacity: 0, transform: "translateY(10px) scale(.97)" }, { opacity: 1, transform: "none" }];
    card.animate(appear, { duration: GLIDE_MS, delay: 25 * Math.min(index, 8), easing: EASE, fill: "backwards" });
  } else if (from.left !== to.left || from.top !== to.top) {
    const shift = `translate(${from.left - to.left}px, ${from.top - to.top}px)`;
    card.animate([{ transform: shift }, { transform: "none" }], { duration: GLIDE_MS, easing: EASE });
  }
}
