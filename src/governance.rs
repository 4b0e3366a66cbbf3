//! Who may send what: the rules, and the one gate through which a message can leave.
//!
//! Everything that could leave as mail is a draft first. [`evaluate`] judges one version of it by every rule of one
//! table ([`rules`]) and keeps all reasons; the strongest ruling wins. Only [`gate`] turns that into a value that later
//! modules accept for sending.
//!
//! Pure: no clock, no randomness, no I/O. It must never let an unknown fact pass, never widen what a mailbox grants, and
//! never release a message of an identity that the source app owns.
//!
//! Standards: RFC 5321 (envelope), RFC 5322 §3.6 (originator fields), RFC 3834 (automatic answers), RFC 6376 (DKIM).

pub mod approval;
pub mod audit;
pub mod chain;
pub mod facts;
pub mod gate;
pub mod handoff;
pub mod lifecycle;
pub mod notice;
pub mod ownership;
pub mod policy;
pub mod receipt;
pub mod role;
pub mod rules;
pub mod signature;
pub mod similarity;
pub mod verdict;
pub mod version;

mod content;
#[cfg(test)]
mod explorer;
#[cfg(test)]
pub(crate) mod fixture;
mod rendering;
#[cfg(test)]
mod tests;

use crate::clock::Timestamp;

pub use approval::{Actor, Approval, Evidence};
pub use facts::{Fact, Facts};
pub use gate::{
    Admission, ApprovedDraft, Draft, ReleasableMessage, ReleasableNotice, ReleaseRow, readmit, system_notice,
};
pub use handoff::{Disposition, Handoff, identity_block};
pub use notice::{Notice, NoticeFacts, NoticeRefused};
pub use ownership::{Identity, IdentityOwner, RegisteredMailbox};
pub use policy::{Policy, ReplyPolicy};
pub use verdict::{Reason, Ruling, Verdict};
pub use version::{Content, ContentHash, Version};

/// Judges one version by every rule of the table, as at its first transmission.
///
/// Total and deterministic: the same version, facts and moment always give the same verdict, with all reasons.
#[must_use]
pub fn evaluate(version: &Version, facts: &Facts, now: Timestamp) -> Verdict {
    rules::Case::of_version(version, facts, rules::Occasion::First, now).verdict()
}

/// What the words of a content look like, for [`similarity::is_near`]; `None` where they cannot be read.
#[must_use]
pub fn likeness(content: &Content) -> Option<u64> {
    rendering::Rendering::read(content).text.known().map(|text| similarity::likeness(&text.words))
}
