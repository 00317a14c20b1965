/** chips.js of the demo shop: what was understood in words, and how to ask without a part of it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { chipsOf, overridesIn, sentenceOf } from "../../../storefront/demo/static/chips.js";

const money = (amount, currency) => `${{ USD: "$", EUR: "€" }[currency] ?? ""}${amount}`;
const NOTHING = new URLSearchParams();
const FULL = {
  description: "striped",
  weights: { image: 1 },
  price_max: 90,
  currency: "USD",
  categories: ["Men"],
  types: ["shirt"],
  tags: ["striped"],
  not_tags: ["black"],
  corrections: { shrit: "shirt" },
};

const chips = (inferred, asked = NOTHING) => chipsOf(inferred, asked, money);
const labels = (inferred, asked) => chips(inferred, asked).map(({ label }) => label);
const without = (inferred, label, asked) => {
  const found = chips(inferred, asked).find((chip) => chip.label === label);
  return Object.fromEntries([...found.without.keys()].map((name) => [name, found.without.getAll(name)]));
};

test("all that was understood is a chip, in words", () => {
  assert.deepEqual(labels(FULL), ["Men", "shirt", "under $90", "striped", "not black", "shrit → shirt"]);
  assert.deepEqual(labels({ categories: ["Women/Shoes"], brands: ["Ilse"], not_brands: ["Oak"], not_types: ["bag"], unknown: ["glitter"] }),
    ["Women / Shoes", "by Ilse", "not bag", "not by Oak", "“glitter” is nothing we know to leave out"]);
  assert.deepEqual(labels({}), []);
});

test("prices are told as they were meant", () => {
  assert.deepEqual(labels({ price_min: 20 }), ["over 20"]);
  assert.deepEqual(labels({ price_min: 20, price_max: 60 }), ["20 to 60"]);
  assert.deepEqual(labels({ price_min: 40, price_max: 60, price_near: 50 }), ["around 50"]);
  assert.deepEqual(labels({ price_max: 0 }), ["under 0"]);
  assert.deepEqual(without({ price_min: 40, price_max: 60, price_near: 50 }, "around 50"), {
    price_min: [""], price_max: [""], price_near: [""],
  });
});

test("without one of several the others are asked for, without the last nothing of the kind", () => {
  assert.deepEqual(without({ brands: ["Ilse", "Oak"] }, "by Ilse"), { brand: ["Oak"] });
  assert.deepEqual(without(FULL, "Men"), { category: [""] });
  assert.deepEqual(without(FULL, "not black"), { without_tag: [""] });
});

test("a wish that is taken away is no longer looked for by its word either", () => {
  assert.deepEqual(without(FULL, "striped"), { tag: [""], description: [""] });
  const two = { tags: ["blue", "striped"], description: "blue striped beach" };
  assert.deepEqual(without(two, "blue"), { tag: ["striped"], description: ["striped beach"] });
  const asked = new URLSearchParams([["tag", "striped"], ["description", "striped beach"]]);
  const after = { description: "striped beach" }; // the answer no longer counts it as a wish
  assert.deepEqual(labels(after, asked), ["striped", "like “beach”"]);
  assert.deepEqual(without(after, "striped", asked), { tag: [""], description: ["beach"] });
  assert.deepEqual(without(after, "like “beach”", asked), { tag: ["striped"], description: ["striped"] });
});

test("what was taken away before stays away", () => {
  const asked = new URLSearchParams([["category", ""], ["price_max", ""]]);
  assert.deepEqual(without({ types: ["shirt"] }, "shirt", asked), { category: [""], price_max: [""], type: [""] });
});

test("an order that the words ask for can be taken away, and its chip is gone", () => {
  const cheap = { weights: { price: -1, popularity: 1, image: 1 } };
  assert.deepEqual(labels(cheap), ["cheap ones first", "popular ones first"]);
  assert.deepEqual(without(cheap, "cheap ones first"), { weights: ["price:0"] });
  const asked = new URLSearchParams({ weights: "price:0" });
  assert.deepEqual(labels(cheap, asked), ["popular ones first"]);
  assert.deepEqual(without(cheap, "popular ones first", asked), { weights: ["price:0,popularity:0"] });
});

test("the sentence says all of it, and what was read as what", () => {
  assert.equal(sentenceOf(chips(FULL)), "Understood as: Men, shirt, under $90, striped, not black. shrit was read as shirt.");
  assert.equal(sentenceOf([]), "");
});

test("of an address only a search's own parameters count", () => {
  const given = new URLSearchParams("q=boots&page=2&brand=&token=x&without_tag=a&without_tag=b");
  assert.equal(String(overridesIn(given)), "brand=&without_tag=a&without_tag=b");
});

test("an order is one chip with the wish that it also is", () => {
  const told = { order: "cheapest", weights: { price: -1 }, types: ["tent"] };
  assert.deepEqual(labels(told), ["tent", "cheapest first"]);
  assert.deepEqual(without(told, "cheapest first"), { order: [""], weights: ["price:0"] });
  assert.deepEqual(without({ order: "newest" }, "newest first"), { order: [""] });
  assert.deepEqual([...overridesIn(new URLSearchParams("q=x&order=newest"))], [["order", "newest"]]);
});

test("where nothing fits each chip tells how many fit without it", () => {
  const counts = [{ parameter: "type", value: "coat", products: 12 }, { parameter: "price", value: "", products: 0 }];
  const found = chipsOf({ types: ["coat"], price_max: 40, not_tags: ["red"] }, NOTHING, money, counts);
  assert.deepEqual(found.map(({ label, products }) => [label, products]), [["coat", 12], ["under 40", 0], ["not red", undefined]]);
});
