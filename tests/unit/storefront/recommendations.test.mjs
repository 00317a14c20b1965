/** recommendations.js and markup.js: what attributes ask for, and what may be written into a page. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { money, safe } from "../../../storefront/markup.js";
import { wishOf } from "../../../storefront/recommendations.js";

const BASE = "https://shop.test/category/";
const wish = (attributes) => {
  const found = wishOf((name) => attributes[name] ?? null);
  return found && JSON.parse(JSON.stringify(found));
};

test("a slot and a number are enough, and the number is optional", () => {
  assert.deepEqual(wish({ slot: "for_you", k: "6" }), { kind: "for_you", k: 6 });
  assert.deepEqual(wish({ slot: "popular", category: "Women/Shoes" }), { kind: "popular", k: 12, category: "Women/Shoes" });
});

test("a number out of the protocol's bounds is taken to them, and one that is none is the usual", () => {
  const asked = ["0", "-4", "1", "7.9", "100", "4000", "many", "", "NaN", "1e3"];
  assert.deepEqual(asked.map((k) => wish({ slot: "for_you", k }).k), [12, 1, 1, 7, 100, 100, 12, 12, 12, 100]);
});

test("kind says it where slot belongs to another component", () => {
  assert.equal(wish({ slot: "tab-2", kind: "for_you" }).kind, "for_you");
});

test("rows about a product or a search wait for it, and others take no notice of it", () => {
  for (const slot of ["similar", "also_liked", "complement_topic", "complement_type"]) {
    assert.equal(wish({ slot }), null);
    assert.equal(wish({ slot, "product-id": "" }), null);
    assert.equal(wish({ slot, "product-id": "p/1", query: "boots" }).product_id, "p/1");
  }
  assert.equal(wish({ slot: "search", query: "  " }), null);
  assert.equal(wish({ slot: "search", query: " boots " }).query, "boots");
  assert.deepEqual(wish({ slot: "for_you", query: "boots", "product-id": "p1" }), { kind: "for_you", k: 12 });
});

test("a search is as long as the protocol takes, and whole characters", () => {
  assert.equal(wish({ slot: "search", query: "👟".repeat(300) }).query, "👟".repeat(200));
});

test("what is no kind asks for nothing", () => {
  for (const slot of [null, "", "for-you", "toString", "__proto__"]) assert.equal(wish({ slot }), null);
});

test("addresses are whole, relative or of the shop; none can run code", () => {
  assert.equal(safe("https://cdn.test/a.jpg", BASE), "https://cdn.test/a.jpg");
  assert.equal(safe("/p/1", BASE), "https://shop.test/p/1");
  assert.equal(safe("boots?x=1", BASE), "https://shop.test/category/boots?x=1");
  for (const bad of ["javascript:alert(1)", " JaVaScRiPt:alert(1)", "java\nscript:alert(1)", "data:text/html,x", "data:image/png,x",
    "vbscript:x", "blob:https://shop.test/1", "file:///etc/passwd", "http://[", "", null, undefined]) {
    assert.equal(safe(bad, BASE), undefined, String(bad));
  }
});

test("a picture may lie in its address, as a picture only", () => {
  const form = /^(https?:|data:image\/)/i;
  assert.equal(safe("data:image/png;base64,AA", BASE, form), "data:image/png;base64,AA");
  assert.equal(safe("data:text/html,x", BASE, form), undefined);
});

test("prices are written as people of the page's language do", () => {
  assert.equal(money(89.5, "EUR", "en"), "€89.50");
  assert.equal(money(89.5, "EUR", "de").replaceAll("\u00a0", " "), "89,50 €");
  assert.equal(money(1200, "JPY", "en"), "¥1,200");
  assert.equal(money(5, "euros", "en"), "5 euros");
  assert.equal(money(5, "EUR", "not a language"), "5 EUR");
});
