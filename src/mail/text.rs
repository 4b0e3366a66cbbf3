//! Which part of a text is new: visible reply, quoted history, signature. And plain text out of HTML.

pub mod html;

/// A reply taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplySpans {
    /// New text; not empty when the whole text is not.
    pub visible: String,
    /// Quoted history; empty when there is none.
    pub quoted: String,
    /// Signature block; empty when there is none.
    pub signature: String,
}

/// Takes a plain text apart.
#[must_use]
pub fn split_reply(text: &str) -> ReplySpans {
    ReplySpans { visible: text.to_owned(), ..ReplySpans::default() }
}
