//! What the text of a bounce says: whom it is about, why, for how long, and which message it returns.
//!
//! Every pass is linear in the first 64 KiB; what is kept is bounded.
//!
//! Standards: RFC 3463 (status codes), RFC 5321 §4.2 (reply codes).

use super::phrases::{DELAYS, REASONS};
use super::{Automated, Evidence, FailedRecipient, Permanence, report};
use crate::mail::address::Mailbox;

/// Octets of the text that are looked at.
const LOOKED_AT: usize = 64 * 1024;
/// Most recipients that are taken from a text.
const RECIPIENTS: usize = 100;
/// Lines behind an address in which its reason may stand.
const REASON_LINES: usize = 15;

/// The bounce that `evidence` is.
pub(super) fn read(evidence: &Evidence<'_>) -> Automated {
    let text = evidence.text.get(..evidence.text.floor_char_boundary(LOOKED_AT)).unwrap_or_default();
    if let Some(notification) = ses(text) {
        return notification;
    }
    let lines: Vec<&str> = text.lines().collect();
    let end = lines.iter().position(|line| begins_returned(line)).unwrap_or(lines.len());
    let (told, _) = lines.split_at(end);
    let told_text = told.join("\n");
    let is_delay = is_delay(&evidence.subject.to_lowercase(), &told_text.to_lowercase());
    let mut recipients = report::recipients(&told_text);
    if recipients.is_empty() {
        recipients = failed(evidence, told, is_delay);
    }
    let original_message_id = evidence
        .returned_message_id
        .clone()
        .or_else(|| returned_id(&lines))
        .or_else(|| evidence.answers.map(str::to_owned));
    let permanence = match report::permanence(&recipients) {
        Permanence::Unknown if is_delay => Permanence::Soft,
        Permanence::Unknown if recipients.is_empty() => {
            permanence_of(&status(told, None, is_delay).unwrap_or_default())
        }
        permanence => permanence,
    };
    Automated::Bounce { permanence, recipients, original_message_id }
}

fn permanence_of(status: &str) -> Permanence {
    match status.get(..1) {
        Some("5") => Permanence::Hard,
        Some("4") => Permanence::Soft,
        _ => Permanence::Unknown,
    }
}

fn is_delay(subject: &str, text: &str) -> bool {
    subject.contains("delay") || subject.contains("warning") || DELAYS.iter().any(|phrase| text.contains(phrase))
}

/// Whether a line begins the returned message, or says that it follows.
fn begins_returned(line: &str) -> bool {
    let line = line.trim_start().to_lowercase();
    let is_rule = line.starts_with("--") || line.starts_with("==") || line.starts_with("original");
    let follows = ["copy of", "original", "message header", "unsent message", "returned message", "follows"];
    let is_header = ["received: ", "return-path: <", "message-id:", "dkim-signature:"];
    (is_rule && follows.iter().any(|word| line.contains(word)) && !line.contains("received at"))
        || is_header.iter().any(|field| line.starts_with(field))
}

/// The id in the quoted header of the returned message, which may be folded.
fn returned_id(lines: &[&str]) -> Option<String> {
    let place = lines.iter().position(|line| {
        let line = line.trim_start_matches(['>', ' ', '\t']);
        line.get(..11).is_some_and(|name| name.eq_ignore_ascii_case("message-id:"))
    })?;
    let here = lines.get(place..)?.iter().take(2);
    here.filter_map(|line| bracketed(line)).next().map(str::to_owned)
}

fn bracketed(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once('<')?;
    let (id, _) = rest.split_once('>')?;
    let is_id = id.contains('@') && id.len() <= 998 && !id.contains(char::is_whitespace);
    is_id.then_some(id)
}

/// An address in the text of a bounce.
struct Candidate {
    address: String,
    /// How sure it is that the bounce is about it.
    strength: u8,
    line: usize,
}

/// Whom the lines tell of.
fn failed(evidence: &Evidence<'_>, lines: &[&str], is_delay: bool) -> Vec<FailedRecipient> {
    let mut candidates = candidates(evidence, lines);
    let strongest = candidates.iter().map(|one| one.strength).max().unwrap_or(0);
    candidates.retain(|one| one.strength == strongest);
    // Addresses that stand somewhere, and of which nothing is said: one may be the one, of several none.
    if strongest == 0 && candidates.len() > 1 {
        return Vec::new();
    }
    candidates.sort_by_key(|one| one.line);
    let ends: Vec<usize> = candidates.iter().skip(1).map(|next| next.line).chain([lines.len()]).collect();
    let is_alone = candidates.len() == 1;
    let status_of = |(one, end): (Candidate, usize)| {
        let end = end.max(one.line + 1).min(one.line.saturating_add(REASON_LINES)).min(lines.len());
        let own = lines.get(one.line..end).unwrap_or_default();
        let found = status(own, Some(&one.address), is_delay);
        let found = found.or_else(|| is_alone.then(|| status(lines, None, is_delay)).flatten());
        FailedRecipient {
            address: one.address,
            original_address: None,
            action: if is_delay { "delayed" } else { "failed" }.to_owned(),
            status: found.unwrap_or_default(),
        }
    };
    candidates.into_iter().zip(ends).map(status_of).collect()
}

fn candidates(evidence: &Evidence<'_>, lines: &[&str]) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    let given = evidence.failed.iter().map(|address| (address.clone(), 3, 0));
    let named = lines.iter().enumerate().flat_map(|(number, line)| {
        let lower = line.to_lowercase();
        let is_told = ABOUT.iter().any(|word| lower.contains(word));
        let is_help = HELP.iter().any(|word| lower.contains(word));
        let begin = line.len() - line.trim_start_matches(|letter: char| " \t>*-<\"'".contains(letter)).len();
        addresses(line).filter(move |_| !is_help).map(move |(place, address)| {
            (address.to_owned(), if place <= begin { 2 } else { u8::from(is_told) }, number)
        })
    });
    for (address, strength, line) in given.chain(named) {
        let is_daemon = address.eq_ignore_ascii_case(&evidence.author)
            || address.to_ascii_lowercase().starts_with("mailer-daemon@");
        let Ok(mailbox) = Mailbox::parse(&address) else { continue };
        // Whom the bounce was sent to is named for other reasons, and seldom has written to himself.
        let is_own = evidence.recipients.iter().any(|own| own.eq_ignore_ascii_case(&address));
        if is_daemon || (is_own && strength < 2) {
            continue;
        }
        let strength = if is_own { 1 } else { strength };
        let address = mailbox.to_string();
        let known = found.iter().position(|one| one.address.eq_ignore_ascii_case(&address));
        if let Some(known) = known.and_then(|place| found.get_mut(place)) {
            if known.strength < strength {
                (known.strength, known.line) = (strength, line);
            }
        } else if found.len() < RECIPIENTS {
            found.push(Candidate { address, strength, line });
        }
    }
    found
}

/// Words of a line that is about the address in it.
const ABOUT: &[&str] = &[
    "rcpt",
    "recipient",
    "deliver",
    "user",
    "mailbox",
    "account",
    "address",
    "unknown",
    "not found",
    "550",
    "reach",
    "fail",
    "empfänger",
    "zugestellt",
    "remis",
    "destinat",
    "entreg",
    "recapit",
    "bezorg",
    "odbiorc",
    "mottagar",
    "usuario",
    "usuário",
    "宛先",
];

/// Words of a line that says where help is to be had.
const HELP: [&str; 7] = ["assistance", "contact", "for help", "send mail to", "questions", "support@", "http"];

/// The addresses in a line and where they begin, in octets.
pub(super) fn addresses(line: &str) -> impl Iterator<Item = (usize, &str)> {
    line.match_indices('@').filter_map(|(at, _)| {
        let is_local = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&*+/=?^_{|}~-".contains(&byte);
        let is_domain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        let before = line.as_bytes().get(..at)?.iter().rev().take(64).take_while(|byte| is_local(**byte)).count();
        let behind = line.as_bytes().get(at + 1..)?.iter().take(255).take_while(|byte| is_domain(**byte)).count();
        let address = line.get(at - before..=at + behind)?.trim_matches('.');
        let (local, domain) = address.split_once('@')?;
        (!local.is_empty() && domain.contains('.')).then_some((at - before, address.trim_end_matches('-')))
    })
}

/// The status that lines give: the enhanced code, else what the words or the reply code say.
fn status(lines: &[&str], about: Option<&str>, is_delay: bool) -> Option<String> {
    let text = lines.join("\n");
    // An address must not be read as a code or a reason.
    let text = about.map_or_else(|| text.clone(), |address| text.replace(address, ""));
    if let Some(code) = enhanced(&text) {
        return Some(code.to_owned());
    }
    let reply = reply(&text);
    let lower = text.to_lowercase();
    let reason = REASONS.iter().find(|(phrases, _)| phrases.iter().any(|phrase| lower.contains(phrase)));
    let class = if is_delay { Some('4') } else { reply };
    match (reason.map(|(_, status)| *status), class) {
        (Some(status), Some(class)) => Some(format!("{class}{}", status.get(1..).unwrap_or_default())),
        (Some(status), None) => Some(status.to_owned()),
        (None, Some(class)) => Some(format!("{class}.0.0")),
        (None, None) => None,
    }
}

/// The first code such as `5.1.1` (RFC 3463 §2): class 4 or 5, a known subject, and no part of a longer number.
fn enhanced(text: &str) -> Option<&str> {
    text.split(|letter: char| !letter.is_ascii_digit() && letter != '.').find_map(|number| {
        let number = number.trim_matches('.');
        let mut parts = number.split('.');
        let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
        let is_subject = matches!(subject.as_bytes(), [b'0'..=b'7']);
        let is_code = matches!(class, "4" | "5") && is_subject && matches!(detail.len(), 1..=3);
        (is_code && parts.next().is_none()).then_some(number)
    })
}

/// The class of the first reply code (RFC 5321 §4.2.3).
fn reply(text: &str) -> Option<char> {
    let words = text.split(|letter: char| letter.is_whitespace() || "-:;,()<>[]'\"#=".contains(letter));
    words.filter(|word| REPLIES.contains(word)).find_map(|word| word.chars().next())
}

const REPLIES: &[&str] = &[
    "421", "450", "451", "452", "454", "455", "471", "500", "501", "502", "503", "504", "511", "521", "530", "541",
    "550", "551", "552", "553", "554", "555", "556", "571", "577",
];

/// Whether a text is a notification of Amazon SES about a bounce.
pub(super) fn is_ses_bounce(text: &str) -> bool {
    ses(text.get(..text.floor_char_boundary(LOOKED_AT)).unwrap_or_default()).is_some()
}

/// The bounce in a notification of Amazon SES: JSON at the begin of the text.
fn ses(text: &str) -> Option<Automated> {
    let text = text.trim_start();
    if !text.starts_with('{') {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    let notice = values.next()?.ok()?;
    let bounce = notice.get("bounce")?;
    let word = |value: &serde_json::Value, name: &str| {
        value.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    let is_permanent = word(bounce, "bounceType") == "Permanent";
    let list = bounce.get("bouncedRecipients").and_then(serde_json::Value::as_array)?;
    let recipient = |one: &serde_json::Value| {
        let (status, action) = (word(one, "status"), word(one, "action"));
        let default = if is_permanent { "5.0.0" } else { "4.0.0" };
        FailedRecipient {
            address: word(one, "emailAddress"),
            original_address: None,
            action: if action.is_empty() { "failed".to_owned() } else { action },
            status: if status.is_empty() { default.to_owned() } else { status },
        }
    };
    let recipients: Vec<FailedRecipient> = list.iter().take(RECIPIENTS).map(recipient).collect();
    let id = notice.pointer("/mail/commonHeaders/messageId").and_then(serde_json::Value::as_str);
    let original_message_id = id.and_then(bracketed).map(str::to_owned);
    let permanence = if is_permanent { Permanence::Hard } else { Permanence::Soft };
    Some(Automated::Bounce { permanence, recipients, original_message_id })
}
