// Sends messages with the unmodified @rudderstack/rudder-sdk-node and its defaults: [[method, message], …] on
// stdin. Prints {delivered: how many, errors: [text, …]}.
import { text } from "node:stream/consumers";
import Analytics from "@rudderstack/rudder-sdk-node";

const [, , dataPlaneUrl, writeKey] = process.argv;
let delivered = 0;
const errors = [];

const analytics = new Analytics(writeKey, { dataPlaneUrl });
for (const [method, message] of JSON.parse(await text(process.stdin))) {
  if (message.timestamp) message.timestamp = new Date(message.timestamp); // it takes no text
  analytics[method](message, (error) => (error ? errors.push(String(error)) : (delivered += 1)));
}
// It sends the first message by itself, and all others when they are many or a while has gone by.
while (delivered + errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
await analytics.flush();
await new Promise((resolve) => setImmediate(() => setImmediate(resolve))); // its callbacks
console.log(JSON.stringify({ delivered, errors }));
process.exit(); // its timers would go on
