/** Prices and stock of all products that a page shows, as they are now: on cards, and on a product's own page. */

import { arrange, join } from "../eddy/live.js";
import { priced } from "./row.js";
import { money } from "./showing.js";

const AT_ONCE = 100; // products that the recommender tells of by id
const BRIEFLY_MS = 1600;

/** `main()`: the page's <main>; `onChanged(items)`: something on show is different now. `look()` when other cards are there. */
export function watchShown({ main, onChanged }) {
  let ids = [];

  function look() {
    const cards = [...main().querySelectorAll("[data-id]")].map(({ dataset }) => dataset.id);
    const found = [...new Set([main().dataset.product, ...cards].filter(Boolean))].slice(0, AT_ONCE);
    if (String(found) === String(ids)) return;
    ids = found;
    arrange();
  }

  function receive({ items }) {
    const changed = items.filter((item) => {
      const cards = [...main().querySelectorAll("[data-id]")].filter(({ dataset }) => dataset.id === item.product_id);
      const news = cards.filter((card) => priced(card, item));
      if (main().dataset.product === item.product_id && ownPage(main(), item)) news.push(main().querySelector(".price"));
      news.forEach(mark);
      return news.length;
    });
    if (changed.length) onChanged(changed);
  }

  join({
    wish: () => (ids.length ? { kind: "products", name: "shown", k: ids.length, product_ids: ids } : null),
    assigned() {},
    receive,
  });
  return { look };
}

/** A product's own page: its price, whether it can be had, and what is told when it goes into the cart. */
function ownPage(main, { price, currency, availability }) {
  const amount = main.querySelector(".price-amount");
  const [offer, soldOut, inStock] = ["form[data-cart=add]", ".sold-out", ".in-stock"].map((each) => main.querySelector(each));
  const isOut = availability === "out_of_stock";
  const text = money(price, currency);
  const stock = availability === "preorder" ? inStock.dataset.preorder : inStock.dataset.inStock;
  if (amount.textContent === text && offer.hidden === isOut && inStock.textContent === stock) return false;
  amount.textContent = text;
  main.querySelector(".product").classList.toggle("is-sold-out", isOut);
  soldOut.hidden = !isOut;
  inStock.hidden = offer.hidden = isOut;
  inStock.textContent = stock;
  const push = JSON.parse(offer.dataset.push);
  push.ecommerce.value = push.ecommerce.items[0].price = price;
  offer.dataset.push = JSON.stringify(push);
  return true;
}

function mark(element) {
  element.classList.remove("is-changed");
  void element.offsetWidth; // so that the animation starts anew
  element.classList.add("is-changed");
  setTimeout(() => element.classList.remove("is-changed"), BRIEFLY_MS);
}
