/** How the shop writes a product: where its page is, its picture, its price. */

/** The address of a product's page. */
export const address = (productId) => `/product/${encodeURIComponent(productId)}`;

/** Paths are inside the catalogue's folder, which the shop serves. */
export function picture(url) {
  if (!url) return "/static/favicon.svg";
  return /^(https?:\/\/|data:image\/)/.test(url) ? url : `/${url.replace(/^\/+/, "")}`;
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
