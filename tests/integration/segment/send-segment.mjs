// Sends messages with the unmodified @segment/analytics-node: [[method, message], …] on stdin.
// Prints {delivered: [messageId, …], errors: [text, …]}.
import { text } from "node:stream/consumers";
import { Analytics } from "@segment/analytics-node";

const [, , host, writeKey] = process.argv;
const delivered = [];
const errors = [];

const analytics = new Analytics({ host, writeKey, flushAt: 100, flushInterval: 60_000, maxRetries: 5 });
analytics.on("error", ({ code, reason }) => errors.push(`${code}: ${reason?.message ?? reason}`));
for (const [method, message] of JSON.parse(await text(process.stdin))) {
  analytics[method](message, (error, context) => {
    if (!error) delivered.push(context.event.messageId);
  });
}
await analytics.closeAndFlush({ timeout: 20_000 });
console.log(JSON.stringify({ delivered, errors }));
