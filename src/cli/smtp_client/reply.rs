//! Replies, read from whatever pieces they arrive in.
//!
//! Standards: RFC 5321 §4.2 (form), §4.5.3.1.5 (length).

use std::fmt;

/// One reply, of one or several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    /// Without codes; lines are separated by LF.
    text: String,
}

impl Reply {
    /// The three digits.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// What follows the code, lines separated by LF.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The lines without their codes.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.split('\n')
    }

    /// 2yz.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.code / 100 == 2
    }

    /// Whether the server closes the connection with it (RFC 5321 §3.8).
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        self.code == 421
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.code, self.text.replace('\n', " / "))
    }
}

/// Bytes from the server that are not read as replies yet.
#[derive(Debug, Default)]
pub(in crate::cli) struct ReplyBuffer {
    bytes: Vec<u8>,
    /// Bytes in front that were read.
    read: usize,
}

/// RFC 5321 §4.5.3.1.5 says 512; some servers write more.
const MAX_LINE: usize = 2_048;
const MAX_REPLY: usize = 32 * 1_024;
const CHUNK: usize = 2_048;

impl ReplyBuffer {
    /// Whether nothing waits to be read.
    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.read == self.bytes.len()
    }

    /// Where to put what arrives.
    pub(in crate::cli) fn space(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.read);
        self.read = 0;
        self.bytes.reserve(CHUNK);
        &mut self.bytes
    }

    /// The next whole reply; `None` while more bytes are needed.
    pub(in crate::cli) fn next(&mut self) -> Result<Option<Reply>, &'static str> {
        let rest = self.bytes.get(self.read..).unwrap_or_default();
        let Some((reply, length)) = parse(rest)? else { return Ok(None) };
        self.read = self.read.saturating_add(length);
        Ok(Some(reply))
    }
}

/// A reply at the front of `bytes`, and how long it is.
fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, &'static str> {
    let mut reply: Option<Reply> = None;
    let mut length = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line.len() > MAX_LINE {
            return Err("a line of it is too long");
        }
        let Some(content) = line.strip_suffix(b"\n") else { break };
        length += line.len();
        if length > MAX_REPLY {
            return Err("it is too long");
        }
        let (code, is_last, text) = parse_line(content.strip_suffix(b"\r").unwrap_or(content))?;
        let text = String::from_utf8_lossy(text);
        match &mut reply {
            None => reply = Some(Reply { code, text: text.into_owned() }),
            // RFC 5321 §4.2.1: the code is the same on every line.
            Some(reply) if reply.code != code => return Err("its lines have different codes"),
            Some(reply) => {
                reply.text.push('\n');
                reply.text.push_str(&text);
            }
        }
        if is_last {
            return Ok(reply.map(|reply| (reply, length)));
        }
    }
    if bytes.len() > MAX_REPLY { Err("it is too long") } else { Ok(None) }
}

/// Code, whether it is the last line, and the text.
fn parse_line(line: &[u8]) -> Result<(u16, bool, &[u8]), &'static str> {
    let bad = "it does not begin with a code of three digits";
    let (digits, rest) = line.split_first_chunk::<3>().ok_or(bad)?;
    // RFC 5321 §4.2: %x32-35 %x30-35 %x30-39; the second digit is not held to it.
    let fits = matches!(digits, [b'2'..=b'5', second, third] if second.is_ascii_digit() && third.is_ascii_digit());
    if !fits {
        return Err(bad);
    }
    let code = digits.iter().fold(0, |code: u16, digit| code * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Ok((code, true, rest)),
        Some((b' ', text)) => Ok((code, true, text)),
        Some((b'-', text)) => Ok((code, false, text)),
        Some(_) => Err(bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<Reply>, &'static str> {
        let mut buffer = ReplyBuffer::default();
        let mut replies = Vec::new();
        for piece in pieces {
            buffer.space().extend_from_slice(piece);
            while let Some(reply) = buffer.next()? {
                replies.push(reply);
            }
        }
        Ok(replies)
    }

    #[test]
    fn a_reply_is_the_same_however_it_is_cut() {
        let wire = b"250-mx.example\r\n250-SIZE 1000\r\n250 HELP\r\n354\r\n550 5.1.1 No\n";
        let whole = read(&[wire]).unwrap();
        assert_eq!(whole.iter().map(Reply::code).collect::<Vec<_>>(), [250, 354, 550]);
        assert_eq!(whole[0].lines().collect::<Vec<_>>(), ["mx.example", "SIZE 1000", "HELP"]);
        assert_eq!(whole[2].to_string(), "550 5.1.1 No");
        for cut in 0..wire.len() {
            let (front, back) = wire.split_at(cut);
            assert_eq!(read(&[front, back]).unwrap(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for wire in ["hello\r\n", "25 x\r\n", "650 x\r\n", "250x\r\n", "250-a\r\n251 b\r\n", "\r\n"] {
            assert!(read(&[wire.as_bytes()]).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn a_reply_without_end_is_refused_and_not_gathered() {
        assert!(read(&[&[b'2'; MAX_LINE + 1]]).is_err());
        let line = format!("250-{}\r\n", "x".repeat(1_000));
        assert!(read(&[line.repeat(1 + MAX_REPLY / line.len()).as_bytes()]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_replies_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&[&bytes]);
        }
    }
}
