/**
 * Links without a reload: fetches the page, swaps its <main>, and leaves the rest, so that the live row stays.
 * Without this module the same links load whole pages.
 */

const KEPT = 60; // pages that can be opened again while there is no network
const PATIENCE_MS = 120; // before the bar at the top shows that something is being fetched

/** `onShown()` after every swap; `onTrouble(text)` when a page cannot be had. */
export function startNavigation({ onShown, onTrouble }) {
  const kept = new Map([[location.href, document.documentElement.outerHTML]]);
  const progress = document.getElementById("progress");
  let turn = 0;
  let waiting;

  /** Opens an address of this shop; resolves when it is on show. */
  async function go(address, { push = true, scrollTo = 0, method = "GET" } = {}) {
    const mine = ++turn;
    waiting?.abort();
    waiting = new AbortController();
    const bar = setTimeout(() => (progress.hidden = false), PATIENCE_MS);
    try {
      const { url, html } = await page(address, method, waiting.signal);
      if (mine !== turn) return;
      const next = new DOMParser().parseFromString(html, "text/html");
      if (!next.getElementById("main")) return void location.assign(url);
      if (push) pushed(url);
      swap(next);
      scroll({ top: scrollTo, behavior: "instant" });
      onShown();
    } catch (error) {
      if (error.name !== "AbortError") onTrouble("There is no connection to the shop. What you click is kept until it is back.");
    } finally {
      clearTimeout(bar);
      if (mine === turn) progress.hidden = true;
    }
  }

  /** Another address for what is on show. */
  function pushed(url) {
    history.replaceState({ scroll: scrollY }, "");
    history.pushState({ scroll: 0 }, "", url);
  }

  async function page(address, method, signal) {
    try {
      const response = await fetch(address, { method, signal, headers: { Accept: "text/html" } });
      const html = await response.text();
      if (response.ok && method === "GET") keep(response.url, html);
      return { url: response.url, html };
    } catch (error) {
      const known = method === "GET" && kept.get(new URL(address, location).href);
      if (error.name === "AbortError" || !known) throw error;
      return { url: address, html: known };
    }
  }

  function keep(url, html) {
    kept.delete(url);
    kept.set(url, html);
    if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  }

  function swap(next) {
    const main = document.adoptNode(next.getElementById("main"));
    document.getElementById("main").replaceWith(main);
    document.querySelector(".nav").replaceWith(document.adoptNode(next.querySelector(".nav")));
    document.title = next.title;
    main.classList.add("is-new");
    main.focus({ preventScroll: true }); // readers go on from here
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !isPlain || event.defaultPrevented || link.target || link.origin !== location.origin) return;
    if (link.hash && link.pathname + link.search === location.pathname + location.search) return;
    event.preventDefault();
    go(link.href);
  });

  history.scrollRestoration = "manual";
  addEventListener("popstate", ({ state }) => go(location.href, { push: false, scrollTo: state?.scroll ?? 0 }));
  return { go, push: pushed };
}
