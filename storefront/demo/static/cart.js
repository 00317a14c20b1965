/** The cart, in a cookie that the server reads too: `p0001=2&p0042=1`. It needs no network. */

const COOKIE = "eddy_cart";
const MAX_QUANTITY = 99;
const AGE_S = 30 * 24 * 60 * 60;

function read() {
  const found = document.cookie.split("; ").find((each) => each.startsWith(`${COOKIE}=`));
  return new URLSearchParams(found?.slice(COOKIE.length + 1) ?? "");
}

function write(lines) {
  document.cookie = `${COOKIE}=${lines}; Path=/; SameSite=Lax; Max-Age=${AGE_S}`;
}

/** One more of a product. */
export function add(productId) {
  const lines = read();
  lines.set(productId, Math.min(Number(lines.get(productId)) + 1, MAX_QUANTITY));
  write(lines);
}

/** No more of a product. */
export function remove(productId) {
  const lines = read();
  lines.delete(productId);
  write(lines);
}

/** How many products are in it. */
export const count = () => [...read().values()].reduce((sum, each) => sum + Number(each), 0);
