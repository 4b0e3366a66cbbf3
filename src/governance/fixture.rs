//! A scene in which everything is fine, for tests to break one thing at a time; and goldens.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use super::facts::{
    AnsweredMessage, Dmarc, DomainFacts, DomainState, Fact, Facts, MailboxFacts, MailboxState, Quota, Standing,
    ThreadFacts, TrustBand,
};
use super::gate::{Draft, Refused, ReleasableMessage, ReleaseRow, ReleaseTerms};
use super::{
    Actor, Approval, Content, Identity, IdentityOwner, Policy, RegisteredMailbox, ReplyPolicy, Verdict, Version,
};
use crate::clock::Timestamp;
use crate::ids::{ApprovalId, DraftId, MailboxId, ReleaseId, TenantId, UserId};
use crate::mail::address::{Domain, Mailbox, ReversePath};

/// A version, all facts about it, and the moment.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) version: Version,
    pub(super) facts: Facts,
    pub(super) now: Timestamp,
}

pub(super) const TENANT: TenantId = TenantId::from_bits(1);
pub(super) const OTHER_TENANT: TenantId = TenantId::from_bits(2);
pub(super) const MAILBOX: MailboxId = MailboxId::from_bits(3);
pub(super) const DRAFT: DraftId = DraftId::from_bits(4);
pub(super) const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn person(number: u128) -> Actor {
    Actor::User { user: UserId::from_bits(number) }
}

pub(super) fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

pub(super) fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

pub(super) fn ago(duration: Duration) -> Timestamp {
    Timestamp::from_micros(NOW.as_micros() - i64::try_from(duration.as_micros()).unwrap())
}

pub(super) fn identity(owner: IdentityOwner, policy: ReplyPolicy) -> Identity {
    let registered = RegisteredMailbox {
        address: mailbox("deals@platform.example"),
        owner,
        policy,
        external_reply_url: Some("https://app.example/thread/1".to_owned()),
        state: MailboxState::Active,
        receive_only: false,
    };
    Identity::resolve(None, Some(&registered)).0
}

impl Scene {
    /// A mailbox of this gateway, a harmless answer, approved by another person; the gate lets it out.
    pub(super) fn connex() -> Self {
        Self::of(IdentityOwner::Connex, ReplyPolicy::HumanApproval)
    }

    /// The same as a customer's verified domain.
    pub(super) fn customer() -> Self {
        Self::of(IdentityOwner::CustomerDomain, ReplyPolicy::HumanApproval)
    }

    pub(super) fn of(owner: IdentityOwner, policy: ReplyPolicy) -> Self {
        let address =
            if owner == IdentityOwner::CustomerDomain { "deals@customer.example" } else { "deals@platform.example" };
        let version = Version {
            draft: DRAFT,
            tenant: TENANT,
            mailbox: MAILBOX,
            author: person(1),
            content: Content::new(
                ReversePath::Mailbox(mailbox(address)),
                vec![mailbox("ann@buyer.example")],
                Bytes::new(),
            )
            .unwrap(),
        };
        let mut scene = Self { version, facts: facts(owner, policy, address), now: NOW };
        scene.write(&[], "Thank you, Ann. See you on Tuesday.");
        scene.approve();
        scene
    }

    /// The address that the mailbox may show.
    pub(super) fn address(&self) -> Mailbox {
        self.facts.mailbox.known().unwrap().addresses.first().unwrap().clone()
    }

    /// Makes the message: `fields` replace those of the same name, or are added.
    pub(super) fn write(&mut self, fields: &[(&str, &str)], body: &str) {
        let address = self.address();
        let mut lines = vec![
            ("From", format!("Deals <{address}>")),
            ("To", "Ann <ann@buyer.example>".to_owned()),
            ("Subject", "Tuesday".to_owned()),
            ("Date", "Mon, 23 Nov 2026 10:00:00 +0000".to_owned()),
            ("Message-ID", format!("<1.2@{}>", address.domain())),
            ("MIME-Version", "1.0".to_owned()),
            ("Content-Type", "text/plain; charset=utf-8".to_owned()),
        ];
        for (name, value) in fields {
            match lines.iter_mut().find(|(present, _)| present == name) {
                Some((_, present)) => *present = (*value).to_owned(),
                None => lines.push((name, (*value).to_owned())),
            }
        }
        let header: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.set_bytes(format!("{header}\r\n{body}\r\n").as_bytes());
    }

    pub(super) fn set_bytes(&mut self, bytes: &[u8]) {
        let content = &self.version.content;
        let recipients = content.recipients().to_vec();
        self.version.content =
            Content::new(content.reverse_path().clone(), recipients, Bytes::copy_from_slice(bytes)).unwrap();
    }

    pub(super) fn send_to(&mut self, recipients: &[&str]) {
        let content = &self.version.content;
        let recipients = recipients.iter().map(|text| mailbox(text)).collect();
        self.version.content =
            Content::new(content.reverse_path().clone(), recipients, content.bytes().clone()).unwrap();
    }

    pub(super) fn set_reverse_path(&mut self, text: &str) {
        let content = &self.version.content;
        let path = ReversePath::try_from(text.to_owned()).unwrap();
        self.version.content = Content::new(path, content.recipients().to_vec(), content.bytes().clone()).unwrap();
    }

    /// Another person's yes, half an hour ago, to the present content.
    pub(super) fn approval(&self) -> Approval {
        Approval {
            id: ApprovalId::from_bits(9),
            tenant: TENANT,
            draft: DRAFT,
            content_hash: self.version.content.hash(),
            approver: person(2),
            decided_at: ago(HOUR / 2),
            expires_at: NOW.plus(24 * HOUR),
            is_revoked: false,
            accepted: Vec::new(),
            is_stepped_up: false,
        }
    }

    pub(super) fn approve(&mut self) {
        self.facts.approvals = Fact::Known(vec![self.approval()]);
    }

    /// A yes that accepts these holds too, by a person who just signed in again.
    pub(super) fn approve_with(&mut self, accepted: &[&str]) {
        let accepted = accepted.iter().map(|code| (*code).to_owned()).collect();
        self.facts.approvals = Fact::Known(vec![Approval { accepted, is_stepped_up: true, ..self.approval() }]);
    }

    pub(super) fn set_identity(&mut self, owner: IdentityOwner, policy: ReplyPolicy) {
        self.facts.identity = Fact::Known(identity(owner, policy));
    }

    pub(super) fn verdict(&self) -> Verdict {
        super::evaluate(&self.version, &self.facts, self.now)
    }

    pub(super) fn terms() -> ReleaseTerms {
        ReleaseTerms { id: ReleaseId::from_bits(7), expires_at: NOW.plus(48 * HOUR) }
    }

    /// Goes through the gate with the first approval on record, or by policy where there is none.
    pub(super) fn release(&self) -> Result<(ReleasableMessage, ReleaseRow), Refused> {
        let draft = Draft::new(self.version.clone());
        let approvals = self.facts.approvals.known().cloned().unwrap_or_default();
        let approved = match approvals.first() {
            Some(approval) => draft.approve(approval).map_err(|_| Refused::ContentChanged)?,
            None => draft.approve_by_policy("default"),
        };
        approved.release(Self::terms(), &self.facts, self.now)
    }
}

/// A message of deals@customer.example that the gate let out to these recipients: for tests of what sends. `fields`
/// replace those of [`Scene::write`], or are added.
pub(crate) fn released(recipients: &[&str], fields: &[(&str, &str)], body: &str) -> ReleasableMessage {
    released_by(Some("deals@customer.example"), recipients, fields, body)
}

/// As [`released`], with a reverse-path of its own, or the null one.
pub(crate) fn released_by(
    reverse_path: Option<&str>,
    recipients: &[&str],
    fields: &[(&str, &str)],
    body: &str,
) -> ReleasableMessage {
    let mut scene = Scene::customer();
    scene.write(fields, body);
    scene.send_to(recipients);
    scene.set_reverse_path(reverse_path.unwrap_or_default());
    scene.facts.thread.participants = Fact::Known(recipients.iter().map(|text| mailbox(text)).collect());
    scene.approve();
    let (message, _) = scene.release().unwrap();
    message
}

/// Everything known, and nothing against a harmless answer.
fn facts(owner: IdentityOwner, policy: ReplyPolicy, address: &str) -> Facts {
    let address = mailbox(address);
    let customer = owner == IdentityOwner::CustomerDomain;
    Facts {
        identity: Fact::Known(identity(owner, policy)),
        domain: Fact::Known(DomainFacts {
            name: address.domain().clone(),
            tenant: customer.then_some(TENANT),
            state: DomainState::Verified,
            last_good_check: Some(ago(HOUR)),
            is_being_checked: false,
            has_matching_key: Fact::Known(true),
            is_key_being_checked: false,
            bounce_host: None,
        }),
        mailbox: Fact::Known(MailboxFacts {
            id: MAILBOX,
            tenant: TENANT,
            state: MailboxState::Active,
            is_receive_only: false,
            addresses: vec![address],
            bounce_domains: Vec::new(),
            max_recipients: 10,
        }),
        platform_domains: Fact::Known(vec![domain("platform.example")]),
        thread: ThreadFacts {
            last_message_from_person: Fact::Known(Some(ago(HOUR))),
            participants: Fact::Known(vec![mailbox("Ann@buyer.example")]),
            answered: Fact::Known(Some(AnsweredMessage {
                is_auto_submitted: Fact::Known(false),
                has_null_reverse_path: Fact::Known(false),
                dmarc: Fact::Known(Dmarc::Pass),
                is_phishing: Fact::Known(false),
                steers_agents: Fact::Known(false),
            })),
        },
        approvals: Fact::Known(Vec::new()),
        policy: Fact::Known(Policy::default()),
        approver_roles: Fact::Known(vec![(UserId::from_bits(2), super::role::Role::Approver)]),
        template: Fact::Known(None),
        standing: Standing {
            suppressed: Fact::Known(Vec::new()),
            is_over_auto_reply_rate: Fact::Known(false),
            similar_to_new_recipients: Fact::Known(1),
            quota: Fact::Known(Quota::Open),
            trust_band: Fact::Known(TrustBand::Standard),
            quiet_until: Fact::Known(None),
            is_paused: Fact::Known(false),
        },
    }
}

/// Compares `actual` with `tests/golden/governance/NAME`; `UPDATE_GOLDEN=1` writes it anew, and a missing one fails.
pub(super) fn check_golden(name: &str, actual: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/governance").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; UPDATE_GOLDEN=1 writes it", path.display()));
    for (number, (expected, actual)) in expected.lines().zip(actual.lines()).enumerate() {
        assert_eq!(expected, actual, "line {} of {}", number + 1, path.display());
    }
    assert_eq!(expected.lines().count(), actual.lines().count(), "{}", path.display());
}
