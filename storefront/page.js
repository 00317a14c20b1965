/**
 * What all rows of a page share: its settings, and one socket to each recommender with one subscription that
 * names every row.
 */

const LINGER_MS = 2000; // after the last row has gone: the page's next part may bring another
const COMPLAIN_MS = 5000; // after which rows that nobody has told where to ask say so
const SLOTS_MAX = 16; // a socket takes no more
const NAME_MAX = 60; // of the protocol's 64: a number may follow

/**
 * Rows' wishes as slots of one subscription: `{slots, names}`, with each wish's slot name, in the order of the
 * wishes. Wishes for the same thing share a slot; where a name is taken by something else a number follows it.
 * There is no name for those that are too many.
 */
export function asSlots(wishes) {
  const slots = new Map();
  const names = wishes.map(({ name, ...what }) => {
    const stem = cut(name || what.kind, NAME_MAX);
    for (let number = 1; ; number++) {
      const slot = { name: number === 1 ? stem : `${stem}-${number}`, ...what };
      const taken = slots.get(slot.name);
      if (taken && JSON.stringify(taken) !== JSON.stringify(slot)) continue;
      if (!taken && slots.size === SLOTS_MAX) return undefined;
      slots.set(slot.name, slot);
      return slot.name;
    }
  });
  return { slots: [...slots.values()], names };
}

/** The first characters of a text; never half of one. */
export const cut = (text, most) => Array.from(text).slice(0, most).join("");

/**
 * `connect`: live.js's. A member is `{wish, assigned, receive}`: `wish()` gives what it wants,
 * `{recommender?, ingest?, name?, kind, k, product_id?, product_ids?, query?, category?, page?, objective?, distinct?,
 * debug?}`, or null; `assigned(slot)` is told its slot, or undefined; `receive(message)` its newest recommendations;
 * `dismissed()`, where it has that, that a shopper wants less like something. Call `arrange` when a wish changes.
 */
export function createPage(connect) {
  const settings = {};
  const dismissed = new Set(); // product ids
  const members = new Set(); // in the order in which they joined
  const lines = new Map(); // recommender → line
  const trackers = new Map(); // ingest → promise of a tracker, where the page has given none
  let arranging;
  let complaining;

  /**
   * For all rows: `recommender` and `ingest` (URLs), `tracker` (tells who the visitor is, and of clicks), or
   * `visitor` alone; `href(item)`, `picture(item)`, `money(amount, currency)`; `onStatus(status)`; `page` {type,
   * category?}: which page of the shop this is, for rows that do not say it themselves; `profile`, the address of the
   * page that shows visitors what is known of them; `texts` in the shop's language: TEXTS of recommendations.js,
   * and `reasons` as in sentences.js.
   */
  function configure(given) {
    Object.assign(settings, given);
    arrange();
  }

  /** Adds a member; returns what takes it away again. */
  function join(member) {
    members.add(member);
    arrange();
    return () => {
      members.delete(member);
      arrange();
    };
  }

  /** Once for all that happens in one go, so that a page's rows are one subscription. */
  function arrange() {
    arranging ??= Promise.resolve().then(() => {
      arranging = undefined;
      arrangeNow();
    });
  }

  function arrangeNow() {
    const parts = new Map([...lines.keys()].map((recommender) => [recommender, []]));
    let isLost = false;
    for (const member of members) {
      const { recommender = settings.recommender, ingest, ...wished } = member.wish() ?? {};
      const isOnPage = settings.page && wished.kind && wished.kind !== "products";
      const what = isOnPage ? { ...wished, page: wished.page ?? settings.page } : wished;
      const canAsk = recommender && (settings.visitor || settings.tracker || ingest || settings.ingest);
      if (what.kind && canAsk) parts.set(recommender, [...(parts.get(recommender) ?? []), { member, what }]);
      else member.assigned(undefined);
      isLost ||= Boolean(what.kind) && !canAsk;
    }
    for (const [recommender, part] of parts) {
      if (!lines.has(recommender)) lines.set(recommender, openLine(recommender));
      lines.get(recommender).show(part);
    }
    clearTimeout(complaining);
    if (isLost) complaining = setTimeout(complain, COMPLAIN_MS);
  }

  const complain = () =>
    console.warn("eddy: <eddy-recommendations> needs to know whom to ask, and for whom: a recommender and an ingest " +
      "attribute, or configure({recommender, tracker}) of live.js");

  function openLine(recommender) {
    let live;
    let subscribed = new Map(); // slot's name → slot, as JSON
    let hearers = new Map(); // slot's name → members
    const newest = new Map(); // slot's name → message
    let closing;

    function show(part) {
      const { slots, names } = asSlots(part.map(({ what }) => what));
      const before = { subscribed, hearers };
      subscribed = new Map(slots.map((slot) => [slot.name, JSON.stringify(slot)]));
      for (const name of newest.keys()) if (subscribed.get(name) !== before.subscribed.get(name)) newest.delete(name);
      hearers = new Map(slots.map(({ name }) => [name, part.filter((_, at) => names[at] === name).map(({ member }) => member)]));
      subscribe(slots, String([...subscribed.values()]) !== String([...before.subscribed.values()]));
      part.forEach(({ member }, at) => member.assigned(slots.find(({ name }) => name === names[at])));
      for (const [name, message] of newest) {
        const known = before.hearers.get(name) ?? [];
        for (const member of hearers.get(name)) if (!known.includes(member)) member.receive(message);
      }
      if (names.includes(undefined)) console.warn(`eddy: more than ${SLOTS_MAX} rows on a page, the last are not filled`);
    }

    function subscribe(slots, isNew) {
      clearTimeout(closing);
      if (!slots.length) closing = setTimeout(close, LINGER_MS);
      else if (!live) live = connect({ recommender, visitor, slots, onRecommendations, onStatus });
      else if (isNew) live.subscribe(slots);
    }

    function close() {
      lines.delete(recommender);
      live?.close();
    }

    function onRecommendations(message) {
      if (!hearers.has(message.slot)) return;
      newest.set(message.slot, message);
      for (const member of hearers.get(message.slot)) member.receive(message);
    }

    return { show };
  }

  const state = { status: undefined };

  function onStatus(status) {
    state.status = status;
    settings.onStatus?.(status);
    for (const member of members) member.told?.();
  }

  async function visitor(refused) {
    return settings.visitor ? settings.visitor(refused) : (await tracker()).visitor(refused);
  }

  /** The page's tracker; where an ingest URL is all that is known, one of our own. */
  async function tracker() {
    if (settings.tracker) return settings.tracker;
    const wished = [...members].map((member) => member.wish()?.ingest);
    const ingest = settings.ingest ?? wished.find(Boolean);
    if (!ingest) throw new Error("nobody has told where ingest is");
    if (!trackers.has(ingest)) {
      const made = import("./tracker.js").then(({ createTracker }) => createTracker({ ingest }));
      trackers.set(ingest, made);
      made.catch(() => trackers.delete(ingest)); // the network may be back at the next try
    }
    return trackers.get(ingest);
  }

  /** Tells of an event, where the page has a tracker; its id, or a promise of it. */
  function track(type, fields) {
    if (settings.tracker) return settings.tracker.track(type, fields); // at once: the page may be about to go
    return [...trackers.values()].map((made) => made.then((found) => found.track(type, fields)))[0];
  }

  /** The shopper wants less like this product: no row of the page shows it any more. */
  function dismiss(product_id, list_id, recommendation_id) {
    dismissed.add(product_id);
    track("dismiss_item", { product_id, list_id, recommendation_id });
    for (const member of members) member.dismissed?.();
  }

  /** Opens what "Why?" shows of a card: see popover.js. */
  async function ask({ dismiss: asWell, ...asked }) {
    const { openPopover } = await import("./popover.js");
    const { item, slot, recommendation_id } = asked;
    openPopover({
      ...asked, settings, visitor,
      dismiss() {
        dismiss(item.product_id, slot?.name, recommendation_id);
        asWell?.();
      },
    });
  }

  return { settings, state, dismissed, configure, join, arrange, track, ask };
}
