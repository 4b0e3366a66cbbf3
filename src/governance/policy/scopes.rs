//! Settings for some: a mailbox, an agent, an app, a domain of recipients. Each can only make the tenant's stricter, and of all that
//! fit a draft the strictest holds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Policy;
use crate::governance::role::Role;
use crate::mail::address::{Domain, Mailbox};

/// Stricter settings for some; exactly one of the first four says for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Scope {
    /// For a mailbox: its address or id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 320)]
    pub mailbox: Option<String>,
    /// For what an agent proposed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    pub agent: Option<String>,
    /// For the mailboxes of an app, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    pub app: Option<String>,
    /// For what goes to recipients of exactly this domain.
    #[serde(alias = "recipient_domain", skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255)]
    pub recipient_domain: Option<String>,
    /// True asks for an approver other than the author.
    #[serde(alias = "four_eyes", skip_serializing_if = "Option::is_none")]
    pub four_eyes: Option<bool>,
    /// True lets replies go only to those who have been in the thread.
    #[serde(alias = "participants_only", skip_serializing_if = "Option::is_none")]
    pub participants_only: Option<bool>,
    /// To how many new recipients a day near-equal content may go.
    #[serde(alias = "similar_to_new_recipients", skip_serializing_if = "Option::is_none")]
    pub similar_to_new_recipients: Option<u32>,
    /// How many recipients one message may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipients: Option<u32>,
    /// Messages of this scope that may be let out in 24 hours.
    #[serde(alias = "per_day", skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
    /// Messages without a person's yes that one correspondent may get in 24 hours.
    #[serde(alias = "automatic_per_correspondent", skip_serializing_if = "Option::is_none")]
    pub automatic_per_correspondent: Option<u32>,
    /// The least role whose yes counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 20)]
    pub approver: Option<Role>,
    /// Further words and phrases that make a text risky.
    #[serde(alias = "risk_words", skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 500)]
    pub risk_words: Vec<String>,
    /// To whom alone it may be sent; of a scope of a recipients' domain, among those of that domain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 5000)]
    pub allow: Vec<String>,
    /// To whom nothing is sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 5000)]
    pub block: Vec<String>,
    /// Templates whose drafts may go out by `policy_auto`; an empty list: none may.
    #[serde(alias = "automatic_templates", skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 500)]
    pub automatic_templates: Option<Vec<String>>,
    /// When nothing leaves.
    #[serde(alias = "quiet_hours", skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
}

/// When nothing leaves, each day: `20:00` to `07:00` is the night.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuietHours {
    /// From then on, `HH:MM`.
    #[schema(min_length = 5, max_length = 5)]
    pub from: String,
    /// Until then.
    #[schema(min_length = 5, max_length = 5)]
    pub to: String,
}

impl QuietHours {
    /// Both in minutes of the day; `None` where they are no times.
    #[must_use]
    pub fn minutes(&self) -> Option<(u16, u16)> {
        Some((minute_of(&self.from)?, minute_of(&self.to)?))
    }
}

fn minute_of(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let is_two = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let (hours, minutes): (u16, u16) =
        (is_two(hours) && is_two(minutes)).then(|| Some((hours.parse().ok()?, minutes.parse().ok()?)))??;
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

/// What a draft is, as far as scopes look at it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The mailbox's id.
    pub mailbox: &'a str,
    /// Its address, where it is known.
    pub address: Option<&'a Mailbox>,
    /// The agent that proposed it.
    pub agent: Option<&'a str>,
    /// The app of the mailbox.
    pub app: Option<&'a str>,
    /// Every recipient.
    pub recipients: &'a [Mailbox],
}

impl Scope {
    /// Whether it is for this draft.
    #[must_use]
    pub fn is_for(&self, subject: &Subject<'_>) -> bool {
        let is_mailbox = |text: &String| {
            text == subject.mailbox
                || Mailbox::parse(text).ok().zip(subject.address).is_some_and(|(named, own)| named.key() == own.key())
        };
        self.mailbox.as_ref().is_some_and(is_mailbox)
            || self.agent.is_some() && self.agent.as_deref() == subject.agent
            || self.app.is_some() && self.app.as_deref() == subject.app
            || subject.recipients.iter().any(|recipient| self.is_of_domain(recipient))
    }

    /// Whether a recipient is of the domain that it is for.
    #[must_use]
    pub fn is_of_domain(&self, recipient: &Mailbox) -> bool {
        self.domain().is_some_and(|domain| domain == *recipient.domain())
    }

    /// The recipients' domain that it is for.
    #[must_use]
    pub fn domain(&self) -> Option<Domain> {
        Domain::parse(self.recipient_domain.as_ref()?).ok()
    }
}

impl Policy {
    /// The settings for one draft: the strictest of the tenant's and of the scopes that fit, which alone stay.
    #[must_use]
    pub fn of(&self, subject: &Subject<'_>) -> Self {
        let mut strict = self.clone();
        strict.scopes.retain(|scope| scope.is_for(subject));
        let scopes = std::mem::take(&mut strict.scopes);
        for scope in &scopes {
            strict.tighten(scope);
        }
        strict.scopes = scopes;
        strict
    }

    fn tighten(&mut self, scope: &Scope) {
        self.four_eyes |= scope.four_eyes == Some(true);
        self.participants_only |= scope.participants_only == Some(true);
        lower(&mut self.similar_to_new_recipients, scope.similar_to_new_recipients);
        lower(&mut self.recipients, scope.recipients);
        lower(&mut self.automatic_per_correspondent, scope.automatic_per_correspondent);
        self.approver = scope.approver.map_or(self.approver, |role| role.max(self.approver));
        self.risk_words.extend(scope.risk_words.iter().cloned());
        self.block.extend(scope.block.iter().cloned());
        if let Some(allowed) = &scope.automatic_templates {
            match &mut self.automatic_templates {
                Some(own) => own.retain(|template| allowed.contains(template)),
                own @ None => *own = Some(allowed.clone()),
            }
        }
    }

    /// Every time of the day at which nothing leaves.
    pub fn quiet(&self) -> impl Iterator<Item = &QuietHours> {
        self.quiet_hours.iter().chain(self.scopes.iter().filter_map(|scope| scope.quiet_hours.as_ref()))
    }

    /// Whether the lists let it be sent to this recipient.
    #[must_use]
    pub fn admits(&self, recipient: &Mailbox) -> bool {
        let is_blocked = self.block.iter().any(|entry| blocks(entry, recipient));
        let lists =
            self.scopes.iter().filter(|scope| scope.recipient_domain.is_none() || scope.is_of_domain(recipient));
        let lists = std::iter::once(&self.allow).chain(lists.map(|scope| &scope.allow));
        let mut lists = lists.filter(|list| !list.is_empty());
        !is_blocked && lists.all(|list| list.iter().any(|entry| allows(entry, recipient)))
    }

    /// Whether a draft of this template may go out by `policy_auto`.
    #[must_use]
    pub fn is_automatic(&self, template: Option<&str>) -> bool {
        let is_named = |list: &Vec<String>| template.is_some_and(|template| list.iter().any(|one| one == template));
        self.automatic_templates.as_ref().is_none_or(is_named)
    }
}

fn lower(limit: &mut u32, other: Option<u32>) {
    *limit = other.map_or(*limit, |other| other.min(*limit));
}

/// An address is blocked with all its details; an entry that cannot be read blocks everybody.
fn blocks(entry: &str, recipient: &Mailbox) -> bool {
    if entry.contains('@') {
        let is_it = |named: Mailbox| named.key() == recipient.key() || named.key() == recipient.key_without_detail();
        return Mailbox::parse(entry).map_or(true, is_it);
    }
    Domain::parse(entry).map_or(true, |outer| is_within(recipient.domain(), &outer))
}

/// An address is allowed as it is written; an entry that cannot be read allows nobody.
fn allows(entry: &str, recipient: &Mailbox) -> bool {
    if entry.contains('@') {
        return Mailbox::parse(entry).is_ok_and(|named| named.key() == recipient.key());
    }
    Domain::parse(entry).is_ok_and(|outer| is_within(recipient.domain(), &outer))
}

fn is_within(domain: &Domain, outer: &Domain) -> bool {
    crate::governance::content::is_within(domain, std::slice::from_ref(outer))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    fn scope(change: impl FnOnce(&mut Scope)) -> Scope {
        let mut scope = Scope { mailbox: Some("sales@acme.example".into()), ..Scope::default() };
        change(&mut scope);
        scope
    }

    /// The policy for a draft of sales@acme.example, by the agent `a`, of the app `crm`, to ann@bank.example.
    fn of(policy: &Policy) -> Policy {
        let address = mailbox("Sales@acme.example");
        let recipients = [mailbox("ann@bank.example")];
        policy.of(&Subject {
            mailbox: "mbx_1",
            address: Some(&address),
            agent: Some("a"),
            app: Some("crm"),
            recipients: &recipients,
        })
    }

    #[test]
    fn a_scope_is_for_what_it_names_and_nothing_else() {
        let fits = |change: fn(&mut Scope)| {
            let mut scope = Scope { recipients: Some(1), ..Scope::default() };
            change(&mut scope);
            of(&Policy { scopes: vec![scope], ..Policy::default() }).recipients == 1
        };
        assert!(fits(|scope| scope.mailbox = Some("sales@acme.example".into())));
        assert!(fits(|scope| scope.mailbox = Some("mbx_1".into())));
        assert!(fits(|scope| scope.agent = Some("a".into())) && fits(|scope| scope.app = Some("crm".into())));
        assert!(fits(|scope| scope.recipient_domain = Some("BANK.example".into())));
        assert!(!fits(|scope| scope.mailbox = Some("other@acme.example".into())));
        assert!(!fits(|scope| scope.agent = Some("b".into())) && !fits(|scope| scope.app = Some("erp".into())));
        assert!(!fits(|scope| scope.recipient_domain = Some("sub.bank.example".into())));
        assert!(!fits(|_| {}), "one that names nothing is for nothing");
    }

    #[test]
    fn lists_admit_whom_every_one_of_them_admits() {
        let base = Policy {
            allow: vec!["bank.example".into(), "bob@lake.example".into()],
            block: vec!["eve@bank.example".into(), "bad.bank.example".into()],
            ..Policy::default()
        };
        for (address, is_admitted) in [
            ("ann@bank.example", true),
            ("ann@sub.bank.example", true),
            ("ann@notbank.example", false),
            ("bob@lake.example", true),
            ("bob+x@lake.example", false),
            ("ann@lake.example", false),
            ("eve@bank.example", false),
            ("Eve+x@bank.example", false),
            ("ann@bad.bank.example", false),
        ] {
            assert_eq!(base.admits(&mailbox(address)), is_admitted, "{address}");
        }
        assert!(Policy::default().admits(&mailbox("anybody@anywhere.example")));
        let only_ann = Scope {
            recipient_domain: Some("bank.example".into()),
            allow: vec!["ann@bank.example".into()],
            ..Scope::default()
        };
        let with = of(&Policy { scopes: vec![only_ann], ..base });
        assert!(with.admits(&mailbox("ann@bank.example")) && !with.admits(&mailbox("bea@bank.example")));
        assert!(with.admits(&mailbox("bob@lake.example")), "the list is for those of the domain");
        let unreadable = |allow: &[&str], block: &[&str]| Policy {
            allow: allow.iter().map(|entry| (*entry).to_owned()).collect(),
            block: block.iter().map(|entry| (*entry).to_owned()).collect(),
            ..Policy::default()
        };
        assert!(!unreadable(&["no such thing"], &[]).admits(&mailbox("ann@bank.example")));
        assert!(!unreadable(&[], &["no such thing"]).admits(&mailbox("ann@bank.example")));
    }

    #[test]
    fn templates_are_those_that_every_list_names() {
        let names = |list: &[&str]| Some(list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert!(Policy::default().is_automatic(None) && Policy::default().is_automatic(Some("welcome")));
        let some = Policy { automatic_templates: names(&["welcome", "thanks"]), ..Policy::default() };
        assert!(some.is_automatic(Some("welcome")) && !some.is_automatic(Some("other")) && !some.is_automatic(None));
        let scopes = vec![scope(|scope| scope.automatic_templates = names(&["thanks"]))];
        let fewer = of(&Policy { scopes: scopes.clone(), ..some });
        assert!(fewer.is_automatic(Some("thanks")) && !fewer.is_automatic(Some("welcome")));
        assert_eq!(of(&Policy { scopes, ..Policy::default() }).automatic_templates, names(&["thanks"]));
    }

    #[test]
    fn times_of_the_day_are_read_exactly() {
        let read = |from: &str, to: &str| QuietHours { from: from.into(), to: to.into() }.minutes();
        assert_eq!(read("20:00", "07:30"), Some((1_200, 450)));
        for wrong in ["24:00", "7:00", "07:60", "07:0", "", "ab:cd", "+7:00", "07:00:00"] {
            assert_eq!(read(wrong, "07:00"), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_scope_only_ever_makes_it_stricter(
            numbers in prop::array::uniform4(prop::option::of(0u32..40)),
            flags in prop::array::uniform2(prop::option::of(any::<bool>())),
            role in prop::option::of(0usize..5),
            base_role in 0usize..5,
            base in 0u32..40,
            four_eyes in any::<bool>(),
        ) {
            let tenant = Policy {
                four_eyes, participants_only: !four_eyes, recipients: base, similar_to_new_recipients: base,
                automatic_per_correspondent: base, approver: Role::ALL[base_role],
                block: vec!["x.example".into()], allow: vec!["bank.example".into()], ..Policy::default()
            };
            let scope = scope(|scope| {
                [scope.recipients, scope.similar_to_new_recipients, scope.automatic_per_correspondent, scope.per_day] = numbers;
                [scope.four_eyes, scope.participants_only] = flags;
                scope.approver = role.map(|role| Role::ALL[role]);
                scope.allow = vec!["everywhere.example".into()];
            });
            let strict = of(&Policy { scopes: vec![scope], ..tenant.clone() });
            prop_assert!(strict.recipients <= tenant.recipients);
            prop_assert!(strict.similar_to_new_recipients <= tenant.similar_to_new_recipients);
            prop_assert!(strict.automatic_per_correspondent <= tenant.automatic_per_correspondent);
            prop_assert!(strict.four_eyes >= tenant.four_eyes && strict.participants_only >= tenant.participants_only);
            prop_assert!(strict.approver >= tenant.approver);
            for address in ["ann@bank.example", "ann@everywhere.example", "ann@x.example"] {
                prop_assert!(!strict.admits(&mailbox(address)) || tenant.admits(&mailbox(address)));
            }
        }
    }
}
