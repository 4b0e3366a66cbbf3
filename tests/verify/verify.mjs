// Verifies webhooks with the reference library of Standard Webhooks.
//
// Reads one JSON object a line: {"secret": "whsec_...", "headers": {...}, "body": "..."}.
// Prints "ok" or "err <reason>" a line, in the same order.
// The library is looked up below CONNEX_TEST_NODE_MODULES (default: tests/.tools/node_modules).

import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const modules = process.env.CONNEX_TEST_NODE_MODULES ?? join(here, "..", ".tools", "node_modules");
const require = createRequire(join(resolve(modules), "from-here.js"));
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  try {
    new Webhook(secret).verify(body, headers);
    console.log("ok");
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    console.log(`err ${error.message}`);
  }
}
