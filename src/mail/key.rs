//! The key by which copies of one message are recognised.
//!
//! A message that comes in several times (direct, by a copy route, by a retry, once per recipient) is one message. Other
//! content under the same Message-ID is another message: whoever sends first with a known id must not make the real one
//! disappear. Transport headers are not part of the key.

use ring::digest::{Context, SHA256};

use crate::mail::message::{HeaderAddress, Message};

/// SHA-256 over Message-ID and content: the same for all copies of one message, whatever way they came. Unique within a
/// tenant only; copies of unequal trust must not share it, which the caller sees to.
///
/// `sha256` is the digest of the message's bytes. It counts only where no header names the message: of bytes in which
/// nothing could be read, all would otherwise be copies of one another.
#[must_use]
pub fn copy_key(message: &Message, sha256: &[u8; 32]) -> [u8; 32] {
    let mut hash = Hash(Context::new(&SHA256));
    hash.add("connex copy key 1");
    hash.add_optional(message.message_id.as_deref());
    hash.add_optional(message.date.map(|date| date.as_seconds().to_string()).as_deref());
    hash.add_optional(message.author.as_ref().map(author_key).as_deref());
    hash.add(&message.subject);
    hash.add_text(&message.text);
    hash.add_optional(message.cut_text_sha256.as_deref());
    for attachment in &message.attachments {
        hash.add(&attachment.sha256);
    }
    if message.message_id.is_none() && message.date.is_none() && message.author.is_none() {
        hash.0.update(sha256);
    }
    hash.finish()
}

/// SHA-256 over the Message-ID alone, by which it is seen that other words came under the same id; `None` without one.
#[must_use]
pub fn id_key(message: &Message) -> Option<[u8; 32]> {
    message.message_id.as_deref().map(id_key_of)
}

/// As [`id_key`], of a Message-ID without angle brackets.
#[must_use]
pub fn id_key_of(id: &str) -> [u8; 32] {
    let mut hash = Hash(Context::new(&SHA256));
    hash.add("connex message id 1");
    hash.add(id);
    hash.finish()
}

/// The key of a message whose author's domain disowns it: it never takes nor joins that of the same words which it does
/// stand behind. Whoever sends a guessed message first must not make the real one a copy of it.
#[must_use]
pub fn unauthenticated(copy_key: [u8; 32]) -> [u8; 32] {
    let mut hash = Hash(Context::new(&SHA256));
    hash.add("connex copy key 1, unauthenticated");
    hash.0.update(&copy_key);
    hash.finish()
}

/// The key of a message that goes in a circle: the first of them is seen as such, though its words came before, and what
/// is sent as one is never a reason for the same words to count as a copy.
#[must_use]
pub fn circling(copy_key: [u8; 32]) -> [u8; 32] {
    let mut hash = Hash(Context::new(&SHA256));
    hash.add("connex copy key 1, circling");
    hash.0.update(&copy_key);
    hash.finish()
}

fn author_key(author: &HeaderAddress) -> String {
    author.mailbox.as_ref().map_or_else(|| author.address.clone(), crate::mail::address::Mailbox::key)
}

/// A hash over texts in which no two lists of texts look the same.
struct Hash(Context);

impl Hash {
    fn finish(self) -> [u8; 32] {
        let mut key = [0; 32];
        for (byte, digest) in key.iter_mut().zip(self.0.finish().as_ref()) {
            *byte = *digest;
        }
        key
    }

    fn add(&mut self, text: &str) {
        self.0.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(text.as_bytes());
    }

    fn add_optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => {
                self.0.update(&[1]);
                self.add(text);
            }
            None => self.0.update(&[0]),
        }
    }

    /// The lines without blanks at their ends, and without blank lines at the text's end.
    fn add_text(&mut self, text: &str) {
        let text = text.trim_end();
        for line in text.lines() {
            self.0.update(line.trim_end().as_bytes());
            self.0.update(b"\n");
        }
        self.0.update(&[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::message::{Limits, read};

    const MAIL: &str = "Message-ID: <1@lake.example>\r\nDate: Tue, 10 Mar 2026 09:15:02 +0100\r\n\
                        From: Ann <ann@lake.example>\r\nSubject: Keys\r\n\r\nHello  \r\nBob\r\n";

    fn key(mail: &str) -> [u8; 32] {
        copy_key(&read(mail.as_bytes(), &Limits::default()), &digest(mail.as_bytes()))
    }

    fn digest(bytes: &[u8]) -> [u8; 32] {
        ring::digest::digest(&SHA256, bytes).as_ref().try_into().unwrap()
    }

    #[test]
    fn bytes_in_which_nothing_can_be_read_are_copies_only_of_themselves() {
        assert_ne!(key("garbage\r\n"), key(""));
        assert_ne!(key("garbage\r\n"), key("other garbage\r\n"));
        assert_eq!(key("garbage\r\n"), key("garbage\r\n"));
    }

    #[test]
    fn transport_does_not_change_the_key() {
        for other in [
            format!("Received: from x by y\r\nDelivered-To: z@a.example\r\n{MAIL}"),
            MAIL.replace("\r\n", "\n"),
            MAIL.replace("Hello  \r\nBob\r\n", "Hello\r\nBob\r\n\r\n \r\n"),
            MAIL.replace("Subject: Keys", "Subject: =?utf-8?Q?Keys?="),
            MAIL.replace("09:15:02 +0100", "08:15:02 +0000").replace("Ann <ann@lake.example>", "ann@LAKE.example"),
        ] {
            assert_eq!(key(&other), key(MAIL), "{other}");
        }
    }

    #[test]
    fn other_content_under_the_same_id_is_another_message() {
        for (from, to) in [
            ("<1@", "<2@"),
            ("09:15:02", "09:15:03"),
            ("ann@", "eve@"),
            ("Keys", "Key"),
            ("Bob", "Eve"),
            ("Message-ID: <1@lake.example>\r\n", ""),
        ] {
            assert_ne!(key(&MAIL.replace(from, to)), key(MAIL), "{from}");
        }
    }

    #[test]
    fn attachments_and_text_beyond_the_limit_count() {
        let mail = |name: &str| {
            format!(
                "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nText\n--b\nContent-Type: image/png\n\n{name}\n--b--\n"
            )
        };
        let attached = |name: &str| copy_key(&read(mail(name).as_bytes(), &Limits::default()), &digest(b"the same"));
        assert_ne!(attached("one"), attached("two"));
        let limits = Limits { text: 4, ..Limits::default() };
        let cut = |mail: &[u8]| copy_key(&read(mail, &limits), &digest(b"the same"));
        assert_ne!(cut(b"\n\nlong one"), cut(b"\n\nlong two"));
    }
}
