/** announcements.js: changes are told late, seldom and truthfully. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { createAnnouncer } from "../../../storefront/announcements.js";

const row = (ids, why = "because you looked at Boots", source = "content") =>
  ids.map((product_id) => ({ product_id, why, source }));

let said;
let announcer;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  said = [];
  announcer = createAnnouncer((why) => said.push(why));
});

test("the first products are no news, and neither is another order of them", () => {
  announcer.shown(row(["p1", "p2"]));
  announcer.shown(row(["p2", "p1"]));
  mock.timers.tick(60_000);
  assert.deepEqual(said, []);
});

test("pushes that follow each other are told once, with why the newest state is there", () => {
  announcer.shown(row(["p1"]));
  announcer.shown(row(["p2"], "because you looked at Hats"));
  mock.timers.tick(700);
  announcer.shown(row(["p3"], "because you looked at Boots"));
  mock.timers.tick(700);
  assert.deepEqual(said, []);
  mock.timers.tick(100);
  assert.deepEqual(said, ["because you looked at Boots"]);
});

test("however often the row changes, little is told, and the last state always", () => {
  announcer.shown(row(["p0"]));
  for (let push = 1; push <= 300; push++) {
    announcer.shown(row([`p${push}`], `reason ${push}`));
    mock.timers.tick(100);
  }
  mock.timers.tick(6000);
  const told = said.filter(Boolean);
  assert.ok(told.length >= 4 && told.length <= 7, `${told.length} announcements in 36 s`);
  assert.equal(told.at(-1), "reason 300");
});

test("a row that is again what it was has not changed", () => {
  announcer.shown(row(["p1"]));
  announcer.shown(row(["p2"]));
  mock.timers.tick(500);
  announcer.shown(row(["p1"]));
  mock.timers.tick(10_000);
  assert.deepEqual(said, []);
});

test("popular products are no reason of the visitor's", () => {
  announcer.shown(row(["p1"]));
  announcer.shown([...row(["p2"], "popular now", "popular"), ...row(["p3"], "because you saved Hats")]);
  mock.timers.tick(1500);
  announcer.shown(row(["p4"], "popular now", "popular"));
  mock.timers.tick(5000);
  assert.deepEqual(said, ["because you saved Hats", undefined]);
  mock.timers.tick(1000);
  assert.deepEqual(said.slice(2), [""]);
});

test("old news are taken away, and all of them when the row becomes another", () => {
  announcer.shown(row(["p1"]));
  announcer.shown(row(["p2"]));
  mock.timers.tick(1500);
  mock.timers.tick(5000);
  assert.deepEqual(said, ["because you looked at Boots", undefined]);
  announcer.shown(row(["p3"]));
  announcer.startAnew();
  announcer.shown(row(["p4"]));
  mock.timers.tick(60_000);
  assert.deepEqual(said.slice(2), [undefined]);
});
