/**
 * Keeps rows fresh on an open page: over a WebSocket that comes back by itself, by asking where none can be
 * had. A page that includes it has <eddy-recommendations> (see recommendations.js):
 *
 *   configure({ recommender: "https://recommender.example", tracker });
 *
 * Or draw by yourself:
 *
 *   const live = connect({
 *     recommender: "https://recommender.example",
 *     visitor: tracker.visitor,
 *     slots: [{ name: "for_you", kind: "for_you", k: 12 }],
 *     onRecommendations: ({ slot, items }) => draw(slot, items),
 *   });
 */

import { createPage } from "./page.js";
import { defineElement } from "./recommendations.js";
import { backoff } from "./tracker.js";

const OPEN_WITHIN_MS = 3000;
const POLL_AFTER = 2; // failures in a row
const POLL_EVERY_MS = 3000;
const AWAY_MS = 8000; // the last wait where no socket opens
const SENT_AWAY_MS = 20_000; // the last one where sockets open and are closed
const SILENT_MS = 30_000; // then a socket is asked whether it lives, since a path may die without a word
const ROW_WITHIN_MS = 3000; // likewise
const ANSWER_WITHIN_MS = 5000;
const TOKEN_REFUSED = 1008;

/**
 * Subscribes to slots `{name, kind, k, product_id?, product_ids?, query?, category?, page?, objective?, distinct?, debug?}`.
 *
 * `visitor(refused?)` gives {visitor_id, token}; with a token that was refused, another one.
 * `onRecommendations(message)` gets a slot's newest items, `{slot, seq, items, models, recommendation_id?,
 * caused_by?, timing?, fallback?, notice?, experiments?, causes?, funnel?, traceparent?}`; there is no `seq` where they were asked for.
 * `onStatus(status)`: "connecting", "live", "polling", "offline" or "closed".
 */
export function connect({
  recommender,
  visitor,
  slots = [],
  onRecommendations,
  onStatus = () => {},
  pollEveryMs = POLL_EVERY_MS,
}) {
  const base = recommender.replace(/\/+$/, "");
  const listeners = [
    [globalThis, "online", online],
    [globalThis, "offline", offline],
    [globalThis, "pageshow", look],
    [globalThis, "eddy-taken", expect],
    [globalThis.document, "visibilitychange", look],
  ];
  const shown = new Map(); // slot → what was handed on last
  const newest = new Map(); // slot → its greatest seq
  let socket;
  let token; // what the socket was opened with
  let attempt = 0;
  let failures = 0;
  let worked; // sockets did: a restart, not a network without
  let refused;
  let reconnecting; // timers
  let opening;
  let answering;
  let silent;
  let expecting;
  let polling;
  let isPolling = false;
  let status;

  function tell(now) {
    if (now !== status && status !== "closed") onStatus((status = now));
  }

  const connecting = () => (globalThis.navigator?.onLine === false ? "offline" : "connecting");

  async function open() {
    clearTimeout(reconnecting);
    const turn = ++attempt;
    if (!isPolling) tell(connecting());
    try {
      const who = await visitor(refused);
      if (turn !== attempt) return; // closed, or tried anew, in the meantime
      const query = new URLSearchParams({ visitor_id: who.visitor_id });
      token = who.token;
      const mine = (socket = new WebSocket(`${base.replace(/^http/, "ws")}/v1/live?${query}`));
      newest.clear();
      opening = setTimeout(lost, OPEN_WITHIN_MS);
      mine.onopen = () => {
        opening = clearTimeout(opening);
        send();
      };
      mine.onmessage = ({ data }) => socket === mine && receive(data);
      mine.onclose = ({ code }) => {
        if (socket !== mine) return;
        if (code === TOKEN_REFUSED) refuse(who);
        lost();
      };
    } catch {
      if (turn === attempt) lost(); // no visitor, or no WebSocket at all
    }
  }

  function drop() {
    attempt += 1;
    heard();
    clearTimeout(reconnecting);
    clearTimeout(opening);
    const old = socket;
    socket = undefined;
    old?.close();
  }

  function lost() {
    const lastMs = socket && !opening ? SENT_AWAY_MS : AWAY_MS;
    drop();
    failures += 1;
    reconnecting = setTimeout(open, backoff(failures, lastMs));
    if (worked ? failures % 8 === 0 : failures >= POLL_AFTER) startPolling();
    else if (!isPolling) tell(connecting());
  }

  function send() {
    if (socket?.readyState !== 1 || !slots.length) return;
    socket.send(JSON.stringify({ type: "subscribe", slots, token }));
    expect();
  }

  function expect() {
    expecting ??= setTimeout(look, ROW_WITHIN_MS);
  }

  function receive(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    failures = 0; // only now: one that closes as it opens is no success
    worked = 1;
    refused = undefined;
    heard();
    silent = setTimeout(look, SILENT_MS);
    stopPolling();
    tell("live");
    if (message.type === "error") console.warn("eddy:", message.detail);
    if (message.type !== "recommendations" || message.seq <= newest.get(message.slot)) return;
    newest.set(message.slot, message.seq);
    hand(message);
  }

  function hand(message) {
    if (!slots.some(({ name }) => name === message.slot)) return; // subscribed to something else since
    shown.set(message.slot, fingerprint(message));
    onRecommendations(message);
  }

  const fingerprint = ({ items, caused_by, fallback, notice }) => JSON.stringify([items, caused_by, fallback, notice]);

  function startPolling() {
    if (isPolling) return;
    isPolling = true;
    poll();
  }

  function stopPolling() {
    isPolling = false;
    clearTimeout(polling);
  }

  async function poll() {
    clearTimeout(polling);
    if (globalThis.document?.visibilityState !== "hidden") {
      const told = await askAll().catch(() => ({ isAway: true }));
      if (isPolling && told.isHeard) tell("polling");
      if (worked || told.isAway) isPolling = false;
    }
    clearTimeout(polling);
    if (isPolling) polling = setTimeout(poll, pollEveryMs * (0.75 + Math.random() / 2));
  }

  async function askAll() {
    const who = await visitor(refused);
    const { ask } = await import("./poller.js"); // most pages never need it
    const told = await ask({ base, slots, who, onRow });
    if (told.isRefused) refuse(who);
    else if (told.isHeard) refused = undefined;
    return told;
  }

  function onRow(slot, row) {
    if (isPolling && slots.includes(slot) && fingerprint(row) !== shown.get(slot.name)) hand(row);
  }

  /** A second one, just given, that is refused too is no token's fault. */
  function refuse({ token }) {
    if (refused && refused !== token) import("./diagnosis.js").then(({ report }) => report("recommender", base, "token"));
    refused = token;
  }

  function online() {
    failures = worked = 0; // it may be another network
    drop();
    open();
  }

  function offline() {
    lost();
    stopPolling();
    tell("offline");
  }

  /** Asks for an answer; a hidden page when it is seen again. */
  function look() {
    if (globalThis.document?.visibilityState === "hidden" || socket?.readyState !== 1) return;
    socket.send('{"type":"ping"}');
    answering ??= setTimeout(lost, ANSWER_WITHIN_MS);
  }

  function heard() {
    [silent, expecting, answering].forEach(clearTimeout);
    expecting = answering = undefined;
  }

  function subscribe(next) {
    slots = next;
    for (const name of shown.keys()) if (!slots.some((slot) => slot.name === name)) shown.delete(name);
    send();
    if (isPolling) poll();
  }

  function close() {
    stopPolling();
    drop();
    for (const [target, event, listener] of listeners) target?.removeEventListener?.(event, listener);
    tell("closed");
  }

  for (const [target, event, listener] of listeners) target?.addEventListener?.(event, listener);
  reconnecting = setTimeout(open); // no callback before the caller has what this returns
  return { close, subscribe };
}

const page = createPage(connect);
defineElement(page);

/** What all <eddy-recommendations> of the page go by: see createPage in page.js. */
export const { configure, join, arrange, ask, dismissed } = page;
