//! Conversation keys: which earlier messages a message belongs to.
//!
//! Ids join messages, then tokens of our own, then the index of Outlook, and a subject only where the message says that it
//! is an answer and gives no id. Outlook's index and a subject join nothing but messages of the same people: strangers
//! write the same subject, and programs copy an index from a template. A false join would show one person's mail to
//! another.
//!
//! Standards: RFC 5256 §2.1 (base subject), §3 (REFERENCES), RFC 5322 §3.6.4 (identification fields), \[MS-OXOMSG\]
//! §2.2.1.3 (Thread-Index).

use std::collections::BTreeSet;
use std::time::Duration;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::mail::address::Mailbox;
use crate::mail::message::{HeaderAddress, Message};

/// By what a message was found to belong to its conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// It names a message of it in References or In-Reply-To, is named by one, or reports on one.
    References,
    /// It carries a token that was made for this conversation.
    ReplyToken,
    /// It has the same Thread-Index and subject, and people in common.
    ThreadIndex,
    /// It is an answer without ids to the same subject, among the same people, within [`SUBJECT_WINDOW`].
    Subject,
    /// It begins the conversation.
    New,
}

impl Method {
    /// The word of the JSON contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::References => "references",
            Self::ReplyToken => "reply_token",
            Self::ThreadIndex => "thread_index",
            Self::Subject => "subject",
            Self::New => "new",
        }
    }
}

/// How a message came to its conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Threading {
    /// By what it was found.
    pub method: Method,
    /// What brings an answer back to this conversation when it stands behind a `+` in the mailbox's address or in a
    /// Message-ID; left out where there is no mailbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_token: Option<String>,
}

impl Threading {
    /// A conversation that was found by `method`, without a token.
    #[must_use]
    pub const fn by(method: Method) -> Self {
        Self { method, reply_token: None }
    }
}

/// How far apart a message and an answer may be that only their subject joins.
pub const SUBJECT_WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);

/// By what a conversation is found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThreadKeys {
    /// Ids of the messages that this one answers or reports on, nearest first: References from the end, then In-Reply-To.
    /// Each once.
    pub answers: Vec<String>,
    /// Keys of Outlook's index, to register and to look up; one for each of the people outside.
    pub outlook: Vec<[u8; 32]>,
    /// Keys of base subject and two people, author and recipient; to register, and to look up only where
    /// [`ThreadKeys::may_join_by_subject`]. Empty where the base subject is, or nobody else is named.
    pub subjects: Vec<[u8; 32]>,
    /// Whether the message says by its subject alone that it is an answer: `Re:` and the like, without any id.
    pub may_join_by_subject: bool,
}

/// Most ancestors that are given.
const ANSWERS: usize = 100;
/// Most people of one message of whom keys are made.
const PEOPLE: usize = 50;

/// Keys of `message`'s conversation. `about` is the id of the message that it reports on, where it is a report; `is_own`
/// says of an address that it is one of ours, which all conversations have in common.
#[must_use]
pub fn keys(message: &Message, about: Option<&str>, is_own: impl Fn(&Mailbox) -> bool) -> ThreadKeys {
    let mut answers: Vec<String> = Vec::new();
    let nearest_first = message.references.iter().rev().chain(&message.in_reply_to).map(String::as_str).chain(about);
    for id in nearest_first {
        let is_itself = message.message_id.as_deref() == Some(id);
        if !is_itself && answers.len() < ANSWERS && !answers.iter().any(|known| known == id) {
            answers.push(id.to_owned());
        }
    }
    let subject = Subject::of(&message.subject);
    let named = || message.author.iter().chain(&message.to).chain(&message.cc).take(PEOPLE);
    let is_outside = |one: &&HeaderAddress| one.mailbox.as_ref().is_none_or(|mailbox| !is_own(mailbox));
    let outside: BTreeSet<String> = named().filter(is_outside).map(person).collect();
    let everybody: BTreeSet<String> = named().map(person).collect();
    let outlook = message.thread_index.map(|head| outlook_keys(&head, &subject.base, &outside, &everybody));
    let subjects = message.author.as_ref().map(|author| subject_keys(&subject.base, &person(author), &everybody));
    let subjects = subjects.unwrap_or_default();
    let may_join_by_subject = subject.is_answer && answers.is_empty() && !subjects.is_empty();
    ThreadKeys { answers, outlook: outlook.unwrap_or_default(), subjects, may_join_by_subject }
}

/// One key for each of the people outside; where all are our own, one for all of them together.
fn outlook_keys(
    head: &[u8; 22],
    base: &str,
    outside: &BTreeSet<String>,
    everybody: &BTreeSet<String>,
) -> Vec<[u8; 32]> {
    let head: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
    let first = ["thread index", head.as_str(), base];
    if outside.is_empty() {
        return vec![hash(first.into_iter().chain(everybody.iter().map(String::as_str)))];
    }
    outside.iter().map(|one| hash(first.into_iter().chain([one.as_str()]))).collect()
}

fn subject_keys(base: &str, author: &str, everybody: &BTreeSet<String>) -> Vec<[u8; 32]> {
    if base.is_empty() {
        return Vec::new();
    }
    let others = everybody.iter().map(String::as_str).filter(|one| *one != author);
    others.map(|other| hash(["subject", base, author.min(other), author.max(other)].into_iter())).collect()
}

/// SHA-256 over texts in which no two lists look the same.
fn hash<'a>(texts: impl Iterator<Item = &'a str>) -> [u8; 32] {
    let mut digest = Context::new(&SHA256);
    for text in texts {
        digest.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(text.as_bytes());
    }
    let mut key = [0; 32];
    key.copy_from_slice(digest.finish().as_ref());
    key
}

fn person(address: &HeaderAddress) -> String {
    address.mailbox.as_ref().map_or_else(|| address.address.to_lowercase(), Mailbox::key_without_detail)
}

/// Prefixes of answers, lower case. RFC 5256 knows `re`; programs translate it.
const ANSWER_PREFIXES: &[&str] = &[
    "re",
    "aw",
    "antw",
    "antwort",
    "ant",
    "sv",
    "vs",
    "svar",
    "res",
    "resp",
    "r",
    "rif",
    "ref",
    "réf",
    "rép",
    "odp",
    "odg",
    "ynt",
    "yanıt",
    "atb",
    "vá",
    "απ",
    "σχετ",
    "отв",
    "ответ",
    "re转",
    "回复",
    "回覆",
    "答复",
    "答覆",
    "返信",
    "回信",
    "답장",
    "回答",
    "رد",
    "השב",
    "תשובה",
];

/// Prefixes of forwards, lower case. RFC 5256 knows `fw` and `fwd`.
const FORWARD_PREFIXES: &[&str] = &[
    "fw",
    "fwd",
    "wg",
    "tr",
    "trs",
    "rv",
    "i",
    "enc",
    "vb",
    "vl",
    "vid",
    "doorst",
    "pd",
    "fs",
    "ilt",
    "továbbítás",
    "πρθ",
    "прд",
    "пересл",
    "转发",
    "轉寄",
    "轉發",
    "転送",
    "전달",
    "إعادة توجيه",
    "הועבר",
];

/// A subject without what programs put in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Subject {
    base: String,
    /// Whether the outermost prefix is that of an answer.
    is_answer: bool,
    has_prefix: bool,
}

impl Subject {
    fn of(subject: &str) -> Self {
        let folded = subject.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let mut rest = folded.as_str();
        let (mut is_answer, mut has_prefix) = (false, false);
        loop {
            rest = rest.trim();
            if let Some((after, answers)) = without_prefix(rest) {
                is_answer = if has_prefix { is_answer } else { answers };
                has_prefix = true;
                rest = after;
            } else if let Some(after) = without_tag(rest) {
                rest = after;
            } else {
                return Self { base: rest.to_owned(), is_answer, has_prefix };
            }
        }
    }
}

/// The subject without prefixes such as `Re:`, `AW:`, `Fwd [2]:` and list tags, folded for comparison; and whether it
/// had such a prefix (RFC 5256 §2.1).
#[must_use]
pub fn base_subject(subject: &str) -> (String, bool) {
    let subject = Subject::of(subject);
    (subject.base, subject.has_prefix)
}

/// What is behind a prefix, and whether it is that of an answer.
fn without_prefix(subject: &str) -> Option<(&str, bool)> {
    let (before, after) = subject.split_once([':', '：'])?;
    let word = before.split(['[', '(', '^', '*']).next().unwrap_or_default().trim();
    let rest = before.get(before.find(word).unwrap_or(0) + word.len()..).unwrap_or_default().trim();
    let is_count = rest.chars().all(|letter| letter.is_ascii_digit() || "[]()^* ".contains(letter));
    let is_answer = ANSWER_PREFIXES.contains(&word);
    (is_count && (is_answer || FORWARD_PREFIXES.contains(&word))).then_some((after, is_answer))
}

/// RFC 5256 §2.1: a tag in brackets, unless nothing would be left.
fn without_tag(subject: &str) -> Option<&str> {
    let (tag, after) = subject.strip_prefix('[')?.split_once(']')?;
    (!tag.contains('[') && !after.trim().is_empty()).then_some(after)
}

#[cfg(test)]
mod tests;
