//! What becomes of an identity or a draft that this gateway does not send for: the block in an answer, and the handoff.

use super::Facts;
use super::facts::{Fact, MailboxFacts};
use super::ownership::{Identity, RegisteredMailbox};
use super::policy::Policy;
use super::rules::Case;
use super::verdict::{Ruling, Verdict};
use super::version::{Content, ContentHash, Version};
use crate::clock::Timestamp;
use crate::contract::answer::IdentityBlock;
use crate::contract::request::SourceMailbox;
use crate::ids::{DraftId, MailboxId, TenantId};

/// Says who may answer an event, and what the gate would say to a plain answer; the texts are warnings for the caller.
///
/// These are the rules that look at identity, mailbox and policy alone, without anybody's approval. The gate asks a
/// draft more, so that its verdict is at least as strict. `registered` is the mailbox of the same tenant that the event
/// names, where there is one; a claim that nothing stands behind never lets this gateway send.
#[must_use]
pub fn identity_block(
    claimed: Option<&SourceMailbox>,
    registered: Option<&RegisteredMailbox>,
) -> (IdentityBlock, Vec<String>) {
    let (identity, warnings) = Identity::resolve(claimed, registered);
    let facts = Facts {
        identity: Fact::Known(identity.clone()),
        mailbox: registered.map(mailbox_facts).into(),
        approvals: Fact::Known(Vec::new()),
        policy: Fact::Known(Policy::default()),
        ..Facts::default()
    };
    // None of these rules looks at the time until domains are verified here.
    let verdict = Case::of_identity(&facts, Timestamp::from_micros(0)).verdict();
    let block = IdentityBlock {
        owner: identity.owner().as_str().to_owned(),
        reply_policy: identity.policy().as_str().to_owned(),
        connex_may_send: matches!(verdict.ruling(), Ruling::Release | Ruling::Hold),
        verdict: verdict.ruling().as_str().to_owned(),
        reasons: verdict.codes().into_iter().map(str::to_owned).collect(),
        external_reply_url: identity.external_reply_url().map(str::to_owned),
    };
    (block, warnings)
}

fn mailbox_facts(registered: &RegisteredMailbox) -> MailboxFacts {
    MailboxFacts {
        // Without a version there is no tenant to compare with: the mailbox was looked up inside one.
        id: MailboxId::from_bits(0),
        tenant: TenantId::from_bits(0),
        state: registered.state,
        is_receive_only: registered.receive_only,
        addresses: vec![registered.address.clone()],
        bounce_domains: Vec::new(),
        max_recipients: 10,
    }
}

/// A draft that the source app is asked to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handoff {
    /// The draft.
    pub draft: DraftId,
    /// Whose draft it is.
    pub tenant: TenantId,
    /// What it says, and to whom.
    pub content: Content,
    /// The hash of that.
    pub content_hash: ContentHash,
    /// Where a person answers in the app's own pages.
    pub external_reply_url: Option<String>,
}

/// What becomes of a version by its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Nothing stands against its release; [`super::gate`] is asked for it.
    Release,
    /// The source app sends it: it becomes a `reply_in_source_app` operation.
    HandOff(Box<Handoff>),
    /// An approval, or time, may lift it.
    Hold,
    /// Never this version.
    Deny,
}

impl Disposition {
    /// What becomes of `version`, and the verdict that says so.
    #[must_use]
    pub fn of(version: &Version, facts: &Facts, now: Timestamp) -> (Self, Verdict) {
        let verdict = super::evaluate(version, facts, now);
        let disposition = match verdict.ruling() {
            Ruling::Release => Self::Release,
            Ruling::Hold => Self::Hold,
            Ruling::Deny => Self::Deny,
            Ruling::Handoff => Self::HandOff(Box::new(Handoff {
                draft: version.draft,
                tenant: version.tenant,
                content: version.content.clone(),
                content_hash: version.content.hash(),
                external_reply_url: facts.identity.known().and_then(Identity::external_reply_url).map(str::to_owned),
            })),
        };
        (disposition, verdict)
    }
}

#[cfg(test)]
mod tests;
