use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::facts::{AnsweredMessage, Dmarc, DomainState, Fact, MailboxFacts, MailboxState, Quota, TrustBand};
use super::fixture::{DRAFT, NOW, OTHER_TENANT, Scene, TENANT, ago, check_golden, mailbox, person};
use super::gate::Refused;
use super::*;
use crate::ids::KeyId;
use crate::mail::address::ReversePath;

mod standing;

type Change<T> = fn(&mut T);

/// The kinds of approval evidence that a draft may come with.
const EVIDENCE: [(&str, Change<Scene>); 8] = [
    ("none", |scene| scene.facts.approvals = Fact::Known(Vec::new())),
    ("unknown", |scene| scene.facts.approvals = Fact::Unknown),
    ("of a person", |_| {}),
    ("of the author", |scene| scene.version.author = person(2)),
    ("of a key", |scene| with_approval(scene, |approval| approval.approver = Actor::Key { key: KeyId::from_bits(1) })),
    ("of other content", |scene| {
        with_approval(scene, |approval| approval.content_hash = "0".repeat(64).parse().unwrap());
    }),
    ("expired", |scene| with_approval(scene, |approval| approval.expires_at = NOW)),
    ("of another tenant", |scene| with_approval(scene, |approval| approval.tenant = OTHER_TENANT)),
];

fn with_approval(scene: &mut Scene, change: impl FnOnce(&mut Approval)) {
    let mut approval = scene.approval();
    change(&mut approval);
    scene.facts.approvals = Fact::Known(vec![approval]);
}

fn with_mailbox(scene: &mut Scene, change: impl FnOnce(&mut MailboxFacts)) {
    if let Fact::Known(mailbox) = &mut scene.facts.mailbox {
        change(mailbox);
    }
}

fn set_mailbox(scene: &mut Scene, state: Option<MailboxState>) {
    match state {
        Some(state) => with_mailbox(scene, |mailbox| mailbox.state = state),
        None => scene.facts.mailbox = Fact::Unknown,
    }
}

fn set_domain(scene: &mut Scene, state: Option<DomainState>) {
    match (&mut scene.facts.domain, state) {
        (Fact::Known(domain), Some(state)) => domain.state = state,
        (domain, _) => *domain = Fact::Unknown,
    }
}

#[test]
fn owner_policy_evidence_mailbox_and_domain_are_judged_as_written_down() {
    let mut table = String::new();
    let mut released = 0;
    for owner in IdentityOwner::ALL {
        for policy in ReplyPolicy::ALL {
            for (evidence, give) in EVIDENCE {
                for mailbox in MailboxState::ALL.map(Some).into_iter().chain([None]) {
                    for domain in DomainState::ALL.map(Some).into_iter().chain([None]) {
                        let mut scene = Scene::of(owner, policy);
                        give(&mut scene);
                        set_mailbox(&mut scene, mailbox);
                        set_domain(&mut scene, domain);
                        let verdict = scene.verdict();
                        let is_released = scene.release().is_ok();
                        released += usize::from(is_released);
                        assert!(!is_released || verdict.ruling() == Ruling::Release);
                        assert!(!is_released || owner != IdentityOwner::SourceApp);
                        assert!(!is_released || matches!(policy, ReplyPolicy::HumanApproval | ReplyPolicy::PolicyAuto));
                        assert!(!is_released || mailbox == Some(MailboxState::Active));
                        writeln!(
                            table,
                            "{:<15} {:<15} approval {:<17} mailbox {:<9} domain {:<8} {:<7} {}",
                            owner.as_str(),
                            policy.as_str(),
                            evidence,
                            mailbox.map_or("unknown", MailboxState::as_str),
                            domain.map_or("unknown", DomainState::as_str),
                            verdict.ruling().as_str(),
                            verdict.codes().join(" "),
                        )
                        .unwrap();
                    }
                }
            }
        }
    }
    assert_eq!(table.lines().count(), 3 * 4 * 8 * 4 * 4);
    assert!(released > 0, "a table in which nothing is released shows nothing");
    check_golden("owner-policy-evidence.txt", &table.replace(" \n", "\n"));
}

#[test]
fn the_rule_table_is_as_written_down() {
    let mut table = String::new();
    for rule in rules::rules() {
        writeln!(table, "{} -> {} ({:?})", rule.code, rule.ruling.as_str(), rule.asked).unwrap();
        writeln!(table, "    {}\n    lifted by: {}", rule.sentence, rule.lifted_by).unwrap();
    }
    check_golden("rules.txt", &table);
}

#[test]
fn the_content_hash_covers_reverse_path_every_recipient_and_every_byte() {
    let content = |path: &str, recipients: &[&str], bytes: &'static [u8]| {
        let path = ReversePath::try_from(path.to_owned()).unwrap();
        Content::new(path, recipients.iter().map(|text| mailbox(text)).collect(), Bytes::from_static(bytes)).unwrap()
    };
    let versions = [
        content("a@b.example", &["c@d.example"], b"x"),
        content("", &["c@d.example"], b"x"),
        content("a@b.example", &["c@d.example", "e@f.example"], b"x"),
        content("a@b.example", &["e@f.example", "c@d.example"], b"x"),
        content("a@b.example", &["c@d.example"], b"y"),
        content("a@b.example", &["c@d.example"], b"x "),
        content("a@b.example", &["C@d.example"], b"x"),
        content("a@b.example", &["c@d.example"], b""),
    ];
    let hashes: std::collections::BTreeSet<_> = versions.iter().map(Content::hash).collect();
    assert_eq!(hashes.len(), versions.len());
    // Stored hashes must read the same for ever.
    let first = versions[0].hash().to_string();
    assert_eq!(first, FIRST_HASH);
    assert_eq!(first.parse::<ContentHash>().unwrap(), versions[0].hash());
    assert!(first.to_uppercase().parse::<ContentHash>().is_err() && "é".repeat(32).parse::<ContentHash>().is_err());
    assert!(Content::new(ReversePath::Null, Vec::new(), Bytes::new()).is_err());
}

const FIRST_HASH: &str = "f393210776d0f482d5957e754ef4b81974781616185133d7e89b7a442f880593";

/// Every fact that can be unknown, by taking it away.
const TAKE_AWAY: [(&str, Change<Facts>); 20] = [
    ("identity", |facts| facts.identity = Fact::Unknown),
    ("mailbox", |facts| facts.mailbox = Fact::Unknown),
    ("domain", |facts| facts.domain = Fact::Unknown),
    ("key", |facts| {
        if let Fact::Known(domain) = &mut facts.domain {
            domain.has_matching_key = Fact::Unknown;
        }
    }),
    ("platform domains", |facts| facts.platform_domains = Fact::Unknown),
    ("last message", |facts| facts.thread.last_message_from_person = Fact::Unknown),
    ("participants", |facts| facts.thread.participants = Fact::Unknown),
    ("answered", |facts| facts.thread.answered = Fact::Unknown),
    ("auto-submitted", |facts| of_answered(facts, |answered| answered.is_auto_submitted = Fact::Unknown)),
    ("null reverse-path", |facts| of_answered(facts, |answered| answered.has_null_reverse_path = Fact::Unknown)),
    ("dmarc", |facts| of_answered(facts, |answered| answered.dmarc = Fact::Unknown)),
    ("phishing", |facts| of_answered(facts, |answered| answered.is_phishing = Fact::Unknown)),
    ("steering", |facts| of_answered(facts, |answered| answered.steers_agents = Fact::Unknown)),
    ("approvals", |facts| facts.approvals = Fact::Unknown),
    ("policy", |facts| facts.policy = Fact::Unknown),
    ("suppressed", |facts| facts.standing.suppressed = Fact::Unknown),
    ("similar", |facts| facts.standing.similar_to_new_recipients = Fact::Unknown),
    ("quota", |facts| facts.standing.quota = Fact::Unknown),
    ("band", |facts| facts.standing.trust_band = Fact::Unknown),
    ("paused", |facts| facts.standing.is_paused = Fact::Unknown),
];

fn of_answered(facts: &mut Facts, change: impl FnOnce(&mut AnsweredMessage)) {
    if let Fact::Known(Some(answered)) = &mut facts.thread.answered {
        change(answered);
    }
}

#[test]
fn each_single_unknown_fact_keeps_a_message_back() {
    for (name, take_away) in TAKE_AWAY.iter().copied() {
        for owner in [IdentityOwner::Connex, IdentityOwner::CustomerDomain] {
            for policy in [ReplyPolicy::HumanApproval, ReplyPolicy::PolicyAuto] {
                let mut scene = Scene::of(owner, policy);
                assert!(scene.release().is_ok());
                take_away(&mut scene.facts);
                assert!(scene.release().is_err(), "{name} {owner:?} {policy:?}");
                assert_ne!(scene.verdict().ruling(), Ruling::Release, "{name} {owner:?} {policy:?}");
            }
        }
    }
}

/// Mostly the first value, now and then another.
fn mostly<T: Clone + std::fmt::Debug + 'static>(values: Vec<T>) -> impl Strategy<Value = T> {
    let usual = values[0].clone();
    prop_oneof![9 => Just(usual), 2 => prop::sample::select(values)]
}

/// Mostly the first value, now and then another or none.
fn fact<T: Clone + std::fmt::Debug + 'static>(values: Vec<T>) -> impl Strategy<Value = Fact<T>> {
    prop_oneof![24 => mostly(values).prop_map(Fact::Known), 1 => Just(Fact::Unknown)]
}

/// A scene that is near enough to a good one to be released now and then.
fn scene() -> impl Strategy<Value = Scene> {
    let identity = (
        mostly(vec![IdentityOwner::Connex, IdentityOwner::CustomerDomain, IdentityOwner::SourceApp]),
        prop::sample::select(ReplyPolicy::ALL.to_vec()),
        mostly(vec![2, 0, 1, 3, 4, 5, 6, 7]),
        mostly(vec!["Thank you. See you soon.", "We accept the contract.", "password: hunter2", "https://a.example/"]),
    );
    let world = (
        fact(MailboxState::ALL.to_vec()),
        fact(vec![DomainState::Verified, DomainState::Pending, DomainState::Failed]),
        mostly(vec![TENANT, OTHER_TENANT]),
        fact(vec![true, false]),
        fact(vec![None, Some(ago(Duration::from_secs(3_600))), Some(NOW)]),
    );
    let standing = (
        fact(vec![Vec::new(), vec![mailbox("ann@buyer.example")]]),
        fact(vec![Quota::Open, Quota::UsedUpUntil(NOW.plus(Duration::from_secs(1)))]),
        fact(vec![TrustBand::Standard, TrustBand::New, TrustBand::Blocked]),
        fact(vec![false, true]),
        fact(vec![Dmarc::Pass, Dmarc::NoPolicy, Dmarc::Fail]),
        prop_oneof![3 => Just(None), 1 => (0..TAKE_AWAY.len()).prop_map(Some)],
    );
    (identity, world, standing).prop_map(|((owner, policy, evidence, body), world, standing)| {
        let mut scene = Scene::of(owner, policy);
        scene.write(&[], body);
        scene.approve_with(&["risk_high"]);
        if let Some((_, give)) = EVIDENCE.get(evidence) {
            give(&mut scene);
        }
        set_mailbox(&mut scene, world.0.known().copied());
        set_domain(&mut scene, world.1.known().copied());
        with_mailbox(&mut scene, |mailbox| mailbox.tenant = world.2);
        if let Fact::Known(domain) = &mut scene.facts.domain {
            domain.has_matching_key = world.3;
        }
        scene.facts.thread.last_message_from_person = world.4;
        scene.facts.standing.suppressed = standing.0;
        scene.facts.standing.quota = standing.1;
        scene.facts.standing.trust_band = standing.2;
        scene.facts.standing.is_paused = standing.3;
        of_answered(&mut scene.facts, |answered| answered.dmarc = standing.4);
        if let Some((_, take_away)) = standing.5.and_then(|place| TAKE_AWAY.get(place)) {
            take_away(&mut scene.facts);
        }
        scene
    })
}

/// Whether everything that the rules ask for is known: taking it away then changes something.
fn is_all_known(facts: &Facts) -> bool {
    TAKE_AWAY.iter().all(|(_, take_away)| {
        let mut without = facts.clone();
        take_away(&mut without);
        without != *facts
    })
}

proptest! {
    #[test]
    fn nothing_is_released_against_the_invariants(scene in scene()) {
        let verdict = scene.verdict();
        let strongest = verdict.reasons().iter().map(|reason| reason.ruling).max().unwrap_or(Ruling::Release);
        prop_assert_eq!(verdict.ruling(), strongest);
        prop_assert_eq!(&scene.verdict(), &verdict);
        let released = scene.release();
        if let Err(Refused::Verdict(refused)) = &released {
            prop_assert_eq!(refused, &verdict);
            prop_assert!(refused.ruling() != Ruling::Release);
        }
        let Ok((message, row)) = released else { return Ok(()) };
        let identity = scene.facts.identity.known().unwrap();
        let approvals = scene.facts.approvals.known().cloned().unwrap_or_default();
        // 1: never for the source app.
        prop_assert!(!identity.is_source_app() && identity.policy() != ReplyPolicy::Never);
        // 3: a verdict `release` over this hash, and where policy asks, another person's later approval of it.
        prop_assert_eq!(verdict.ruling(), Ruling::Release);
        prop_assert_eq!(message.content_hash(), scene.version.content.hash());
        let last = scene.facts.thread.last_message_from_person.known().copied().flatten();
        let is_good = |approval: &Approval| {
            approval.tenant == TENANT
                && approval.draft == DRAFT
                && approval.content_hash == scene.version.content.hash()
                && approval.approver.is_person()
                && approval.approver != scene.version.author
                && last.is_none_or(|last| last < approval.decided_at)
        };
        prop_assert!(identity.policy() == ReplyPolicy::PolicyAuto || approvals.iter().any(is_good));
        // 5: nothing of another tenant.
        prop_assert_eq!(scene.facts.mailbox.known().map(|mailbox| mailbox.tenant), Some(TENANT));
        prop_assert!(is_all_known(&scene.facts));
        // The row says what was released, and spends to the same bytes.
        prop_assert_eq!(row.content_hash, message.content_hash());
        prop_assert_eq!(&message.into_wire().bytes, scene.version.content.bytes());
    }

    #[test]
    fn no_facts_release_an_identity_of_the_source_app(mut scene in scene(), policy in prop::sample::select(ReplyPolicy::ALL.to_vec())) {
        scene.set_identity(IdentityOwner::SourceApp, policy);
        prop_assert!(scene.verdict().ruling() >= Ruling::Handoff);
        prop_assert!(scene.verdict().has("source_app_owns_identity"));
        prop_assert!(scene.release().is_err());
    }

    #[test]
    fn an_edit_voids_every_approval(mut scene in scene(), extra in "[a-z ]{1,20}") {
        scene.set_identity(IdentityOwner::Connex, ReplyPolicy::HumanApproval);
        let mut bytes = scene.version.content.bytes().to_vec();
        bytes.extend_from_slice(extra.as_bytes());
        let row = scene.release().ok().map(|(_, row)| row);
        scene.set_bytes(&bytes);
        prop_assert!(scene.verdict().has("approval_required"));
        prop_assert!(scene.release().is_err());
        if let Some(row) = row {
            prop_assert!(readmit(&row, Draft::new(scene.version.clone()), &scene.facts, NOW).is_err());
        }
    }
}

/// Invariants that are held over random scenes show nothing unless some of the scenes are released.
#[test]
fn some_random_scenes_are_released() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let released = (0..200).filter(|_| {
        let tree = scene().new_tree(&mut runner).unwrap();
        proptest::strategy::ValueTree::current(&tree).release().is_ok()
    });
    assert!(released.count() >= 10);
}
