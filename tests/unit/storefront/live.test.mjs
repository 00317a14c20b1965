/** live.js: a row stays fresh, over a socket that comes back or by asking. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { configure, connect } from "../../../storefront/live.js";
import { address } from "../../../storefront/poller.js";
import { after, FakeSocket, openBrowser, settled } from "./browser.mjs";

const FOR_YOU = { name: "for_you", kind: "for_you", k: 12 };
const SIMILAR = { name: "similar:p/1", kind: "similar", k: 6, product_id: "p/1" };
const item = (product_id) => ({ product_id });
class Blocked { constructor() { throw new Error("blocked"); } }
/** A recommender of before /v1/page. */
const old = (answer) => (request) => (request.path === "/v1/page" ? { status: 404 } : answer(request));
let turn = 0; // what is known of a recommender outlives a test, so each has its own

function message(seq, ids, more = {}) {
  return { type: "recommendations", slot: "for_you", seq, items: ids.map(item), models: {}, ...more };
}

beforeEach(() => {
  mock.restoreAll();
  FakeSocket.all = [];
});

async function page({ answer = () => ({ status: 503 }), socket = FakeSocket, slots = [FOR_YOU], visitor } = {}) {
  const browser = openBrowser({ answer });
  globalThis.WebSocket = socket;
  const got = [];
  const statuses = [];
  const refusals = [];
  const live = connect({
    recommender: `http://recommender${turn ? `-${turn}` : ""}.test/`,
    visitor: visitor ?? (async (refused) => (refusals.push(refused), { visitor_id: "v 1", token: refused ? "t2" : "t1" })),
    slots,
    onRecommendations: (each) => got.push(each),
    onStatus: (status) => statuses.push(status),
  });
  await after(0);
  return { ...browser, live, got, statuses, refusals };
}

test("it opens with the visitor's token, subscribes, and hands on what comes", async () => {
  const { got, statuses } = await page();
  const socket = FakeSocket.last;
  assert.equal(socket.url.href, "ws://recommender.test/v1/live?visitor_id=v+1");
  socket.open();
  assert.deepEqual(socket.sent, [{ type: "subscribe", slots: [FOR_YOU], token: "t1" }]);
  socket.say(message(1, ["p1"], { caused_by: "e1", timing: { pushed_at: 5.5 } }));
  assert.deepEqual(got, [message(1, ["p1"], { caused_by: "e1", timing: { pushed_at: 5.5 } })]);
  assert.deepEqual(statuses, ["connecting", "live"]);
});

test("nothing is handed on that is older, unknown or no JSON", async () => {
  const { got, warnings } = await page();
  const socket = FakeSocket.last;
  socket.open();
  socket.say(message(2, ["p2"]));
  socket.say(message(1, ["p1"]));
  socket.say({ ...message(3, ["p3"]), slot: "another" });
  socket.say({ type: "error", detail: "what?" });
  socket.say({ type: "news" });
  socket.onmessage({ data: "{" });
  assert.deepEqual(got.map(({ seq }) => seq), [2]);
  assert.match(warnings.join(), /what\?/);
});

test("a socket that ends is opened again, within 0.5 s at first, and gets the newest state", async () => {
  const { got } = await page();
  FakeSocket.last.open();
  FakeSocket.last.say(message(7, ["p1"]));
  FakeSocket.last.end();
  await after(500);
  assert.equal(FakeSocket.all.length, 2);
  FakeSocket.last.open();
  FakeSocket.last.say(message(1, ["p2"])); // seq starts anew on a new socket
  assert.deepEqual(got.map(({ items }) => items[0].product_id), ["p1", "p2"]);
});

test("a server that takes the socket and sends it away again is not stormed", async () => {
  mock.method(Math, "random", () => 0.999);
  await page();
  for (let second = 0; second < 120; second++) {
    if (FakeSocket.last.readyState === 0) {
      FakeSocket.last.open();
      FakeSocket.last.end(1013);
    }
    await after(1000);
  }
  assert.ok(FakeSocket.all.length <= 12, `${FakeSocket.all.length} sockets in two minutes`);
});

test("a refused token is exchanged", async () => {
  const { refusals } = await page();
  FakeSocket.last.open();
  FakeSocket.last.end(1008);
  await after(500);
  assert.deepEqual(refusals, [undefined, "t1"]);
  FakeSocket.last.open();
  assert.equal(FakeSocket.last.sent[0].token, "t2");
  FakeSocket.last.say(message(1, ["p1"]));
  FakeSocket.last.end();
  await after(500);
  assert.equal(refusals.at(-1), undefined);
});

test("offline is told; back online it opens at once", async () => {
  const { statuses, emit } = await page();
  FakeSocket.last.open();
  FakeSocket.last.say(message(1, ["p1"]));
  mock.method(Math, "random", () => 0.999);
  emit("offline");
  assert.equal(statuses.at(-1), "offline");
  const before = FakeSocket.all.length;
  emit("online");
  await settled();
  assert.equal(FakeSocket.all.length, before + 1);
  FakeSocket.last.open();
  FakeSocket.last.say(message(1, ["p1"]));
  assert.equal(statuses.at(-1), "live");
});

test("where no WebSocket can be had it asks, and hands on only what changed", async () => {
  let items = [item("p1")];
  const answer = old(({ path }) => ({ status: 200, body: { items: path.includes("recommendations") ? items : [item("s1")], models: {} } }));
  const { got, statuses, requests } = await page({ answer, socket: Blocked, slots: [FOR_YOU, SIMILAR, { name: "top", kind: "popular", k: 3 }] });
  await after(1000);
  assert.equal(statuses.at(-1), "polling");
  const asked = new Set(requests.map(({ path, search }) => path + search));
  assert.deepEqual(asked, new Set([
    "/v1/page",
    "/v1/recommendations?visitor_id=v+1&k=12",
    "/v1/products/p%2F1/similar?visitor_id=v+1&k=6",
    "/v1/popular?visitor_id=v+1&k=3",
  ]));
  assert.deepEqual(new Set(requests.map(({ token }) => token)), new Set(["t1"]));
  assert.equal(got.length, 3);
  for (let poll = 0; poll < 3; poll++) await after(4000);
  assert.ok(requests.length >= 9);
  assert.equal(got.length, 3);
  items = [item("p2")];
  await after(4000);
  assert.deepEqual(got.slice(3).map(({ slot, items }) => [slot, items]), [["for_you", items]]);
});

test("all rows of a page are asked for at once", async () => {
  turn += 1;
  const rows = [{ slot: "for_you", items: [item("p1")] }, { slot: "gone", items: [item("p9")] }, { slot: SIMILAR.name, items: [item("s1")] }];
  const { got, requests } = await page({ answer: () => ({ status: 200, body: { rows } }), socket: Blocked, slots: [FOR_YOU, SIMILAR] });
  await after(1000);
  assert.deepEqual(requests.map(({ path, token, body }) => [path, token, body]), [["/v1/page", "t1", { visitor_id: "v 1", slots: [FOR_YOU, SIMILAR] }]]);
  assert.deepEqual(got.map(({ type, slot, items }) => [type, slot, items[0].product_id]), [
    ["recommendations", "for_you", "p1"], ["recommendations", SIMILAR.name, "s1"],
  ]);
});

test("a recommender that lets no page POST is asked row by row, and the page is told of nothing", async () => {
  turn += 1;
  const answer = ({ path }) => {
    if (path === "/v1/page") throw new TypeError("Failed to fetch"); // all that a browser says
    return { status: 200, body: { items: [item("p1")] } };
  };
  const { got, requests, warnings } = await page({ answer, socket: Blocked });
  await after(1000);
  await after(4000);
  assert.deepEqual(requests.map(({ path }) => path), ["/v1/page", "/v1/recommendations", "/v1/recommendations"]);
  assert.equal(got.length, 1);
  assert.deepEqual(warnings, []);
});

const TROUBLES = {
  "a page of another origin": [{ status: 403, body: { detail: "name that origin in EDDY_ALLOWED_ORIGINS" } }, /EDDY_ALLOWED_ORIGINS.*recommender at http/, "origin"],
  "a wrong port": [new TypeError("Failed to fetch"), /no recommender answers at .*EDDY_RECOMMENDER_PORT/, "unreachable"],
  "the port of something else": [{ status: 404 }, /is no recommender/, "other"],
  "tokens of another secret": [{ status: 401 }, /EDDY_TOKEN_SECRET/, "token"],
};
for (const [name, [answer, said, reason]] of Object.entries(TROUBLES)) {
  test(`${name} is said once, with the setting to change, and told to the page`, async () => {
    turn += 1;
    mock.method(Math, "random", () => 0.999);
    let tokens = 0;
    const visitor = async () => ({ visitor_id: "v", token: `t${tokens++}` }); // always a fresh one
    const thrown = () => { if (answer instanceof Error) throw answer; return answer; };
    const { warnings } = await page({ answer: thrown, socket: Blocked, visitor });
    const errors = [];
    document.addEventListener("eddy-error", ({ detail }) => errors.push(detail));
    for (let second = 0; second < 40; second++) await after(1000);
    assert.equal(warnings.length, 1, warnings.join("\n"));
    assert.match(warnings[0], said);
    assert.deepEqual(errors.map((error) => [error.service, error.reason]), [["recommender", reason]]);
  });
}

test("every kind of row has its address, and a product's id may be anything", () => {
  const who = { visitor_id: "v 1", token: "t+1" };
  const of = (slot) => {
    const { pathname, searchParams } = new URL(address({ name: "row", ...slot }, who), "http://recommender.test");
    const { visitor_id, ...asked } = Object.fromEntries(searchParams);
    assert.equal(visitor_id, who.visitor_id);
    return [pathname, asked];
  };
  const about = { k: 6, product_id: "a/b?c#d é" };
  const path = "/v1/products/a%2Fb%3Fc%23d%20%C3%A9";
  assert.deepEqual(of({ kind: "for_you" }), ["/v1/recommendations", { k: "12" }]);
  assert.deepEqual(of({ kind: "similar", ...about }), [`${path}/similar`, { k: "6" }]);
  assert.deepEqual(of({ kind: "also_liked", ...about }), [`${path}/also-liked`, { k: "6" }]);
  assert.deepEqual(of({ kind: "complement_topic", ...about }), [`${path}/complements`, { by: "topic", k: "6" }]);
  assert.deepEqual(of({ kind: "complement_type", ...about }), [`${path}/complements`, { by: "type", k: "6" }]);
  assert.deepEqual(of({ kind: "popular", k: 3, category: "Women/Shoes & more" }),
    ["/v1/popular", { k: "3", category: "Women/Shoes & more" }]);
  assert.deepEqual(of({ kind: "search", k: 3, query: "boots & hats" }), ["/v1/search", { k: "3", q: "boots & hats" }]);
  assert.equal(address({ kind: "complement_type", product_ids: ["a/b", "c"] }, who),
    "/v1/complements?visitor_id=v+1&k=12&by=type&product_id=a%2Fb&product_id=c");
  assert.equal(address({ kind: "products", product_ids: ["a/b", "c"] }, who), "/v1/products?product_id=a%2Fb&product_id=c");
});

test("it can be imported where there are no elements, as on a server that renders pages", () => {
  assert.equal(globalThis.customElements, undefined);
  assert.doesNotThrow(() => configure({}));
});

test("asking ends when a socket can be had again", async () => {
  const answer = () => ({ status: 200, body: { rows: [{ slot: "for_you", items: [item("p1")], models: {} }] } });
  const { requests, statuses } = await page({ answer });
  for (let failure = 0; failure < 2; failure++) {
    FakeSocket.last.end();
    await after(1000);
  }
  assert.equal(statuses.at(-1), "polling");
  for (let wait = 0; wait < 20 && FakeSocket.last.readyState !== 0; wait++) await after(1000);
  FakeSocket.last.open();
  FakeSocket.last.say(message(1, ["p1"]));
  const before = requests.length;
  await after(30_000);
  assert.equal(requests.length, before);
  assert.equal(statuses.at(-1), "live");
});

test("after a service was away for long, a page tries within 8 s, and asks it little meanwhile", async () => {
  mock.method(Math, "random", () => 0.999);
  const { requests } = await page({ answer: () => ({ status: 503 }) });
  FakeSocket.last.open();
  FakeSocket.last.say(message(1, ["p1"]));
  FakeSocket.last.end();
  for (let second = 0; second < 120; second++) {
    if (FakeSocket.last.readyState === 0) FakeSocket.last.end(); // it never opens
    await after(1000);
  }
  const [tries, asked] = [FakeSocket.all.length, requests.length];
  for (let second = 0; second < 8; second++) {
    if (FakeSocket.last.readyState === 0) FakeSocket.last.end();
    await after(1000);
  }
  assert.ok(FakeSocket.all.length > tries);
  assert.ok(tries <= 20, `${tries} sockets in two minutes`);
  assert.ok(asked <= 2, `asked ${asked} times in two minutes`);
});

test("where no WebSocket can be had, a service that was away is asked again within 8 s", async () => {
  mock.method(Math, "random", () => 0.999);
  let answer = { status: 503 };
  const { got } = await page({ answer: () => answer, socket: Blocked });
  for (let second = 0; second < 60; second++) await after(1000);
  answer = { status: 200, body: { rows: [{ slot: "for_you", items: [item("p1")], models: {} }] } };
  for (let second = 0; second < 8; second++) await after(1000);
  assert.equal(got.length, 1);
});

test("a socket that is not open within 3 s is given up", async () => {
  await page();
  await after(3000);
  assert.equal(FakeSocket.all[0].readyState, 3);
  await after(500);
  assert.equal(FakeSocket.all.length, 2);
});

test("a token that is refused while asking is exchanged", async () => {
  const answer = old(({ token }) => (token === "t1" ? { status: 401 } : { status: 200, body: { items: [item("p1")], models: {} } }));
  const { got } = await page({ answer, socket: Blocked });
  await after(1000);
  await after(4000);
  assert.equal(got.length, 1);
});

test("another subscription replaces the first", async () => {
  const { live, got } = await page();
  FakeSocket.last.open();
  live.subscribe([FOR_YOU, SIMILAR]);
  assert.deepEqual(FakeSocket.last.sent.at(-1), { type: "subscribe", slots: [FOR_YOU, SIMILAR], token: "t1" });
  live.subscribe([FOR_YOU]);
  FakeSocket.last.say({ ...message(1, ["s1"]), slot: SIMILAR.name });
  assert.deepEqual(got, []);
});

const PING = { type: "ping" };

/** A page with a row, on a socket whose path has died without a word. */
async function deadPage() {
  const opened = await page();
  const socket = FakeSocket.last;
  socket.open();
  socket.say(message(1, ["p1"]));
  return { ...opened, socket };
}

test("a socket that is silent for 30 s is asked for life, and another is opened where it does not answer", async () => {
  const { socket } = await deadPage();
  await after(29_999);
  assert.equal(socket.sent.length, 1);
  await after(1);
  assert.deepEqual(socket.sent.at(-1), PING);
  await after(5000);
  assert.equal(socket.readyState, 3);
  await after(500);
  assert.equal(FakeSocket.all.length, 2);
});

test("an event that ingest has taken and no row follows is noticed within 10 s, however many come", async () => {
  const { socket, emit } = await deadPage();
  for (let seconds = 0; seconds < 8; seconds++) {
    emit("eddy-taken");
    await after(1000);
  }
  assert.deepEqual(socket.sent.slice(1), [PING]); // after 3 s
  assert.equal(socket.readyState, 3);
  await after(500);
  assert.equal(FakeSocket.all.length, 2);
  FakeSocket.last.open();
  assert.equal(FakeSocket.last.sent.at(-1).type, "subscribe");
});

test("an answer, whatever it says, is life", async () => {
  const { socket, emit, got, warnings } = await deadPage();
  for (let times = 0; times < 4; times++) {
    await after(30_000);
    socket.say(times % 2 ? { type: "pong" } : message(times + 2, ["p1"]));
  }
  emit("eddy-taken");
  await after(2000);
  socket.say(message(9, ["p2"]));
  await after(20_000);
  assert.equal(socket.readyState, 1);
  assert.equal(socket.sent.filter(({ type }) => type === "ping").length, 4);
  assert.deepEqual(got.at(-1).items, [item("p2")]);
  assert.deepEqual(warnings, []);
});

test("a hidden page asks when it is seen again", async () => {
  const { socket, emit } = await deadPage();
  document.visibilityState = "hidden";
  emit("eddy-taken");
  await after(60_000);
  assert.equal(socket.sent.length, 1);
  document.visibilityState = "visible";
  document.dispatchEvent(new Event("visibilitychange"));
  assert.deepEqual(socket.sent.at(-1), PING);
  await after(5000);
  await after(500);
  assert.equal(FakeSocket.all.length, 2);
});

test("closed is closed", async () => {
  const { live, statuses, emit } = await page();
  FakeSocket.last.open();
  live.close();
  emit("online");
  emit("offline");
  await after(60_000);
  assert.equal(FakeSocket.all.length, 1);
  assert.equal(statuses.at(-1), "closed");
});
