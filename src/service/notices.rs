//! What notices of the gateway itself tell, gathered at the moment at which they are to be sent: what is not so any more is
//! not told. What cannot be found out stays unknown, and the gate lets nothing pass then.
//!
//! # Security
//! The link of an invitation gets a token of its own here, of which the digest alone is stored.

use super::accounts::{AccountError, Secret, SignedIn, UserState};
use super::{Service, ServiceError};
use crate::governance::facts::Fact;
use crate::governance::notice::{Addressee, Notice, NoticeFacts, NoticeKind, Telling};
use crate::governance::role::Role;
use crate::ids::{DraftId, InvitationId, OPERATOR};
use crate::mail::address::Mailbox;
use crate::store::TenantStore;
use crate::store::approvals::{ApprovalRow, ApprovalState};
use crate::store::notices::ClaimedNotice;
use crate::store::signing::KeyRecordSeen;

/// What becomes of a notice that is to be sent.
#[derive(Debug)]
pub(crate) enum Told {
    /// The gate is asked.
    Notice(Box<(Notice, NoticeFacts)>),
    /// It is not so any more.
    Moot,
}

/// Questions that are looked at to say how many wait.
const LOOKED_AT: u32 = 100;

impl Service {
    /// What a notice tells now, and all that the gate is to know of it.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub(crate) async fn notice(&self, claimed: &ClaimedNotice, from: &Mailbox) -> Result<Told, ServiceError> {
        let tenant = self.store.for_tenant(claimed.tenant);
        let Some((telling, addressee)) = self.telling(&tenant, claimed).await? else { return Ok(Told::Moot) };
        let notice = Notice {
            id: claimed.id,
            tenant: claimed.tenant,
            organisation: tenant.name().await?,
            telling,
            base_url: self.base_url.to_string(),
            made_at: claimed.created_at,
            expires_at: claimed.expires_at,
        };
        let suppressed = match &addressee {
            Some(addressee) => Some(!tenant.suppressions(&[addressee.address.key()]).await?.is_empty()),
            None => None,
        };
        let operator = self.store.for_tenant(OPERATOR);
        let facts = NoticeFacts {
            from: Fact::Known(from.clone()),
            platform_domains: Fact::Known(self.drafts.platform_domains.to_vec()),
            has_matching_key: Fact::Known(
                operator.key_record(from.domain(), self.clock().now()).await? == KeyRecordSeen::OfLate,
            ),
            addressee: addressee.into(),
            is_suppressed: suppressed.into(),
            is_paused: Fact::Known(self.store.gateway_paused_since().await?.is_some()),
        };
        Ok(Told::Notice(Box::new((notice, facts))))
    }

    /// What is told to whom; `None` where it is not so any more.
    async fn telling(
        &self,
        tenant: &TenantStore,
        claimed: &ClaimedNotice,
    ) -> Result<Option<(Telling, Option<Addressee>)>, ServiceError> {
        if claimed.kind == NoticeKind::Invitation {
            return invitation(tenant, claimed).await;
        }
        let Some(user) = claimed.user else { return Ok(None) };
        let Some(user) = tenant.user(user).await? else { return Ok(None) };
        let telling = match claimed.kind {
            NoticeKind::Invitation => None,
            NoticeKind::SignIn => Some(Telling::SignIn {
                at: claimed.created_at,
                address: claimed.detail.address.clone(),
                browser: claimed.detail.browser.clone(),
            }),
            NoticeKind::ApprovalWaits | NoticeKind::ApprovalEscalated if !user.role.allows(Role::Approver) => None,
            NoticeKind::ApprovalWaits | NoticeKind::ApprovalEscalated => self.question(tenant, claimed).await?,
            NoticeKind::TransmissionUnknown => self.unknown(tenant, claimed).await?,
        };
        let addressee = Mailbox::parse(&user.email).ok().map(|address| Addressee {
            tenant: user.tenant,
            address,
            is_active: user.state == UserState::Active,
            is_wanted: claimed.kind != NoticeKind::ApprovalWaits || user.approval_notices,
        });
        Ok(telling.map(|telling| (telling, addressee)))
    }

    /// The question that a notice is about, or another one that waits, and how many there are beside it.
    async fn question(&self, tenant: &TenantStore, claimed: &ClaimedNotice) -> Result<Option<Telling>, ServiceError> {
        let is_escalated = claimed.kind == NoticeKind::ApprovalEscalated;
        let waits = |row: &ApprovalRow| {
            row.draft.is_some() && row.content_hash.is_some() && (!is_escalated || row.escalated_at.is_some())
        };
        let mut waiting = tenant.approvals(Some(ApprovalState::Pending), None, LOOKED_AT).await?;
        waiting.retain(waits);
        let it = waiting.iter().find(|row| row.id.to_string() == claimed.subject).or(waiting.first());
        let Some((approval, draft)) = it.and_then(|row| Some((row.id, row.draft?))) else { return Ok(None) };
        Ok(Some(Telling::Approval {
            approval,
            subject: self.subject_of(tenant, draft).await?,
            others: u32::try_from(waiting.len().saturating_sub(1)).unwrap_or(u32::MAX),
            is_escalated,
        }))
    }

    /// A message of which nobody knows whether it was taken.
    async fn unknown(&self, tenant: &TenantStore, claimed: &ClaimedNotice) -> Result<Option<Telling>, ServiceError> {
        let Ok(draft) = claimed.subject.parse::<DraftId>() else { return Ok(None) };
        Ok(Some(Telling::TransmissionUnknown { draft, subject: self.subject_of(tenant, draft).await? }))
    }

    async fn subject_of(&self, tenant: &TenantStore, draft: DraftId) -> Result<String, ServiceError> {
        let content = self.show_draft(tenant, draft).await?.content;
        Ok(content.map(|content| content.subject).unwrap_or_default())
    }

    /// Whether a person gets mail when drafts wait; `None` for one who may not answer.
    ///
    /// # Errors
    /// [`AccountError::Unavailable`].
    pub async fn approval_notices<R>(&self, who: &SignedIn<R>) -> Result<Option<bool>, AccountError> {
        if !who.role().allows(Role::Approver) {
            return Ok(None);
        }
        let user = self.store.for_tenant(who.tenant()).user(who.user()).await?;
        Ok(user.map(|user| user.approval_notices))
    }

    /// Says whether a person gets mail when drafts wait.
    ///
    /// # Errors
    /// [`AccountError::Unavailable`].
    pub async fn set_approval_notices<R>(&self, who: &SignedIn<R>, wants: bool) -> Result<(), AccountError> {
        Ok(self.store.for_tenant(who.tenant()).set_approval_notices(who.user(), wants).await?)
    }
}

/// An invitation with a link of its own.
async fn invitation(
    tenant: &TenantStore,
    claimed: &ClaimedNotice,
) -> Result<Option<(Telling, Option<Addressee>)>, ServiceError> {
    let Ok(id) = claimed.subject.parse::<InvitationId>() else { return Ok(None) };
    let token = Secret::new();
    let Some(row) = tenant.mail_invitation(id, token.hash()).await? else { return Ok(None) };
    let addressee = Mailbox::parse(&row.email).ok().map(|address| Addressee {
        tenant: row.tenant,
        address,
        is_active: true,
        is_wanted: true,
    });
    let telling = Telling::Invitation { role: row.role, token: token.reveal(), until: row.expires_at };
    Ok(Some((telling, addressee)))
}
