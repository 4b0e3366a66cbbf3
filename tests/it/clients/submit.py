"""Sends a message with a file as any Python program would: with smtplib and email, STARTTLS and AUTH.

Reads one JSON job: port, ca, user, password, from, to, bcc, subject, text, file (base64), name.
Prints {"code": ..., "text": ...}: the reply to the message.
"""

import base64
import json
import smtplib
import ssl
import sys
from email.message import EmailMessage

job = json.load(sys.stdin)


class Telling(smtplib.SMTP):
    """Keeps the reply to the end of the message, which smtplib does not give out."""

    def data(self, message):
        self.told = super().data(message)
        return self.told


message = EmailMessage()
message["From"] = job["from"]
message["To"] = job["to"]
message["Bcc"] = job["bcc"]
message["Subject"] = job["subject"]
message["Message-ID"] = job["id"]
message["X-Mailer"] = "secret tool 1.0"
message.set_content(job["text"])
message.add_alternative(f"<p>{job['text']}</p>", subtype="html")
message.add_attachment(base64.b64decode(job["file"]), maintype="application", subtype="pdf", filename=job["name"])

with Telling("localhost", job["port"], timeout=30) as client:
    client.starttls(context=ssl.create_default_context(cafile=job["ca"]))
    client.login(job["user"], job["password"])
    try:
        client.send_message(message)
    except smtplib.SMTPDataError:
        pass
    code, text = client.told
print(json.dumps({"code": code, "text": text.decode()}))
