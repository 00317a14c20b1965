/** Why a page has no rows: said once, with the setting that is to be another. Loaded when something is wrong. */

const PORTS = { ingest: "EDDY_INGEST_PORT", recommender: "EDDY_RECOMMENDER_PORT" };
const LOCAL = /^http:\/\/(localhost|127\.|\[::1\])/;
const told = new Set();

const SAYINGS = {
  origin: (service, url, detail) => ({
    setting: "EDDY_ALLOWED_ORIGINS",
    message: `${detail ?? `pages of ${globalThis.location?.origin} may not call`}. That is a setting of the ${service} at ${url}`,
  }),
  token: (service, url) => ({
    setting: "EDDY_TOKEN_SECRET",
    message: `the ${service} at ${url} refuses a token that ingest has just given: EDDY_TOKEN_SECRET of both is to be the same`,
  }),
  other: (service, url) => ({
    setting: "configure",
    message: `what answers at ${url} is no ${service}: give configure({ ${service} }) or createTracker the ${service}'s ` +
      `address; its port is ${PORTS[service]}`,
  }),
  unreachable: (service, url) => ({
    setting: "configure",
    message: globalThis.location?.protocol === "https:" && url.startsWith("http:") && !LOCAL.test(url)
      ? `a page of https may call https alone: give the ${service} at ${url} an address with a certificate`
      : `no ${service} answers at ${url}: see that it runs there (its port is ${PORTS[service]}), that configure() names ` +
        "its address, and that the page's policy lets it be called (connect-src)",
  }),
};

/**
 * Tells the page's developer, once for each service, address and reason ("origin", "token", "other", "unreachable"):
 * a `console.warn`, and an `eddy-error` on the document, {service, url, reason, setting, message}.
 */
export function report(service, url, reason, detail) {
  const key = [service, url, reason].join();
  if (told.has(key) || globalThis.navigator?.onLine === false) return;
  told.add(key);
  const said = { service, url, reason, ...SAYINGS[reason](service, url, detail) };
  console.warn(`eddy: ${said.message}`);
  globalThis.document?.dispatchEvent?.(new CustomEvent("eddy-error", { detail: said, bubbles: true }));
}

/** What went wrong with a request to a service: the error of `fetch`, or an answer that is none of the service's. */
export async function judge(service, url, { response, name }) {
  if (!response) return name === "AbortError" ? undefined : report(service, url, "unreachable");
  const { status } = response;
  if (status === 403) report(service, url, "origin", (await response.json().catch(() => ({}))).detail);
  if (status === 404 || status === 405) report(service, url, "other");
}
