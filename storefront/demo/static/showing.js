/** How the shop writes a product: where its page is, its picture, its price. */

/** The address of a product's page. */
export const address = (productId) => `/product/${encodeURIComponent(productId)}`;

/** Paths are inside the catalogue's folder, which the shop serves. */
export function picture(url) {
  if (!url) return "/static/favicon.svg";
  return /^(https?:\/\/|data:image\/)/.test(url) ? url : `/${url.replace(/^\/+/, "")}`;
}

/** A price as the server writes it; without cents where `isRound` and there are none. */
export function money(amount, currency, isRound = false) {
  const digits = isRound && Number.isInteger(amount) ? { minimumFractionDigits: 0 } : {};
  return new Intl.NumberFormat("en-IE", { style: "currency", currency, currencyDisplay: "narrowSymbol", ...digits }).format(amount);
}
