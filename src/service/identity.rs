//! Who may answer for the mailbox of an event: the claim of the request, intersected with what is registered.
//!
//! The rules are [`crate::governance`]'s; here rows become its facts. What cannot be read of a row is the strictest.

use crate::contract::answer::IdentityBlock;
use crate::contract::request::SourceMailbox;
use crate::decide::ReplyOwner;
use crate::governance::facts::MailboxState;
use crate::governance::identity_block;
use crate::governance::ownership::{IdentityOwner, RegisteredMailbox};
use crate::governance::policy::ReplyPolicy;
use crate::mail::address::Mailbox;
use crate::store::directory::MailboxRow;

/// How much is known of the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// Nobody in particular: a preview.
    #[default]
    Unknown,
    /// A tenant of this instance.
    Known,
}

/// The identity block of an answer, and who writes the reply.
pub(crate) fn resolve(
    claimed: Option<&SourceMailbox>,
    registered: Option<&MailboxRow>,
    warnings: &mut Vec<String>,
) -> (IdentityBlock, ReplyOwner) {
    let registered = registered.and_then(registered_mailbox);
    let (block, said) = identity_block(claimed, registered.as_ref());
    warnings.extend(said);
    let reply = match block.owner.as_str() {
        "connex" => ReplyOwner::Connex,
        "customer_domain" => ReplyOwner::CustomerDomain,
        _ => ReplyOwner::SourceApp { external_reply_url: block.external_reply_url.clone() },
    };
    (block, reply)
}

/// A row as the rules take it; `None` for an address that cannot be read, which then grants nothing.
pub(crate) fn registered_mailbox(row: &MailboxRow) -> Option<RegisteredMailbox> {
    let policy = ReplyPolicy::read(&row.reply_policy).0;
    let state = MailboxState::ALL.into_iter().find(|state| state.as_str() == row.state);
    Some(RegisteredMailbox {
        address: Mailbox::parse(&row.address).ok()?,
        owner: IdentityOwner::read(&row.identity_owner).0,
        policy,
        external_reply_url: row.external_reply_url.clone(),
        state: state.unwrap_or(MailboxState::Suspended),
        receive_only: policy == ReplyPolicy::Never,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::ids::{MailboxId, TenantId};

    fn row(owner: &str, policy: &str, state: &str) -> MailboxRow {
        MailboxRow {
            tenant: TenantId::from_bits(1),
            id: MailboxId::from_bits(2),
            address: "deals@gate.example".into(),
            app: None,
            identity_owner: owner.into(),
            reply_policy: policy.into(),
            external_reply_url: None,
            authentication_policy: crate::mail::authentication::FailurePolicy::Mark,
            state: state.into(),
            state_since: Timestamp::from_micros(0),
        }
    }

    fn claim(owner: &str, policy: &str) -> SourceMailbox {
        SourceMailbox {
            address: None,
            sender_identity_owner: Some(owner.into()),
            reply_policy: Some(policy.into()),
            external_reply_url: None,
        }
    }

    #[test]
    fn no_identity_at_all_is_the_source_apps() {
        let (block, reply) = resolve(None, None, &mut Vec::new());
        assert_eq!((block.owner.as_str(), block.verdict.as_str()), ("source_app", "handoff"));
        assert!(!block.connex_may_send && matches!(reply, ReplyOwner::SourceApp { .. }));
    }

    #[test]
    fn a_claim_that_nothing_stands_behind_lets_nobody_send() {
        for owner in ["connex", "customer_domain", "source_app"] {
            for policy in ["policy_auto", "human_approval", "source_app_only", "never"] {
                let (block, _) = resolve(Some(&claim(owner, policy)), None, &mut Vec::new());
                assert!(!block.connex_may_send, "{owner} {policy}");
            }
        }
    }

    #[test]
    fn unknown_words_are_the_strictest_and_are_named() {
        let mut warnings = Vec::new();
        let (block, _) = resolve(Some(&claim("anyone", "whenever")), None, &mut warnings);
        assert_eq!((block.owner.as_str(), block.verdict.as_str()), ("source_app", "handoff"));
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }

    #[test]
    fn a_row_that_cannot_be_read_grants_nothing() {
        assert!(
            registered_mailbox(&MailboxRow { address: "no address".into(), ..row("connex", "policy_auto", "active") })
                .is_none()
        );
        let odd = registered_mailbox(&row("someone", "sometimes", "odd")).unwrap();
        assert_eq!((odd.owner, odd.state), (IdentityOwner::SourceApp, MailboxState::Suspended));
    }
}
