//! Who may answer for the mailbox of an event: the claim of the request, intersected with what is registered.

use crate::contract::answer::IdentityBlock;
use crate::contract::request::SourceMailbox;
use crate::decide::ReplyOwner;
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
    _registered: Option<&MailboxRow>,
    _warnings: &mut Vec<String>,
) -> (IdentityBlock, ReplyOwner) {
    let external_reply_url = claimed.and_then(|claimed| claimed.external_reply_url.clone());
    let block = IdentityBlock {
        owner: "source_app".into(),
        reply_policy: "source_app_only".into(),
        connex_may_send: false,
        verdict: "handoff".into(),
        reasons: vec!["source_app_owns_identity".into()],
        external_reply_url: external_reply_url.clone(),
    };
    (block, ReplyOwner::SourceApp { external_reply_url })
}
