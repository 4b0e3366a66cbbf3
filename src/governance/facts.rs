//! What the rules are told. Every fact that the program may fail to know says so with [`Fact::Unknown`].
//!
//! Nothing here looks anything up: services gather the facts of one moment and hand them over. A fact left out is
//! unknown, and an unknown fact never lets anything pass.

use serde::{Deserialize, Serialize};

use super::approval::Approval;
use super::ownership::Identity;
use super::policy::Policy;
use super::role::Role;
use crate::clock::Timestamp;
use crate::ids::{MailboxId, TenantId, UserId};
use crate::mail::address::{Domain, Mailbox};
use crate::mail::authentication::{Authentication, Outcome};

/// Something that is known, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact<T> {
    /// It is so.
    Known(T),
    /// Nobody could tell.
    #[default]
    Unknown,
}

impl<T> Fact<T> {
    /// The value, where it is known.
    #[must_use]
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown => None,
        }
    }
}

impl<T> From<Option<T>> for Fact<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Unknown, Self::Known)
    }
}

/// All facts about one version at one moment. The default knows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The sender identity; unknown is read as the source app's.
    pub identity: Fact<Identity>,
    /// The mailbox as which the version would be sent.
    pub mailbox: Fact<MailboxFacts>,
    /// The domain of the visible author.
    pub domain: Fact<DomainFacts>,
    /// The domains of this gateway itself.
    pub platform_domains: Fact<Vec<Domain>>,
    /// The conversation.
    pub thread: ThreadFacts,
    /// Every approval on record for the draft.
    pub approvals: Fact<Vec<Approval>>,
    /// The tenant's settings, as far as they are for this draft: see [`Policy::of`].
    pub policy: Fact<Policy>,
    /// The role that each person has now who said yes.
    pub approver_roles: Fact<Vec<(UserId, Role)>>,
    /// The template that it was made from; `None` for one that was written.
    pub template: Fact<Option<String>>,
    /// Limits, suppressions and switches as they are now.
    pub standing: Standing,
}

/// Whether a mailbox works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailboxState {
    /// It does.
    Active,
    /// Stopped for now.
    Suspended,
    /// Gone.
    Deleted,
}

impl MailboxState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Active, Self::Suspended, Self::Deleted];

    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
        }
    }
}

/// A mailbox of this gateway and what it grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxFacts {
    /// The mailbox.
    pub id: MailboxId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Whether it works.
    pub state: MailboxState,
    /// Whether it only receives.
    pub is_receive_only: bool,
    /// The addresses that it may show as From, Sender, Reply-To and reverse-path.
    pub addresses: Vec<Mailbox>,
    /// Domains besides those of `addresses` that its reverse-path may have.
    pub bounce_domains: Vec<Domain>,
    /// How many recipients one message may have; 10 unless set.
    pub max_recipients: u32,
}

/// How far the proof of a domain has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainState {
    /// Not shown yet.
    Pending,
    /// Shown by DNS.
    Verified,
    /// Shown once, and no more.
    Failed,
}

impl DomainState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Verified, Self::Failed];

    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verified => "verified",
            Self::Failed => "failed",
        }
    }
}

/// The domain of the visible author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainFacts {
    /// Its name.
    pub name: Domain,
    /// The tenant for which it was verified; `None` for a domain of this gateway.
    pub tenant: Option<TenantId>,
    /// How far its proof has come.
    pub state: DomainState,
    /// When the proof was last seen in DNS.
    pub last_good_check: Option<Timestamp>,
    /// Whether it is being checked again now.
    pub is_being_checked: bool,
    /// Whether an active DKIM key's published record matches.
    pub has_matching_key: Fact<bool>,
    /// Whether such a record was seen, and DNS has not answered since: it is looked for again now.
    #[serde(default)]
    pub is_key_being_checked: bool,
    /// The customer's own host to which failure reports are delegated.
    pub bounce_host: Option<Domain>,
}

/// What DMARC said about a message (RFC 7489 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dmarc {
    /// Aligned.
    Pass,
    /// Not aligned.
    Fail,
    /// The author's domain publishes no policy.
    NoPolicy,
}

impl Fact<Dmarc> {
    /// What is known of a message with these stored results. What was not checked, could not be told by DNS, or cannot be
    /// read stays unknown; a failure is one although somebody vouches for the message, as that is not the author's domain.
    #[must_use]
    pub fn of(authentication: &Authentication) -> Self {
        match authentication.dmarc().map(|dmarc| dmarc.result) {
            Some(Outcome::Pass) => Self::Known(Dmarc::Pass),
            Some(Outcome::Fail) => Self::Known(Dmarc::Fail),
            Some(Outcome::None) => Self::Known(Dmarc::NoPolicy),
            _ => Self::Unknown,
        }
    }
}

/// The conversation that a version belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ThreadFacts {
    /// When its last message from a person arrived; reports, automatic answers, receipts and duplicates do not count.
    pub last_message_from_person: Fact<Option<Timestamp>>,
    /// Everybody who has been in it.
    pub participants: Fact<Vec<Mailbox>>,
    /// The message that is being answered; `None` for one that answers nothing.
    pub answered: Fact<Option<AnsweredMessage>>,
}

/// The message that is being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AnsweredMessage {
    /// Whether a machine wrote it (RFC 3834 §5: `Auto-Submitted` other than `no`, and its older likes).
    pub is_auto_submitted: Fact<bool>,
    /// Whether it came with the null reverse-path.
    pub has_null_reverse_path: Fact<bool>,
    /// What DMARC said.
    pub dmarc: Fact<Dmarc>,
    /// Whether it was flagged as phishing.
    pub is_phishing: Fact<bool>,
    /// Whether it tries to steer an agent.
    pub steers_agents: Fact<bool>,
}

/// Room left by the quotas of mailbox, agent, tenant and destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// There is room.
    Open,
    /// None before this moment.
    UsedUpUntil(Timestamp),
}

/// How far a tenant is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the contract")]
pub enum TrustBand {
    New,
    Standard,
    Trusted,
    Restricted,
    Blocked,
}

/// Limits, suppressions and switches as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Addresses with a hard bounce, complaint or unsubscribe on record; at least those among the recipients.
    pub suppressed: Fact<Vec<Mailbox>>,
    /// Whether the recipient had as many automatic answers as one correspondent gets.
    pub is_over_auto_reply_rate: Fact<bool>,
    /// How many new recipients got near-equal content in a day, this version included.
    pub similar_to_new_recipients: Fact<u32>,
    /// Room left by the quotas.
    pub quota: Fact<Quota>,
    /// How far the tenant is trusted.
    pub trust_band: Fact<TrustBand>,
    /// Until when the quiet hours last in which it is now; `None` outside of them.
    pub quiet_until: Fact<Option<Timestamp>>,
    /// Whether a kill switch of agent, mailbox, tenant or the whole gateway is on.
    pub is_paused: Fact<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::authentication::{Identity, Method, MethodResult, Voucher, VoucherKind};

    #[test]
    fn of_dmarc_only_what_was_found_out_is_known() {
        let of = |outcome, voucher| {
            let dmarc = MethodResult::new(Method::Dmarc, outcome, Identity::Author, "lakeside.example");
            Fact::<Dmarc>::of(&Authentication::of(vec![dmarc], voucher, false))
        };
        let voucher = Voucher { by: VoucherKind::Arc, id: "list.example".into(), reason: String::new() };
        assert_eq!(of(Outcome::Pass, None), Fact::Known(Dmarc::Pass));
        assert_eq!(of(Outcome::Fail, None), Fact::Known(Dmarc::Fail));
        assert_eq!(of(Outcome::Fail, Some(voucher)), Fact::Known(Dmarc::Fail));
        assert_eq!(of(Outcome::None, None), Fact::Known(Dmarc::NoPolicy));
        for untold in [Outcome::Temperror, Outcome::Permerror, Outcome::Neutral, Outcome::Policy, Outcome::Softfail] {
            assert_eq!(of(untold, None), Fact::Unknown, "{untold:?}");
        }
        assert_eq!(Fact::<Dmarc>::of(&Authentication::default()), Fact::Unknown, "not checked");
    }
}
