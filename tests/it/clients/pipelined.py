"""Sends two messages in three writes, as RFC 2920 allows; prints every reply line.

Reads {"port": ..., "to": ..., "messages": [base64, base64]}; the messages need no dot-stuffing.
"""

import base64
import json
import socket
import sys

job = json.load(sys.stdin)
first, second = (base64.b64decode(message) for message in job["messages"])
envelope = f"MAIL FROM:<ann@lakeside.example>\r\nRCPT TO:<{job['to']}>\r\nDATA\r\n".encode()
connection = socket.create_connection(("127.0.0.1", job["port"]), timeout=30)
replies = connection.makefile("rb")
said = []


def reply():
    while True:
        line = replies.readline().decode()
        said.append(line.rstrip())
        if line[3:4] != "-":
            return line


reply()
connection.sendall(b"EHLO client.example\r\n")
reply()
connection.sendall(envelope)
for _ in range(3):
    reply()
connection.sendall(first + b".\r\n" + envelope)
for _ in range(4):
    reply()
connection.sendall(second + b".\r\nQUIT\r\n")
reply()
reply()
print(json.dumps(said))
