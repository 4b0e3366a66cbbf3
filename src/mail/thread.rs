//! Conversation keys: which earlier messages a message belongs to.
//!
//! Standards: RFC 5256 (REFERENCES threading, base subject), RFC 5322 §3.6.4.

use crate::mail::message::Message;

/// By what a conversation is found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThreadKeys {
    /// Ids of the messages that this one answers, nearest first: In-Reply-To, then References from the end.
    pub answers: Vec<String>,
    /// SHA-256 over base subject and participants, hexadecimal; to register, and to look up only where
    /// [`ThreadKeys::may_join_by_subject`]. `None` when the base subject is empty.
    pub subject: Option<String>,
    /// Whether the message says by its subject alone that it is an answer: `Re:` and the like, without any id.
    pub may_join_by_subject: bool,
}

/// Keys of `message`'s conversation.
#[must_use]
pub fn keys(message: &Message) -> ThreadKeys {
    let _ = message;
    ThreadKeys::default()
}
