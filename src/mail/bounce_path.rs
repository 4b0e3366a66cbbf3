//! Reverse-paths on hosts that customers delegated: `bounce-<token>@host`, one for each message.
//!
//! Whoever gets such a message learns the token, and can send reports to it: it says which message a report is about, and
//! opens nothing. Letters are compared in lower case, since some servers change them.
//!
//! Standards: RFC 5321 §3.6.3 and §4.4 (reports go to the reverse-path), RFC 3464 §2.1 (with a null one of their own).

use super::address::{Domain, Mailbox};

const PREFIX: &str = "bounce-";
/// Letters of a token; what is shorter or longer is none.
const LETTERS: std::ops::RangeInclusive<usize> = 16..=48;

/// The reverse-path of one message.
#[must_use]
pub fn make(token: &str, host: &Domain) -> Option<Mailbox> {
    Mailbox::parse(&format!("{PREFIX}{}@{host}", token.to_ascii_lowercase())).ok()
}

/// The reverse-path that an address is, as it is stored; `None` where it is none.
#[must_use]
pub fn bounce_path(address: &Mailbox) -> Option<String> {
    let local = address.local().to_ascii_lowercase();
    let token = local.strip_prefix(PREFIX)?;
    let is_token = LETTERS.contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_token.then(|| format!("{local}@{}", address.domain()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_again_however_its_letters_are_written() {
        let host = Domain::parse("bounces.acme.example").unwrap();
        let made = make("ABCDEFGHIJKLMNOPQRSTUVWX", &host).unwrap();
        let stored = made.to_string();
        assert_eq!(stored, "bounce-abcdefghijklmnopqrstuvwx@bounces.acme.example");
        for written in [stored.as_str(), "Bounce-ABCDEFGHIJKLMNOPQRSTUVWX@Bounces.Acme.Example"] {
            assert_eq!(bounce_path(&Mailbox::parse(written).unwrap()).as_ref(), Some(&stored), "{written}");
        }
    }

    #[test]
    fn other_addresses_are_none() {
        for address in [
            "bounce@a.example",
            "bounce-@a.example",
            "bounce-short@a.example",
            "sales@a.example",
            "bounce-abcdefghijklmnop.qr@a.example",
            "xbounce-abcdefghijklmnop@a.example",
        ] {
            assert_eq!(bounce_path(&Mailbox::parse(address).unwrap()), None, "{address}");
        }
    }
}
