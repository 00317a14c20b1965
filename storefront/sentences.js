/**
 * Why products are in a row, in words: what all of a row share is its line, a card says what it alone has. Pure.
 *
 * Every text is a function or a string that a shop may replace: `configure({ texts: { reasons: { from: … } } })`.
 */

const LONGEST = 56; // characters of a card's sentence: two lines of the narrowest
const PRICE_APART = 0.05; // of the other's price: less is no difference that anybody buys for

export const REASONS = {
  // The line of a row. `it` is a product's name, or the words of a search.
  from: (it) => `From ${it}`,
  because: (deed) => `Because ${deed}`,
  like: (it) => `Like ${it}`,
  goes_with: (it) => `Goes with ${it}`,
  searched: (it) => `Because you searched for ${it}`,
  // What the shopper did.
  deeds: {
    add_to_cart: (it) => `you put ${it} in your cart`,
    begin_checkout: (it) => `you put ${it} in your cart`,
    add_to_wishlist: (it) => `you saved ${it}`,
    purchase: (it) => `you bought ${it}`,
    other: (it) => `you looked at ${it}`,
  },
  // A product by its type, where its name is long.
  one: { add_to_cart: (type) => `the ${type} in your cart`, add_to_wishlist: (type) => `the ${type} you saved`,
    purchase: (type) => `the ${type} you bought`, other: (type) => `the ${type} you looked at` },
  // A card under the line that names the other product: `visits` that hold both, or what differs.
  both: {
    co_visited: (visits) => (visits > 1 ? `${visits} visitors looked at both` : "a visitor looked at both"),
    complement: () => "goes with it",
    alike: () => "looked at with things like it",
    content: () => "looks like it",
    due: () => "time for another one",
  },
  same_brand: "same brand",
  cheaper: (money) => `${money} less`,
  dearer: (money) => `${money} more`,
  // A card that names the other product itself.
  beside: {
    co_visited: (it) => `looked at with ${it}`,
    complement: (it) => `goes with ${it}`,
    alike: (it) => `looked at with things like ${it}`,
    content: (it) => `like ${it}`,
    due: () => "time for another one",
  },
  popular: "popular now",
  pinned: "picked by the shop",
  named: "what you asked for",
  relaxed: "close to what you asked for",
  search: (query) => `because you searched for ${query}`,
};

/**
 * What a message says of its products: `{line, why(item), sentences(item)}`. `line` is `{text, name, url?}` of what most
 * share, or undefined; `why` what a card says beside that; `sentences` all that is known of one, whatever its row says.
 *
 * `about`: the product whose page this is, which needs no naming; `texts`: the shop's own of REASONS; `money(amount,
 * currency)` writes a price; `longest`: characters of a card's sentence, two lines of it. Of messages without reasons the server's `why` is taken as it is.
 */
export function explain({ items = [], causes = {}, fallback }, { about, texts, money, longest = LONGEST }) {
  const say = merged(REASONS, texts);
  const subject = ({ reason }) => reason?.query ?? reason?.product_id ?? reason?.cause?.product_id;
  const shared = mostFrequent(items.map(subject));
  const first = items.find((item) => shared && subject(item) === shared);
  const line = first && shared !== about ? lineOf(first) : undefined;
  const isPopular = isPopularInstead({ items, fallback });

  function lineOf({ reason }) {
    if (reason.query) return { text: say.searched(reason.query), name: reason.query };
    const name = causes[shared]?.name;
    if (!name) return undefined;
    const { url } = causes[shared];
    const deed = reason.cause?.product_id === shared ? say.deeds[reason.cause.type] : undefined;
    const isLike = reason.kind === "content" || reason.kind === "complement";
    const text = deed ? say.because(deed(name))
      : reason.cause || !isLike ? say.from(name)
      : reason.kind === "content" ? say.like(name) : say.goes_with(name);
    return { text, name, url };
  }

  function why(item) {
    const { reason } = item;
    if (isPopular && (reason?.kind ?? item.source) === "popular") return ""; // the heading says it
    if (!reason) return item.why ?? "";
    const isShared = shared !== undefined && subject(item) === shared && (line || shared === about);
    if (reason.query) return isShared ? "" : say.search(reason.query);
    const other = causes[reason.product_id ?? reason.cause?.product_id];
    if (!Object.hasOwn(say.both, reason.kind)) return say[reason.kind] ?? item.why ?? "";
    if (isShared) return (reason.kind === "content" && difference(item, other)) || say.both[reason.kind](reason.visits ?? 0);
    if (!other) return item.why ?? "";
    const by = say.beside[reason.kind];
    const short = other.type && (say.one[reason.cause?.type] ?? say.one.other)(other.type);
    const isNamed = by(other.name).length <= longest || !short || !reason.cause;
    return by(isNamed ? other.name : short);
  }

  /** "same brand, €30 less": of what a shopper may choose by. */
  function difference({ brand, price, currency }, other) {
    if (!other) return "";
    const apart = other.currency === currency ? price - other.price : 0;
    const amount = whole(money(Math.round(Math.abs(apart)), currency));
    const isApart = Math.abs(apart) >= Math.max(1, PRICE_APART * other.price);
    const said = [brand && brand === other.brand && say.same_brand, isApart && (apart < 0 ? say.cheaper : say.dearer)(amount)];
    return said.filter(Boolean).join(", ");
  }

  /** What the shopper did, and what that has to do with the product. */
  function sentences(item) {
    const { reason } = item;
    if (!reason) return [item.why ?? ""].filter(Boolean);
    if (reason.query) return [say.search(reason.query)];
    const other = causes[reason.product_id ?? reason.cause?.product_id];
    const deed = reason.cause && causes[reason.cause.product_id];
    const did = deed && (say.deeds[reason.cause.type] ?? say.deeds.other)(deed.name);
    const relation = !Object.hasOwn(say.both, reason.kind) ? say[reason.kind]
      : other && other !== deed ? say.beside[reason.kind](other.name) : say.both[reason.kind](reason.visits ?? 0);
    return [did, relation, other && difference(item, other)].filter(Boolean);
  }

  return { line, why, sentences };
}

/** Whether a row is not what its heading says, but what is popular. */
export const isPopularInstead = ({ fallback, items = [] }) =>
  Boolean(fallback) && fallback !== "words_away" && items.length > 0 && items.every(({ source }) => source === "popular" || source === "rule");

/** The value that more than half of these are, or undefined. */
function mostFrequent(values) {
  const counts = new Map();
  for (const value of values) if (value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].find(([, count]) => 2 * count > values.length)?.[0];
}

/** A price without its cents, which are none. */
const whole = (price) => price.replace(/[.,]00(?!\d)/, "");

const merged = (ours, theirs = {}) =>
  Object.fromEntries(Object.entries(ours).map(([name, text]) =>
    [name, typeof text === "object" ? { ...text, ...theirs[name] } : theirs[name] ?? text]));
