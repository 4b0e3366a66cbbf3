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
use crate::store::usage::COUNTED_FOR;

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
    /// From when on there is room under limits that are reached. Of use at the moment of asking alone, and not recorded.
    #[serde(skip)]
    pub(crate) opens: Vec<(Limited, u32, Timestamp)>,
}

/// How many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) number: u32,
}

/// What a limit is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Limited {
    Mailbox,
    Agent,
    App,
    Tenant,
    Domain(Domain),
}

impl Usage {
    /// Whether there is no room under a limit now.
    pub(crate) fn is_at(&self, of: &Limited, limit: u32) -> bool {
        let count = match of {
            Limited::Mailbox => Some(&self.mailbox),
            Limited::Agent => Some(&self.agent),
            Limited::App => Some(&self.app),
            Limited::Tenant => Some(&self.tenant),
            Limited::Domain(domain) => self.domains.iter().find(|(one, _)| one == domain).map(|(_, count)| count),
        };
        count.map_or(0, |count| count.number) >= limit
    }

    /// From when on there is room under a limit; `None` where there is now. Where nobody looked, nobody knows.
    fn opens(&self, of: &Limited, limit: u32) -> Option<Timestamp> {
        let noted = self.opens.iter().find(|(one, at, _)| (one, *at) == (of, limit)).map(|(_, _, opens)| *opens);
        self.is_at(of, limit).then(|| noted.unwrap_or(Timestamp::from_micros(i64::MAX)))
    }
}

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

/// The limits of a policy.
pub(crate) fn limits(policy: &Policy, has_agent: bool) -> Vec<(Limited, u32)> {
    let mut limits = vec![(Limited::Mailbox, policy.mailbox_per_day), (Limited::Tenant, policy.tenant_per_day)];
    if has_agent {
        limits.push((Limited::Agent, policy.agent_per_day));
    }
    limits.extend(policy.scopes.iter().filter_map(|scope| {
        let of = match scope.domain() {
            Some(domain) => Limited::Domain(domain),
            None if scope.mailbox.is_some() => Limited::Mailbox,
            None if scope.agent.is_some() => Limited::Agent,
            None => Limited::App,
        };
        Some((of, scope.per_day?))
    }));
    limits
}

/// Whether mailbox, agent, tenant and scopes have room, and else from when on.
fn quota(usage: &Usage, has_agent: bool, policy: &Policy) -> Quota {
    let opens = limits(policy, has_agent).iter().filter_map(|(of, limit)| usage.opens(of, *limit)).max();
    opens.map_or(Quota::Open, Quota::UsedUpUntil)
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
            Fact::Known(Some(end)) if end < at.plus(2 * COUNTED_FOR) => moment = end,
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
    fn a_limit_that_is_reached_opens_when_that_was_noted_and_else_nobody_knows_when() {
        let opens = Timestamp::from_micros(7);
        let usage = Usage {
            tenant: Count { number: 3 },
            opens: vec![(Limited::Tenant, 3, opens), (Limited::Mailbox, 3, opens)],
            ..Usage::default()
        };
        let never = Some(Timestamp::from_micros(i64::MAX));
        assert_eq!(usage.opens(&Limited::Tenant, 4), None);
        assert_eq!(usage.opens(&Limited::Tenant, 3), Some(opens));
        assert_eq!(usage.opens(&Limited::Tenant, 2), never);
        assert_eq!(usage.opens(&Limited::Mailbox, 3), None, "nothing counts there");
        assert_eq!(usage.opens(&Limited::Mailbox, 0), never);
        let recorded: Usage = serde_json::from_str(&serde_json::to_string(&usage).unwrap()).unwrap();
        assert_eq!((recorded.opens(&Limited::Tenant, 4), recorded.opens(&Limited::Tenant, 3)), (None, never));
    }

    #[test]
    fn a_scope_has_a_limit_of_its_own() {
        use crate::governance::policy::Scope;
        let domain = |name: &str| Domain::parse(name).unwrap();
        let usage = Usage {
            agent: Count { number: 2 },
            domains: vec![(domain("bank.example"), Count { number: 3 })],
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
