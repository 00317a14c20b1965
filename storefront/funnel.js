/** What a row with the attribute `debug` says of itself: its state, and how it came about. Loaded when asked for. */

import { node } from "./markup.js";

/** Draws into `element`: `status` of the connection, the row's `slot`, and its newest `message`, if there is one. */
export function drawFunnel(element, { status, slot, message }) {
  const { models = {}, timing, funnel, items } = message ?? {};
  const written = {
    state: status ?? "not connected: no recommender is configured",
    asks: slot ? JSON.stringify(slot) : "nothing: see the attributes",
    ...(message && {
      row: [message.recommendation_id, message.seq && `seq ${message.seq}`, `${items.length} products`].filter(Boolean).join(", "),
      ...(message.caused_by && { "caused by": message.caused_by }),
      ...(message.traceparent && { trace: message.traceparent.slice(3, 35) }),
      ...(message.fallback && { fallback: message.fallback }),
      ...(message.notice && { notice: message.notice }),
      models: pairs(models),
      ...(timing && { "from click to push": `${Math.round(timing.pushed_at - (timing.accepted_at ?? timing.pushed_at))} ms` }),
      ...(message.experiments && { experiments: pairs(message.experiments) }),
      candidates: funnel ? pairs(funnel.sources) : "the recommender tells no funnel",
      ...(funnel && { left: Object.entries(funnel.left ?? {}).map(([step, count]) => `${step} ${count}`).join(" → "), ms: pairs(funnel.ms) }),
      shown: items.map(({ product_id, score, reason, source }) =>
        `${product_id} ${score?.toFixed?.(3) ?? ""} ${reason?.kind ?? source ?? ""}`).join(" · "),
    }),
  };
  const list = node("dl");
  for (const [name, value] of Object.entries(written)) if (value) list.append(node("dt", {}, name), node("dd", {}, value));
  element.replaceChildren(list);
}

const round = (value) => (typeof value === "number" ? Math.round(100 * value) / 100 : value);
const pairs = (entries = {}) => Object.entries(entries).map(([name, value]) => `${name} ${round(value)}`).join(", ");
