/** A visitor's own page: what the recommender thinks it likes, why, and a way to be somebody new. */

import { address, money } from "./showing.js";

const WITHIN_MS = 5000;
const AGAIN_MS = 200;
const FIRST = 12; // events on show at first
// Event types, by `python -m infra.event_types`:
const DEEDS = {
  view_item_list: "Saw in a list", select_item: "Clicked", view_item: "Looked at", add_to_cart: "Put in the cart",
  remove_from_cart: "Took out of the cart", add_to_wishlist: "Saved", begin_checkout: "Went to check out with",
  purchase: "Bought", search: "Searched", dismiss_item: "Asked for less like",
};
// (end of event types)
const BECAUSE = {
  add_to_cart: "you put {} in your cart", add_to_wishlist: "you saved {}", purchase: "you bought {}",
};
const STEPS = [["day", 86_400_000], ["hour", 3_600_000], ["minute", 60_000]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** `show(main)` takes a new page; `again()` asks anew: the visitor has done something. */
export function createProfile({ ask, tracker, leave }) {
  let main;
  let turn = 0;
  let waiting;
  let isWhole = false;

  function show(next) {
    clearTimeout(waiting);
    main = "profile" in next.dataset ? next : undefined;
    isWhole = false;
    if (!main) return;
    part("forget").addEventListener("click", forget);
    load();
  }

  /** First the shop, then this browser: without the token nobody could ask for it again. */
  async function forget() {
    part("forget").disabled = true;
    part("refused").hidden = true;
    try {
      const { token } = await tracker.visitor();
      const headers = { "Content-Type": "application/json" };
      const answer = await fetch("/forget", { method: "POST", headers, body: JSON.stringify({ token }) });
      if (!answer.ok) throw new Error(answer.status);
    } catch {
      part("refused").hidden = false;
      part("forget").disabled = false;
      return;
    }
    tracker.forget();
    leave("/profile?forgotten");
  }

  const part = (name) => main.querySelector(`[data-part=${name}]`);

  async function load() {
    const mine = ++turn;
    try {
      const { visitor_id, token } = await tracker.visitor();
      const found = await ask(`/v1/visitors/${encodeURIComponent(visitor_id)}/profile`, WITHIN_MS, token);
      if (mine === turn && main) draw(found);
    } catch {
      if (mine === turn && main && part("known").hidden) part("state").textContent = "The recommender does not answer at the moment. It is asked again with your next click.";
    }
  }

  function draw(found) {
    const { interests, visitors, experiments, visitor_id } = found;
    const events = [...found.events, ...(found.searches ?? []).map((search) => ({ type: "search", ...search }))]
      .sort((one, other) => other.occurred_at - one.occurred_at);
    part("state").hidden = events.length > 0;
    part("state").textContent = "Nothing yet. You are new to us: open a product or two, and come back.";
    part("known").hidden = false;
    part("liked").hidden = !interests.length;
    part("interests").replaceChildren(...interests.map(drawInterest));
    part("happened").hidden = !events.length;
    const shown = isWhole ? events : events.slice(0, FIRST);
    part("events").replaceChildren(...shown.map(drawEvent));
    part("all").hidden = shown.length === events.length;
    part("all").textContent = `Show all ${events.length}`;
    part("all").onclick = () => {
      isWhole = true;
      draw(found);
    };
    part("visitor").textContent = visitor_id;
    part("browsers").textContent = visitors > 1 ? `${visitors} browsers, known to be you` : "This browser alone";
    const tests = Object.entries(experiments).map(([name, variant]) => `${name}: ${variant}`);
    part("experiments").textContent = tests.join(", ") || "You are part of none";
  }

  function again() {
    clearTimeout(waiting);
    if (main) waiting = setTimeout(load, AGAIN_MS);
  }

  return { show, again };
}

function drawInterest({ category, weight, because, path = [], types = [], tags = [], brands = [], price }) {
  const meter = node("progress", { max: 1, value: weight });
  meter.setAttribute("aria-label", `${category}: ${percent(weight)} of what you look at`);
  const [before, after] = (BECAUSE[because.type] ?? "you looked at {}").split("{}");
  const why = node("p", { className: "quiet" }, "because ", before, named(because), after);
  const shelf = node("strong", {}, path.length ? path.join(" › ") : category);
  const known = new Set(path.map((step) => step.toLowerCase()));
  const words = [...types.filter((type) => !known.has(type) && !known.has(`${type}s`)), ...tags, ...brands];
  const told = [words.join(", "), price && range(price)].filter(Boolean).join("; ");
  return node("li", {}, shelf, node("span", { className: "share" }, percent(weight)), meter, ...(told ? [node("p", {}, told)] : []), why);
}

/** "€177 to €191": what was looked at, or about what it points to. */
function range({ about, low = about, high = about, currency }) {
  const [from, to] = [low, high].map((amount) => money(Math.round(amount), currency, true));
  return from === to ? `about ${from}` : `${from} to ${to}`;
}

function drawEvent(event) {
  const at = node("time", { className: "quiet", dateTime: new Date(event.occurred_at).toISOString() }, ago(event.occurred_at));
  const what = event.words ? node("a", { href: `/search?q=${encodeURIComponent(event.words)}` }, `“${event.words}”`) : named(event);
  return node("li", {}, node("span", {}, `${DEEDS[event.type] ?? event.type} `, what), at);
}

const named = ({ product_id, name }) => (name ? node("a", { href: address(product_id) }, name) : node("span", {}, "something that is no longer sold"));

const percent = (share) => `${Math.round(100 * share)} %`;

function ago(time) {
  const passed = time - Date.now();
  const [unit, ms] = STEPS.find(([, ms]) => -passed >= ms) ?? [];
  return unit ? relative.format(Math.round(passed / ms), unit) : "just now";
}

function node(name, fields = {}, ...children) {
  const made = Object.assign(document.createElement(name), fields);
  made.append(...children);
  return made;
}
