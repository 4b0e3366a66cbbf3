//! Replies of SMTP servers, read from whatever pieces they arrive in, and what EHLO announces.
//!
//! Standards: RFC 5321 §4.2 (form), §4.5.3.1.5 (length), RFC 2034 and RFC 3463 (enhanced codes), RFC 1870 (SIZE),
//! RFC 2920 (PIPELINING), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8).
//!
//! # Security
//! A server may be anybody's. Lines and replies are bounded, codes are digits, and [`Reply::excerpt`] gives a text that
//! can be shown: short, on one line, without control characters.

use std::fmt;

use serde::{Deserialize, Serialize};

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

    /// 4yz.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5yz.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// The enhanced code in front of the text; `None` where there is none, or one of another class than the code's
    /// (RFC 2034 §4).
    #[must_use]
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        let word = self.text.split_ascii_whitespace().next()?;
        EnhancedCode::parse(word).filter(|code| u16::from(code.class) == self.code / 100)
    }

    /// The text on one line, at most [`EXCERPT_CHARS`] characters, without control characters. It may name addresses.
    #[must_use]
    pub fn excerpt(&self) -> String {
        excerpt(&self.text)
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

/// Most characters of an excerpt.
pub const EXCERPT_CHARS: usize = 300;

/// A text of others, fit to be shown: on one line, short, without control characters.
#[must_use]
pub fn excerpt(text: &str) -> String {
    let shown = |letter: char| if letter == '\n' { Some('/') } else { (!letter.is_control()).then_some(letter) };
    text.chars().take(EXCERPT_CHARS).map(|letter| shown(letter).unwrap_or(' ')).collect::<String>().trim().to_owned()
}

/// An enhanced status code, such as 5.1.1 (RFC 3463 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnhancedCode {
    class: u8,
    subject: u16,
    detail: u16,
}

impl EnhancedCode {
    /// A code of ours.
    #[must_use]
    pub(super) const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// Reads `class.subject.detail`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        // RFC 3463 §2: class 2, 4 or 5; the others have one to three digits.
        let class = parts.next().filter(|class| matches!(*class, "2" | "4" | "5"))?.parse().ok()?;
        let mut number = || {
            let digits = parts.next()?;
            let fits = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
            if fits { digits.parse().ok() } else { None }
        };
        let (subject, detail) = (number()?, number()?);
        parts.next().is_none().then_some(Self { class, subject, detail })
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// A text that is no enhanced code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an enhanced status code has the form 5.1.1")]
pub struct InvalidEnhancedCode;

impl TryFrom<String> for EnhancedCode {
    type Error = InvalidEnhancedCode;

    fn try_from(text: String) -> Result<Self, InvalidEnhancedCode> {
        Self::parse(&text).ok_or(InvalidEnhancedCode)
    }
}

impl From<EnhancedCode> for String {
    fn from(code: EnhancedCode) -> Self {
        code.to_string()
    }
}

/// What a server announced in its answer to EHLO.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offer {
    /// PIPELINING.
    pub pipelining: bool,
    /// STARTTLS.
    pub starttls: bool,
    /// 8BITMIME.
    pub eight_bit: bool,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// SIZE.
    pub size: bool,
    /// The largest message; 0 when there is no fixed one (RFC 1870 §4).
    pub largest: u64,
    /// AUTH PLAIN.
    pub auth_plain: bool,
    /// AUTH LOGIN.
    pub auth_login: bool,
}

impl Offer {
    /// Reads the answer to EHLO.
    #[must_use]
    pub fn read(reply: &Reply) -> Self {
        let mut offer = Self::default();
        // RFC 5321 §4.1.1.1: the first line is the greeting, each other one a keyword with its parameters.
        for line in reply.lines().skip(1) {
            let mut words = line.split_ascii_whitespace();
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "PIPELINING" => offer.pipelining = true,
                "STARTTLS" => offer.starttls = true,
                "8BITMIME" => offer.eight_bit = true,
                "SMTPUTF8" => offer.smtputf8 = true,
                "SIZE" => {
                    offer.size = true;
                    offer.largest = words.next().and_then(|number| number.parse().ok()).unwrap_or(0);
                }
                "AUTH" => {
                    for mechanism in words {
                        offer.auth_plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                        offer.auth_login |= mechanism.eq_ignore_ascii_case("LOGIN");
                    }
                }
                _ => {}
            }
        }
        offer
    }
}

/// Bytes from the server that are not read as replies yet.
#[derive(Debug, Default)]
pub struct ReplyBuffer {
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
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.read == self.bytes.len()
    }

    /// Where to put what arrives.
    pub fn space(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.read);
        self.read = 0;
        self.bytes.reserve(CHUNK);
        &mut self.bytes
    }

    /// The next whole reply; `None` while more bytes are needed.
    ///
    /// # Errors
    /// What is wrong with what came: it is no SMTP, or too long.
    pub fn take(&mut self) -> Result<Option<Reply>, &'static str> {
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
            while let Some(reply) = buffer.take()? {
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

    #[test]
    fn an_enhanced_code_counts_only_where_its_class_is_that_of_the_reply() {
        let enhanced = |wire: &str| read(&[wire.as_bytes()]).unwrap()[0].enhanced().map(|code| code.to_string());
        assert_eq!(enhanced("550 5.1.1 No such user\r\n").as_deref(), Some("5.1.1"));
        assert_eq!(enhanced("450-4.7.1 later\r\n450 4.7.1 on\r\n").as_deref(), Some("4.7.1"));
        for other in ["550 4.1.1 x", "250 ok", "550 5.1", "550 5.1.1.1 x", "550 5.1000.1 x", "550 5.-1.1 x", "550"] {
            assert_eq!(enhanced(&format!("{other}\r\n")), None, "{other}");
        }
    }

    #[test]
    fn an_excerpt_is_short_and_on_one_line() {
        let wire = format!("550-5.7.1 \x1b[31mno\0\u{85}\r\n550 {}\r\n", "y".repeat(2_000));
        let excerpt = read(&[wire.as_bytes()]).unwrap()[0].excerpt();
        assert!(excerpt.starts_with("5.7.1  [31mno") && excerpt.contains("/yy"), "{excerpt}");
        assert!(excerpt.chars().count() <= EXCERPT_CHARS && !excerpt.contains(char::is_control));
    }

    #[test]
    fn what_is_announced_is_read_in_any_case() {
        let wire = b"250-mx.example greets\r\n250-size 1000\r\n250-8BitMime\r\n250-AUTH login PLAIN XOAUTH2\r\n250 STARTTLS\r\n";
        let offer = Offer::read(&read(&[wire]).unwrap()[0]);
        let expected = Offer {
            starttls: true,
            eight_bit: true,
            size: true,
            largest: 1_000,
            auth_plain: true,
            auth_login: true,
            ..Offer::default()
        };
        assert_eq!(offer, expected);
    }

    proptest! {
        #[test]
        fn any_bytes_are_replies_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for reply in read(&[&bytes]).unwrap_or_default() {
                prop_assert!((200..600).contains(&reply.code()));
                prop_assert!(!reply.excerpt().contains(char::is_control));
                let _ = (reply.enhanced(), Offer::read(&reply));
            }
        }
    }
}
