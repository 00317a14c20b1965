/** How the shop writes a product: where its page is, its picture, its price. */

/** The address of a product's page. */
export const address = (productId) => `/product/${encodeURIComponent(productId)}`;

const OWN = "/pictures/"; // in the catalogue's folder, which the shop serves, whatever host an address names
const LARGE = "-640"; // as storefront/demo/catalogue/assortment.py names the larger ones

/** The address of a picture. */
export function picture(url) {
  if (!url) return "/static/favicon.svg";
  const { pathname, href } = new URL(url, location.origin);
  if (pathname.startsWith(OWN)) return pathname;
  return /^(https?:\/\/|data:image\/)/.test(url) ? href : `/${url.replace(/^\/+/, "")}`;
}

/** Its sizes, for `srcset`; undefined where there is one alone. */
export function pictures(url) {
  const small = picture(url);
  return small.startsWith(OWN) ? `${small} 320w, ${small.replace(/\.\w+$/, `${LARGE}$&`)} 640w` : undefined;
}

const formats = new Map(); // to make one takes longer than to draw a card

/** A price as the server writes it; without cents where `isRound` and there are none. */
export function money(amount, currency, isRound = false) {
  const hasNoCents = isRound && Number.isInteger(amount);
  const key = `${currency} ${hasNoCents}`;
  if (!formats.has(key)) {
    const digits = hasNoCents ? { minimumFractionDigits: 0 } : {};
    const form = { style: "currency", currency, currencyDisplay: "narrowSymbol", ...digits };
    formats.set(key, new Intl.NumberFormat("en-IE", form));
  }
  return formats.get(key).format(amount);
}
