"""A receiver of connex webhooks: verify, store once, answer at once.

    pip install standardwebhooks
    CONNEX_WEBHOOK_SECRET=whsec_... python receiver.py 8080
"""

import os
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

MAX_BODY = 1024 * 1024
webhook = Webhook(os.environ["CONNEX_WEBHOOK_SECRET"])


def store(event_id, body):
    """True when the event is new. Process the table elsewhere: the answer must not wait for that."""
    database = sqlite3.connect("inbox.db", timeout=10)
    try:
        with database:  # one transaction
            database.execute("CREATE TABLE IF NOT EXISTS inbox (id TEXT PRIMARY KEY, body BLOB NOT NULL)")
            return database.execute("INSERT OR IGNORE INTO inbox VALUES (?, ?)", (event_id, body)).rowcount == 1
    finally:
        database.close()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("content-length") or 0)
        if length > MAX_BODY:
            return self.answer(413)
        body = self.rfile.read(length)  # the bytes as they came: parsed and printed again, they would not verify
        try:
            webhook.verify(body, dict(self.headers))
        except (WebhookVerificationError, ValueError):
            return self.answer(401)
        event_id = self.headers["webhook-id"]
        print("new" if store(event_id, body) else "again", event_id, flush=True)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
print("listening", server.server_port, flush=True)
server.serve_forever()
