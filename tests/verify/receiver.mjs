// A receiver of connex webhooks: verify, store once, answer at once.
//
//     npm install standardwebhooks
//     CONNEX_WEBHOOK_SECRET=whsec_... node receiver.mjs 8080

import { linkSync, mkdirSync, unlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { randomUUID } from "node:crypto";
import { Webhook } from "standardwebhooks";

const MAX_BODY = 1024 * 1024;
const webhook = new Webhook(process.env.CONNEX_WEBHOOK_SECRET);
mkdirSync("inbox", { recursive: true });

// True when the event is new. Process the folder elsewhere: the answer must not wait for that.
function store(eventId, body) {
  const part = `inbox/.${randomUUID()}`;
  writeFileSync(part, body, { flush: true });
  try {
    linkSync(part, `inbox/${eventId}.json`); // takes the name for the whole file at once, or fails
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
    return false;
  } finally {
    unlinkSync(part);
  }
}

async function receive(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > MAX_BODY) return 413;
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks); // the bytes as they came: parsed and printed again, they would not verify
  try {
    webhook.verify(body, request.headers);
  } catch {
    return 401;
  }
  const eventId = request.headers["webhook-id"];
  if (!/^[\w-]+$/.test(eventId)) return 400; // it becomes the name of a file
  console.log(store(eventId, body) ? "new" : "again", eventId);
  return 204;
}

const server = createServer(async (request, response) => {
  const status = request.method === "POST" ? await receive(request).catch(() => 500) : 405;
  response.writeHead(status, { "content-length": 0 }).end();
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("listening", server.address().port));
