//! Rules about the header fields and the words of a version.

use super::{Case, Finding};
use crate::governance::content;
use crate::governance::facts::Fact;
use crate::governance::rendering::{Rendering, decode_words};

pub(super) fn display_name_spoof(case: &Case<'_>) -> Finding {
    let Some(rendering) = case.rendering() else { return Finding::Unknown };
    let names = ["from", "sender", "reply-to"].map(|name| match rendering.author(name) {
        Fact::Known(Some(author)) => Finding::when(content::is_spoof(&author.display_name, &author.mailbox)),
        Fact::Known(None) if name == "from" => Finding::Unknown,
        Fact::Known(None) => Finding::Clear,
        Fact::Unknown => Finding::Unknown,
    });
    names.into_iter().fold(Finding::Clear, Finding::or)
}

pub(super) fn header_injection(case: &Case<'_>) -> Finding {
    let Some(rendering) = case.rendering() else { return Finding::Unknown };
    Finding::when(
        rendering.is_malformed
            || rendering.fields.iter().any(|(name, value)| !is_settable(name) || hides_control(name, value))
            || repeats_field(rendering),
    )
}

pub(super) fn secret_in_content(case: &Case<'_>) -> Finding {
    let text = case.rendering().and_then(|rendering| rendering.text.known());
    text.map_or(Finding::Unknown, |text| Finding::when(content::has_secret(&text.everything)))
}

/// Whether a field may be in a version at all. What the gateway adds itself (trace and authentication fields) comes
/// after the gate.
fn is_settable(name: &str) -> bool {
    ONCE.contains(&name) || OFTEN.contains(&name) || (name.starts_with("x-") && !name.starts_with("x-connex-"))
}

/// A line break or NUL inside an encoded word, or an encoded word that readers may decode differently.
fn hides_control(name: &str, value: &str) -> bool {
    let is_free_text = !name.starts_with("content-");
    decode_words(value)
        .map_or(is_free_text, |decoded| decoded.chars().any(|letter| letter.is_control() && letter != '\t'))
}

/// RFC 5322 §3.6: at most once each; readers differ on which of two they show.
fn repeats_field(rendering: &Rendering) -> bool {
    ONCE.iter().any(|name| rendering.values(name).nth(1).is_some())
}

const ONCE: [&str; 21] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "content-id",
    "content-language",
    "auto-submitted",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "importance",
    "organization",
];

const OFTEN: [&str; 2] = ["comments", "keywords"];
