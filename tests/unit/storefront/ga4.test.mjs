/** GA4 pushes become Eddy's events. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

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

/** A tracker on a layer, with gtag as Google's snippet has it. `events()`: what ingest got, when all is sent. */
function listening(layer = []) {
  const browser = openBrowser();
  globalThis.dataLayer = layer;
  const tracker = createTracker({ ingest: "http://ingest.test" });
  tracker.listenToDataLayer(globalThis.dataLayer);
  const gtag = function () { globalThis.dataLayer.push(arguments); };
  const events = async () => (await settled(), browser.events());
  return { ...browser, tracker, gtag, events };
}

afterEach(() => delete globalThis.dataLayer);

test("an order is named by its number, however often and by whichever way it is told", async () => {
  const { gtag, events } = listening();
  const order = { transaction_id: "T-1042", items };
  globalThis.dataLayer.push({ ecommerce: null }, { event: "purchase", ecommerce: order });
  gtag("event", "purchase", order);
  const afterReload = listening([{ event: "purchase", ecommerce: order }]);
  const orders = [...(await events()), ...(await afterReload.events())].map(({ order_id }) => order_id);
  assert.ok(orders.length >= 3);
  assert.deepEqual(new Set(orders), new Set(["T-1042"]));
});

test("an order's number is a text, and no other event has one", () => {
  const orderOf = (event, transaction_id) => mapped({ event, ecommerce: { transaction_id, items } })[1].order_id;
  assert.equal(orderOf("purchase", 1042), "1042");
  for (const none of [undefined, null, ""]) assert.equal(orderOf("purchase", none), undefined);
  assert.equal(orderOf("add_to_cart", "T-1"), undefined);
});

test("a currency may be in small letters, with spaces, and on the items", () => {
  const currencyOf = (...told) => mapped({ event: "purchase", ecommerce: { currency: told[0], items: told.map((currency, place) => ({ item_id: place, currency: place ? currency : undefined })) } })[1].currency;
  assert.equal(currencyOf("eur"), "EUR");
  assert.equal(currencyOf(" Usd\n"), "USD");
  assert.equal(currencyOf(undefined, null, "gbp"), "GBP");
  assert.equal(currencyOf("", "EUR"), "EUR");
  assert.equal(currencyOf("CHF", "EUR"), "CHF");
  assert.equal(currencyOf("euro", 978, {}), undefined);
});

test("an empty item_id gives way to the old id, and takes no good line with it", () => {
  const lines = [{ item_id: "", id: "old" }, { item_id: "" }, { item_id: null }, { item_id: "p1" }];
  const [, fields] = mapped({ event: "add_to_cart", ecommerce: { items: lines } });
  assert.deepEqual(fields.items, [{ product_id: "old" }, { product_id: "p1" }]);
  assert.deepEqual(mapped({ event: "view_item", ecommerce: { items: [{ item_id: "" }, { item_id: "p1" }] } })[1], { product_id: "p1" });
});

test("ecommerce that is pushed before its event is the event's, until null or another takes its place", async () => {
  const { gtag, events, warnings } = listening();
  const push = (entry) => globalThis.dataLayer.push(entry);
  const [boots, socks] = items.map(({ item_id }) => [{ item_id }]);
  push({ ecommerce: null });
  push({ ecommerce: { currency: "EUR" } });
  push({ ecommerce: { items: boots } });
  push({ event: "view_item" });
  push({ event: "search", search_term: "socks" });
  push({ event: "add_to_wishlist", ecommerce: { items: socks } });
  push({ event: "add_to_cart" });
  gtag("event", "view_item", { items: socks });
  push({ ecommerce: { items: socks, transaction_id: "T-1" } });
  push({ event: "purchase" });
  push({ ecommerce: null });
  push({ event: "view_item" });
  push({ event: "refund", ecommerce: { transaction_id: "T-1", items: socks } });
  push({ event: "add_to_cart" });
  const told = (await events()).map((event) => [event.type, event.product_id ?? event.items?.[0].product_id, event.currency, event.order_id]);
  assert.deepEqual(told, [
    ["view_item", "p0001", "EUR", undefined], ["search", undefined, undefined, undefined],
    ["add_to_wishlist", "p0042", "EUR", undefined], ["add_to_cart", "p0001", "EUR", undefined],
    ["view_item", "p0042", undefined, undefined], ["purchase", "p0042", "EUR", "T-1"],
  ]);
  assert.equal(warnings.length, 2); // without products
});

test("an order that waits for the network goes last into the queue and is not the first to be dropped", async () => {
  const browser = openBrowser({ answer: () => { throw new TypeError("Failed to fetch"); } });
  const tracker = createTracker({ ingest: "http://ingest.test", queueMax: 3 });
  tracker.listenToDataLayer([{ event: "purchase", ecommerce: { transaction_id: "T-1", items } }]);
  for (const product_id of ["p1", "p2", "p3", "p4"]) tracker.track("view_item", { product_id });
  await settled();
  assert.deepEqual(browser.waiting().map(({ type }) => type).sort(), ["purchase", "view_item", "view_item"]);
});

test("what set, config and pushes say of all events is said of all that follow, until it is taken back", async () => {
  const { gtag, events } = listening();
  const search = () => gtag("event", "search", { search_term: "boots" });
  search();
  gtag("config", "G-1", { user_id: "u1", send_page_view: false });
  search();
  gtag("set", { user_id: "u2", currency: "EUR" });
  search();
  gtag("set", "user_id", "u3");
  gtag("event", "login", { method: "mail", user_id: "not said of all" });
  search();
  gtag("event", "search", { search_term: "boots", user_id: "u4" });
  globalThis.dataLayer.push({ event: "login", user_id: 5 });
  search();
  gtag("config", "G-1", { user_id: null });
  gtag("config", "G-1");
  gtag("set", "user_properties", { user_id: "no" });
  search();
  const told = (await events()).map(({ user_id, currency }) => [user_id, currency]);
  assert.deepEqual(told, [
    [undefined, undefined], ["u1", undefined], ["u2", "EUR"], ["u3", "EUR"], ["u4", "EUR"], ["5", "EUR"], [undefined, "EUR"],
  ]);
});

test("items are known by their id alone; what has none is passed over, and that is said", async () => {
  const { events, warnings } = listening();
  globalThis.dataLayer.push({ event: "view_item", ecommerce: { items: [{ item_name: "Boots" }] } });
  globalThis.dataLayer.push({ event: "add_to_cart", ecommerce: { items: [{ item_name: "Boots" }, { item_id: 17 }, { id: "old" }] } });
  const [event, ...others] = await events();
  assert.deepEqual(event.items, [{ product_id: "17" }, { product_id: "old" }]);
  assert.deepEqual(others, []);
  assert.equal(warnings.filter((each) => /item_id/.test(each)).length, 1); // of others, such as of time, there may be more
});

test("what Google knows and Eddy does not is no event and no warning", async () => {
  const { gtag, events, warnings } = listening();
  for (const name of ["view_cart", "add_shipping_info", "add_payment_info", "refund", "view_promotion", "page_view"]) {
    gtag("event", name, { items, transaction_id: "T-1" });
    globalThis.dataLayer.push({ ecommerce: null }, { event: name, ecommerce: { items } });
  }
  gtag("js", new Date());
  assert.deepEqual(await events(), []);
  assert.deepEqual(warnings, []);
});

test("a list's name stands in for its id", () => {
  const [, fields] = fromGA4({ event: "view_item_list", ecommerce: { item_list_name: "Related", items } });
  assert.equal(fields.list_id, "Related");
});

test("a layer that another one replaces is left for that one, and nothing is taken twice", async () => {
  const { gtag, events, tracker } = listening();
  const search = (search_term) => gtag("event", "search", { search_term });
  search("one");
  globalThis.dataLayer = [...globalThis.dataLayer, { event: "search", search_term: "two" }];
  search("three");
  globalThis.dataLayer = [];
  search("four");
  tracker.listenToDataLayer(globalThis.dataLayer);
  tracker.listenToDataLayer();
  search("five");
  assert.deepEqual((await events()).map(({ query }) => query), ["one", "two", "three", "four", "five"]);
});

test("a page without a layer gets one", async () => {
  const browser = openBrowser();
  createTracker({ ingest: "http://ingest.test" }).listenToDataLayer();
  globalThis.dataLayer.push({ event: "search", search_term: "boots" });
  await settled();
  assert.equal(browser.events().length, 1);
});

test("Tag Manager, which puts its own push over ours, is heard", async () => {
  const { events } = listening();
  const ours = globalThis.dataLayer.push;
  globalThis.dataLayer.push = function (...entries) { return ours.apply(globalThis.dataLayer, entries); };
  globalThis.dataLayer.push({ event: "search", search_term: "boots" });
  assert.equal((await events()).length, 1);
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
