/** Which rows the visitor saw, and what of them: once for each, so that what is shown in vain can give way. */

const SEEN_MS = 1000;
const HALF = 0.5;

/**
 * Watches a row's list. `track(type, fields)` gives the event's id, or a promise of it. `shown(list_id, message)` is
 * called whenever a message is on show; `stop()` when the row is gone. What moved only because of what was seen is
 * not told again: a row would move itself.
 */
export function watchRow(list, track) {
  const own = new Set(); // ids of what was told from here
  let told; // recommendation_id
  let row;
  let isSeen = false;
  let waiting;
  const observer = globalThis.IntersectionObserver && new IntersectionObserver((entries) => {
    isSeen = entries.at(-1).intersectionRatio >= HALF;
    wait();
  }, { threshold: [0, HALF] });
  observer?.observe(list);

  function shown(list_id, { recommendation_id, caused_by, items }) {
    if (row?.recommendation_id === recommendation_id) return;
    row = recommendation_id && items.length && !own.has(caused_by) ? { list_id, recommendation_id } : undefined;
    wait();
  }

  function wait() {
    clearTimeout(waiting);
    if (isSeen && row && row.recommendation_id !== told) waiting = setTimeout(tell, SEEN_MS);
  }

  async function tell() {
    if (globalThis.document?.visibilityState === "hidden") return void (waiting = setTimeout(tell, SEEN_MS));
    const items = [...list.children].filter(isInSight).map((card) => ({ product_id: card.dataset.id }));
    if (!items.length) return;
    told = row.recommendation_id;
    own.add(await track("view_item_list", { ...row, items }));
  }

  /** Whether half of a card is in the part of the list that is scrolled to. */
  function isInSight(card) {
    const [{ left, right }, { left: from, right: to, width }] = [list, card].map((each) => each.getBoundingClientRect());
    return card.dataset.id && width > 0 && Math.min(right, to) - Math.max(left, from) >= HALF * width;
  }

  function stop() {
    clearTimeout(waiting);
    observer?.disconnect();
  }

  return { shown, stop };
}
