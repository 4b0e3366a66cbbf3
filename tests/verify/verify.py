"""Verifies webhooks with the reference library of Standard Webhooks.

Reads one JSON object a line: {"secret": "whsec_...", "headers": {...}, "body": "..."}.
Prints "ok" or "err <reason>" a line, in the same order.
"""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    case = json.loads(line)
    try:
        Webhook(case["secret"]).verify(case["body"], case["headers"])
        print("ok", flush=True)
    except WebhookVerificationError as error:
        print(f"err {error}", flush=True)
