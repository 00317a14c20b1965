/** tracker.js: nothing tracked is lost, nothing is made twice, and it goes out at once. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import "../../../storefront/diagnosis.js"; // loaded when it is needed: here at once
import { backoff, createTracker } from "../../../storefront/tracker.js";
import { after, FakeStorage, NOW, openBrowser, settled, VISITOR } from "./browser.mjs";

const INGEST = "http://ingest.test";
const ULID = /^[0-9A-HJKMNP-TV-Z]{26}$/;
const down = { status: 503, headers: { "Retry-After": "1" } };
const isVisitors = ({ path }) => path === "/v1/visitors";
const ids = (events) => events.map(({ event_id }) => event_id);

beforeEach(() => mock.restoreAll());

test("an event is kept first, sent at once as text/plain with the visitor's token, and let go after 202", async () => {
  const browser = openBrowser();
  const tracker = createTracker({ ingest: `${INGEST}/` });
  const id = tracker.track("view_item", { product_id: "p0001" });
  assert.match(id, ULID);
  assert.deepEqual(ids(browser.waiting()), [id]);
  await settled();
  assert.deepEqual(browser.requests.map(({ path }) => path), ["/v1/visitors", "/v1/events"]);
  const [batch] = browser.batches();
  assert.equal(batch.token, VISITOR.token);
  assert.equal(batch.options.headers["Content-Type"], "text/plain");
  assert.equal(batch.options.keepalive, true);
  assert.deepEqual(batch.body.events, [{
    event_id: id,
    type: "view_item",
    occurred_at: NOW,
    product_id: "p0001",
    visitor_id: VISITOR.visitor_id,
    context: { page: "/products/p0001", referrer: "/category/Women/Shoes", locale: "en-GB", device: "desktop" },
  }]);
  assert.equal(tracker.queued(), 0);
});

test("as many requests for events as are asked for carry a trace, which ingest knows to be the page's own", async () => {
  const browser = openBrowser();
  const headers = async (options) => {
    const tracker = createTracker({ ingest: INGEST, ...options });
    tracker.track("view_item", { product_id: "p0001" });
    await settled();
    return browser.batches().at(-1).options.headers;
  };
  const { traceparent, tracestate } = await headers({ traceShare: 1 });
  const [, trace, span] = traceparent.match(/^00-([0-9a-f]{32})-([0-9a-f]{16})-01$/);
  assert.equal(tracestate, `eddy=${span}`);
  assert.notEqual((await headers({ traceShare: 1 })).traceparent.split("-")[1], trace);
  assert.equal("traceparent" in (await headers({})), false);
  assert.ok(browser.requests.filter(isVisitors).every(({ options }) => !("traceparent" in (options?.headers ?? {}))));
});

test("the page is told when ingest has taken events, for live.js to expect a row", async () => {
  let isAway = true;
  openBrowser({ answer: ({ path }) => (isAway && path === "/v1/events" ? { status: 503 } : undefined) });
  let times = 0;
  globalThis.addEventListener("eddy-taken", () => times++);
  const tracker = createTracker({ ingest: INGEST });
  tracker.track("view_item", { product_id: "p0001" });
  await settled();
  assert.equal(times, 0);
  isAway = false;
  await tracker.flush();
  assert.equal(times, 1);
});

test("what happens while a request is under way leaves at once in a second one; what comes then goes after", async () => {
  const answers = [];
  const gate = ({ path }) => path === "/v1/events" && new Promise((resolve) => answers.push(() => resolve()));
  const browser = openBrowser({ answer: async (request) => void (await gate(request)) });
  const tracker = createTracker({ ingest: INGEST });
  tracker.track("view_item", { product_id: "p1" });
  await settled();
  for (const product_id of ["p2", "p3", "p4"]) tracker.track("view_item", { product_id });
  await settled();
  const sizes = () => browser.batches().map(({ body }) => body.events.length);
  assert.deepEqual(sizes(), [1, 3]);
  for (const product_id of ["p5", "p6"]) tracker.track("view_item", { product_id });
  await settled();
  assert.deepEqual(sizes(), [1, 3]);
  answers[1](); // the second is answered before the first
  await settled();
  assert.deepEqual(sizes(), [1, 3, 2]);
  assert.deepEqual(browser.waiting().map(({ product_id }) => product_id), ["p1", "p5", "p6"]);
  answers[0]();
  answers[2]();
  await settled();
  assert.equal(tracker.queued(), 0);
  assert.equal(new Set(ids(browser.events())).size, 6);
});

test("a second request that fails is sent again, as its answer asks, whatever became of the first", async () => {
  let first, times = 0;
  const answer = (request) => {
    if (isVisitors(request)) return undefined;
    times += 1;
    return times === 1 ? new Promise((resolve) => (first = resolve)) : times === 2 ? down : undefined;
  };
  const browser = openBrowser({ answer });
  const tracker = createTracker({ ingest: INGEST });
  tracker.track("view_item", { product_id: "p1" });
  await settled();
  const id = tracker.track("view_item", { product_id: "p2" });
  await settled();
  tracker.track("view_item", { product_id: "p3" });
  await settled();
  assert.equal(browser.batches().length, 2); // no third beside them once one has failed
  first();
  await settled();
  await after(990);
  assert.equal(browser.batches().length, 2);
  await after(510 + 10);
  assert.equal(browser.batches()[2].body.events[0].event_id, id);
  assert.equal(browser.events().length, 4);
  assert.equal(tracker.queued(), 0);
});

test("another tab waits for both requests, and requests together stay within what outlives a page", async () => {
  const answers = [];
  const gate = ({ path }) => path === "/v1/events" && new Promise((resolve) => answers.push(() => resolve()));
  const browser = openBrowser({ answer: async (request) => void (await gate(request)) });
  const [tracker, other] = [createTracker({ ingest: INGEST }), createTracker({ ingest: INGEST })];
  const large = () => {
    for (let each = 0; each < 40; each++) tracker.track("search", { query: "x".repeat(256), list_id: "y".repeat(600) });
  };
  large();
  await settled();
  large();
  other.track("view_item", { product_id: "p1" });
  await settled();
  assert.equal(browser.batches().length, 2);
  assert.deepEqual(browser.batches().map(({ options }) => options.keepalive), [true, false]);
  answers[0]();
  await settled();
  assert.equal(browser.batches().length, 2);
  while (answers.length) {
    answers.shift()();
    await settled();
  }
  assert.equal(new Set(ids(browser.events())).size, 81);
  assert.equal(browser.events().length, 81);
});

test("no event is left lying, whenever in the life of a request it is tracked", async () => {
  for (let turns = 0; turns < 40; turns++) {
    const browser = openBrowser();
    const tracker = createTracker({ ingest: INGEST });
    tracker.track("view_item", { product_id: "p1" });
    for (let turn = 0; turn < turns; turn++) await (turn % 2 ? Promise.resolve() : new Promise(setImmediate));
    tracker.track("view_item", { product_id: "p2" });
    await settled();
    assert.equal(browser.events().length, 2, `after ${turns} turns`);
    assert.equal(tracker.queued(), 0);
  }
});

test("a retry is the same event: same id, same time", async () => {
  let isDown = true;
  const browser = openBrowser({ answer: (request) => (!isVisitors(request) && isDown ? down : undefined) });
  const tracker = createTracker({ ingest: INGEST });
  const id = tracker.track("view_item", { product_id: "p1" });
  await settled();
  isDown = false;
  await after(30_000);
  assert.deepEqual(ids(browser.events()), [id, id]);
  assert.equal(new Set(browser.events().map((event) => JSON.stringify(event))).size, 1);
  assert.equal(tracker.queued(), 0);
});

test("Retry-After is waited for, and new events wait too", async () => {
  const browser = openBrowser({ answer: (request) => (isVisitors(request) ? undefined : down) });
  const tracker = createTracker({ ingest: INGEST });
  tracker.track("view_item", { product_id: "p1" });
  await settled();
  await after(990);
  tracker.track("view_item", { product_id: "p2" });
  await settled();
  assert.equal(browser.batches().length, 1);
  await after(510 + 10);
  assert.equal(browser.batches().length, 2);
  assert.equal(tracker.queued(), 2);
});

test("a lost network is tried again, later and later, and at once when it is back", async () => {
  let isLost = true;
  const browser = openBrowser({ answer: () => { if (isLost) throw new TypeError("Failed to fetch"); } });
  const tracker = createTracker({ ingest: INGEST });
  const tracked = ["p1", "p2", "p3"].map((product_id) => tracker.track("view_item", { product_id }));
  await settled();
  for (let wait = 0; wait < 10; wait++) await after(20_000);
  assert.ok(browser.requests.length >= 8);
  const before = browser.requests.length;
  isLost = false;
  browser.emit("online");
  await settled();
  assert.ok(browser.requests.length > before);
  assert.deepEqual(ids(browser.events()), tracked);
  assert.equal(tracker.queued(), 0);
});

test("whenever the network is back after a failure, and whichever try it met, nothing is left lying", async () => {
  for (let delay = 0; delay < 240; delay += 20) {
    let isLost = true;
    const browser = openBrowser({ answer: (request) => {
      if (isLost && !isVisitors(request)) throw new TypeError("Failed to fetch");
    } });
    const tracker = createTracker({ ingest: INGEST });
    tracker.track("view_item", { product_id: "p1" });
    await settled();
    await after(delay);
    isLost = false;
    browser.emit("online");
    await settled();
    await after(1000);
    assert.equal(tracker.queued(), 0, `after ${delay} ms`);
    assert.equal(new Set(ids(browser.events())).size, 1);
  }
});

test("waits are anything up to 0.5 s, 1 s, … 10 s", () => {
  mock.timers.reset();
  for (let failures = 1; failures < 40; failures++) {
    const bound = Math.min(10_000, 500 * 2 ** (failures - 1));
    const waits = Array.from({ length: 400 }, () => backoff(failures));
    assert.ok(waits.every((wait) => wait >= 0 && wait < bound), `${failures} failures`);
    assert.ok(Math.max(...waits) > bound * 0.8 && Math.min(...waits) < bound * 0.2, "spread over all of it");
  }
});

for (const status of [400, 415, 422]) {
  test(`what is refused with ${status} is given up, with a warning, and holds nothing else up`, async () => {
    let isFirst = true;
    const answer = (request) => {
      if (isVisitors(request) || !isFirst) return undefined;
      isFirst = false;
      return { status, body: { rejected: [{ index: 0, reason: "no" }] } };
    };
    const browser = openBrowser({ answer });
    const tracker = createTracker({ ingest: INGEST });
    tracker.track("view_item");
    await settled();
    tracker.track("view_item", { product_id: "p1" });
    await settled();
    assert.equal(browser.batches().length, 2);
    assert.equal(tracker.queued(), 0);
    assert.match(browser.warnings.join(), /refused/);
  });
}

test("a batch that is too large is halved until it fits; an event that alone is too large is given up", async () => {
  const answer = (request) => {
    if (isVisitors(request)) return undefined;
    const { events } = request.body;
    return events.length > 3 || events.some(({ query }) => query === "huge") ? { status: 413 } : undefined;
  };
  const browser = openBrowser({ answer });
  const tracker = createTracker({ ingest: INGEST });
  const tracked = Array.from({ length: 20 }, (_, place) => tracker.track("search", { query: place === 7 ? "huge" : "ok" }));
  await settled();
  await settled();
  const taken = browser.batches().filter(({ body }) => body.events.length <= 3 && body.events.every(({ query }) => query !== "huge"));
  assert.deepEqual(ids(taken.flatMap(({ body }) => body.events)).sort(), tracked.filter((_, place) => place !== 7).sort());
  assert.equal(tracker.queued(), 0);
});

for (const status of [400, 415, 422]) {
  test(`of a batch that is refused whole with ${status} only the event at fault is given up`, async () => {
    const isAtFault = ({ query }) => query === "odd";
    const answer = (request) =>
      !isVisitors(request) && request.body.events.some(isAtFault) ? { status, body: { detail: "unreadable" } } : undefined;
    const browser = openBrowser({ answer });
    const tracker = createTracker({ ingest: INGEST });
    const tracked = Array.from({ length: 20 }, (_, place) => tracker.track("search", { query: place === 7 ? "odd" : "ok" }));
    await settled();
    await after(30_000);
    const taken = browser.batches().filter(({ body }) => !body.events.some(isAtFault));
    assert.deepEqual(ids(taken.flatMap(({ body }) => body.events)).sort(), tracked.filter((_, place) => place !== 7).sort());
    assert.equal(tracker.queued(), 0);
    assert.match(browser.warnings.join(), /refused/);
  });

  test(`where every request is refused whole with ${status}, the queue is not emptied in one go`, async () => {
    const browser = openBrowser({ answer: (request) => (isVisitors(request) ? undefined : { status }) });
    const tracker = createTracker({ ingest: INGEST });
    for (let each = 0; each < 200; each++) tracker.track("search", { query: "ok" });
    await settled();
    await after(60_000);
    assert.ok(browser.batches().length < 60, String(browser.batches().length));
    assert.ok(tracker.queued() > 150, String(tracker.queued()));
  });
}

test("texts are cut between characters, and what a page has cut in two is whole again", async () => {
  const browser = openBrowser();
  const tracker = createTracker({ ingest: INGEST });
  tracker.listenToDataLayer([{ event: "search", search_term: `${"a".repeat(255)}😀` }]);
  tracker.listenToDataLayer([{ event: "view_item", ecommerce: { items: [{ item_id: `${"b".repeat(127)}😀` }] } }]);
  tracker.track("search", { query: "😀".slice(0, 1), context: { page: `/${"😀".slice(1)}` } });
  await settled();
  const [cut, id, halves] = browser.events();
  assert.equal(cut.query, "a".repeat(255));
  assert.equal(id.product_id, "b".repeat(127));
  assert.deepEqual([halves.query, halves.context.page], ["\ufffd", "/\ufffd"]);
  assert.ok(browser.batches().every(({ options }) => !/\\ud[89a-f]/i.test(options.body)));
});

test("a batch stays under ingest's bytes", async () => {
  let isDown = true;
  const browser = openBrowser({ answer: (request) => (!isVisitors(request) && isDown ? down : undefined) });
  const tracker = createTracker({ ingest: INGEST });
  for (let each = 0; each < 60; each++) tracker.track("search", { query: "ä".repeat(8000) });
  await settled();
  isDown = false;
  await after(30_000);
  const sizes = browser.batches().map(({ options }) => Buffer.byteLength(options.body));
  assert.ok(sizes.length >= 3 && sizes.every((bytes) => bytes <= 500 * 1024), String(sizes));
  assert.ok(browser.batches().every(({ options }) => options.keepalive === Buffer.byteLength(options.body) <= 60_000));
  assert.equal(tracker.queued(), 0);
});

test("a refused token is renewed, and the same events go again", async () => {
  const answer = ({ path, token, body }) => {
    if (path === "/v1/visitors") return { status: 200, body: { ...VISITOR, token: body.token ? "token-2" : "token-1" } };
    return token === "token-1" ? { status: 401 } : undefined;
  };
  const browser = openBrowser({ answer });
  const tracker = createTracker({ ingest: INGEST });
  const id = tracker.track("view_item", { product_id: "p1" });
  await settled();
  assert.deepEqual(browser.batches().map(({ token }) => token), ["token-1", "token-2"]);
  assert.deepEqual(ids(browser.events()), [id, id]);
  assert.equal((await tracker.visitor()).token, "token-2");
  assert.equal(tracker.queued(), 0);
});

test("where a renewal is refused there is a new visitor, and what waits is sent as theirs", async () => {
  const storage = new FakeStorage();
  storage.setItem("eddy.visitor", JSON.stringify({ visitor_id: "old", token: "forged", expires_at: NOW + 1000 }));
  const browser = openBrowser({ storage, answer: ({ path, body }) => (path === "/v1/visitors" && body.token ? { status: 401 } : undefined) });
  const tracker = createTracker({ ingest: INGEST });
  tracker.track("view_item", { product_id: "p1" });
  await settled();
  assert.deepEqual(browser.requests.filter(isVisitors).map(({ body }) => body), [{ token: "forged" }, {}]);
  assert.equal(browser.events()[0].visitor_id, VISITOR.visitor_id);
});

test("a token that is good for a while yet is used while it cannot be renewed", async () => {
  const storage = new FakeStorage();
  const old = { visitor_id: "v", token: "t", expires_at: NOW + 3_600_000 };
  storage.setItem("eddy.visitor", JSON.stringify(old));
  openBrowser({ storage, answer: () => { throw new TypeError("Failed to fetch"); } });
  assert.deepEqual(await createTracker({ ingest: INGEST }).visitor(), old);
});

test("the visitor is asked for once, by many and over pages", async () => {
  const browser = openBrowser();
  const tracker = createTracker({ ingest: INGEST });
  const [first, second] = await Promise.all([tracker.visitor(), tracker.visitor()]);
  const later = await createTracker({ ingest: INGEST }).visitor();
  assert.deepEqual([first, second, later], [VISITOR, VISITOR, VISITOR]);
  assert.equal(browser.requests.length, 1);
});

test("two tabs share one queue: nothing is overwritten, nothing goes twice", async () => {
  let isLost = true;
  const browser = openBrowser({ answer: () => { if (isLost) throw new TypeError("Failed to fetch"); } });
  const tabs = [createTracker({ ingest: INGEST }), createTracker({ ingest: INGEST })];
  const tracked = Array.from({ length: 30 }, (_, place) => tabs[place % 2].track("view_item", { product_id: `p${place}` }));
  await settled();
  assert.equal(browser.waiting().length, 30);
  isLost = false;
  browser.emit("online");
  await settled();
  assert.deepEqual(ids(browser.events()).sort(), tracked.sort());
});

test("what an earlier page has left is sent by the next", async () => {
  const first = openBrowser({ answer: () => { throw new TypeError("Failed to fetch"); } });
  const id = createTracker({ ingest: INGEST }).track("view_item", { product_id: "p1" });
  await settled();
  const second = openBrowser({ storage: first.storage });
  const tracker = createTracker({ ingest: INGEST });
  await settled();
  assert.deepEqual(ids(second.events()), [id]);
  assert.equal(tracker.queued(), 0);
});

test("the queue is bounded: the oldest goes, with a warning", async () => {
  const browser = openBrowser({ answer: () => { throw new TypeError("Failed to fetch"); } });
  const tracker = createTracker({ ingest: INGEST, queueMax: 50 });
  const tracked = Array.from({ length: 60 }, () => tracker.track("search", { query: "boots" }));
  await settled();
  assert.deepEqual(ids(browser.waiting()).sort(), tracked.slice(10).sort());
  assert.match(browser.warnings.join(), /oldest/);
});

test("a page that is left sends what waits with keepalive, within what browsers let outlive it", async () => {
  let isDown = true;
  const browser = openBrowser({ answer: (request) => (!isVisitors(request) && isDown ? down : undefined) });
  const tracker = createTracker({ ingest: INGEST });
  for (let each = 0; each < 100; each++) tracker.track("search", { query: "x".repeat(1000) });
  await settled();
  isDown = false;
  browser.emit("pagehide"); // in the middle of a wait
  await settled();
  const last = browser.batches().at(-1);
  assert.equal(last.options.keepalive, true);
  assert.ok(Buffer.byteLength(last.options.body) <= 64 * 1024);
  assert.ok(last.body.events.length > 40);
  assert.equal(tracker.queued(), 100 - last.body.events.length);
});

test("what is under way when the page ends is not sent again, though the browser calls it failed", async () => {
  let fail;
  const gate = new Promise((_, reject) => (fail = reject));
  const browser = openBrowser({ answer: (request) => (isVisitors(request) ? undefined : gate) });
  const tracker = createTracker({ ingest: INGEST });
  const id = tracker.track("search", { query: "boots" });
  await settled();
  fail(new TypeError("Failed to fetch"));
  await settled();
  browser.emit("pagehide");
  await settled();
  assert.deepEqual(ids(browser.events()), [id]);
  assert.equal(tracker.queued(), 1); // nobody knows: the next page sends it again, under the same id
});

test("a hidden page sends what waits", async () => {
  let isDown = true;
  const browser = openBrowser({ answer: (request) => (!isVisitors(request) && isDown ? down : undefined) });
  const tracker = createTracker({ ingest: INGEST });
  tracker.track("search", { query: "boots" });
  await settled();
  isDown = false;
  document.visibilityState = "hidden";
  document.dispatchEvent(new Event("visibilitychange"));
  await settled();
  assert.equal(tracker.queued(), 0);
  assert.equal(browser.batches().length, 2);
});

for (const [what, storage] of [["without storage", undefined], ["with full storage", { length: 0, key: () => null, getItem: () => null, removeItem() {}, setItem() { throw new Error("quota"); } }]]) {
  test(`${what} the queue is in memory`, async () => {
    const browser = openBrowser({ locks: false });
    globalThis.localStorage = storage;
    const tracker = createTracker({ ingest: INGEST });
    const id = tracker.track("view_item", { product_id: "p1" });
    assert.equal(tracker.queued(), 1);
    await settled();
    assert.deepEqual(ids(browser.events()), [id]);
    assert.equal(tracker.queued(), 0);
  });
}

test("who is forgotten leaves nothing: not the visitor, not what waits, not what earlier entries said", async () => {
  const browser = openBrowser({ answer: ({ path }) => (path === "/v1/events" ? down : undefined) });
  const tracker = createTracker({ ingest: INGEST });
  const layer = [];
  tracker.listenToDataLayer(layer);
  layer.push({ user_id: "ada" });
  layer.push({ event: "search", search_term: "boots" });
  await settled();
  assert.equal(tracker.queued(), 1);
  tracker.forget();
  assert.equal(tracker.queued(), 0);
  assert.equal(browser.requests.filter(isVisitors).length, 1);
  layer.push({ event: "search", search_term: "hats" });
  await tracker.visitor();
  const [asked, askedAgain] = browser.requests.filter(isVisitors);
  assert.equal(askedAgain.options.body, "{}"); // a new one, not the old one renewed
  assert.ok(asked);
  const [event] = browser.waiting();
  assert.equal(event.query, "hats");
  assert.equal(event.user_id, undefined);
});

test("ids are in the order of their events, whatever the clock says", async () => {
  openBrowser();
  const tracker = createTracker({ ingest: INGEST });
  const tracked = Array.from({ length: 200 }, () => tracker.track("search", { query: "boots" }));
  assert.deepEqual(tracked, [...tracked].sort());
  assert.equal(new Set(tracked).size, 200);
  await settled();
});

test("the page before is the referrer where pages change without a reload", async () => {
  const browser = openBrowser();
  const tracker = createTracker({ ingest: INGEST });
  globalThis.location = new URL("http://shop.test/cart");
  tracker.track("begin_checkout");
  await settled();
  assert.deepEqual([browser.events()[0].context.page, browser.events()[0].context.referrer], ["/cart", "/products/p0001"]);
});

test("what is wrong with ingest's address or this page's origin is said once, with the setting to change", async () => {
  const troubles = [
    [{ status: 403, body: { detail: "name that origin in EDDY_ALLOWED_ORIGINS" } }, /EDDY_ALLOWED_ORIGINS.*ingest at/],
    [{ status: 404 }, /is no ingest/],
    [new TypeError("Failed to fetch"), /no ingest answers/],
  ];
  for (const [at, [answer, said]] of troubles.entries()) {
    const browser = openBrowser({ answer: () => { if (answer instanceof Error) throw answer; return answer; } });
    createTracker({ ingest: `http://ingest-${at}.test` }).track("view_item", { product_id: "p1" });
    for (let second = 0; second < 60; second++) await after(1000);
    assert.equal(browser.warnings.length, 1, browser.warnings.join("\n"));
    assert.match(browser.warnings[0], said);
    assert.equal(browser.waiting().length, 1); // and nothing is lost
  }
});

test("an ingest that was there and is away for a while is no mistake of the page's", async () => {
  let answer;
  const browser = openBrowser({ answer: () => { if (answer) throw answer; return undefined; } });
  const tracker = createTracker({ ingest: "http://ingest-away.test" });
  tracker.track("view_item", { product_id: "p1" });
  await settled();
  answer = new TypeError("Failed to fetch");
  tracker.track("view_item", { product_id: "p2" });
  for (let second = 0; second < 30; second++) await after(1000);
  assert.deepEqual(browser.warnings, []);
});
