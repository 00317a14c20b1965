/** Product cards of the shop, in a list that changes gently. */

import { createCards } from "../eddy/cards.js";
import { address, money, picture, pictures } from "./showing.js";

/**
 * `list`: the <ul>; `template`: the <template> of a card; `onAsk(card, item)`, where its cards say why, when the shopper
 * asks; `isGone(product_id)`: it goes at once. `show(items, why)` draws them; `why(item)` is what a card says.
 */
export function createRow(list, template, { onAsk, isGone, sizes } = {}) {
  const items = new WeakMap(); // card → item
  const make = () => template.content.firstElementChild.cloneNode(true);
  let say;
  const cards = createCards(list, {
    make,
    isGone,
    fill(card, item) {
      items.set(card, item);
      fill(card, item, say(item), { canAsk: onAsk && (item.reason || item.why), sizes });
    },
  });
  if (onAsk) {
    list.addEventListener("click", ({ target }) => {
      const card = target.closest(".card-ask")?.parentElement;
      if (card) onAsk(card, items.get(card));
    });
  }

  function show(shown, why = (item) => item.why) {
    say = why;
    cards.show(shown);
  }

  return { list, show };
}

function fill(card, item, why, { canAsk, sizes }) {
  const part = (name) => card.querySelector(`.${name}`);
  card.dataset.id = item.product_id;
  part("card-link").href = address(item.product_id);
  const image = part("card-picture").firstElementChild;
  const source = picture(item.image_url);
  if (image.getAttribute("src") !== source) {
    const larger = pictures(item.image_url);
    if (sizes) image.sizes = sizes;
    if (larger) image.srcset = larger;
    else image.removeAttribute("srcset");
    image.src = source;
  }
  part("card-why").hidden = !why;
  part("card-why").textContent = why ?? "";
  part("card-ask").hidden = !canAsk;
  part("card-ask").setAttribute("aria-label", `Why? ${item.name}`);
  part("card-name").textContent = item.name;
  part("card-brand").textContent = item.brand ?? "";
  priced(card, item);
}

/** Writes a card's price and whether it can be had, as they are now; whether that is news. */
export function priced(card, { price, currency, availability }) {
  const isSoldOut = availability === "out_of_stock";
  const text = money(price, currency);
  const written = card.querySelector(".card-price");
  const isNews = written.textContent !== text || card.classList.contains("is-sold-out") !== isSoldOut;
  written.textContent = text;
  card.classList.toggle("is-sold-out", isSoldOut);
  card.querySelector(".badge").hidden = !isSoldOut;
  return isNews;
}
