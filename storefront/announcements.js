/** When a row's changes are told to those who do not see them: politely, and not for each push. */

const AFTER_MS = 1500; // pushes that follow each other are one change
const EVERY_MS = 6000;
const FORGET_AFTER_MS = 5000; // a reader who comes by later hears no old news

/**
 * `say(why)` is called with why there are other products now, "" where no reason is known, and with undefined
 * when that is no news any more. `shown(items)` tells what the row shows; the first of it is no news, and neither
 * is another order or price.
 */
export function createAnnouncer(say) {
  let now = [];
  let heard; // ids of the products when the row was filled, or spoken of
  let saidAt = -Infinity;
  let waiting; // timers
  let forgetting;

  const idsNow = () => new Set(now.map(({ product_id }) => product_id));
  const news = () => now.filter(({ product_id }) => !heard.has(product_id));

  function shown(items) {
    now = items;
    heard ??= idsNow();
    if (waiting || !news().length) return;
    waiting = setTimeout(speak, Math.max(AFTER_MS, saidAt + EVERY_MS - Date.now()));
  }

  function speak() {
    waiting = undefined;
    const cause = news().find(({ source, why }) => why && source !== "popular");
    if (!news().length) return; // it is again what it was
    heard = idsNow();
    saidAt = Date.now();
    clearTimeout(forgetting);
    forgetting = setTimeout(say, FORGET_AFTER_MS);
    say(cause?.why ?? "");
  }

  /** The row is about to show something else, or gone: nothing is told of it any more. */
  function startAnew() {
    clearTimeout(waiting);
    clearTimeout(forgetting);
    heard = waiting = undefined;
    say();
  }

  return { shown, startAnew };
}
