"""Answers a message as a mail program does that keeps no References: with In-Reply-To, and the text quoted.

Reads one JSON job: host, port, from, to, subject (optional), text, message (the one that is answered, in base64).
Prints {"id": its Message-ID, "refused": {recipient: [code, text]}}.
"""

import base64
import email
import email.policy
import json
import smtplib
import sys
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

job = json.load(sys.stdin)
original = email.message_from_bytes(base64.b64decode(job["message"]), policy=email.policy.default)
answer = EmailMessage(policy=email.policy.SMTP)
answer["From"] = job["from"]
answer["To"] = job["to"]
answer["Subject"] = job.get("subject") or f"Re: {original['Subject']}"
answer["Date"] = formatdate(localtime=True)
answer["Message-ID"] = make_msgid(domain="mail.example")
answer["In-Reply-To"] = original["Message-ID"]
quoted = original.get_body(("plain",)).get_content()
answer.set_content(job["text"] + "\n\n" + "".join(f"> {line}\n" for line in quoted.splitlines()))
with smtplib.SMTP("localhost", job["port"], timeout=30) as client:
    refused = client.send_message(answer, from_addr=job["from"], to_addrs=[job["to"]])
print(json.dumps({"id": answer["Message-ID"].strip("<>"), "refused": {to: str(why) for to, why in refused.items()}}))
