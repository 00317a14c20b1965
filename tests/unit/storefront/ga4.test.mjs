/** GA4 pushes become Eddy's events. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { createTracker, fromGA4 } from "../../../storefront/tracker.js";
import { openBrowser, settled } from "./browser.mjs";

const items = [
  { item_id: "p0001", item_name: "Boots", price: 89.5, quantity: 1 },
  { item_id: "p0042", price: "12.25", quantity: 2 },
];
const TYPES = [
  "view_item_list", "select_item", "view_item", "add_to_cart", "remove_from_cart", "add_to_wishlist",
  "begin_checkout", "purchase",
];

const mapped = (entry) => JSON.parse(JSON.stringify(fromGA4(entry)));

beforeEach(() => mock.restoreAll());

for (const event of TYPES) {
  test(`${event} is taken, as a push and as gtag's arguments`, () => {
    const params = { currency: "EUR", value: 114, items, item_list_id: "category:Women/Shoes" };
    const expected = [event, {
      items: [{ product_id: "p0001", quantity: 1, price: 89.5 }, { product_id: "p0042", quantity: 2, price: 12.25 }],
      value: 114,
      currency: "EUR",
      list_id: "category:Women/Shoes",
    }];
    assert.deepEqual(mapped({ event, ecommerce: params }), expected);
    assert.deepEqual(mapped((function () { return arguments; })("event", event, params)), expected);
  });
}

test("a page or a click is about one product", () => {
  for (const event of ["view_item", "select_item"]) {
    const [, fields] = mapped({ event, ecommerce: { items: items.slice(0, 1), recommendation_id: "for_you:7" } });
    assert.deepEqual(fields, { product_id: "p0001", recommendation_id: "for_you:7" });
  }
});

test("the list may be named by its items, and the customer by their id", () => {
  const item = { item_id: "p1", item_list_id: "home" };
  const [, fields] = mapped({ event: "select_item", user_id: 17, ecommerce: { items: [item] } });
  assert.deepEqual(fields, { product_id: "p1", list_id: "home", user_id: "17" });
});

test("search has its words", () => {
  assert.deepEqual(mapped({ event: "search", search_term: "boots" }), ["search", { query: "boots" }]);
  assert.deepEqual(mapped(["event", "search", { search_term: "boots" }]), ["search", { query: "boots" }]);
  assert.equal(fromGA4({ event: "search" }), null);
});

test("everything else is passed over", () => {
  const others = [
    { event: "page_view" }, { ecommerce: null }, ["js", new Date()], ["config", "G-1"], null, undefined, 7, () => {},
    { event: "view_item" }, { event: "view_item", ecommerce: { items: [] } }, { event: "purchase", ecommerce: null },
    { event: "add_to_cart", ecommerce: { items: [{ item_name: "no id" }, null] } }, ["event", "view_promotion", { items }],
    { event: "view_item", ecommerce: { items: "p1" } }, { event: "toString" },
  ];
  for (const entry of others) assert.equal(fromGA4(entry), null);
});

test("values that make no sense are left out, not sent", () => {
  const odd = { item_id: 17, price: "free", quantity: 0.5 };
  const [, fields] = mapped({ event: "add_to_cart", ecommerce: { items: [odd], value: "", currency: "euro" } });
  assert.deepEqual(fields, { items: [{ product_id: "17" }] });
});

test("pushes before and after the tracker's start are sent, once each, and the layer works on", async () => {
  const browser = openBrowser();
  const layer = [{ event: "view_item", ecommerce: { items: items.slice(0, 1) } }, { event: "gtm.js" }];
  createTracker({ ingest: "http://ingest.test" }).listenToDataLayer(layer);
  const gtag = function () { return layer.push(arguments); };
  assert.equal(gtag("event", "add_to_cart", { items }), 3);
  layer.push({ event: "search", search_term: "boots" }, { event: "purchase", ecommerce: { items } });
  await settled();
  assert.deepEqual(browser.events().map(({ type }) => type), ["view_item", "add_to_cart", "search", "purchase"]);
  assert.equal(layer.length, 5);
});

test("an entry that cannot be read breaks nothing", async () => {
  const browser = openBrowser();
  const layer = [];
  createTracker({ ingest: "http://ingest.test" }).listenToDataLayer(layer);
  layer.push({ get event() { throw new Error("no"); } });
  layer.push({ event: "search", search_term: "boots" });
  await settled();
  assert.equal(browser.events().length, 1);
  assert.equal(browser.warnings.length, 1);
});
