/**
 * What opens at "Why?": the event behind a product, the parts of its score as bars, "less of this", and the way to the
 * profile. A <dialog> of the page's own, in an <eddy-why> at its end; style it by its parts. Loaded when one asks.
 */

import { named, node, safe } from "./markup.js";

export const TEXTS = {
  title: "Why this?",
  less: "Less of this",
  profile: "What we think you like",
  close: "Close",
  strength: "in all",
  bars: "What counted",
  parts: {
    text: "words", image: "looks", caption: "its name's looks", category: "shelf", brand: "brand", type: "type",
    price: "price", popularity: "popularity", behaviour: "other visitors", session: "your visit",
  },
};
const BARS = 5;
const BY_CHANCE = 0.08; // of a full bar
const MARGIN = 8; // px between a card and what opens at it, and to the window's edge
const NARROW = 480; // px: there it lies at the bottom
const STEPS = [["day", 86_400_000], ["hour", 3_600_000], ["minute", 60_000]];

const CSS = `
dialog { position: fixed; box-sizing: border-box; width: min(20rem, calc(100vw - 1rem)); max-height: calc(100vh - 1rem); margin: 0; padding: 1rem 1.1rem 1.1rem; overflow: auto; color: var(--eddy-popover-ink, CanvasText); background: var(--eddy-popover, Canvas); border: 1px solid var(--eddy-line, color-mix(in srgb, currentColor 24%, transparent)); border-radius: var(--eddy-radius, .75rem); box-shadow: 0 12px 40px rgb(0 0 0 / 22%); font-size: .9375rem; line-height: 1.4; }
dialog::backdrop { background: rgb(0 0 0 / 18%); }
.head { display: flex; align-items: start; gap: 1rem; }
h2 { flex: 1; margin: .55rem 0 .35rem; font-size: 1rem; line-height: 1.3; }
h2::first-letter, li::first-letter { text-transform: uppercase; }
ul { margin: 0 0 .75rem; padding: 0; list-style: none; }
li + li { margin-top: .15rem; }
.quiet { opacity: .74; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .35rem .75rem; align-items: center; margin: 0 0 .9rem; font-size: .8125rem; }
dd { margin: 0; height: .5rem; border-radius: .25rem; background: color-mix(in srgb, currentColor 10%, transparent); overflow: hidden; }
.bar { display: block; height: 100%; border-radius: inherit; background: var(--eddy-bar, currentColor); }
.bar.against { opacity: .4; }
.foot { display: flex; flex-wrap: wrap; align-items: center; gap: .35rem 1rem; }
button, a { min-height: 2.75rem; font: inherit; color: inherit; }
.less { padding: 0 1.1rem; border: 1px solid currentColor; border-radius: 1.5rem; background: none; cursor: pointer; }
.close { width: 2.75rem; margin: -.35rem -.5rem 0 0; padding: 0; border: 0; background: none; font-size: 1.4rem; line-height: 1; cursor: pointer; }
a { display: inline-flex; align-items: center; text-underline-offset: .2em; text-decoration-thickness: 1px; }
:focus-visible { outline: 2px solid var(--eddy-focus, currentColor); outline-offset: 2px; }
`;

let sheet;

/**
 * Opens it beside a card. `sentences`: what sentences.js says of the item; `settings` and `visitor`: of page.js;
 * `dismiss()` is what "less of this" does. Escape, a click beside it and its button close it, and the focus is back
 * where it was.
 */
export async function openPopover({ settings, visitor, item, card, slot, recommender, sentences, lang, dismiss }) {
  const own = settings.texts?.popover;
  const texts = { ...TEXTS, ...own, parts: { ...TEXTS.parts, ...own?.parts } };
  const host = document.createElement("eddy-why");
  const dialog = named("dialog", "popover");
  dialog.setAttribute("aria-labelledby", "title");
  if (lang) dialog.lang = lang;
  const close = named("button", "close", "×");
  close.type = "button";
  close.setAttribute("aria-label", texts.close);
  const title = named("h2", "title", item.name);
  title.id = "title";
  const list = named("ul", "sentences", ...sentences.map((text) => node("li", {}, text)));
  const at = item.reason?.cause?.occurred_at;
  if (at) list.firstElementChild?.after(node("li", { class: "quiet" }, ago(at, lang)));
  const bars = named("dl", "bars");
  bars.setAttribute("aria-label", texts.bars);
  const less = named("button", "less", texts.less);
  less.type = "button";
  const foot = node("div", { class: "foot" }, less);
  const profile = safe(settings.profile, document.baseURI);
  if (profile) {
    const link = named("a", "profile", texts.profile);
    link.href = profile;
    foot.append(link);
  }
  dialog.append(node("div", { class: "head" }, title, close), list, bars, foot);
  const root = host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [look()];
  root.append(dialog);
  document.body.append(host);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close()); // its own ground: beside it
  dialog.addEventListener("close", () => host.remove());
  less.addEventListener("click", () => {
    dialog.close();
    dismiss();
  });
  drawBars(bars, item, texts);
  dialog.showModal();
  place(dialog, card);
  const parts = item.parts ?? (await partsOf({ visitor, recommender: recommender ?? settings.recommender, slot, item }).catch(() => undefined));
  if (!parts || !dialog.open) return;
  drawBars(bars, { ...item, parts }, texts);
  place(dialog, card);
}

function look() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return sheet;
}

/** Beside the card if there is room, else over it; on a phone at the bottom. */
function place(dialog, card) {
  const box = card.getBoundingClientRect();
  const { width, height } = dialog.getBoundingClientRect();
  const within = (value, most) => `${Math.max(MARGIN, Math.min(value, most - MARGIN))}px`;
  const isNarrow = innerWidth <= NARROW;
  dialog.style.left = isNarrow ? within((innerWidth - width) / 2, innerWidth - width) : within(box.left, innerWidth - width);
  dialog.style.top = isNarrow ? within(innerHeight, innerHeight - height) : within(box.top + MARGIN, innerHeight - height);
}

/**
 * Bars of how strongly the reason speaks, and of what counted most for the score; what counted against it is paler. A
 * bar is full at 1, a weight of 1 and full likeness; what is hardly alike is by chance, and shows nothing.
 */
function drawBars(list, { reason, parts = {} }, texts) {
  const most = Math.max(1, ...Object.values(parts).map(Math.abs));
  const greatest = Object.entries(parts).sort(([, one], [, other]) => Math.abs(other) - Math.abs(one)).slice(0, BARS);
  const shares = greatest.map(([name, value]) => [texts.parts[name] ?? name, value / most]);
  if (reason?.strength) shares.unshift([texts.strength, reason.strength]);
  const shown = shares.filter(([, share]) => Math.abs(share) >= BY_CHANCE);
  list.hidden = !shown.length;
  list.replaceChildren(...shown.flatMap(([name, share]) => {
    const bar = node("span", { class: share < 0 ? "bar against" : "bar", part: "bar" });
    bar.style.width = `${Math.round(100 * Math.min(1, Math.abs(share)))}%`;
    return [node("dt", {}, name), node("dd", {}, bar)];
  }));
}

/** The parts of one product's score, from the recommender. */
async function partsOf({ visitor, recommender, slot, item }) {
  const { address } = await import("./poller.js");
  const who = await visitor();
  const base = recommender.replace(/\/+$/, "");
  const headers = { "X-Eddy-Token": who.token };
  const answer = await fetch(`${base}${address(slot, who)}&explain=true`, { headers });
  const { items } = await answer.json();
  return items.find(({ product_id }) => product_id === item.product_id)?.parts;
}

function ago(time, lang) {
  const passed = time - Date.now();
  const [unit, ms] = STEPS.find(([, ms]) => -passed >= ms) ?? ["minute", 60_000];
  return new Intl.RelativeTimeFormat(lang || undefined, { numeric: "auto" }).format(Math.round(passed / ms), unit);
}
