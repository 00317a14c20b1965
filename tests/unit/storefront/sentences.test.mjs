/** sentences.js: reasons as words: what most of a row share is its line, a card says what it alone has. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { explain, isPopularInstead, REASONS } from "../../../storefront/sentences.js";

const money = (amount, currency) => new Intl.NumberFormat("en", { style: "currency", currency }).format(amount);
const BOOTS = { name: "Reed pinstriped beige boots", price: 180, currency: "EUR", brand: "Ilse", type: "boots", url: "/boots" };
const LAMP = { name: "Paper floor lamp", price: 89, currency: "EUR", brand: "Hell", type: "lamp" };
const LONG = { ...BOOTS, name: "Water-repellent hiking boots with a very long name of their own", type: "boots" };
const causes = { boots: BOOTS, lamp: LAMP, long: LONG };
const cause = (product_id, type = "view_item") => ({ product_id, type, occurred_at: 1 });
const item = (reason, more) => ({ product_id: "p", name: "P", price: 180, currency: "EUR", brand: "Okapi", reason, ...more });
const about = (product_id, kind = "co_visited", more = {}) => ({ kind, product_id, cause: cause(product_id), visits: 12, ...more });
const explained = (items, options = {}, message = {}) => explain({ items, causes, ...message }, { money, ...options });

/** What a row says: its line and each card. */
const said = (reasons, options, more) => {
  const items = reasons.map((reason) => (reason.reason ? reason : item(reason, more)));
  const { line, why } = explained(items, options);
  return [line?.text, ...items.map(why)];
};

test("what most name is the row's line, and its cards say what differs", () => {
  assert.deepEqual(said([about("boots"), about("boots", "complement"), about("boots", "alike"), about("lamp")]), [
    "From Reed pinstriped beige boots", "12 visitors looked at both", "goes with it", "looked at with things like it",
    "looked at with Paper floor lamp",
  ]);
  assert.deepEqual(explained([item(about("boots"))]).line, { text: "From Reed pinstriped beige boots", name: BOOTS.name, url: "/boots" });
});

test("half of a row is not most of it: every card then names its own", () => {
  assert.deepEqual(said([about("boots"), about("lamp", "complement")]), [
    undefined, "looked at with Reed pinstriped beige boots", "goes with Paper floor lamp",
  ]);
});

test("the deed is the event's", () => {
  const lines = Object.keys(REASONS.deeds).map((type) => said([about("lamp", "complement", { cause: cause("lamp", type) })])[0]);
  assert.deepEqual(lines, ["Because you put Paper floor lamp in your cart", "Because you put Paper floor lamp in your cart",
    "Because you saved Paper floor lamp", "Because you bought Paper floor lamp", "Because you looked at Paper floor lamp"]);
  assert.equal(said([about("lamp")])[0], "From Paper floor lamp");
});

test("a long name gives way to what the product is", () => {
  const bought = about("long", "complement", { cause: cause("long", "purchase") });
  assert.deepEqual(said([bought, about("lamp")]).slice(1), ["goes with the boots you bought", "looked at with Paper floor lamp"]);
});

test("what is alike is told by what a shopper may choose by", () => {
  const cards = [{ brand: "Ilse", price: 150 }, { price: 150 }, { price: 199.5 }, { brand: "Ilse", price: 181 }, { price: 181 },
    { price: 90, currency: "USD" }].map((more) => item(about("boots", "content"), more));
  assert.deepEqual(said(cards).slice(1), ["same brand, €30 less", "€30 less", "€20 more", "same brand", "looks like it", "looks like it"]);
});

test("on a product's own page nothing names it", () => {
  const own = [about("boots", "content", { cause: undefined }), about("boots", "co_visited", { cause: undefined })];
  assert.deepEqual(said(own, { about: "boots" }), [undefined, "looks like it", "12 visitors looked at both"]);
  assert.equal(said([own[0]])[0], "Like Reed pinstriped beige boots");
  assert.equal(said([about("boots", "complement", { cause: undefined })])[0], "Goes with Reed pinstriped beige boots");
});

test("a search is the row's reason, and of single cards", () => {
  const found = { kind: "search", query: "boots" };
  assert.deepEqual(said([found, found, about("lamp")]), ["Because you searched for boots", "", "", "looked at with Paper floor lamp"]);
  assert.equal(said([found, about("lamp"), about("lamp")])[1], "because you searched for boots");
});

test("what is popular says so, unless the heading does", () => {
  const popular = [item({ kind: "popular" }, { source: "popular" })];
  const message = { items: popular, fallback: "new_visitor" };
  assert.equal(explained(popular).why(popular[0]), "popular now");
  assert.equal(explained(popular, {}, message).why(popular[0]), "");
  assert.equal(isPopularInstead(message), true);
  assert.equal(isPopularInstead({ ...message, fallback: undefined }), false);
  assert.equal(isPopularInstead({ ...message, items: [{ source: "content" }] }), false);
});

test("a server that knows no reasons is believed, and a product that nobody names is none to speak of", () => {
  assert.equal(explained([{ why: "because you looked at Hats" }]).why({ why: "because you looked at Hats" }), "because you looked at Hats");
  assert.deepEqual(said([about("gone")], {}, { why: "as before" }), [undefined, "as before"]);
  assert.deepEqual(said([{ kind: "pinned" }, { kind: "named" }, { kind: "of tomorrow" }]), [undefined, "picked by the shop", "what you asked for", ""]);
});

test("another language replaces what it likes", () => {
  const texts = { from: (it) => `Zu ${it}`, both: { co_visited: (visits) => `${visits} sahen beides` } };
  assert.deepEqual(said([about("boots"), about("boots", "complement")], { texts }), ["Zu Reed pinstriped beige boots", "12 sahen beides", "goes with it"]);
});

test("one product's reason is told whole: what was done, and what that has to do with it", () => {
  const { sentences } = explained([]);
  assert.deepEqual(sentences(item(about("boots"), { price: 150 })), ["you looked at Reed pinstriped beige boots", "12 visitors looked at both", "€30 less"]);
  assert.deepEqual(sentences(item({ ...about("lamp", "alike"), cause: cause("boots", "purchase") })),
    ["you bought Reed pinstriped beige boots", "looked at with things like Paper floor lamp", "€91 more"]);
  assert.deepEqual(sentences({ why: "as before" }), ["as before"]);
});

test("no sentence is longer than two lines of a narrow card, whatever is named", () => {
  for (const kind of Object.keys(REASONS.both)) {
    for (const each of ["boots", "lamp", "long"]) {
      const [, ...cards] = said([about(each, kind), about(each === "lamp" ? "boots" : "lamp", kind)]);
      for (const text of cards) assert.ok(text.length <= 56, `${text.length}: ${text}`);
    }
  }
});
