//! The facts of one moment about one version, gathered for the gate. What cannot be found out stays unknown there.

use std::collections::BTreeSet;

use super::ground::{Count, Departure, Ground, Limited, Usage, limits};
use super::weigh;
use crate::clock::Timestamp;
use crate::decide::Engine;
use crate::event::{CanonicalEvent, EventType};
use crate::governance::facts::{AnsweredMessage, Dmarc, DomainFacts, DomainState, Fact, Facts, ThreadFacts, TrustBand};
use crate::governance::role::Role;
use crate::governance::similarity::is_near;
use crate::governance::{Actor, Approval, Content, Version};
use crate::ids::{DraftId, MailboxId, OPERATOR, ThreadId, UserId};
use crate::mail::address::{Domain, Mailbox};
use crate::service::identity::registered_mailbox;
use crate::service::{Conflict, Service, ServiceError};
use crate::store::TenantStore;
use crate::store::accounts::UserState;
use crate::store::domains::DomainState as Proof;
use crate::store::drafts::{DraftRow, VersionRow};
use crate::store::signing::KeyRecordSeen;
use crate::store::standing::{LOOKED_AT, ThreadEvent};
use crate::store::usage::{Approach, COUNTED_FOR, Counted, Others, counted_under, leaves_at};

/// A draft's present version, and all that is known for the gate.
pub(crate) struct DraftCase {
    pub(crate) version: Version,
    pub(crate) facts: Facts,
    /// What the facts were made of, but for the policy.
    pub(crate) ground: Ground,
    /// The number of the version.
    pub(crate) number: u32,
    /// What its words look like.
    pub(crate) likeness: u64,
    /// How many of its recipients have never been in the conversation.
    pub(crate) newcomers: u32,
    /// Under what its release would count.
    pub(crate) counted: Vec<Counted>,
}

impl Service {
    /// Gathers the facts about a draft's present version.
    ///
    /// # Errors
    /// [`ServiceError::Conflict`] where nothing is written yet; [`ServiceError::Unavailable`].
    pub(crate) async fn case_of(&self, tenant: &TenantStore, draft: &DraftRow) -> Result<DraftCase, ServiceError> {
        self.case_leaving(tenant, draft, draft.send_at).await
    }

    /// The same for one that is to leave at a time of its own.
    pub(super) async fn case_leaving(
        &self,
        tenant: &TenantStore,
        draft: &DraftRow,
        send_at: Option<Timestamp>,
    ) -> Result<DraftCase, ServiceError> {
        if draft.erased_at.is_some() {
            return Err(Conflict::State("the draft was erased").into());
        }
        let nothing = || Conflict::State("nothing is written yet: the draft has no version");
        let row = tenant.draft_version(draft.id, draft.version).await?.ok_or_else(nothing)?;
        let others = Others { draft: draft.id, at: leaves_at(self.clock().now(), send_at), is_released: false };
        self.case_at(tenant, draft, row, (Departure::BehindQuietHours, others)).await
    }

    /// The same for a version that is about to be sent, and was released at that moment.
    pub(crate) async fn case_of_version(
        &self,
        tenant: &TenantStore,
        draft: &DraftRow,
        row: VersionRow,
        released_at: Timestamp,
    ) -> Result<DraftCase, ServiceError> {
        let others = Others { draft: draft.id, at: leaves_at(released_at, draft.send_at), is_released: true };
        self.case_at(tenant, draft, row, (Departure::Now, others)).await
    }

    async fn case_at(
        &self,
        tenant: &TenantStore,
        draft: &DraftRow,
        row: VersionRow,
        (departure, others): (Departure, Others),
    ) -> Result<DraftCase, ServiceError> {
        let id = draft.mailbox.ok_or(Conflict::State("the draft has no mailbox here"))?;
        let mailbox = tenant.mailbox(id).await?;
        let number = row.version;
        let version = version_of(tenant, draft.id, id, row)?;
        let thread = self.thread_facts(tenant, draft).await?;
        let known: Vec<String> = thread.participants.known().into_iter().flatten().map(Mailbox::key).collect();
        let strangers = version.content.recipients().iter().filter(|one| !known.contains(&one.key())).count();
        let newcomers = u32::try_from(strangers).unwrap_or(u32::MAX);
        let likeness = weigh::likeness(&version.content).await?;
        let registered = mailbox.as_ref().and_then(registered_mailbox);
        let domain = match &registered {
            Some(registered) => self.domain_facts(tenant, registered.address.domain()).await?,
            None => Fact::Unknown,
        };
        let approvals = tenant.approvals_of(draft.id).await?;
        let approvals: Vec<Approval> = approvals.iter().filter_map(|row| row.as_yes(tenant.tenant())).collect();
        let keys: Vec<String> = version.content.recipients().iter().map(Mailbox::key).collect();
        let suppressed = tenant.suppressions(&keys).await?;
        let approaches = tenant.approaches(others).await?;
        let similar = approaches.as_ref().zip(likeness);
        let similar = similar.map(|(all, likeness)| similar_to_newcomers(all, likeness).saturating_add(newcomers));
        let app = mailbox.as_ref().and_then(|mailbox| mailbox.app);
        let counted = counted_under(id, app, draft.agent.as_deref(), version.content.recipients());
        let usage = usage(tenant, others, &counted, &keys).await?;
        let is_suspended = tenant.suspended_since().await?.is_some();
        let mut ground = Ground {
            tenant: tenant.tenant(),
            mailbox: id,
            registered,
            domain,
            platform_domains: self.drafts.platform_domains.to_vec(),
            thread,
            roles: roles_of(tenant, &approvals).await?,
            approvals,
            template: template_of(&version),
            agent: draft.agent.clone(),
            app: self.app_of(tenant, mailbox.as_ref()).await?,
            suppressed: suppressed.iter().filter_map(|row| Mailbox::parse(&row.address_key).ok()).collect(),
            similar: similar.into(),
            usage: Fact::Unknown,
            trust_band: if is_suspended { TrustBand::Blocked } else { TrustBand::Standard },
            is_paused: self.is_paused(tenant, draft, id).await?,
        };
        let policy = tenant.policy().await?;
        let limits = limits(&ground.policy(&policy, &version.content), draft.agent.is_some());
        ground.usage = Fact::Known(when_open(tenant, others, (usage, &counted), limits).await?);
        let facts = ground.facts(&policy, &version, (departure, self.clock().now()));
        Ok(DraftCase { version, facts, ground, number, likeness: likeness.unwrap_or_default(), newcomers, counted })
    }

    async fn domain_facts(&self, tenant: &TenantStore, domain: &Domain) -> Result<Fact<DomainFacts>, ServiceError> {
        let now = self.clock().now();
        if self.drafts.is_platform(domain) {
            let record = self.store.for_tenant(OPERATOR).key_record(domain, now).await?;
            return Ok(Fact::Known(DomainFacts {
                name: domain.clone(),
                tenant: None,
                state: DomainState::Verified,
                last_good_check: None,
                is_being_checked: false,
                has_matching_key: Fact::Known(record == KeyRecordSeen::OfLate),
                is_key_being_checked: record == KeyRecordSeen::Before,
                bounce_host: None,
            }));
        }
        let rows = tenant.domains().await?;
        let Some(row) = rows.iter().find(|row| row.domain == domain.as_str()) else { return Ok(Fact::Unknown) };
        let delegated = tenant.bounce_host(domain.as_str()).await?.filter(|row| row.seen_at.is_some());
        let bounce_host = delegated.and_then(|row| Domain::parse(&row.host).ok());
        let state = match row.state {
            Proof::Verified => DomainState::Verified,
            Proof::Pending => DomainState::Pending,
            Proof::Failing | Proof::Suspended => DomainState::Failed,
        };
        // The watch looks again and again for a record that proved it, until DNS has an answer.
        let is_being_checked = row.state == Proof::Verified && !row.proof.is_empty();
        // So it does for the record of a key that was seen: no answer of DNS takes that from it, and one without it does.
        let record = tenant.key_record(domain, now).await?;
        Ok(Fact::Known(DomainFacts {
            name: domain.clone(),
            tenant: Some(tenant.tenant()),
            state,
            last_good_check: row.proven_at,
            is_being_checked,
            has_matching_key: Fact::Known(record == KeyRecordSeen::OfLate),
            is_key_being_checked: record == KeyRecordSeen::Before,
            bounce_host,
        }))
    }

    async fn thread_facts(&self, tenant: &TenantStore, draft: &DraftRow) -> Result<ThreadFacts, ServiceError> {
        // What is answered may be of another mailbox or a route, with a conversation of its own.
        let of_answered = match draft.answers {
            Some(id) => tenant.event_content(id).await?,
            None => None,
        };
        let of_answered = of_answered.and_then(|content| serde_json::from_value::<CanonicalEvent>(content).ok());
        let threads: BTreeSet<ThreadId> =
            draft.thread.into_iter().chain(of_answered.map(|event| event.thread_id)).collect();
        let (mut events, mut is_whole) = (Vec::new(), true);
        for thread in threads {
            let some = tenant.thread_events(thread).await?;
            is_whole &= some.len() < LOOKED_AT as usize;
            events.extend(some);
        }
        let mail: Vec<(&ThreadEvent, CanonicalEvent)> = events
            .iter()
            .filter_map(|event| Some((event, serde_json::from_value(event.content.clone()).ok()?)))
            .collect();
        let newest = mail.iter().filter(|(_, event)| is_from_person(event)).map(|(row, _)| row.recorded_at).max();
        let last_message_from_person = match newest {
            None if !is_whole => Fact::Unknown,
            newest => Fact::Known(newest),
        };
        let people = mail.iter().flat_map(|(_, event)| participants(event));
        let answered = match draft.answers {
            None => Fact::Known(None),
            Some(id) => match mail.iter().find(|(row, _)| row.id == id) {
                Some((row, event)) => {
                    let codes = tenant.abuse_signals(id).await?;
                    Fact::Known(Some(answered(row, event, (&self.engine, &codes))))
                }
                // It is not one of the newest, or no mail: nothing is known of it.
                None => Fact::Unknown,
            },
        };
        Ok(ThreadFacts { last_message_from_person, participants: Fact::Known(people.collect()), answered })
    }

    async fn is_paused(
        &self,
        tenant: &TenantStore,
        draft: &DraftRow,
        mailbox: MailboxId,
    ) -> Result<bool, ServiceError> {
        let is_stopped = |(kind, subject, _): &(String, String, Timestamp)| match kind.as_str() {
            "mailbox" => *subject == mailbox.to_string(),
            "agent" => draft.agent.as_ref() == Some(subject),
            _ => true,
        };
        let is_gateway = self.store.gateway_paused_since().await?.is_some();
        Ok(is_gateway || tenant.pauses().await?.iter().any(is_stopped))
    }
}

/// The role that each person has now who said yes; of one who has no account any more, none.
async fn roles_of(tenant: &TenantStore, approvals: &[Approval]) -> Result<Vec<(UserId, Role)>, ServiceError> {
    if approvals.is_empty() {
        return Ok(Vec::new());
    }
    let is_among = |id: UserId| approvals.iter().any(|approval| approval.approver == Actor::User { user: id });
    let users = tenant.users().await?.into_iter().filter(|user| user.state == UserState::Active && is_among(user.id));
    Ok(users.map(|user| (user.id, user.role)).collect())
}

/// What was let out of late that counts for limits of a draft.
async fn usage(
    tenant: &TenantStore,
    others: Others,
    counted: &[Counted],
    recipients: &[String],
) -> Result<Usage, ServiceError> {
    let automatic = recipients.iter().cloned().map(Counted::Automatic);
    let under: Vec<Counted> = counted.iter().cloned().chain(automatic).collect();
    let numbers = tenant.let_out(others, &under).await?;
    let mut usage = Usage::default();
    for (one, number) in under.into_iter().zip(numbers) {
        let count = Count { number };
        match one {
            Counted::Tenant => usage.tenant = count,
            Counted::Mailbox(_) => usage.mailbox = count,
            Counted::Agent(_) => usage.agent = count,
            Counted::App(_) => usage.app = count,
            Counted::Domain(domain) => usage.domains.push((domain, count)),
            // The most that one of them got.
            Counted::Automatic(_) => usage.automatic = usage.automatic.max(number),
        }
    }
    Ok(usage)
}

/// With the moments from which on there is room under limits that are reached: when the oldest of as many as a limit allows
/// counts no more.
async fn when_open(
    tenant: &TenantStore,
    others: Others,
    (mut usage, counted): (Usage, &[Counted]),
    limits: Vec<(Limited, u32)>,
) -> Result<Usage, ServiceError> {
    for (of, limit) in limits {
        // Under a limit of nothing there never is room.
        if limit == 0 || !usage.is_at(&of, limit) {
            continue;
        }
        let is_of = |one: &&Counted| match (&of, one) {
            (Limited::Tenant, Counted::Tenant)
            | (Limited::Mailbox, Counted::Mailbox(_))
            | (Limited::Agent, Counted::Agent(_))
            | (Limited::App, Counted::App(_)) => true,
            (Limited::Domain(limited), Counted::Domain(counted)) => limited == counted,
            _ => false,
        };
        let Some(under) = counted.iter().find(is_of) else { continue };
        if let Some(last) = tenant.let_out_at(others, under, limit).await? {
            usage.opens.push((of, limit, last.plus(COUNTED_FOR)));
        }
    }
    Ok(usage)
}

fn similar_to_newcomers(approaches: &[Approach], likeness: u64) -> u32 {
    let near = approaches.iter().filter(|one| is_near(one.likeness, likeness));
    near.fold(0, |sum, one| sum.saturating_add(one.newcomers))
}

pub(crate) fn version_of(
    tenant: &TenantStore,
    draft: DraftId,
    mailbox: MailboxId,
    row: VersionRow,
) -> Result<Version, ServiceError> {
    let content = Content::new(row.reverse_path, row.recipients, row.message.into());
    let content = content.map_err(|error| ServiceError::Internal(error.into()))?;
    if content.hash().to_string() != row.content_hash {
        return Err(ServiceError::Internal("a stored version is not what its hash says".into()));
    }
    Ok(Version { draft, tenant: tenant.tenant(), mailbox, author: row.author, content })
}

/// The template of which a version is, word for word: what a person or an agent edited is their own.
fn template_of(version: &Version) -> Option<String> {
    match &version.author {
        Actor::Template { template, .. } => Some(template.clone()),
        _ => None,
    }
}

/// Mail that a person may have written: no report, automatic answer or receipt.
fn is_from_person(event: &CanonicalEvent) -> bool {
    event.automated.is_none()
        && matches!(
            event.event_type,
            EventType::InboundMessage
                | EventType::InboundReply
                | EventType::OutboundCopy
                | EventType::JournalCopy
                | EventType::Calendar
        )
}

/// Everybody whom a believed message names; what is not believed makes nobody known.
fn participants(event: &CanonicalEvent) -> Vec<Mailbox> {
    if !event.trusted {
        return Vec::new();
    }
    let author = event.author.iter().map(|one| &one.address);
    let all = author
        .chain(event.recipients.iter().map(|one| &one.address))
        .chain(event.reply_to.iter().map(|one| &one.address));
    all.filter_map(|address| Mailbox::parse(address).ok()).collect()
}

fn answered(row: &ThreadEvent, event: &CanonicalEvent, found: (&Engine, &[String])) -> AnsweredMessage {
    let is = |word| is_found(word, row.status.as_deref(), found);
    AnsweredMessage {
        is_auto_submitted: Fact::Known(event.automated.is_some()),
        has_null_reverse_path: Fact::Known(event.envelope.mail_from.is_empty()),
        dmarc: Fact::<Dmarc>::of(&event.authentication),
        is_phishing: is("phishing_suspected"),
        steers_agents: is("agent_injection_suspected"),
    }
}

/// Whether a message is what this status says: it has one status and can be more than one thing, as the codes of what was
/// found in it tell.
fn is_found(word: &str, status: Option<&str>, (engine, codes): (&Engine, &[String])) -> Fact<bool> {
    // Where nothing was decided nobody has looked.
    let Some(status) = status else { return Fact::Unknown };
    Fact::Known(status == word || codes.iter().any(|code| engine.status_of_signal(code) == Some(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_two_things_is_both_and_of_what_nobody_looked_at_nothing_is_known() {
        let engine = Engine::new().unwrap();
        let of = |status: Option<&str>, codes: &[&str]| {
            let codes: Vec<String> = codes.iter().map(|code| (*code).to_owned()).collect();
            let is = |word| is_found(word, status, (&engine, &codes)).known().copied();
            [is("phishing_suspected"), is("agent_injection_suspected")]
        };
        assert_eq!(of(Some("thanks_no_action"), &[]), [Some(false), Some(false)]);
        assert_eq!(of(Some("phishing_suspected"), &["asks_credentials"]), [Some(true), Some(false)]);
        for status in ["phishing_suspected", "agent_injection_suspected"] {
            assert_eq!(of(Some(status), &["asks_credentials", "steers_agent"]), [Some(true), Some(true)], "{status}");
        }
        assert_eq!(of(Some("agent_injection_suspected"), &["no_signal"]), [Some(false), Some(true)]);
        assert_eq!(of(None, &[]), [None, None]);
    }
}
