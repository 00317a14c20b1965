/**
 * Takes a shopper's events to Eddy's ingest API. An event goes into localStorage first, is sent at once, and
 * leaves the queue only when ingest has acknowledged it. Its id is made once: a retry is no second event.
 *
 *   const tracker = createTracker({ ingest: "https://ingest.example" });
 *   tracker.track("view_item", { product_id: "p0001" });
 *   tracker.listenToDataLayer(window.dataLayer);
 */

// Event types, by `python -m infra.event_types`:
const TYPES = new Set([
  "view_item_list", "select_item", "view_item", "add_to_cart", "remove_from_cart", "add_to_wishlist",
  "begin_checkout", "purchase", "search", "dismiss_item",
]);
const WITHOUT_PRODUCT = new Set(["view_item_list", "begin_checkout", "search"]);
const ABOUT_ONE = new Set(["select_item", "view_item"]);
// (end of event types)
const REMEMBERED = ["user_id", "currency"];

const BATCH_EVENTS = 2500;
const BATCH_BYTES = 480_000; // ingest takes 500 KiB
const KEEPALIVE_BYTES = 60_000; // browsers take 64 KiB that outlive a page
const QUEUE_MAX = 2000;
const FIRST_WAIT_MS = 500;
const LAST_WAIT_MS = 10_000; // so a page is right again within 15 s of any outage
const TIMEOUT_MS = 10_000;
const LAST_BREATH_MS = 100;
const RENEW_BEFORE_MS = 86_400_000; // a day
const HOPELESS = new Set([400, 413, 415, 422]); // sent again, these would be refused again

/** Ms to wait after so many failures in a row: anything up to 0.5 s, 1 s, 2 s, … `lastMs`, so that not all come at once. */
export const backoff = (failures, lastMs = LAST_WAIT_MS) =>
  Math.random() * Math.min(lastMs, FIRST_WAIT_MS * 2 ** Math.min(failures - 1, 16));

const typeInGA4 = (entry) => (entry?.[0] === "event" ? entry[1] : entry?.event);

/**
 * A GA4 event in Eddy's words, `[type, fields]`, or null for what Eddy does not take. `entry` is what was
 * pushed to a dataLayer: `{event, ecommerce}`, or the arguments of `gtag("event", name, params)`; `known` is
 * what earlier entries said of all that follow. Ingest makes one event of an order, however often it is told.
 */
export function fromGA4(entry, known = {}) {
  const type = typeInGA4(entry);
  if (!TYPES.has(type)) return null;
  const said = entry[0] === "event" ? entry[2] : { ...(type !== "search" && known.ecommerce), ...entry, ...entry.ecommerce };
  const params = { ...known, ...said };
  const given = Array.isArray(params.items) ? params.items : [];
  const items = given.map(line).filter((each) => each.product_id);
  const query = type === "search" ? text(params.search_term) : undefined;
  if ((!items.length && !WITHOUT_PRODUCT.has(type)) || (type === "search" && !query)) return null;
  const isOne = ABOUT_ONE.has(type) && items.length === 1;
  return [type, {
    order_id: type === "purchase" ? text(params.transaction_id) : undefined,
    product_id: isOne ? items[0].product_id : undefined,
    items: isOne || !items.length ? undefined : items,
    value: number(params.value),
    currency: [params, ...given].map((each) => text(each?.currency)?.trim().toUpperCase()).find((code) => /^[A-Z]{3}$/.test(code)),
    list_id: text(listOf(params) ?? listOf(given[0])),
    recommendation_id: text(params.recommendation_id),
    user_id: text(params.user_id),
    query,
  }];
}

/** What an entry says of all events after it, as `set`, `config` and GTM's data layer have it. Null takes it back. */
function saidOfAll(entry, known) {
  const { 0: command, 1: target, 2: value, event, ecommerce } = entry ?? {};
  if (command === "event") return {};
  const isPair = command === "set" && typeof target === "string";
  const said = isPair ? { [target]: value } : command === "set" ? target : command === "config" ? value : entry;
  const all = Object.fromEntries(REMEMBERED.filter((name) => said?.[name] !== undefined).map((name) => [name, said[name]]));
  if (ecommerce === null || (ecommerce && !event)) all.ecommerce = ecommerce && { ...known.ecommerce, ...ecommerce };
  return all;
}

const listOf = (named) => named?.item_list_id ?? named?.item_list_name;
const text = (value) => (value === undefined || value === null ? undefined : cut(String(value), 256) || undefined);
const number = (value) => (value !== null && value !== "" && Number.isFinite(Number(value)) ? Number(value) : undefined);

function line(item) {
  const price = number(item?.price);
  const quantity = Math.floor(number(item?.quantity) ?? 0);
  return {
    product_id: cut(text(item?.item_id) ?? text(item?.id), 128), // `id`: what gtag.js took before GA4
    quantity: quantity >= 1 ? quantity : undefined,
    price: price >= 0 ? price : undefined,
  };
}

/**
 * A tracker. `ingest` is the ingest API's origin; `onTracked(event)` is told of every event; `prefix` names
 * the keys in localStorage. Tabs share one queue without harm: each event has a key of its own. `traceShare` (0
 * to 1) of the requests ask for a trace of their way to the page.
 */
export function createTracker({ ingest, prefix = "eddy", queueMax = QUEUE_MAX, onTracked = () => {}, traceShare = 0 }) {
  const base = ingest.replace(/\/+$/, "");
  const store = openStore();
  const visitorKey = `${prefix}.visitor`;
  const eventPrefix = `${prefix}.event.`;
  const underWay = new Set(); // keys of events that this page is sending
  const layers = new WeakSet(); // dataLayers that are listened to
  const taken = new WeakSet(); // their entries
  let said = {}; // by their entries, of all that follows
  let batchEvents = BATCH_EVENTS;
  let failures = 0;
  let timer; // set while waiting to try again
  let sending;
  let hasMore = false; // tracked since the loop looked
  let pause; // while it sends: ms to wait after an answer that asks for it, or 0
  let second; // what is sent beside the first batch
  let kept = 0; // bytes of requests that outlive the page
  let asking;
  let isThere; // ingest has answered as it does
  let lastTick = 0;
  let page = { now: here(), before: referrer() };

  /** The visitor, as {visitor_id, token, expires_at}. With a token that was refused: another one. */
  function visitor(refused) {
    const known = knownVisitor();
    if (isFresh(known, refused)) return Promise.resolve(known);
    return (asking ??= alone("visitor", () => askForVisitor(refused)).finally(() => (asking = undefined)));
  }

  function knownVisitor() {
    try {
      return JSON.parse(store.get(visitorKey));
    } catch {
      return null;
    }
  }

  const isFresh = (known, refused) =>
    known && known.token !== refused && known.expires_at - Date.now() > RENEW_BEFORE_MS;

  async function askForVisitor(refused) {
    const old = knownVisitor(); // another tab may have asked in the meantime
    if (isFresh(old, refused)) return old;
    try {
      let response = old && (await post("/v1/visitors", JSON.stringify({ token: old.token })));
      const isLost = response && response.status >= 400 && response.status < 500 && response.status !== 429;
      if (!response || isLost) response = await post("/v1/visitors", "{}");
      if (!response.ok) throw Object.assign(new Error(`no visitor: ${response.status}`), { response });
      const found = await response.json();
      store.set(visitorKey, JSON.stringify(found));
      return found;
    } catch (error) {
      if (old && old.token !== refused && old.expires_at > Date.now()) return old; // good for a while yet
      throw error;
    }
  }

  /** Forgets the visitor and what waits to be sent, in this browser: what comes next is of another visitor. */
  function forget() {
    for (const key of [visitorKey, ...keys()]) store.remove(key);
    said = {};
  }

  /**
   * The shopper has logged in: this visitor is that user. `userHash` is the shop's signature of the id, which
   * proves it (embed.md); without it that is a claim. Resolves to whether ingest has taken it.
   */
  async function identify(userId, userHash) {
    const { visitor_id, token } = await visitor();
    const traits = userHash === undefined ? {} : { user_hash: userHash };
    const message = { anonymousId: visitor_id, userId, traits, timestamp: new Date().toISOString() };
    return (await post("/v1/identify", JSON.stringify(message), token)).ok;
  }

  /** Queues an event of one of the nine types, sends it at once, and returns its id. */
  function track(type, fields = {}) {
    const occurred_at = tick();
    const context = { ...contextNow(), ...fields.context };
    const given = { event_id: ulid(occurred_at), type, occurred_at, ...fields, context };
    const event = JSON.parse(JSON.stringify(given, (_, value) => (typeof value === "string" ? whole(value) : value)));
    // An order is the last in the queue, and the last to be dropped.
    store.set(eventPrefix + (event.order_id ? "~" : "") + event.event_id, JSON.stringify(event));
    const queued = keys();
    for (const key of queued.slice(0, Math.max(0, queued.length - queueMax))) store.remove(key);
    if (queued.length > queueMax) console.warn(`eddy: more than ${queueMax} events wait, the oldest is dropped`);
    onTracked(event);
    Promise.resolve().then(() => timer ?? pump()); // what is tracked in one go travels together
    return event.event_id;
  }

  /** Tries at once, whatever the wait; resolves when the queue is empty or the next try is due later. */
  function flush() {
    clearTimeout(timer);
    timer = undefined;
    return pump();
  }

  function pump() {
    hasMore = true;
    if (pause === 0) second ??= sendWaiting().finally(() => (second = undefined));
    return (sending ??= sendAll());
  }

  async function sendAll() {
    let wait;
    do {
      hasMore = false;
      wait = await alone("send", sendBoth).catch(waitAfter);
    } while (!wait && hasMore);
    sending = undefined; // in the same turn as the look at hasMore: nothing slips through in between
    if (wait) later(wait);
  }

  /** What is tracked meanwhile waits for no answer: an event has its own time. Other tabs wait for both. */
  async function sendBoth() {
    pause = 0;
    await sendWaiting();
    while (second) await second;
    const wait = pause;
    pause = undefined;
    return wait;
  }

  async function sendWaiting() {
    let wait;
    do {
      wait = await sendNext().catch(waitAfter);
      pause = Math.max(pause, wait ?? 0);
    } while (wait === 0 && !pause);
  }

  function later(wait) {
    clearTimeout(timer);
    timer = setTimeout(flush, wait);
  }

  /** Undefined: nothing to send. 0: go on. Otherwise the ms to wait. */
  async function sendNext() {
    const who = nextBatch(BATCH_BYTES).length ? await visitor() : undefined;
    const batch = nextBatch(BATCH_BYTES); // more may have come while the visitor was asked for
    return who && batch.length ? send(batch, who) : undefined;
  }

  async function send(batch, who, isSecondTry = false) {
    batch.forEach(({ key }) => underWay.add(key));
    const release = () => batch.forEach(({ key }) => underWay.delete(key));
    try {
      const events = batch.map(({ event }) => ({ ...event, visitor_id: who.visitor_id }));
      const response = await post("/v1/events", JSON.stringify({ events }), who.token, traceContext());
      if (response.status === 401 && !isSecondTry) return await send(batch, await visitor(who.token), true);
      const wait = await settle(batch, response);
      release();
      return wait;
    } catch (error) {
      // A page that ends sees its requests fail, though they go on without it: these need no second one.
      setTimeout(() => [release(), timer ?? pump()], LAST_BREATH_MS);
      throw error;
    }
  }

  async function settle(batch, response) {
    const { status } = response;
    if (status !== 202 && !HOPELESS.has(status)) return waitAfter({ response });
    const answer = await response.json().catch(() => ({}));
    const isJudged = status === 202 || answer.rejected?.length === batch.length; // each event by itself
    if (!isJudged && batch.length > 1) {
      batchEvents = Math.ceil(batch.length / 2); // one event is at fault, or there are too many
      return 0;
    }
    batch.forEach(({ key }) => store.remove(key));
    globalThis.dispatchEvent?.(new Event("eddy-taken")); // live.js expects a row
    batchEvents = Math.min(BATCH_EVENTS, batchEvents * 2);
    if (status !== 202 || answer.rejected?.length) console.warn("eddy: events were refused", status, answer);
    if (!isJudged && status !== 413) return waitAfter({ response }); // if the fault is elsewhere, the others have time
    failures = 0;
    return 0;
  }

  function waitAfter(error) {
    const asked = error?.response?.headers.get("Retry-After");
    const seconds = asked ? Number(asked) || (Date.parse(asked) - Date.now()) / 1000 || 0 : 0;
    return Math.max(1, backoff(++failures) + 1000 * Math.max(0, seconds));
  }

  const keys = () => store.keys().filter((key) => key.startsWith(eventPrefix)).sort(); // ULIDs: oldest first

  function nextBatch(maxBytes) {
    const batch = [];
    let bytes = 0;
    for (const key of keys()) {
      if (batch.length === batchEvents) break;
      if (underWay.has(key)) continue;
      const raw = store.get(key);
      bytes += size(raw ?? "") + 100; // 100: the visitor's id
      if (batch.length && bytes > maxBytes) break;
      try {
        batch.push({ key, event: JSON.parse(raw) ?? {} });
      } catch {
        store.remove(key);
      }
    }
    return batch;
  }

  /** The page may be gone in a moment: no lock, no waiting, and a request that outlives it. */
  function leave() {
    const who = knownVisitor();
    const batch = who ? nextBatch(KEEPALIVE_BYTES - kept) : [];
    if (batch.length) send(batch, who).catch(waitAfter).then((wait) => wait && later(wait));
  }

  /** The token goes in a header: addresses are logged. The browser asks for that first, once in two hours. */
  function post(path, body, token, trace) {
    const bytes = size(body);
    const keepalive = kept + bytes <= KEEPALIVE_BYTES;
    if (keepalive) kept += bytes;
    return fetch(base + path, {
      method: "POST",
      body,
      headers: { "Content-Type": "text/plain", ...(token && { "X-Eddy-Token": token }), ...trace },
      keepalive,
      credentials: "omit",
      signal: AbortSignal.timeout?.(TIMEOUT_MS),
    })
      .then((response) => {
        isThere ||= response.ok;
        if (!isThere) complain({ response: response.clone() });
        return response;
      }, (error) => {
        if (!isThere) complain(error);
        throw error;
      })
      .finally(() => keepalive && (kept -= bytes));
  }

  /** W3C's headers. By `tracestate` ingest knows that this span is nobody's but ours, and records it for us. */
  function traceContext() {
    if (Math.random() >= traceShare) return undefined;
    const span = hex(8);
    return { traceparent: `00-${hex(16)}-${span}-01`, tracestate: `eddy=${span}` };
  }

  const complain = (about) => import("./diagnosis.js").then(({ judge }) => judge("ingest", base, about)).catch(() => {});

  /** Runs while no other tab runs the same. */
  function alone(what, run) {
    const locks = globalThis.navigator?.locks;
    return locks ? locks.request(`${prefix}.${what}`, run) : Promise.resolve().then(run);
  }

  /** Sends what is pushed to a GA4 dataLayer, what was pushed before included, and to one that replaces it. */
  function listenToDataLayer(layer = (globalThis.dataLayer ??= [])) {
    if (layers.has(layer)) return;
    layers.add(layer);
    const push = layer.push;
    layer.push = function (...entries) {
      const length = push.apply(layer, entries);
      entries.forEach(take);
      return length;
    };
    [...layer].filter((entry) => !taken.has(entry)).forEach(take); // a layer that replaces one may copy it
    if (globalThis.dataLayer === layer) watchForAnother(layer);
  }

  function take(entry) {
    try {
      if (Object(entry) === entry) taken.add(entry);
      said = { ...said, ...saidOfAll(entry, said) };
      const found = fromGA4(entry, said);
      if (found) track(...found);
      else if (TYPES.has(typeInGA4(entry))) {
        console.warn("eddy: a GA4 event is passed over: items need an item_id, a search its search_term", entry);
      }
    } catch (error) {
      console.warn("eddy: a dataLayer entry could not be read", error);
    }
  }

  function watchForAnother(layer) {
    const set = (next) => {
      layer = next;
      if (Array.isArray(next)) listenToDataLayer(next);
    };
    try {
      Object.defineProperty(globalThis, "dataLayer", { get: () => layer, set, configurable: true, enumerable: true });
    } catch {
      // declared with `var`: the browser lets nobody watch it
    }
  }

  function tick() {
    const now = Date.now();
    lastTick = now <= lastTick && lastTick - now < 1000 ? lastTick + 1 : now; // no two events at one time
    return lastTick;
  }

  function contextNow() {
    if (here() !== page.now) page = { now: here(), before: page.now };
    const coarse = globalThis.matchMedia?.("(pointer: coarse)").matches;
    const { language } = globalThis.navigator ?? {};
    return { page: page.now, referrer: page.before, locale: language, device: coarse ? "mobile" : "desktop" };
  }

  globalThis.addEventListener?.("online", flush);
  globalThis.addEventListener?.("pagehide", leave);
  globalThis.document?.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") leave();
  });
  if (keys().length) pump(); // what an earlier page has left

  return { visitor, identify, forget, track, flush, listenToDataLayer, queued: () => keys().length };
}

const here = () => cut(globalThis.location?.pathname, 2048);

function referrer() {
  try {
    const from = new URL(document.referrer);
    return cut(from.origin === location.origin ? from.pathname : from.origin, 2048);
  } catch {
    return undefined;
  }
}

/** A text of at most so many UTF-16 units, cut between characters: half an emoji is no text, and JSON refuses it. */
const cut = (value, length) => value?.slice(0, /[\ud800-\udbff]/.test(value[length - 1]) ? length - 1 : length);

/** A text with a mark for each half of a character that a page has left in it. */
const whole = (value) => value.replace(/\p{Surrogate}/gu, "\ufffd"); // with `u`, pairs are one character

const hex = (bytes) => Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (each) => each.toString(16).padStart(2, "0")).join("");

const size = (string) => new TextEncoder().encode(string).length;

const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** A ULID: 48 bits of time in ms, 80 of chance, in Crockford's base 32. */
function ulid(time) {
  let id = "";
  for (let rest = time, place = 0; place < 10; place++, rest = Math.floor(rest / 32)) id = DIGITS[rest % 32] + id;
  for (const byte of crypto.getRandomValues(new Uint8Array(16))) id += DIGITS[byte % 32];
  return id;
}

/** localStorage; memory for what it does not take (private windows, a full disk). */
function openStore() {
  const memory = new Map();
  let local;
  try {
    local = globalThis.localStorage;
  } catch {
    // forbidden: cookies are blocked
  }
  return {
    get: (key) => memory.get(key) ?? local?.getItem(key) ?? null,
    set(key, value) {
      try {
        local.setItem(key, value);
      } catch {
        memory.set(key, value);
      }
    },
    remove(key) {
      memory.delete(key);
      local?.removeItem(key);
    },
    keys: () => [...Array.from({ length: local?.length ?? 0 }, (_, place) => local.key(place)), ...memory.keys()],
  };
}
