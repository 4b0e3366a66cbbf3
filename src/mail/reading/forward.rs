//! How a person or a server forwarded a message to a `fwd` route.
//!
//! Standards: RFC 5322 §3.6.6 (resent fields). The rest is what mail programs do.

use std::sync::LazyLock;

use regex::Regex;

use super::Format;
use crate::mail::copy::RouteAddresses;
use crate::mail::message::{HeaderAddress, Message};

/// Robots that mail providers write with, to have a forward address confirmed.
const ROBOTS: [&str; 4] =
    ["forwarding-noreply@google.com", "mailer@yandex.ru", "forwarding-noreply@zoho.com", "noreply@mail.proton.me"];

/// Octets of the text in which a quoted header is looked for.
const LOOKED_AT: usize = 64 * 1024;
/// Lines of a quoted header that must be there, From among them.
const FIELDS: usize = 3;

/// How `message` was forwarded, where it is no attachment that it forwards.
pub(super) fn format(message: &Message, routes: &RouteAddresses) -> Format {
    if is_by_a_robot(message) {
        Format::Confirmation
    } else if is_for_routes_only(message, routes) && has_quoted_header(&message.text) {
        Format::Inline
    } else {
        Format::Redirect
    }
}

/// Whether one of the robots wrote it by which providers have a forward address confirmed.
pub(super) fn is_by_a_robot(message: &Message) -> bool {
    let author = message.author.as_ref().and_then(|author| author.mailbox.as_ref());
    author.is_some_and(|author| ROBOTS.contains(&author.key().as_str()))
}

/// Whether To and Cc name route addresses, and nobody else.
pub(super) fn is_for_routes_only(message: &Message, routes: &RouteAddresses) -> bool {
    let mut named = message.to.iter().chain(&message.cc).peekable();
    named.peek().is_some() && named.all(|one: &HeaderAddress| routes.contains(&one.address))
}

#[expect(clippy::expect_used, reason = "a constant pattern, compiled by every test that reads a forward")]
static FIELD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)^[>*\s]{0,4}(?:(?P<from>from|von|de|da|van|od|från)|to|an|à|a|para|aan|do|till|cc|date|sent|datum|gesendet|envoyé|data|fecha|enviado|inviato|verzonden|wysłano|skickat|subject|betreff|objet|asunto|oggetto|onderwerp|temat|ämne)\s?\*?:\*?\s?\S",
    )
    .expect("the pattern is valid")
});

/// Whether the text has a block of quoted header fields, From among them.
fn has_quoted_header(text: &str) -> bool {
    let text = text.get(..text.floor_char_boundary(LOOKED_AT)).unwrap_or(text);
    let (mut fields, mut has_from) = (0_usize, false);
    for line in text.lines() {
        match FIELD.captures(line) {
            Some(found) => {
                fields += 1;
                has_from |= found.name("from").is_some();
            }
            // A long value may go on in the next line, and programs put blank lines between the fields.
            None if line.trim().is_empty() || line.starts_with([' ', '\t']) => {}
            None => (fields, has_from) = (0, false),
        }
        if fields >= FIELDS && has_from {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_header_is_known_in_every_language_that_programs_speak() {
        for text in [
            "See below\n\n---------- Forwarded message ---------\nFrom: Ann <ann@x.example>\nDate: today\nSubject: Hi\nTo: sam@y.example\n\nHello",
            "-----Ursprüngliche Nachricht-----\nVon: Ann <ann@x.example>\nGesendet: heute\nAn: sam@y.example\nBetreff: Hallo\n",
            "> De : Ann <ann@x.example>\n> Envoyé : hier\n> À : sam@y.example\n> Objet : Salut\n",
            "*From:* Ann\n\n*Sent:* Monday\n\n*To:* Sam\n",
        ] {
            assert!(has_quoted_header(text), "{text}");
        }
        for text in [
            "",
            "From: the desk of Ann\nHello",
            "To: do\nDate: set\nSubject: none\n",
            "From: a\nthen\nTo: b\nthen\nCc: c\n",
        ] {
            assert!(!has_quoted_header(text), "{text}");
        }
    }
}
