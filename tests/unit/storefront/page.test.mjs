/** page.js: all rows of a page are one subscription of one connection to each recommender. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { asSlots, createPage, cut } from "../../../storefront/page.js";
import { after, openBrowser, settled } from "./browser.mjs";

const URL_A = "https://a.test";
const FOR_YOU = { kind: "for_you", k: 12 };
const similar = (product_id) => ({ kind: "similar", k: 6, product_id });

beforeEach(() => mock.restoreAll());

/** A page with what it asked of its connections. */
function opened(settings = { recommender: URL_A, visitor: async () => ({ visitor_id: "v", token: "t" }) }) {
  const browser = openBrowser();
  const lines = [];
  const page = createPage((options) => {
    const line = { options, subscriptions: [options.slots], isClosed: false };
    lines.push(line);
    return { subscribe: (slots) => line.subscriptions.push(slots), close: () => (line.isClosed = true) };
  });
  page.configure(settings);
  return { ...browser, page, lines };
}

function member(page, wish) {
  const made = { wish, slot: undefined, got: [] };
  made.leave = page.join({
    wish: () => made.wish,
    assigned: (slot) => (made.slot = slot),
    receive: (message) => made.got.push(message),
  });
  return made;
}

const message = (slot, seq) => ({ type: "recommendations", slot, seq, items: [] });

test("wishes for the same thing share a slot; another thing of that name gets a number", () => {
  const { slots, names } = asSlots([FOR_YOU, similar("p1"), similar("p2"), { ...FOR_YOU }, { ...similar("p3"), name: "more" }]);
  assert.deepEqual(names, ["for_you", "similar", "similar-2", "for_you", "more"]);
  assert.deepEqual(slots.map(({ name, product_id }) => [name, product_id]), [
    ["for_you", undefined], ["similar", "p1"], ["similar-2", "p2"], ["more", "p3"],
  ]);
});

test("whatever is wished for, names are short enough, each stands for one thing, and there are at most 16", () => {
  const wishes = Array.from({ length: 40 }, (_, at) => ({ ...similar(`p${at % 20}`), name: at % 3 ? "é".repeat(90) : "" }));
  const { slots, names } = asSlots(wishes);
  assert.equal(slots.length, 16);
  assert.equal(new Set(slots.map(({ name }) => name)).size, 16);
  assert.ok(slots.every(({ name }) => name.length <= 64 && name.length > 0));
  names.forEach((name, at) => {
    if (name) assert.equal(slots.find((slot) => slot.name === name).product_id, wishes[at].product_id);
  });
  assert.ok(names.includes(undefined));
});

test("a text is never cut within a character", () => {
  assert.equal(cut("ab👟cd", 3), "ab👟");
});

test("rows that come in one go are one subscription", async () => {
  const { page, lines } = opened();
  const rows = [member(page, FOR_YOU), member(page, similar("p1"))];
  await settled();
  assert.equal(lines.length, 1);
  assert.equal(lines[0].options.recommender, URL_A);
  assert.deepEqual(lines[0].subscriptions, [[{ name: "for_you", ...FOR_YOU }, { name: "similar", ...similar("p1") }]]);
  assert.deepEqual(rows.map(({ slot }) => slot.name), ["for_you", "similar"]);
});

test("a row gets its own messages, and one that comes later the newest at once", async () => {
  const { page, lines } = opened();
  const [first, other] = [member(page, FOR_YOU), member(page, similar("p1"))];
  await settled();
  const { onRecommendations } = lines[0].options;
  onRecommendations(message("for_you", 1));
  onRecommendations(message("for_you", 2));
  onRecommendations(message("another", 3));
  const late = member(page, { ...FOR_YOU });
  await settled();
  assert.equal(lines[0].subscriptions.length, 1);
  assert.deepEqual([first, other, late].map(({ got }) => got.map(({ seq }) => seq)), [[1, 2], [], [2]]);
});

test("a change of what one row wants is a new subscription with all of them; no change is none", async () => {
  const { page, lines } = opened();
  member(page, FOR_YOU);
  const row = member(page, similar("p1"));
  await settled();
  lines[0].options.onRecommendations(message("similar", 1));
  row.wish = similar("p2");
  page.arrange();
  page.arrange();
  await settled();
  page.arrange();
  await settled();
  assert.deepEqual(lines[0].subscriptions.slice(1).map((slots) => slots.map(({ product_id }) => product_id)), [[undefined, "p2"]]);
  assert.equal(row.slot.product_id, "p2");
  assert.equal(row.got.length, 1); // not once more what was for p1
  row.wish = null;
  page.arrange();
  await settled();
  assert.equal(row.slot, undefined);
  assert.deepEqual(lines[0].subscriptions.at(-1), [{ name: "for_you", ...FOR_YOU }]);
});

test("a row that goes is unsubscribed; the connection outlives the last for a moment", async () => {
  const { page, lines } = opened();
  const rows = [member(page, FOR_YOU), member(page, similar("p1"))];
  await settled();
  rows[1].leave();
  await settled();
  assert.deepEqual(lines[0].subscriptions.at(-1), [{ name: "for_you", ...FOR_YOU }]);
  rows[0].leave();
  await settled();
  await after(1999);
  assert.equal(lines[0].isClosed, false);
  const back = member(page, FOR_YOU);
  await settled();
  await after(5000);
  assert.equal(lines[0].isClosed, false);
  back.leave();
  await settled();
  await after(2000);
  assert.equal(lines[0].isClosed, true);
  member(page, FOR_YOU);
  await settled();
  assert.equal(lines.length, 2);
});

test("a row that names another recommender has another connection", async () => {
  const { page, lines } = opened();
  member(page, FOR_YOU);
  member(page, { ...FOR_YOU, recommender: "https://b.test" });
  await settled();
  assert.deepEqual(lines.map(({ options }) => options.recommender).sort(), [URL_A, "https://b.test"]);
});

test("rows wait until the page has told whom to ask, and say so after a while", async () => {
  const { page, lines, warnings } = opened({});
  member(page, FOR_YOU);
  await settled();
  await after(5000);
  assert.equal(lines.length, 0);
  assert.match(warnings.join(), /recommender/);
  const tracker = { visitor: async (refused) => ({ visitor_id: "v", token: refused ? "t2" : "t1" }), track: mock.fn() };
  page.configure({ recommender: URL_A, tracker });
  await settled();
  assert.equal(lines.length, 1);
  assert.deepEqual(await lines[0].options.visitor("t1"), { visitor_id: "v", token: "t2" });
  page.track("select_item", { product_id: "p1" });
  assert.deepEqual(tracker.track.mock.calls[0].arguments, ["select_item", { product_id: "p1" }]);
});

test("where ingest is all that is told, the page has a tracker of its own", async () => {
  const { page, lines, requests } = opened({});
  member(page, { ...FOR_YOU, recommender: URL_A, ingest: "http://ingest.test" });
  await settled();
  const who = await lines[0].options.visitor();
  assert.equal(who.visitor_id, "visitor-1");
  page.track("select_item", { product_id: "p1", list_id: "for_you" });
  await settled();
  const [event] = requests.at(-1).body.events;
  assert.deepEqual([event.type, event.product_id, event.list_id], ["select_item", "p1", "for_you"]);
});

test("more rows than a socket takes are told of", async () => {
  const { page, lines, warnings } = opened();
  const rows = Array.from({ length: 18 }, (_, at) => member(page, similar(`p${at}`)));
  await settled();
  assert.equal(lines[0].subscriptions[0].length, 16);
  assert.deepEqual(rows.slice(15).map(({ slot }) => slot?.name), ["similar-16", undefined, undefined]);
  assert.match(warnings.join(), /more than 16/);
});
