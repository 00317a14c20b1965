/**
 * The search page: asks the recommender, shows what it understood as chips that can be taken away, and what it
 * found. While it does not answer the shop's own word search stays, which came with the page.
 */

import { chipsOf, overridesIn, sentenceOf } from "./chips.js";
import { createRow } from "./row.js";
import { money } from "./showing.js";

const PER_PAGE = 24;
const MOST = 96;
const WITHIN_MS = 3000;
const VISITOR_WITHIN_MS = 1000; // who cannot be named in time is answered as anybody
const AGAIN_MS = 300; // after the visitor's last event
const LIST = "search";

/**
 * `ask(path, withinMs, token)` fetches JSON of the recommender; `visitor()` gives {visitor_id, token}; `template` is a card's;
 * `open(address)` changes the page's address; `onShown({list_id, recommendation_id, lists, items, isNew})`.
 * `show(main)` takes a new page, `again()` asks anew: who searches, or what is sold, is different now.
 */
export function createSearch({ ask, visitor, template, open, onShown }) {
  let page; // null on other pages
  let turn = 0;
  let waiting;

  function show(main) {
    clearTimeout(waiting);
    turn += 1;
    const query = main.dataset.list === LIST && main.dataset.query;
    page = query ? prepared(main, query) : null;
    if (page) find();
  }

  function prepared(main, query) {
    const part = (name) => main.querySelector(`[data-part=${name}]`);
    const made = { main, query, part, k: PER_PAGE, overrides: overridesIn(new URLSearchParams(location.search)) };
    made.found = createRow(part("found"), template);
    made.close = createRow(part("close"), template);
    part("more").addEventListener("click", () => {
      made.k = Math.min(MOST, made.k + PER_PAGE);
      find();
    });
    main.classList.add("is-asking");
    return made;
  }

  async function find() {
    const mine = ++turn;
    try {
      const soon = new Promise((resolve) => setTimeout(resolve, VISITOR_WITHIN_MS));
      const who = await Promise.race([visitor(), soon]).catch(() => undefined);
      const answer = await ask(`/v1/search?${parameters(page, who)}`, WITHIN_MS, who?.token);
      if (mine === turn) draw(answer);
    } catch {
      if (mine === turn && !page.answer) byWords();
    } finally {
      if (mine === turn) page.main.classList.remove("is-asking");
    }
  }

  function parameters({ query, k, overrides }, who) {
    const { visitor_id } = who ?? {};
    return new URLSearchParams([...Object.entries({ q: query, k, ...(who && { visitor_id }) }), ...overrides]);
  }

  /** The recommender is away: what the server has found by the letters of the words. */
  function byWords() {
    const lists = [page.part("found")];
    const items = [...lists[0].children].map(({ dataset }) => ({ product_id: dataset.id }));
    const isNew = !page.isTold;
    page.isTold = true;
    onShown({ list_id: LIST, lists, items, isNew });
  }

  function draw(answer) {
    const isNew = !page.answer;
    page.answer = answer;
    const isSaid = WHOLE.test(answer.notice ?? ""); // the notice says all: no count and no heading beside it
    const exact = answer.items.filter(({ source }) => isSaid || source !== "relaxed");
    const close = answer.items.filter(({ source }) => !isSaid && source === "relaxed");
    page.found.show(exact);
    page.close.show(close);
    page.part("closely").hidden = !close.length;
    page.part("by-words").hidden = true;
    page.part("nothing").hidden = answer.items.length > 0;
    page.part("more").hidden = answer.items.length < page.k || page.k >= MOST;
    write(page.part("notice"), answer.items.length ? noticeOf(answer) : ""); // "nothing" says it
    const count = counted(exact.length, close.length, answer.items.length >= page.k);
    write(page.part("count"), isSaid ? "" : count);
    const writeMoney = (amount, named) => money(amount, named ?? answer.items[0]?.currency ?? "EUR", true);
    const chips = chipsOf(answer.inferred, page.overrides, writeMoney, answer.counts);
    drawChips(chips);
    write(page.part("told"), `${isSaid ? answer.notice : `${count}.`} ${sentenceOf(chips)}`);
    onShown({
      list_id: LIST,
      recommendation_id: answer.recommendation_id,
      lists: [page.part("found"), page.part("close")],
      items: answer.items,
      by: answer.understood_by,
      isNew,
    });
  }

  function drawChips(chips) {
    const list = page.part("chips");
    const at = [...list.children].findIndex((each) => each.contains(document.activeElement));
    list.replaceChildren(...chips.map(drawn), ...(page.overrides.size ? [drawn({ label: "All words again", isReset: true })] : []));
    page.part("understood").hidden = !list.childElementCount;
    if (at < 0) return;
    const buttons = [...list.querySelectorAll("button")]; // the one that had the focus is gone: the next has it
    (buttons[Math.min(at, buttons.length - 1)] ?? page.main).focus({ preventScroll: true });
  }

  function drawn({ label, without, isReset, products }) {
    const made = document.createElement("li");
    const chip = document.createElement(without || isReset ? "button" : "span");
    chip.className = without ? "chip removable" : isReset ? "chip reset" : "chip aside";
    chip.textContent = products === undefined ? label : `${label} (${products} without)`;
    if (without) chip.setAttribute("aria-label", `Remove ${label}${products === undefined ? "" : `: ${products} products`}`);
    if (without || isReset) {
      chip.type = "button";
      chip.addEventListener("click", () => change(without ?? new URLSearchParams()));
    }
    made.append(chip);
    return made;
  }

  function change(overrides) {
    page.overrides = overrides;
    page.k = PER_PAGE;
    open(`/search?${new URLSearchParams([["q", page.query], ...overrides])}`);
    find();
  }

  function again() {
    clearTimeout(waiting);
    const mine = page;
    if (page) waiting = setTimeout(() => mine === page && find(), AGAIN_MS);
  }

  return { show, again };
}

const FALLBACKS = {
  index_away: "Likeness cannot be told at the moment: these are popular products that fit.",
  words_away: "Words cannot be compared at the moment: only what the chips say was searched for.",
};

const WHOLE = /[.:]$/; // of notices that are whole sentences

const sentence = (notice) => `${notice[0].toUpperCase()}${notice.slice(1)}${WHOLE.test(notice) ? "" : "."}`;
const noticeOf = ({ notice, fallback }) => [FALLBACKS[fallback], notice && sentence(notice)].filter(Boolean).join(" ");

function counted(exact, close, isMore) {
  const all = exact + close;
  if (!all) return "No product";
  const found = `${isMore ? "The best " : ""}${all} product${all === 1 ? "" : "s"}`;
  return close ? `${found}, ${exact || "none"} with all of it` : found;
}

function write(element, text) {
  element.hidden = !text;
  if (element.textContent !== text) element.textContent = text;
}
