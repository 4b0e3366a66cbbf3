//! Cases on which the gate is measured: what is known of them is made up, and nothing is looked up.

use std::time::Duration;

use bytes::Bytes;

use super::drafts::ground::{Departure, Ground, Usage};
use crate::clock::Timestamp;
use crate::governance::facts::{DomainFacts, DomainState, Fact, Facts, MailboxState, ThreadFacts, TrustBand};
use crate::governance::ownership::RegisteredMailbox;
use crate::governance::policy::Scope;
use crate::governance::role::Role;
use crate::governance::{Actor, Approval, Content, IdentityOwner, Policy, ReplyPolicy, Version};
use crate::ids::{ApprovalId, DraftId, MailboxId, TenantId, UserId};
use crate::mail::address::{Mailbox, ReversePath};

/// One version, and what is known of it.
#[derive(Debug)]
pub struct BenchCase {
    /// What it is.
    pub name: &'static str,
    version: Version,
    facts: Facts,
}

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const TENANT: TenantId = TenantId::from_bits(1);
const MAILBOX: MailboxId = MailboxId::from_bits(2);
const DRAFT: DraftId = DraftId::from_bits(3);

impl BenchCase {
    /// What the gate says to it, in a word.
    #[must_use]
    pub fn judge(&self) -> &'static str {
        crate::governance::evaluate(&self.version, &self.facts, NOW).ruling().as_str()
    }

    /// The size of its message.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.version.content.bytes().len()
    }
}

/// All of them; none where one cannot be made, which a test rules out.
#[must_use]
pub fn cases() -> Vec<BenchCase> {
    let line = "Good morning Ann, thank you for this. See you on Tuesday at the office. Best regards\r\n";
    let scoped = |number: usize| Scope {
        recipient_domain: Some(format!("d{number}.example")),
        recipients: Some(3),
        ..Scope::default()
    };
    let scopes = (0..200).map(scoped).chain([Scope { agent: Some("a".into()), ..Scope::default() }]).collect();
    let words = (0..100).map(|number| format!("secret project {number}")).collect();
    let made = [
        case("approved, short", &line.repeat(4), &Policy::default()),
        case("approved, 100 KiB", &line.repeat(1_200), &Policy::default()),
        case("200 scopes and 100 words", &line.repeat(4), &Policy { scopes, risk_words: words, ..Policy::default() }),
        case("denied for a secret", "The password is: hunter2!\r\n", &Policy::default()),
        case_of("approved, with a file of 10 MiB", &with_file(line, 10 << 20), &Policy::default()),
    ];
    made.into_iter().flatten().collect()
}

/// A body with a file of so many octets.
fn with_file(text: &str, octets: usize) -> String {
    // 57 octets are a line of base64 (RFC 2045 §6.8).
    let line = "Q29ubmV4IHR1cm5zIG1haWwgaW50byB3b3JrLCBhbmQgc2VuZHMgbm90aGluZyBieSBpdHNlbGYh\r\n";
    format!(
        "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n--o\r\n\
         Content-Type: application/pdf; name=plan.pdf\r\nContent-Disposition: attachment; filename=plan.pdf\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--o--\r\n",
        line.repeat(octets / 57)
    )
}

fn case(name: &'static str, text: &str, policy: &Policy) -> Option<BenchCase> {
    case_of(name, &format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{text}"), policy)
}

/// `body` with the fields that say what it is.
fn case_of(name: &'static str, body: &str, policy: &Policy) -> Option<BenchCase> {
    let sender = Mailbox::parse("deals@customer.example").ok()?;
    let ann = Mailbox::parse("ann@buyer.example").ok()?;
    let message = format!(
        "From: Deals <{sender}>\r\nTo: Ann <{ann}>\r\nSubject: Tuesday\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <1.2@customer.example>\r\nMIME-Version: 1.0\r\n{body}"
    );
    let content = Content::new(ReversePath::Mailbox(sender.clone()), vec![ann.clone()], Bytes::from(message)).ok()?;
    let author = Actor::Agent { agent: "a".to_owned() };
    let version = Version { draft: DRAFT, tenant: TENANT, mailbox: MAILBOX, author, content };
    let facts = ground(&version, sender, ann).facts(policy, &version, (Departure::Now, NOW));
    Some(BenchCase { name, version, facts })
}

fn ground(version: &Version, sender: Mailbox, ann: Mailbox) -> Ground {
    let ago = |hours| super::policies::before(NOW, Duration::from_hours(hours));
    Ground {
        tenant: TENANT,
        mailbox: MAILBOX,
        domain: Fact::Known(DomainFacts {
            name: sender.domain().clone(),
            tenant: Some(TENANT),
            state: DomainState::Verified,
            last_good_check: Some(ago(1)),
            is_being_checked: false,
            has_matching_key: Fact::Known(true),
            is_key_being_checked: false,
            bounce_host: None,
        }),
        registered: Some(RegisteredMailbox {
            address: sender,
            owner: IdentityOwner::CustomerDomain,
            policy: ReplyPolicy::HumanApproval,
            external_reply_url: None,
            state: MailboxState::Active,
            receive_only: false,
        }),
        platform_domains: Vec::new(),
        thread: ThreadFacts {
            last_message_from_person: Fact::Known(Some(ago(2))),
            participants: Fact::Known(vec![ann]),
            answered: Fact::Known(None),
        },
        approvals: vec![Approval {
            id: ApprovalId::from_bits(4),
            tenant: TENANT,
            draft: DRAFT,
            content_hash: version.content.hash(),
            approver: Actor::User { user: UserId::from_bits(5) },
            decided_at: ago(1),
            expires_at: NOW.plus(Duration::from_hours(24)),
            is_revoked: false,
            accepted: Vec::new(),
            is_stepped_up: false,
        }],
        roles: vec![(UserId::from_bits(5), Role::Approver)],
        template: None,
        agent: Some("a".to_owned()),
        app: None,
        suppressed: Vec::new(),
        similar: Fact::Known(0),
        usage: Fact::Known(Usage::default()),
        trust_band: TrustBand::Standard,
        is_paused: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_is_judged_as_it_says() {
        let found: Vec<_> = cases().iter().map(|case| (case.name, case.judge())).collect();
        let expected = ["release", "release", "release", "deny", "release"];
        assert_eq!(found.iter().map(|(_, verdict)| *verdict).collect::<Vec<_>>(), expected, "{found:?}");
    }
}
