/** Prints the events that a shop's page emits for the golden examples, one JSON a line. */

import { createTracker } from "../../../storefront/tracker.js";
import { openBrowser, settled } from "./browser.mjs";

const boots = { item_id: "p0001", price: 89.5, quantity: 1 };
const socks = { item_id: "p0042", price: 12.25, quantity: 2 };

const browser = openBrowser();
const tracker = createTracker({ ingest: "http://ingest.test" });
const layer = [];
tracker.listenToDataLayer(layer);
tracker.track("view_item", { product_id: "p0001", recommendation_id: "for_you:7", session_id: "s-20241124-0001" });
layer.push({ event: "add_to_cart", ecommerce: { currency: "EUR", value: 89.5, items: [boots] } });
layer.push({ event: "search", search_term: "ankle boots under 100 €" });
layer.push({
  event: "view_item_list",
  ecommerce: { item_list_id: "category:Women/Shoes", items: ["p0001", "p0042", "p0077"].map((item_id) => ({ item_id })) },
});
layer.push({ event: "purchase", user_id: "customer-17", ecommerce: { transaction_id: "T-1042", currency: "EUR", value: 114, items: [boots, socks] } });
await settled();
for (const event of browser.events()) console.log(JSON.stringify(event));
