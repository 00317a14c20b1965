/** The way of the last event, from the click to the changed row, in ms. Off until E is pressed. */

const REMEMBERED = 300;
const STEPS = [
  ["accepted", "Ingest has it in Kafka"],
  ["folded", "The session has it"],
  ["pushed", "The row is made and sent"],
  ["shown", "The page shows it"],
];

/** `element`: the <aside>; `button`: shows and hides it, as E does. */
export function createPanel(element, button) {
  const events = new Map(); // event_id → {type, at}
  const state = { status: "connecting", queued: 0, row: {} };

  function toggle() {
    element.hidden = !element.hidden;
    draw();
  }

  function tracked({ event_id, type }) {
    events.set(event_id, { type, at: Date.now() });
    if (events.size > REMEMBERED) events.delete(events.keys().next().value);
  }

  /** A message is on show now. Only one that an event has caused has a way to tell. */
  function pushed(message, queued) {
    const { caused_by, timing, slot } = message;
    Object.assign(state, { row: message, queued });
    const cause = events.get(caused_by);
    if (slot === "for_you" && caused_by && (timing?.accepted_at || (cause && !cause.isShown))) {
      const { accepted_at, folded_at, pushed_at } = timing ?? {};
      const start = cause?.at ?? accepted_at;
      const times = { accepted: accepted_at, folded: folded_at, pushed: pushed_at, shown: Date.now() };
      state.way = { id: caused_by, type: cause?.type ?? "on another page", start, times };
      if (cause) cause.isShown = true;
    }
    draw();
  }

  function status(now) {
    state.status = now;
    draw();
  }

  /** What read the words of the search on show, if there is one. */
  function understood(by) {
    state.words = by;
    draw();
  }

  function draw() {
    if (element.hidden) return;
    const { way, row, words } = state;
    element.replaceChildren(
      node("h2", "The way of the last event"),
      ...(way ? drawWay(way) : [node("p", "Open a product, and its way appears here.", "quiet")]),
      facts({
        connection: state.status,
        waiting: `${state.queued} event${state.queued === 1 ? "" : "s"}`,
        ...row.models,
        ...(words && { "words read by": words }),
        ...(row.fallback && { "in place of the row": row.fallback }),
        ...row.experiments,
        ...(row.recommendation_id && { row: row.recommendation_id }),
      }),
      node("p", "E closes this.", "quiet"),
    );
  }

  button.addEventListener("click", toggle);
  addEventListener("keydown", (event) => {
    const isTyping = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (event.key.toLowerCase() !== "e" || event.ctrlKey || event.metaKey || event.altKey || isTyping) return;
    toggle();
  });
  return { tracked, pushed, status, understood };
}

function drawWay({ id, type, start, times }) {
  const whole = Math.max(times.shown - start, 1);
  const list = node("ol", "", "way");
  let last = start;
  for (const [name, meaning] of STEPS) {
    if (!times[name]) continue;
    const row = node("li");
    const bar = node("span", "", "bar");
    bar.style.setProperty("--from", share(last - start, whole));
    bar.style.setProperty("--to", share(times[name] - start, whole));
    row.title = meaning;
    row.append(node("span", name), bar, node("b", `${Math.max(0, times[name] - start).toFixed(0)} ms`));
    list.append(row);
    last = times[name];
  }
  return [node("p", `${type} `, "what"), node("code", id), list];
}

const share = (part, whole) => Math.min(1, Math.max(0, part / whole)).toFixed(3);

function facts(entries) {
  const list = node("dl");
  for (const [name, value] of Object.entries(entries)) list.append(node("dt", name), node("dd", value));
  return list;
}

function node(name, text = "", className = "") {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}
