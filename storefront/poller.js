/** What live.js does where no WebSocket can be had: it asks for all rows of a page in one request. */

import { report } from "./diagnosis.js";

const ASK_MS = 20_000;
const UNKNOWN = new Set([404, 405]); // what a recommender of before /v1/page answers
const AGAIN = new Set([429, 503]);

const withoutPage = new Set(); // recommenders that know no /v1/page

/** Where one slot's row is asked for; addresses are logged, so the token stays out. */
export function address({ kind, k = 12, product_id, product_ids, query, category, objective }, { visitor_id }) {
  if (kind === "products") return `/v1/products?${new URLSearchParams(product_ids.map((id) => ["product_id", id]))}`;
  const by = kind.match(/^complement_(.+)/)?.[1];
  const about = `/v1/products/${encodeURIComponent(product_id)}`;
  const path = {
    for_you: "/v1/recommendations",
    popular: "/v1/popular",
    search: "/v1/search",
    similar: `${about}/similar`,
    also_liked: `${about}/also-liked`,
  }[kind] ?? (product_ids ? "/v1/complements" : `${about}/complements`);
  const said = { visitor_id, k, by, q: kind === "search" ? query : undefined, category, objective };
  const several = (product_ids ?? []).map((id) => ["product_id", id]);
  return `${path}?${new URLSearchParams([...Object.entries(said).filter(([, value]) => value !== undefined), ...several])}`;
}

/**
 * Asks for the rows of all slots. `who`: {visitor_id, token}; `onRow(slot, answer)` gets each row that came. Resolves
 * to {isHeard: there was one, isAway: the recommender has no time or does not answer, isRefused: nor takes the token}.
 */
export async function ask({ base, slots, who, onRow }) {
  const told = { isHeard: false, isAway: true, isRefused: false };
  if (!withoutPage.has(base)) {
    const body = JSON.stringify({ visitor_id: who.visitor_id, slots });
    const asking = get(base, "/v1/page", who.token, told, { method: "POST", body });
    // One of before lets no page POST, and a browser says of that no more than of a wrong address.
    const answer = await asking.catch((error) => ({ rows: [], isAgain: error instanceof TypeError }));
    for (const row of answer?.rows ?? []) hand(slots.find(({ name }) => name === row.slot), row);
    if (answer?.rows ? !answer.isAgain : !told.isUnknown && !answer) return told;
  }
  Object.assign(told, { isAway: true, isUnknown: false });
  await Promise.allSettled(slots.map(async (slot) => {
    const token = slot.kind === "products" ? undefined : who.token;
    hand(slot, await get(base, address(slot, who), token, told));
  }));
  if (told.isHeard) withoutPage.add(base);
  else if (told.isUnknown) report("recommender", base, "other");
  return told;

  function hand(slot, row) {
    if (!slot || !row) return;
    told.isHeard = true;
    onRow(slot, { ...row, type: "recommendations", slot: slot.name });
  }
}

/** JSON, or null where there is none; what that means is noted in `told`. Rejects where the recommender is away. */
async function get(base, path, token, told, options = {}) {
  const headers = { ...(token && { "X-Eddy-Token": token }), ...(options.body && { "Content-Type": "text/plain" }) };
  let response;
  try {
    response = await fetch(base + path, { ...options, headers, signal: AbortSignal.timeout?.(ASK_MS) });
  } catch (error) {
    if (!options.body) report("recommender", base, "unreachable");
    throw error;
  }
  const { status } = response;
  if (AGAIN.has(status) || status >= 500) throw status;
  told.isAway = false;
  if (status === 401) told.isRefused = true;
  if (status === 403) report("recommender", base, "origin", (await response.json()).detail);
  if (UNKNOWN.has(status)) told.isUnknown = true;
  return response.ok ? response.json() : null;
}
