//! Conversation keys: which earlier messages a message belongs to.
//!
//! Ids join messages; a subject joins them only where the message says that it is an answer and gives no id, and only
//! with the same participants. A false join would show one person's mail to another.
//!
//! Standards: RFC 5256 §2.1 (base subject), §3 (REFERENCES), RFC 5322 §3.6.4 (identification fields).

use std::collections::BTreeSet;

use ring::digest::{Context, SHA256};

use crate::mail::message::{HeaderAddress, Message};

/// By what a conversation is found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThreadKeys {
    /// Ids of the messages that this one answers, nearest first: References from the end, then In-Reply-To. Each once.
    pub answers: Vec<String>,
    /// SHA-256 over base subject and participants, hexadecimal; to register, and to look up only where
    /// [`ThreadKeys::may_join_by_subject`]. `None` when the base subject is empty or nobody is named.
    pub subject: Option<String>,
    /// Whether the message says by its subject alone that it is an answer: `Re:` and the like, without any id.
    pub may_join_by_subject: bool,
}

/// Most ancestors that are given.
const ANSWERS: usize = 100;

/// Keys of `message`'s conversation.
#[must_use]
pub fn keys(message: &Message) -> ThreadKeys {
    let mut answers: Vec<String> = Vec::new();
    let nearest_first = message.references.iter().rev().chain(&message.in_reply_to);
    for id in nearest_first {
        let is_own = message.message_id.as_ref() == Some(id);
        if !is_own && !answers.contains(id) && answers.len() < ANSWERS {
            answers.push(id.clone());
        }
    }
    let (base, is_answer) = base_subject(&message.subject);
    let subject = subject_key(&base, message);
    let may_join_by_subject = is_answer && answers.is_empty() && subject.is_some();
    ThreadKeys { answers, subject, may_join_by_subject }
}

/// Prefixes of answers and forwards, lower case. RFC 5256 knows `re`, `fw` and `fwd`; programs translate them.
const PREFIXES: [&str; 22] = [
    "re", "fw", "fwd", "aw", "wg", "sv", "vs", "antw", "ant", "tr", "rv", "rif", "r", "i", "enc", "res", "odp", "vb",
    "doorst", "ref", "antwort", "réf",
];

/// The subject without prefixes such as `Re:`, `AW:`, `Fwd [2]:` and list tags, folded for comparison; and whether it
/// had such a prefix (RFC 5256 §2.1).
#[must_use]
pub fn base_subject(subject: &str) -> (String, bool) {
    let folded = subject.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let mut rest = folded.as_str();
    let mut is_answer = false;
    loop {
        rest = rest.trim();
        if let Some(after) = without_prefix(rest) {
            is_answer = true;
            rest = after;
        } else if let Some(after) = without_tag(rest) {
            rest = after;
        } else {
            return (rest.to_owned(), is_answer);
        }
    }
}

fn without_prefix(subject: &str) -> Option<&str> {
    let (before, after) = subject.split_once(':')?;
    let word = before.split(['[', '(', '^']).next().unwrap_or_default().trim();
    let rest = before.get(word.len()..).unwrap_or_default().trim();
    let is_count = rest.chars().all(|letter| letter.is_ascii_digit() || "[]()^ ".contains(letter));
    (PREFIXES.contains(&word) && is_count).then_some(after)
}

/// RFC 5256 §2.1: a tag in brackets, unless nothing would be left.
fn without_tag(subject: &str) -> Option<&str> {
    let (tag, after) = subject.strip_prefix('[')?.split_once(']')?;
    (!tag.contains('[') && !after.trim().is_empty()).then_some(after)
}

fn subject_key(base: &str, message: &Message) -> Option<String> {
    let named = message.author.iter().chain(&message.to).chain(&message.cc);
    let people: BTreeSet<String> = named.map(person).collect();
    if base.is_empty() || people.len() < 2 {
        return None;
    }
    let mut digest = Context::new(&SHA256);
    for text in std::iter::once(base).chain(people.iter().map(String::as_str)) {
        digest.update(text.as_bytes());
        digest.update(&[0]);
    }
    Some(digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn person(address: &HeaderAddress) -> String {
    address.mailbox.as_ref().map_or_else(|| address.address.clone(), crate::mail::address::Mailbox::key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::message::{Limits, read};

    fn of(mail: &str) -> ThreadKeys {
        keys(&read(mail.as_bytes(), &Limits::default()))
    }

    #[test]
    fn base_subjects_are_equal_whatever_the_program_put_in_front() {
        for subject in ["Re: Offer", "AW: re: [deals] Offer", "  FWD [2]:  Offer", "Re[3]: offer", "[deals] Re: Offer"]
        {
            assert_eq!(base_subject(subject), ("offer".to_owned(), true), "{subject}");
        }
        assert_eq!(base_subject("Offer: new"), ("offer: new".to_owned(), false));
        assert_eq!(base_subject("[deals]"), ("[deals]".to_owned(), false));
        assert_eq!(base_subject("Re:"), (String::new(), true));
    }

    #[test]
    fn the_nearest_ancestor_comes_first_and_never_the_message_itself() {
        let keys = of("Message-ID: <3@x>\nReferences: <1@x> <2@x> <3@x>\nIn-Reply-To: <2@x>\n\n");
        assert_eq!(keys.answers, ["2@x", "1@x"]);
        assert!(!keys.may_join_by_subject);
    }

    #[test]
    fn a_subject_joins_only_answers_among_the_same_people() {
        let first = of("From: a@x.example\nTo: b@y.example\nSubject: Offer\n\n");
        let answer = of("From: B@y.example\nTo: A@x.example\nSubject: Re: Offer\n\n");
        let other = of("From: c@z.example\nTo: a@x.example\nSubject: Re: Offer\n\n");
        assert!(answer.may_join_by_subject && !first.may_join_by_subject);
        assert!(first.subject.is_some());
        assert_ne!(other.subject, first.subject);
        assert_eq!(of("From: a@x.example\nSubject: Re: Offer\n\n").subject, None);
    }
}
