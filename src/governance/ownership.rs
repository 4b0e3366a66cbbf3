//! Who may speak as a sender identity, and what is left of a claim when it meets what is registered.
//!
//! It must never widen: a claim can only take away from what the registered mailbox grants, a word that is not known is
//! the strictest one, and where nothing is said at all the source app owns the identity.

use serde::{Deserialize, Serialize};

use super::facts::MailboxState;
use super::policy::ReplyPolicy;
use crate::contract::request::SourceMailbox;
use crate::mail::address::Mailbox;

/// Who may speak as a sender identity (`senderIdentityOwner`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityOwner {
    /// The source app sends, always; this gateway sends nothing.
    #[default]
    SourceApp,
    /// This gateway, as a domain that the customer verified.
    CustomerDomain,
    /// This gateway, as one of its own mailboxes.
    Connex,
}

impl IdentityOwner {
    /// All owners, strictest first.
    pub const ALL: [Self; 3] = [Self::SourceApp, Self::CustomerDomain, Self::Connex];

    /// The word of the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SourceApp => "source_app",
            Self::CustomerDomain => "customer_domain",
            Self::Connex => "connex",
        }
    }

    /// The owner of a word of the contract, spelt exactly so.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|owner| owner.as_str() == word)
    }

    /// Reads a word that somebody claims: an unknown one is `source_app`, with a warning.
    #[must_use]
    pub fn read(word: &str) -> (Self, Option<String>) {
        match Self::from_word(word) {
            Some(owner) => (owner, None),
            None => {
                let warning = format!("senderIdentityOwner {} is not known and was read as `source_app`", quoted(word));
                (Self::SourceApp, Some(warning))
            }
        }
    }

    /// What applies where an owner is given without a policy.
    #[must_use]
    pub const fn default_policy(self) -> ReplyPolicy {
        match self {
            Self::SourceApp => ReplyPolicy::SourceAppOnly,
            Self::CustomerDomain | Self::Connex => ReplyPolicy::HumanApproval,
        }
    }
}

/// What is registered here about the mailbox that a request or an event names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredMailbox {
    /// Its address.
    pub address: Mailbox,
    /// Who may speak as it.
    pub owner: IdentityOwner,
    /// What may happen to a reply.
    pub policy: ReplyPolicy,
    /// Where a person answers in the app's own pages, when the event names no page of its own.
    pub external_reply_url: Option<String>,
    /// Whether it works.
    pub state: MailboxState,
    /// Whether it only receives.
    pub receive_only: bool,
}

/// A sender identity: what is left when a claim met what is registered. Made only by [`Identity::resolve`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    owner: IdentityOwner,
    policy: ReplyPolicy,
    is_registered: bool,
    is_contradicted: bool,
    external_reply_url: Option<String>,
}

impl Identity {
    /// Intersects a claim with what is registered; the texts say what was read differently than it was written.
    ///
    /// A narrower claim narrows. A claim of another owner than the registered one, or of another address, contradicts:
    /// the gate denies it. A wider policy is not granted. Policy `source_app_only` on either side makes the source app
    /// the owner.
    #[must_use]
    pub fn resolve(claimed: Option<&SourceMailbox>, registered: Option<&RegisteredMailbox>) -> (Self, Vec<String>) {
        let mut warnings = Vec::new();
        let claim = Claim::read(claimed, &mut warnings);
        let (mut owner, owner_contradicted) = meet_owners(claim.owner, registered.map(|mailbox| mailbox.owner));
        let is_contradicted = owner_contradicted || names_another_address(claimed, registered);
        let granted = registered.map(|mailbox| mailbox.policy);
        let policy = match (claim.policy, granted) {
            (Some(claimed), Some(granted)) => claimed.min(granted),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => owner.default_policy(),
        };
        if claim.policy.zip(granted).is_some_and(|(claimed, granted)| claimed > granted) {
            warnings.push(format!("replyPolicy is `{}`: the mailbox grants no more", policy.as_str()));
        }
        if [claim.policy, granted].contains(&Some(ReplyPolicy::SourceAppOnly)) && owner != IdentityOwner::SourceApp {
            warnings.push("senderIdentityOwner is `source_app`: replyPolicy `source_app_only` says so".to_owned());
            owner = IdentityOwner::SourceApp;
        }
        let external_reply_url =
            claim.external_reply_url.or_else(|| web_address(registered?.external_reply_url.as_deref()?));
        let is_registered = registered.is_some();
        (Self { owner, policy, is_registered, is_contradicted, external_reply_url }, warnings)
    }

    /// Who may speak as it.
    #[must_use]
    pub const fn owner(&self) -> IdentityOwner {
        self.owner
    }

    /// What may happen to a reply.
    #[must_use]
    pub const fn policy(&self) -> ReplyPolicy {
        self.policy
    }

    /// Whether a mailbox of this gateway stands behind it, rather than a claim alone.
    #[must_use]
    pub const fn is_registered(&self) -> bool {
        self.is_registered
    }

    /// Whether the claim says something else than what is registered.
    #[must_use]
    pub const fn is_contradicted(&self) -> bool {
        self.is_contradicted
    }

    /// Whether the source app answers, by owner or by policy.
    #[must_use]
    pub fn is_source_app(&self) -> bool {
        self.owner == IdentityOwner::SourceApp || self.policy == ReplyPolicy::SourceAppOnly
    }

    /// Where a person answers in the app's own pages; always `http` or `https`.
    #[must_use]
    pub fn external_reply_url(&self) -> Option<&str> {
        self.external_reply_url.as_deref()
    }
}

/// What a request says about its mailbox, in our words.
#[derive(Default)]
struct Claim {
    owner: Option<IdentityOwner>,
    policy: Option<ReplyPolicy>,
    external_reply_url: Option<String>,
}

impl Claim {
    fn read(claimed: Option<&SourceMailbox>, warnings: &mut Vec<String>) -> Self {
        let Some(claimed) = claimed else { return Self::default() };
        let owner = claimed.sender_identity_owner.as_deref().map(|word| note(IdentityOwner::read(word), warnings));
        let policy = claimed.reply_policy.as_deref().map(|word| note(ReplyPolicy::read(word), warnings));
        let external_reply_url = claimed.external_reply_url.as_deref().and_then(|text| {
            let url = web_address(text);
            if url.is_none() {
                warnings.push("externalReplyUrl is no http or https address and was left out".to_owned());
            }
            url
        });
        Self { owner, policy, external_reply_url }
    }
}

/// Whether the claim is about another mailbox than the one that was looked up for it.
fn names_another_address(claimed: Option<&SourceMailbox>, registered: Option<&RegisteredMailbox>) -> bool {
    let claimed = claimed.and_then(|claimed| claimed.address.as_deref());
    claimed.zip(registered).is_some_and(|(text, registered)| {
        Mailbox::parse(text)
            .map_or(true, |mailbox| mailbox.key_without_detail() != registered.address.key_without_detail())
    })
}

/// The owner that both sides allow, and whether they contradict each other.
fn meet_owners(claimed: Option<IdentityOwner>, registered: Option<IdentityOwner>) -> (IdentityOwner, bool) {
    match (claimed, registered) {
        (None, None) => (IdentityOwner::default(), false),
        (Some(only), None) | (None, Some(only)) => (only, false),
        (Some(claimed), Some(registered)) if claimed == registered => (claimed, false),
        // Less than what is registered: the app keeps the reply to itself.
        (Some(IdentityOwner::SourceApp), Some(_)) => (IdentityOwner::SourceApp, false),
        (Some(_), Some(_)) => (IdentityOwner::SourceApp, true),
    }
}

fn note<T>((value, warning): (T, Option<String>), warnings: &mut Vec<String>) -> T {
    warnings.extend(warning);
    value
}

/// The text when it is an `http` or `https` address without credentials: people click on it.
fn web_address(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let is_plain = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    (is_plain && text.len() <= 2_000 && !text.chars().any(|letter| letter.is_control() || letter.is_whitespace()))
        .then(|| text.to_owned())
}

/// A foreign word, short and on one line, for a warning.
pub(super) fn quoted(word: &str) -> String {
    let short: String = word.chars().take(64).collect();
    format!("{short:?}")
}

#[cfg(test)]
mod tests;
