// Sends messages as any Node program would: with Nodemailer.
//
// Reads one JSON job: host, port, ca, from, to, and raw messages in base64. Prints {"accepted": [...], "responses": [...]}.
// The library is looked up below CONNEX_TEST_NODE_MODULES (default: tests/.tools/node_modules).

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const modules = process.env.CONNEX_TEST_NODE_MODULES ?? join(here, "..", "..", ".tools", "node_modules");
const nodemailer = createRequire(join(resolve(modules), "from-here.js"))("nodemailer");

const job = JSON.parse(readFileSync(0, "utf8"));
const transport = nodemailer.createTransport({
  host: "localhost",
  port: job.port,
  secure: job.secure ?? false,
  requireTLS: true,
  tls: { ca: readFileSync(job.ca) },
  pool: true,
  maxConnections: 2,
});
const sent = job.messages.map((message) =>
  transport.sendMail({ envelope: { from: job.from, to: job.to }, raw: Buffer.from(message, "base64") }),
);
const answers = await Promise.all(sent);
transport.close();
console.log(JSON.stringify(answers.map(({ accepted, rejected, response }) => ({ accepted, rejected, response }))));
