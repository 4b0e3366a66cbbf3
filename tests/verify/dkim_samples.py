#!/usr/bin/env python3
"""Mail signed and sealed by dkimpy, with dkimpy's own verdict on it as it is and after it was changed on its way.

Prints JSON: `zone`, the keys as TXT records by name, and `samples`, each with its bytes (base64), what dkimpy says of each
signature by its selector, and what it says of the ARC chain (`none`, `pass`, `fail`).
"""

import base64
import json
import logging
import subprocess
import sys
import time

import dkim
import nacl.encoding
import nacl.signing

logging.disable(logging.CRITICAL)

HEADER = (
    b"From: Ann Lee <ann@lakeside.example>\r\n"
    b"To: Bob <bob@seaside.example>,\r\n\tdeals@in.example\r\n"
    b"Subject:  Next   steps \r\n  for 14 Mill Lane\r\n"
    b"Date: Mon, 23 Nov 2026 09:01:00 +0000\r\n"
    b"Message-ID: <1@lakeside.example>\r\n"
)
BODIES = {
    "plain": b"Can you send proof of funds?\r\nBest regards\r\n",
    "blanks": b"Two  blanks \t and some at the end \t \r\n\r\n\ta tab\r\n",
    "empty_lines": b"Three empty lines follow\r\n\r\n\r\n\r\n",
    "blank_lines": b"Lines of blanks follow\r\n \t\r\n  \r\n\r\n",
    "none": b"",
    "dots": b".\r\n..\r\nFrom the start\r\n",
    "utf8": "Zwölf Boxkämpfer 🦀\r\n".encode(),
    "long": b"long " * 150 + b"\r\n" + b"0123456789abcdef\r\n" * 4000,
}
CANONICAL = [(a, b) for a in (b"relaxed", b"simple") for b in (b"relaxed", b"simple")]
#: What may happen to mail on its way; some of it is allowed by some canonicalisations.
CHANGES = {
    "as it was": lambda m: m,
    "a word of the body": lambda m: m.replace(b"proof", b"prove"),
    "blanks in the body": lambda m: m.replace(b"send proof", b"send   proof"),
    "a blank at the end of a line": lambda m: m.replace(b"regards\r\n", b"regards \r\n"),
    "empty lines at the end": lambda m: m + b"\r\n\r\n",
    "a line at the end": lambda m: m + b"-- \r\nThe list\r\n",
    "the subject": lambda m: m.replace(b"Mill Lane", b"Hill Lane"),
    "folding of the subject": lambda m: m.replace(b"steps \r\n  for", b"steps for"),
    "case of a field name": lambda m: m.replace(b"Subject:", b"SUBJECT:"),
    "another field on top": lambda m: b"Received: from a by b; Mon, 23 Nov 2026 09:02:00 +0000\r\n" + m,
    "a second subject on top": lambda m: b"Subject: Other\r\n" + m,
    "a second subject below": lambda m: m.replace(b"Message-ID:", b"Subject: Other\r\nMessage-ID:"),
    "a field removed": lambda m: m.replace(b"Date: Mon, 23 Nov 2026 09:01:00 +0000\r\n", b""),
    "fields in another order": lambda m: m.replace(b"Date: Mon, 23 Nov 2026 09:01:00 +0000\r\n", b"").replace(
        b"Message-ID: <1@lakeside.example>\r\n",
        b"Message-ID: <1@lakeside.example>\r\nDate: Mon, 23 Nov 2026 09:01:00 +0000\r\n",
    ),
    "another selector": lambda m: m.replace(b" s=", b" s=not-", 1),
}


class Keys:
    """An RSA and an Ed25519 key, published under as many selectors as are asked for."""

    def __init__(self):
        self.rsa = subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True).stdout
        public = ["openssl", "rsa", "-pubout", "-outform", "DER"]
        public = subprocess.run(public, input=self.rsa, check=True, capture_output=True).stdout
        own = nacl.signing.SigningKey.generate()
        self.ed25519 = own.encode(nacl.encoding.Base64Encoder)
        verify = own.verify_key.encode(nacl.encoding.Base64Encoder)
        self.records = {
            b"rsa-sha256": b"v=DKIM1; k=rsa; p=" + base64.b64encode(public),
            b"ed25519-sha256": b"v=DKIM1; k=ed25519; p=" + verify,
        }
        self.zone = {}

    def of(self, algorithm):
        return self.rsa if algorithm == b"rsa-sha256" else self.ed25519

    def publish(self, algorithm, domain):
        selector = b"s%d" % len(self.zone)
        self.zone[(selector + b"._domainkey." + domain).decode()] = self.records[algorithm].decode()
        return selector

    def look_up(self, name, timeout=5):
        found = self.zone.get(name.decode().rstrip("."))
        return found.encode() if found else None


class Expiring(dkim.DKIM):
    """dkimpy reads `x=` and has no way to write it."""

    expires = None

    def gen_header(self, fields, *rest, **more):
        if self.expires:
            fields.insert(len(fields) - 2, (b"x", b"%d" % self.expires))
        return super().gen_header(fields, *rest, **more)


KEYS = Keys()


def signed(mail, algorithm, canonical=(b"relaxed", b"relaxed"), domain=b"lakeside.example", expires=None, **more):
    signer = Expiring(mail, signature_algorithm=algorithm)
    signer.expires = expires
    fields = [b"from", b"to", b"subject", b"date", b"message-id", *more.pop("again", [])]
    selector = KEYS.publish(algorithm, domain)
    line = signer.sign(selector, domain, KEYS.of(algorithm), canonicalize=canonical, include_headers=fields, **more)
    return line + mail


def sealed(mail, domain, results):
    mail = b"Authentication-Results: " + domain + b"; " + results + b"\r\n" + mail
    selector = KEYS.publish(b"rsa-sha256", domain)
    fields = [b"from", b"to", b"subject", b"date", b"message-id"]
    return b"".join(dkim.arc_sign(mail, selector, domain, KEYS.rsa, domain, include_headers=fields)) + mail


def judged(mail):
    """What dkimpy says of each signature, by selector, and of the chain."""
    verdicts, index = {}, 0
    fields, _ = dkim.rfc822_parse(mail)
    for name, value in fields:
        if name.lower() != b"dkim-signature":
            continue
        selector = dkim.util.parse_tag_value(value)[b"s"].decode()
        try:
            verdicts[selector] = bool(dkim.DKIM(mail).verify(idx=index, dnsfunc=KEYS.look_up))
        except dkim.DKIMException:
            verdicts[selector] = False
        index += 1
    chain, _, _ = dkim.ARC(mail).verify(dnsfunc=KEYS.look_up)
    return verdicts, chain.decode()


def mails():
    """Every sample before it is changed, by what it is, and whether each change is tried on it."""
    plain = HEADER + b"\r\n" + BODIES["plain"]
    for algorithm in (b"rsa-sha256", b"ed25519-sha256"):
        for canonical in CANONICAL:
            name = b" ".join([algorithm, b"/".join(canonical)]).decode()
            yield name, signed(plain, algorithm, canonical), CHANGES
            for body, octets in BODIES.items():
                yield f"{name}, body {body}", signed(HEADER + b"\r\n" + octets, algorithm, canonical), ["as it was"]
        name = algorithm.decode()
        yield f"{name}, l=", signed(plain, algorithm, length=True), ["as it was", "a line at the end", "the subject"]
        yield f"{name}, From and Subject signed once more than they are there", signed(
            plain, algorithm, again=[b"from", b"subject"]
        ), CHANGES
        for expires in (1_000_000_000, int(time.time()) + 1_000_000):
            yield f"{name}, x={expires}", signed(plain, algorithm, expires=expires), ["as it was", "the subject"]
    both = signed(signed(plain, b"rsa-sha256"), b"ed25519-sha256", (b"simple", b"simple"))
    yield "two signatures of the author", both, CHANGES
    yield "and one of a list", signed(both, b"rsa-sha256", (b"relaxed", b"simple"), b"list.example"), CHANGES
    author = signed(plain, b"rsa-sha256")
    first = sealed(author, b"list.example", b"spf=pass smtp.mailfrom=lakeside.example; dmarc=pass header.from=lakeside.example")
    yield "one seal", first, CHANGES
    second = sealed(first, b"forward.example", b"arc=pass; dmarc=fail header.from=lakeside.example")
    yield "two seals", second, CHANGES
    listed = sealed(first.replace(b"Mill Lane", b"Hill Lane"), b"forward.example", b"arc=pass; dmarc=fail header.from=lakeside.example")
    yield "two seals, the first broken by its list before the second", listed, ["as it was"]
    for broken, was, becomes in [
        ("the first seal", b"ARC-Seal: i=1; cv=none", b"ARC-Seal: i=1; cv=pass"),
        ("what the first found", b"i=1; list.example;\r\n spf=pass", b"i=1; list.example;\r\n spf=fail"),
        ("the number of the second", b"ARC-Seal: i=2", b"ARC-Seal: i=3"),
    ]:
        assert was in second, broken
        yield f"two seals, {broken} changed", second.replace(was, becomes), ["as it was"]


def main():
    samples = []
    for name, mail, changes in mails():
        for change in changes:
            changed = CHANGES[change](mail)
            # A change that there is nothing for is no sample.
            if changed == mail and change != "as it was":
                continue
            signatures, chain = judged(changed)
            told = base64.b64encode(changed).decode()
            samples.append({"name": f"{name}: {change}", "mail": told, "signatures": signatures, "chain": chain})
    json.dump({"zone": KEYS.zone, "samples": samples}, sys.stdout)


main()
