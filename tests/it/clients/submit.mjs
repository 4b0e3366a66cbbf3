// Sends a message with a file as any Node program would: with Nodemailer, AUTH and TLS from the first byte.
//
// Reads one JSON job: port, ca, user, password, from, to, subject, text, file (base64), name. Prints {"response": ...}.
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
  secure: true,
  auth: { user: job.user, pass: job.password },
  tls: { ca: readFileSync(job.ca) },
});
const file = Buffer.from(job.file, "base64");
const { from, to, subject, text } = job;
try {
  const answer = await transport.sendMail({
    from,
    to,
    subject,
    text,
    html: `<p>${text} <img src="cid:logo"></p>`,
    attachments: [
      { filename: job.name, content: file },
      { filename: "logo.png", content: file, cid: "logo" },
    ],
  });
  console.log(JSON.stringify({ response: answer.response }));
} catch (error) {
  console.log(JSON.stringify({ response: error.response ?? String(error) }));
}
