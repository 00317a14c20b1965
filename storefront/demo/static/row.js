/** Product cards of the shop, in a list that changes gently. */

import { createCards } from "/eddy/cards.js";
import { address, money, picture } from "./showing.js";

/** `list`: the <ul>; `template`: the <template> of a card. `show(items)` draws them. */
export function createRow(list, template) {
  const make = () => template.content.firstElementChild.cloneNode(true);
  return { list, ...createCards(list, { make, fill }) };
}

function fill(card, item) {
  const part = (name) => card.querySelector(`.${name}`);
  card.dataset.id = item.product_id;
  part("card-link").href = address(item.product_id);
  const image = part("card-picture").firstElementChild;
  const source = picture(item.image_url);
  if (image.getAttribute("src") !== source) image.src = source;
  part("card-why").hidden = !item.why;
  part("card-why").textContent = item.why;
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
