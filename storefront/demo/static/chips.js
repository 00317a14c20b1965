/** What a search was understood as, in the shopper's words, and what to ask instead without one part of it. Pure. */

/** Query parameters of a search's address that stand in for what its words say. */
export const OVERRIDES = [
  "price_min", "price_max", "price_near", "order", "category", "brand", "type", "tag", "description", "weights",
  "without_category", "without_brand", "without_type", "without_tag",
];
const LISTS = [
  ["category", "categories", (path) => path.split("/").join(" / ")],
  ["type", "types", String],
  ["brand", "brands", (name) => `by ${name}`],
  ["without_category", "not_categories", (path) => `not ${path.split("/").join(" / ")}`],
  ["without_type", "not_types", (name) => `not ${name}`],
  ["without_brand", "not_brands", (name) => `not by ${name}`],
  ["without_tag", "not_tags", (name) => `not ${name}`],
];
const WISHES = {
  price: { more: "expensive ones first", less: "cheap ones first" },
  popularity: { more: "popular ones first", less: "lesser known ones first" },
};
const ORDERS = { cheapest: "cheapest first", dearest: "dearest first", newest: "newest first", best_rated: "best liked first" };
const PRICES = ["price_min", "price_max", "price_near"];

/** Of an address's parameters those that a search has; `given`: URLSearchParams. */
export function overridesIn(given) {
  return new URLSearchParams([...given].filter(([name]) => OVERRIDES.includes(name)));
}

/**
 * The chips of a search: `{label, without, products}`. `without` are the overrides, URLSearchParams, with which the
 * search asks for everything but this; a chip that cannot be taken away has none. `products` is how many fit then,
 * where nothing fits all: of `counts`, `{parameter, value, products}`. `asked` are the overrides that the answer is
 * of, `money(amount, currency)` writes a bound.
 */
export function chipsOf(inferred, asked, money, counts = []) {
  const counted = (parameter, value) => counts.find((each) => each.parameter === parameter && each.value === value)?.products;
  const lists = LISTS.flatMap(([name, field, label]) => {
    const values = inferred[field] ?? [];
    return values.map((value) => ({
      label: label(value), without: replaced(asked, { [name]: rest(values, value) }), products: counted(name, value),
    }));
  });
  const [positive, negative] = [lists.filter(({ label }) => !label.startsWith("not ")), lists.filter(({ label }) => label.startsWith("not "))];
  return [...positive, ...priceChip(inferred, asked, money, counted("price", "")), ...tagChips(inferred, asked),
    ...orderChip(inferred, asked), ...wishChips(inferred, asked),
    ...describedChip(inferred, asked), ...negative, ...asides(inferred)];
}

/** What is understood as one sentence, for those who do not see the chips. */
export function sentenceOf(chips) {
  const asked = chips.filter(({ without }) => without).map(({ label }) => label);
  const asides = chips.filter(({ without }) => !without).map(({ label }) => label.replace(" → ", " was read as "));
  const understood = asked.length ? `Understood as: ${asked.join(", ")}.` : "";
  return [understood, asides.length ? `${asides.join(", ")}.` : ""].filter(Boolean).join(" ");
}

const rest = (values, value) => values.filter((each) => each !== value);

/** The overrides with others; an empty list, and an empty text, ask for nothing of the kind. */
function replaced(asked, others) {
  const made = new URLSearchParams(asked);
  for (const [name, values] of Object.entries(others)) {
    made.delete(name);
    for (const value of values.length ? values : [""]) made.append(name, value);
  }
  return made;
}

function priceChip({ price_min: least, price_max: most, price_near: near, currency }, asked, money, products) {
  const write = (amount) => money(amount, currency);
  const label =
    near !== undefined ? `around ${write(near)}`
    : least !== undefined && most !== undefined ? `${write(least)} to ${write(most)}`
    : most !== undefined ? `under ${write(most)}`
    : least !== undefined ? `over ${write(least)}`
    : undefined;
  return label ? [{ label, without: replaced(asked, Object.fromEntries(PRICES.map((name) => [name, []]))), products }] : [];
}

/** "The cheapest": an order, and with it the wish that it also is. */
function orderChip({ order, weights = {} }, asked) {
  if (!order) return [];
  const others = weightless(asked, Object.keys(WISHES).filter((name) => weights[name]));
  return [{ label: ORDERS[order], without: replaced(asked, { order: [], ...(others && { weights: [others] }) }) }];
}

/** Tags that the words wish for, and those that the address insists on since another was taken away. */
function tagChips({ tags = [], description = "" }, asked) {
  const all = [...new Set([...tags, ...asked.getAll("tag").filter(Boolean)])];
  return all.map((tag) => ({
    label: tag,
    without: replaced(asked, { tag: rest(all, tag), description: [less(description, [tag])] }),
  }));
}

/** What is left of a text without the words of some tags. */
function less(text, tags) {
  const gone = new Set(tags.flatMap((tag) => tag.toLowerCase().split(/[\s-]+/)));
  return text.split(/\s+/).filter((word) => word && !gone.has(word.toLowerCase())).join(" ");
}

function wishChips({ weights = {}, order }, asked) {
  if (order) return []; // it says more than they do
  const set = weightsOf(asked);
  return Object.entries(WISHES).flatMap(([name, { more, less }]) => {
    if (!weights[name] || set.has(name)) return [];
    return [{ label: weights[name] < 0 ? less : more, without: replaced(asked, { weights: [weightless(asked, [name])] }) }];
  });
}

const weightsOf = (asked) => new Map((asked.get("weights") ?? "").split(",").filter(Boolean).map((pair) => pair.split(":")));

/** The weights of the overrides with some that count nothing. */
function weightless(asked, names) {
  return [...new Map([...weightsOf(asked), ...names.map((name) => [name, "0"])])].map((pair) => pair.join(":")).join(",");
}

/** The words that are none of the above: products are to look and read like them. */
function describedChip({ description = "", tags = [] }, asked) {
  const words = less(description, [...tags, ...asked.getAll("tag")]);
  const kept = description.split(/\s+/).filter((word) => !words.split(" ").includes(word)).join(" ");
  return words ? [{ label: `like “${words}”`, without: replaced(asked, { description: [kept] }) }] : [];
}

function asides({ corrections = {}, unknown = [] }) {
  return [
    ...Object.entries(corrections).map(([typed, taken]) => ({ label: `${typed} → ${taken}` })),
    ...unknown.map((word) => ({ label: `“${word}” is nothing we know to leave out` })),
  ];
}
