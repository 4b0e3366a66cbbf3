//! What is known of a version at one moment, whatever the policy: with a policy it makes the gate's facts. It is recorded beside
//! each verdict, so that the gate can be asked again by another policy.
//!
//! It holds nothing of a message: counts, states, and those addresses that are among the recipients.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::governance::facts::{
    DomainFacts, Fact, Facts, MailboxFacts, MailboxState, Quota, Standing, ThreadFacts, TrustBand,
};
use crate::governance::ownership::RegisteredMailbox;
use crate::governance::policy::{QuietHours, Subject};
use crate::governance::role::Role;
use crate::governance::{Approval, Content, Identity, Policy, Version};
use crate::ids::{MailboxId, TenantId, UserId};
use crate::mail::address::{Domain, Mailbox};

/// What is known of a version, but for the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ground {
    pub(crate) tenant: TenantId,
    pub(crate) mailbox: MailboxId,
    /// Whether there is such a mailbox, and what is registered of it.
    pub(crate) registered: Option<RegisteredMailbox>,
    pub(crate) domain: Fact<DomainFacts>,
    pub(crate) platform_domains: Vec<Domain>,
    pub(crate) thread: ThreadFacts,
    pub(crate) approvals: Vec<Approval>,
    /// Of those who said yes.
    pub(crate) roles: Vec<(UserId, Role)>,
    pub(crate) template: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) app: Option<String>,
    pub(crate) suppressed: Vec<Mailbox>,
    pub(crate) similar: Fact<u32>,
    pub(crate) usage: Fact<Usage>,
    pub(crate) trust_band: TrustBand,
    pub(crate) is_paused: bool,
}

/// What was let out in the last 24 hours, as limits count it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Without a person's yes, to that recipient who got the most.
    pub(crate) automatic: u32,
    pub(crate) mailbox: Count,
    pub(crate) agent: Count,
    pub(crate) app: Count,
    pub(crate) tenant: Count,
    /// To each domain of the recipients.
    pub(crate) domains: Vec<(Domain, Count)>,
}

/// How many, and when, newest first. The times are not recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    number: u32,
    #[serde(skip)]
    at: Vec<Timestamp>,
}

impl Count {
    pub(crate) fn of(at: Vec<Timestamp>) -> Self {
        Self { number: u32::try_from(at.len()).unwrap_or(u32::MAX), at }
    }

    /// From when on there is room under a limit; `None` where there is now. With the oldest of the last `limit` gone there is
    /// room again; without its time, nobody knows when.
    fn opens(&self, limit: u32) -> Option<Timestamp> {
        let never = Timestamp::from_micros(i64::MAX);
        let last = match limit.checked_sub(1) {
            None => return Some(never),
            Some(_) if self.number < limit => return None,
            Some(last) => last,
        };
        Some(self.at.get(last as usize).map_or(never, |oldest| oldest.plus(DAY)))
    }
}

const DAY: Duration = Duration::from_hours(24);

/// When a version would leave, of which the gate is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Departure {
    /// At once: it is about to be sent.
    Now,
    /// Behind the quiet hours, where it is within some: its release waits for their end.
    BehindQuietHours,
}

impl Ground {
    /// The settings for this version.
    pub(crate) fn policy(&self, policy: &Policy, content: &Content) -> Policy {
        let mailbox = self.mailbox.to_string();
        policy.of(&Subject {
            mailbox: &mailbox,
            address: self.registered.as_ref().map(|registered| &registered.address),
            agent: self.agent.as_deref(),
            app: self.app.as_deref(),
            recipients: content.recipients(),
        })
    }

    /// The gate's facts under a tenant's settings.
    pub(crate) fn facts(&self, policy: &Policy, version: &Version, (departure, now): (Departure, Timestamp)) -> Facts {
        let policy = self.policy(policy, &version.content);
        let usage = self.usage.known();
        let is_over = usage.map(|usage| usage.automatic >= policy.automatic_per_correspondent);
        Facts {
            identity: Fact::Known(Identity::resolve(None, self.registered.as_ref()).0),
            mailbox: self.registered.as_ref().map(|registered| self.mailbox_facts(registered, &policy)).into(),
            domain: self.domain.clone(),
            platform_domains: Fact::Known(self.platform_domains.clone()),
            thread: self.thread.clone(),
            approvals: Fact::Known(self.approvals.clone()),
            approver_roles: Fact::Known(self.roles.clone()),
            template: Fact::Known(self.template.clone()),
            standing: Standing {
                suppressed: Fact::Known(self.suppressed.clone()),
                is_over_auto_reply_rate: is_over.into(),
                similar_to_new_recipients: self.similar,
                quota: usage.map(|usage| quota(usage, self.agent.is_some(), &policy)).into(),
                trust_band: Fact::Known(self.trust_band),
                quiet_until: match departure {
                    Departure::Now => quiet_until(&policy, now),
                    Departure::BehindQuietHours => behind_quiet_hours(&policy, now).known().map(|_| None).into(),
                },
                is_paused: Fact::Known(self.is_paused),
            },
            policy: Fact::Known(policy),
        }
    }

    fn mailbox_facts(&self, registered: &RegisteredMailbox, policy: &Policy) -> MailboxFacts {
        let is_active = registered.state == MailboxState::Active;
        MailboxFacts {
            id: self.mailbox,
            tenant: self.tenant,
            state: if is_active { MailboxState::Active } else { MailboxState::Suspended },
            is_receive_only: registered.receive_only,
            addresses: vec![registered.address.clone()],
            bounce_domains: Vec::new(),
            max_recipients: policy.recipients,
        }
    }

    /// The same with no more of the conversation than the gate looks at: of those in it, the recipients.
    pub(crate) fn recorded(&self, content: &Content) -> Self {
        let mut ground = self.clone();
        if let Fact::Known(participants) = &mut ground.thread.participants {
            let keys: Vec<String> = content.recipients().iter().map(Mailbox::key).collect();
            participants.retain(|one| keys.contains(&one.key()));
            participants.sort_by_key(Mailbox::key);
            participants.dedup_by_key(|one| one.key());
        }
        ground
    }
}

/// Whether mailbox, agent, tenant and scopes have room, and else from when on.
fn quota(usage: &Usage, has_agent: bool, policy: &Policy) -> Quota {
    let mut opens = vec![usage.mailbox.opens(policy.mailbox_per_day), usage.tenant.opens(policy.tenant_per_day)];
    if has_agent {
        opens.push(usage.agent.opens(policy.agent_per_day));
    }
    for scope in &policy.scopes {
        let Some(limit) = scope.per_day else { continue };
        let count = match scope.domain() {
            Some(domain) => usage.domains.iter().find(|(one, _)| *one == domain).map(|(_, count)| count),
            None if scope.mailbox.is_some() => Some(&usage.mailbox),
            None if scope.agent.is_some() => Some(&usage.agent),
            None => Some(&usage.app),
        };
        opens.push(count.unwrap_or(&Count::default()).opens(limit));
    }
    opens.into_iter().flatten().max().map_or(Quota::Open, Quota::UsedUpUntil)
}

/// Until when the quiet hours last in which `now` is. A time zone that is not known on this machine makes it unknown.
pub(crate) fn quiet_until(policy: &Policy, now: Timestamp) -> Fact<Option<Timestamp>> {
    let mut latest = None;
    for hours in policy.quiet() {
        match end_of(hours, &policy.time_zone, now) {
            Some(end) => latest = latest.max(end),
            None => return Fact::Unknown,
        }
    }
    Fact::Known(latest)
}

/// The first moment from `at` on that is within no quiet hours. Where they leave no moment of a day, nobody knows one.
pub(crate) fn behind_quiet_hours(policy: &Policy, at: Timestamp) -> Fact<Timestamp> {
    let mut moment = at;
    // So many hours one behind another are no policy of anybody's.
    for _ in 0..64 {
        match quiet_until(policy, moment) {
            Fact::Known(Some(end)) if end < at.plus(2 * DAY) => moment = end,
            Fact::Known(Some(_)) => return Fact::Unknown,
            Fact::Known(None) => return Fact::Known(moment),
            Fact::Unknown => return Fact::Unknown,
        }
    }
    Fact::Unknown
}

/// The end of these hours, where they are now; `None` where nobody can tell.
fn end_of(hours: &QuietHours, zone: &str, now: Timestamp) -> Option<Option<Timestamp>> {
    let (from, to) = hours.minutes()?;
    let zone = jiff::tz::TimeZone::get(zone).ok()?;
    let local = zone.to_datetime(jiff::Timestamp::from_microsecond(now.as_micros()).ok()?);
    let minute = u16::try_from(local.hour()).ok()? * 60 + u16::try_from(local.minute()).ok()?;
    let is_over_night = from > to;
    let is_in = if is_over_night { minute >= from || minute < to } else { minute >= from && minute < to };
    if !is_in {
        return Some(None);
    }
    let day = if is_over_night && minute >= from { local.date().tomorrow().ok()? } else { local.date() };
    let end = day.at(i8::try_from(to / 60).ok()?, i8::try_from(to % 60).ok()?, 0, 0);
    let end = Timestamp::from_micros(zone.to_timestamp(end).ok()?.as_microsecond());
    // Where clocks are put back within the hours, their end may have been already: then it comes again.
    Some(Some(end).filter(|end| *end > now).or(Some(now.plus(Duration::from_mins(1)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn quiet(zone: &str, from: &str, to: &str, now: &str) -> Fact<Option<Timestamp>> {
        let quiet_hours = Some(QuietHours { from: from.into(), to: to.into() });
        quiet_until(&Policy { time_zone: zone.into(), quiet_hours, ..Policy::default() }, at(now))
    }

    #[test]
    fn quiet_hours_end_at_the_tenants_own_time_in_summer_and_in_winter() {
        for (now, end) in [
            // 20:00 to 07:00 in Berlin is 19:00 to 06:00 in winter and 18:00 to 05:00 in summer.
            ("2026-01-15T18:59:59Z", None),
            ("2026-01-15T19:00:00Z", Some("2026-01-16T06:00:00Z")),
            ("2026-01-16T05:59:59Z", Some("2026-01-16T06:00:00Z")),
            ("2026-01-16T06:00:00Z", None),
            ("2026-07-15T18:00:00Z", Some("2026-07-16T05:00:00Z")),
            // The night in which clocks are put on has an hour less.
            ("2026-03-28T23:00:00Z", Some("2026-03-29T05:00:00Z")),
        ] {
            let found = quiet("Europe/Berlin", "20:00", "07:00", now);
            assert_eq!(found, Fact::Known(end.map(at)), "{now}");
        }
        assert_eq!(
            quiet("UTC", "12:00", "13:00", "2026-01-15T12:30:00Z"),
            Fact::Known(Some(at("2026-01-15T13:00:00Z")))
        );
        assert_eq!(quiet("UTC", "12:00", "13:00", "2026-01-15T13:00:00Z"), Fact::Known(None));
    }

    #[test]
    fn a_time_zone_or_time_that_is_not_known_is_no_time_of_day() {
        assert_eq!(quiet("Mars/Olympus", "20:00", "07:00", "2026-01-15T12:00:00Z"), Fact::Unknown);
        assert_eq!(quiet("UTC", "25:00", "07:00", "2026-01-15T12:00:00Z"), Fact::Unknown);
        let none = Policy { time_zone: "Mars/Olympus".into(), ..Policy::default() };
        assert_eq!(quiet_until(&none, at("2026-01-15T12:00:00Z")), Fact::Known(None), "nobody asks for it");
    }

    #[test]
    fn quiet_hours_that_follow_one_another_are_passed_together_and_a_whole_day_of_them_has_no_end() {
        use crate::governance::policy::Scope;
        let hours = |from: &str, to: &str| Some(QuietHours { from: from.into(), to: to.into() });
        let of = |from: &str, to: &str| {
            let scope = Scope { agent: Some("a".into()), quiet_hours: hours(from, to), ..Scope::default() };
            let policy = Policy { quiet_hours: hours("20:00", "07:00"), scopes: vec![scope], ..Policy::default() };
            behind_quiet_hours(&policy, at("2026-01-15T21:00:00Z"))
        };
        assert_eq!(of("06:00", "09:00"), Fact::Known(at("2026-01-16T09:00:00Z")));
        assert_eq!(of("08:00", "09:00"), Fact::Known(at("2026-01-16T07:00:00Z")));
        assert_eq!(of("07:00", "20:00"), Fact::Unknown);
        assert_eq!(
            behind_quiet_hours(&Policy::default(), at("2026-01-15T21:00:00Z")),
            Fact::Known(at("2026-01-15T21:00:00Z"))
        );
    }

    #[test]
    fn a_limit_opens_a_day_after_the_oldest_that_counts_for_it() {
        let times = |count: i64| (0..count).rev().map(|place| Timestamp::from_micros(place * 10)).collect::<Vec<_>>();
        let count = Count::of(times(3));
        assert_eq!(count.opens(4), None);
        assert_eq!(count.opens(3), Some(Timestamp::from_micros(0).plus(DAY)));
        assert_eq!(count.opens(1), Some(Timestamp::from_micros(20).plus(DAY)));
        let never = Some(Timestamp::from_micros(i64::MAX));
        assert_eq!((count.opens(0), Count::of(Vec::new()).opens(0)), (never, never));
        let recorded: Count = serde_json::from_str(&serde_json::to_string(&count).unwrap()).unwrap();
        assert_eq!((recorded.opens(4), recorded.opens(3)), (None, never), "the same, but for when");
    }

    #[test]
    fn a_scope_has_a_limit_of_its_own() {
        use crate::governance::policy::Scope;
        let domain = |name: &str| Domain::parse(name).unwrap();
        let usage = Usage {
            agent: Count::of(vec![Timestamp::from_micros(1); 2]),
            domains: vec![(domain("bank.example"), Count::of(vec![Timestamp::from_micros(1); 3]))],
            ..Usage::default()
        };
        let of =
            |scope: Scope| quota(&usage, true, &Policy { scopes: vec![scope], ..Policy::default() }) == Quota::Open;
        let bank = |per_day| Scope { recipient_domain: Some("bank.example".into()), per_day, ..Scope::default() };
        assert!(of(bank(Some(4))) && of(bank(None)) && !of(bank(Some(3))));
        let agent = |per_day| Scope { agent: Some("a".into()), per_day, ..Scope::default() };
        assert!(of(agent(Some(3))) && !of(agent(Some(2))));
        assert!(of(Scope { app: Some("crm".into()), per_day: Some(1), ..Scope::default() }));
        assert!(!of(Scope { app: Some("crm".into()), per_day: Some(0), ..Scope::default() }));
    }
}
