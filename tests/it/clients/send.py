"""Sends messages as any Python program would: with smtplib.

Reads one JSON job: host, port, tls ("none", "starttls", "implicit"), ca, from, to, options, and messages in base64.
Prints {"tls": version, "replies": [[code, text], ...], "refused": {recipient: [code, text]}}.
"""

import base64
import json
import smtplib
import ssl
import sys

job = json.load(sys.stdin)
context = ssl.create_default_context(cafile=job["ca"]) if job["tls"] != "none" else None
if job["tls"] == "implicit":
    client = smtplib.SMTP_SSL("localhost", job["port"], context=context, timeout=30)
else:
    client = smtplib.SMTP("localhost", job["port"], timeout=30)
if job["tls"] == "starttls":
    client.starttls(context=context)
replies, refused = [], {}
for message in job["messages"]:
    client.ehlo_or_helo_if_needed()
    code, text = client.mail(job["from"], job.get("options", []))
    if code == 250:
        for recipient in job["to"]:
            code, text = client.rcpt(recipient)
            if code != 250:
                refused[recipient] = [code, text.decode()]
        if code == 250:
            code, text = client.data(base64.b64decode(message))
    if code != 250:
        client.rset()
    replies.append([code, text.decode()])
version = client.sock.version() if job["tls"] != "none" else None
client.quit()
print(json.dumps({"tls": version, "replies": replies, "refused": refused}))
