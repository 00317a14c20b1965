/** What tracker.js and live.js find in a browser, made of plain objects: storage, network, sockets, events. */

import { mock } from "node:test";

export const NOW = Date.parse("2026-01-05T10:00:00Z");
export const VISITOR = { visitor_id: "visitor-1", token: "token-1", expires_at: NOW + 30 * 86_400_000 };

export class FakeStorage {
  #entries = new Map();
  get length() { return this.#entries.size; }
  key(place) { return [...this.#entries.keys()][place] ?? null; }
  getItem(key) { return this.#entries.get(key) ?? null; }
  setItem(key, value) { this.#entries.set(key, String(value)); }
  removeItem(key) { this.#entries.delete(key); }
  values(prefix) { return [...this.#entries].filter(([key]) => key.startsWith(prefix)).map(([, value]) => value); }
}

/** Web Locks: one holder a name; the next one comes in a later turn, as in a browser. */
export class FakeLocks {
  #last = new Map();
  request(name, run) {
    const turn = new Promise(setImmediate);
    const mine = (this.#last.get(name) ?? turn).catch(() => {}).then(() => turn).then(run);
    this.#last.set(name, mine.catch(() => {}).then(() => new Promise(setImmediate)));
    return mine.then(async (value) => (await new Promise(setImmediate), value));
  }
}

/**
 * Puts a browser in place. `answer(request)` gives {status, body?, headers?} or throws; by default ingest
 * takes everything. Returns what was sent, and levers to pull.
 */
export function openBrowser({ answer = () => undefined, storage = new FakeStorage(), locks = true } = {}) {
  const target = new EventTarget();
  const requests = [];
  const warnings = [];
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: NOW });
  mock.method(console, "warn", (...what) => warnings.push(what.join(" ")));
  const globals = {
    localStorage: storage,
    navigator: { language: "en-GB", locks: locks ? new FakeLocks() : undefined },
    location: new URL("http://shop.test/products/p0001?secret=1"),
    document: Object.assign(new EventTarget(), { referrer: "http://shop.test/category/Women/Shoes", visibilityState: "visible" }),
    matchMedia: () => ({ matches: false }),
    addEventListener: target.addEventListener.bind(target),
    removeEventListener: target.removeEventListener.bind(target),
    dispatchEvent: target.dispatchEvent.bind(target),
    fetch: async (url, options = {}) => {
      const { pathname, search } = new URL(url);
      const request = { path: pathname, search, token: options.headers?.["X-Eddy-Token"] ?? null, options };
      if (options.body !== undefined) request.body = JSON.parse(options.body);
      requests.push(request);
      const { status, body, headers } = (await answer(request)) ?? usual(request);
      return new Response(JSON.stringify(body ?? {}), { status, headers });
    },
  };
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  return {
    requests,
    warnings,
    storage,
    batches: () => requests.filter(({ path }) => path === "/v1/events"),
    events: () => requests.filter(({ path }) => path === "/v1/events").flatMap(({ body }) => body.events),
    waiting: () => storage.values("eddy.event.").map((raw) => JSON.parse(raw)),
    emit: (name) => target.dispatchEvent(new Event(name)),
  };
}

function usual({ path, body }) {
  if (path === "/v1/visitors") return { status: 200, body: VISITOR };
  return { status: 202, body: { accepted: body?.events?.length ?? 0, rejected: [] } };
}

/** Lets everything happen that waits for nothing but its turn. */
export async function settled() {
  for (let turn = 0; turn < 60; turn++) await new Promise(setImmediate);
}

/** The clock moves on, and what was due happens. */
export async function after(ms) {
  mock.timers.tick(ms);
  await settled();
}

export class FakeSocket extends EventTarget {
  static all = [];
  readyState = 0;
  sent = [];
  constructor(url) {
    super();
    this.url = new URL(url);
    FakeSocket.all.push(this);
  }
  static get last() { return FakeSocket.all.at(-1); }
  open() { this.readyState = 1; this.onopen?.(); }
  say(message) { this.onmessage?.({ data: JSON.stringify(message) }); }
  end(code = 1006) { this.readyState = 3; this.onclose?.({ code }); }
  send(text) { this.sent.push(JSON.parse(text)); }
  close() { this.readyState = 3; }
}
