use std::time::Duration;

use crate::clock::Timestamp;
use crate::governance::facts::{AnsweredMessage, Dmarc, DomainState, Fact, MailboxState, Quota, TrustBand};
use crate::governance::fixture::{NOW, OTHER_TENANT, Scene, ago, domain, mailbox, person};
use crate::governance::role::Role;
use crate::governance::{Actor, Approval, IdentityOwner, Policy, ReplyPolicy, Ruling, rules::rules};
use crate::ids::{KeyId, MailboxId, UserId};

/// One rule: what makes it apply, and what takes away the fact that it asks for.
struct Row {
    code: &'static str,
    ruling: Ruling,
    applies: fn(&mut Scene),
    unknown: Option<fn(&mut Scene)>,
}

fn answered(scene: &mut Scene, change: fn(&mut AnsweredMessage)) {
    if let Fact::Known(Some(answered)) = &mut scene.facts.thread.answered {
        change(answered);
    }
}

fn mailbox_facts(scene: &mut Scene) -> &mut crate::governance::facts::MailboxFacts {
    let Fact::Known(mailbox) = &mut scene.facts.mailbox else { panic!("the scene has a mailbox") };
    mailbox
}

fn domain_facts(scene: &mut Scene) -> &mut crate::governance::facts::DomainFacts {
    let Fact::Known(domain) = &mut scene.facts.domain else { panic!("the scene has a domain") };
    domain
}

fn unreadable(scene: &mut Scene) {
    // More nested messages than are read: the text is unknown.
    scene.write(&[], &"message/rfc822 ".repeat(70));
}

const ROWS: &[Row] = &[
    Row {
        code: "source_app_owns_identity",
        ruling: Ruling::Handoff,
        applies: |scene| scene.set_identity(IdentityOwner::SourceApp, ReplyPolicy::HumanApproval),
        unknown: Some(|scene| scene.facts.identity = Fact::Unknown),
    },
    Row {
        code: "replies_disabled",
        ruling: Ruling::Deny,
        applies: |scene| mailbox_facts(scene).is_receive_only = true,
        unknown: Some(|scene| scene.facts.mailbox = Fact::Unknown),
    },
    Row {
        code: "identity_mismatch",
        ruling: Ruling::Deny,
        applies: |scene| scene.write(&[("From", "Deals <boss@platform.example>")], "Hello."),
        unknown: Some(|scene| scene.facts.mailbox = Fact::Unknown),
    },
    Row {
        code: "mailbox_inactive",
        ruling: Ruling::Deny,
        applies: |scene| mailbox_facts(scene).state = MailboxState::Suspended,
        unknown: Some(|scene| scene.facts.mailbox = Fact::Unknown),
    },
    Row {
        code: "domain_unverified",
        ruling: Ruling::Deny,
        applies: |scene| domain_facts(scene).state = DomainState::Failed,
        unknown: Some(|scene| scene.facts.domain = Fact::Unknown),
    },
    Row {
        code: "domain_keys_missing",
        ruling: Ruling::Deny,
        applies: |scene| domain_facts(scene).has_matching_key = Fact::Known(false),
        unknown: Some(|scene| domain_facts(scene).has_matching_key = Fact::Unknown),
    },
    Row {
        code: "platform_domain_leak",
        ruling: Ruling::Deny,
        applies: |scene| scene.write(&[("Message-ID", "<1@mx.platform.example>")], "Hello."),
        unknown: Some(|scene| scene.facts.platform_domains = Fact::Unknown),
    },
    Row {
        code: "display_name_spoof",
        ruling: Ruling::Deny,
        applies: |scene| {
            let from = format!("\"ceo@bank.example\" <{}>", scene.address());
            scene.write(&[("From", &from)], "Hello.");
        },
        unknown: Some(|scene| {
            let from = format!("=?koi8-r?B?8M8=?= <{}>", scene.address());
            scene.write(&[("From", &from)], "Hello.");
        }),
    },
    Row {
        code: "header_injection",
        ruling: Ruling::Deny,
        applies: |scene| scene.write(&[("Subject", "Hi\r\nBcc: eve@evil.example")], "Hello."),
        unknown: None, // The bytes are always there; what cannot be read in them applies.
    },
    Row {
        code: "approval_required",
        ruling: Ruling::Hold,
        applies: |scene| scene.facts.approvals = Fact::Known(Vec::new()),
        unknown: Some(|scene| scene.facts.approvals = Fact::Unknown),
    },
    Row {
        code: "approval_stale",
        ruling: Ruling::Hold,
        applies: |scene| scene.facts.thread.last_message_from_person = Fact::Known(Some(ago(Duration::from_secs(60)))),
        unknown: Some(|scene| scene.facts.thread.last_message_from_person = Fact::Unknown),
    },
    Row {
        code: "self_approval",
        ruling: Ruling::Hold,
        applies: |scene| scene.version.author = person(2),
        unknown: Some(|scene| scene.facts.policy = Fact::Unknown),
    },
    Row {
        code: "new_recipient",
        ruling: Ruling::Hold,
        applies: |scene| scene.send_to(&["ann@buyer.example", "new@buyer.example"]),
        unknown: Some(|scene| scene.facts.thread.participants = Fact::Unknown),
    },
    Row {
        code: "too_many_recipients",
        ruling: Ruling::Deny,
        applies: |scene| scene.send_to(&["ann@buyer.example"; 11]),
        unknown: Some(|scene| scene.facts.mailbox = Fact::Unknown),
    },
    Row {
        code: "suppressed_recipient",
        ruling: Ruling::Deny,
        applies: |scene| scene.facts.standing.suppressed = Fact::Known(vec![mailbox("ANN@buyer.example")]),
        unknown: Some(|scene| scene.facts.standing.suppressed = Fact::Unknown),
    },
    Row {
        code: "recipient_not_allowed",
        ruling: Ruling::Deny,
        applies: |scene| {
            let block = vec!["buyer.example".to_owned()];
            scene.facts.policy = Fact::Known(Policy { block, ..Policy::default() });
        },
        unknown: Some(|scene| scene.facts.policy = Fact::Unknown),
    },
    Row {
        code: "auto_reply_loop",
        ruling: Ruling::Deny,
        applies: |scene| answered(scene, |answered| answered.is_auto_submitted = Fact::Known(true)),
        unknown: Some(|scene| answered(scene, |answered| answered.is_auto_submitted = Fact::Unknown)),
    },
    Row {
        code: "inbound_unauthenticated",
        ruling: Ruling::Hold,
        applies: |scene| answered(scene, |answered| answered.dmarc = Fact::Known(Dmarc::Fail)),
        unknown: Some(|scene| answered(scene, |answered| answered.dmarc = Fact::Unknown)),
    },
    Row {
        code: "instruction_injection",
        ruling: Ruling::Hold,
        applies: |scene| answered(scene, |answered| answered.steers_agents = Fact::Known(true)),
        unknown: Some(|scene| answered(scene, |answered| answered.steers_agents = Fact::Unknown)),
    },
    Row {
        code: "secret_in_content",
        ruling: Ruling::Deny,
        applies: |scene| scene.write(&[], "The password: hunter2"),
        unknown: Some(unreadable),
    },
    Row {
        code: "risk_high",
        ruling: Ruling::Hold,
        applies: |scene| scene.write(&[], "We accept the contract."),
        unknown: Some(unreadable),
    },
    Row {
        code: "bulk_pattern",
        ruling: Ruling::Hold,
        applies: |scene| scene.facts.standing.similar_to_new_recipients = Fact::Known(21),
        unknown: Some(|scene| scene.facts.standing.similar_to_new_recipients = Fact::Unknown),
    },
    Row {
        code: "quota_exceeded",
        ruling: Ruling::Hold,
        applies: |scene| {
            scene.facts.standing.quota = Fact::Known(Quota::UsedUpUntil(NOW.plus(Duration::from_micros(1))));
        },
        unknown: Some(|scene| scene.facts.standing.quota = Fact::Unknown),
    },
    Row {
        code: "quiet_hours",
        ruling: Ruling::Hold,
        applies: |scene| {
            scene.facts.standing.quiet_until = Fact::Known(Some(NOW.plus(Duration::from_micros(1))));
        },
        unknown: Some(|scene| scene.facts.standing.quiet_until = Fact::Unknown),
    },
    Row {
        code: "tenant_restricted",
        ruling: Ruling::Deny,
        applies: |scene| scene.facts.standing.trust_band = Fact::Known(TrustBand::Blocked),
        unknown: Some(|scene| scene.facts.standing.trust_band = Fact::Unknown),
    },
    Row {
        code: "sending_paused",
        ruling: Ruling::Hold,
        applies: |scene| scene.facts.standing.is_paused = Fact::Known(true),
        unknown: Some(|scene| scene.facts.standing.is_paused = Fact::Unknown),
    },
];

/// The rules about customer domains need a scene with one.
fn scene_for(code: &str) -> Scene {
    if matches!(code, "domain_unverified" | "platform_domain_leak") { Scene::customer() } else { Scene::connex() }
}

fn check(change: impl Fn(&mut Scene), code: &str) -> Vec<(Ruling, bool)> {
    let mut scene = scene_for(code);
    change(&mut scene);
    let verdict = scene.verdict();
    let found = verdict.reasons().iter().filter(|reason| reason.code == code);
    found.map(|reason| (reason.ruling, reason.is_unknown)).collect()
}

#[test]
fn nothing_stands_against_a_scene_in_which_everything_is_fine() {
    for scene in [Scene::connex(), Scene::customer()] {
        assert_eq!(scene.verdict().codes(), Vec::<&str>::new());
        assert_eq!(scene.verdict().ruling(), Ruling::Release);
    }
}

#[test]
fn every_rule_of_the_table_has_its_row_here_and_its_ruling() {
    let table: Vec<_> = rules().iter().map(|rule| (rule.code, rule.ruling)).collect();
    let rows: Vec<_> = ROWS.iter().map(|row| (row.code, row.ruling)).collect();
    assert_eq!(table, rows);
    assert!(rules().iter().all(|rule| rule.sentence.ends_with('.') && rule.lifted_by.ends_with('.')));
}

#[test]
fn every_rule_applies_when_its_facts_say_so() {
    for row in ROWS {
        assert_eq!(check(row.applies, row.code), [(row.ruling, false)], "{}", row.code);
        let mut scene = scene_for(row.code);
        (row.applies)(&mut scene);
        assert!(scene.release().is_err(), "{}", row.code);
    }
}

#[test]
fn every_rule_holds_or_denies_when_its_fact_is_not_known() {
    for row in ROWS {
        let Some(unknown) = row.unknown else { continue };
        assert_eq!(check(unknown, row.code), [(row.ruling, true)], "{}", row.code);
        let mut scene = scene_for(row.code);
        unknown(&mut scene);
        assert!(scene.release().is_err(), "{}", row.code);
    }
}

#[test]
fn all_reasons_are_collected_and_the_strongest_wins() {
    let mut scene = Scene::connex();
    scene.facts.approvals = Fact::Known(Vec::new());
    scene.facts.standing.is_paused = Fact::Known(true);
    assert_eq!(scene.verdict().codes(), ["approval_required", "sending_paused"]);
    assert_eq!(scene.verdict().ruling(), Ruling::Hold);
    scene.write(&[], "password: hunter2");
    assert_eq!(scene.verdict().codes(), ["approval_required", "secret_in_content", "sending_paused"]);
    assert_eq!(scene.verdict().ruling(), Ruling::Deny);
    scene.set_identity(IdentityOwner::SourceApp, ReplyPolicy::SourceAppOnly);
    assert_eq!(scene.verdict().codes(), ["source_app_owns_identity", "secret_in_content"]);
    assert_eq!(scene.verdict().ruling(), Ruling::Deny);
}

#[test]
fn what_the_program_does_not_know_yet_denies_every_draft_of_its_own() {
    let mut scene = Scene::connex();
    scene.facts = crate::governance::Facts { identity: scene.facts.identity, ..Default::default() };
    let verdict = scene.verdict();
    assert_eq!(verdict.ruling(), Ruling::Deny);
    let own = rules().iter().filter(|rule| rule.asked == super::Asked::OfOwnSending);
    let missing: Vec<_> = own.map(|rule| rule.code).filter(|code| !verdict.has(code)).collect();
    // The bytes alone answer this.
    assert_eq!(missing, ["display_name_spoof"]);
}

#[test]
fn a_draft_of_the_source_app_is_handed_off_whatever_else_is_unknown() {
    let mut scene = Scene::connex();
    scene.set_identity(IdentityOwner::SourceApp, ReplyPolicy::SourceAppOnly);
    scene.facts = crate::governance::Facts { identity: scene.facts.identity, ..Default::default() };
    assert_eq!(scene.verdict().codes(), ["source_app_owns_identity"]);
    assert_eq!(scene.verdict().ruling(), Ruling::Handoff);
}

#[test]
fn policy_never_denies_and_policy_source_app_only_hands_off() {
    let mut scene = Scene::connex();
    scene.set_identity(IdentityOwner::Connex, ReplyPolicy::Never);
    assert!(scene.verdict().has("replies_disabled"));
    scene.set_identity(IdentityOwner::Connex, ReplyPolicy::SourceAppOnly);
    assert_eq!(scene.verdict().codes(), ["source_app_owns_identity"]);
}

#[test]
fn a_visible_originator_must_be_what_the_mailbox_grants() {
    let mismatches: &[&[(&str, &str)]] = &[
        &[("From", "deals+x@platform.example")],
        &[("From", "deals@platform.example, boss@platform.example")],
        &[("From", "Team: deals@platform.example;")],
        &[("From", "(boss) deals@platform.example")],
        &[("From", "<@evil.example:deals@platform.example>")],
        &[("From", "deals@customer.example")],
        &[("Sender", "boss@platform.example")],
        &[("Reply-To", "eve@evil.example")],
        &[("Reply-To", "deals@platform.example, eve@evil.example")],
        &[("Message-ID", "<1@customer.example>")],
    ];
    for fields in mismatches {
        let mut scene = Scene::connex();
        scene.write(fields, "Hello.");
        assert!(scene.verdict().has("identity_mismatch"), "{fields:?}");
    }
    let mut scene = Scene::connex();
    scene.write(&[("Sender", "Deals@Platform.example"), ("Reply-To", "deals+t1@platform.example")], "Hello.");
    scene.set_reverse_path("deals+bounce@platform.example");
    assert!(!scene.verdict().has("identity_mismatch"));
    scene.set_reverse_path("eve@evil.example");
    assert!(scene.verdict().has("identity_mismatch"));
    scene.set_reverse_path("");
    assert!(!scene.verdict().has("identity_mismatch"));
}

#[test]
fn a_missing_from_denies() {
    let mut scene = Scene::connex();
    scene.set_bytes(b"To: ann@buyer.example\r\n\r\nHello.\r\n");
    assert!(scene.verdict().has("identity_mismatch"));
    scene.set_bytes(b"");
    assert_eq!(scene.verdict().ruling(), Ruling::Deny);
}

#[test]
fn another_tenants_mailbox_or_another_mailbox_denies() {
    let mut scene = Scene::connex();
    mailbox_facts(&mut scene).tenant = OTHER_TENANT;
    assert!(scene.verdict().has("mailbox_inactive"));
    let mut scene = Scene::connex();
    mailbox_facts(&mut scene).id = MailboxId::from_bits(99);
    assert!(scene.verdict().has("mailbox_inactive"));
    // Also for a draft that would only be handed off.
    scene.set_identity(IdentityOwner::SourceApp, ReplyPolicy::SourceAppOnly);
    assert_eq!(scene.verdict().ruling(), Ruling::Deny);
}

#[test]
fn a_domain_counts_for_a_day_after_its_last_good_check() {
    let day = Duration::from_secs(86_400);
    let cases: [(Option<Timestamp>, bool, Option<Ruling>); 5] = [
        (Some(ago(day)), false, None),
        (Some(ago(day + Duration::from_micros(1))), false, Some(Ruling::Deny)),
        (Some(ago(day + Duration::from_micros(1))), true, Some(Ruling::Hold)),
        (Some(NOW.plus(day)), false, Some(Ruling::Deny)),
        (None, false, Some(Ruling::Deny)),
    ];
    for (last_good_check, is_being_checked, expected) in cases {
        let found = check(
            |scene| {
                domain_facts(scene).last_good_check = last_good_check;
                domain_facts(scene).is_being_checked = is_being_checked;
            },
            "domain_unverified",
        );
        assert_eq!(found.first().map(|(ruling, _)| *ruling), expected, "{last_good_check:?} {is_being_checked}");
    }
}

#[test]
fn a_key_whose_record_was_seen_holds_as_long_as_dns_says_nothing_and_denies_where_it_is_gone() {
    let cases = [
        (true, false, None),
        (true, true, None),
        (false, true, Some(Ruling::Hold)),
        (false, false, Some(Ruling::Deny)),
    ];
    for make in [Scene::connex, Scene::customer] {
        for (has_key, is_being_checked, expected) in cases {
            let mut scene = make();
            domain_facts(&mut scene).has_matching_key = Fact::Known(has_key);
            domain_facts(&mut scene).is_key_being_checked = is_being_checked;
            let verdict = scene.verdict();
            let found = verdict.reasons().iter().find(|reason| reason.code == "domain_keys_missing");
            assert_eq!(found.map(|reason| reason.ruling), expected, "{has_key} {is_being_checked}");
        }
    }
    // What is not known stays a denial.
    let unknown = check(
        |scene| {
            domain_facts(scene).has_matching_key = Fact::Unknown;
            domain_facts(scene).is_key_being_checked = true;
        },
        "domain_keys_missing",
    );
    assert_eq!(unknown, [(Ruling::Deny, true)]);
}

#[test]
fn a_domain_of_another_tenant_or_name_never_counts() {
    let other = check(|scene| domain_facts(scene).tenant = Some(OTHER_TENANT), "domain_unverified");
    assert_eq!(other, [(Ruling::Deny, false)]);
    let mut scene = Scene::customer();
    domain_facts(&mut scene).name = domain("mail.customer.example");
    assert!(scene.verdict().has("identity_mismatch"));
    assert!(scene.verdict().has("domain_keys_missing"));
}

#[test]
fn a_customers_message_shows_no_platform_domain() {
    let leaks: &[(&[(&str, &str)], &str)] = &[
        (&[("Message-ID", "<1@platform.example>")], "Hello."),
        (&[("List-Unsubscribe", "<https://u.PLATFORM.example/x>")], "Hello."),
        (&[("Reply-To", "deals@platform.example")], "Hello."),
        (&[("X-Mailer", "platform.example")], "Hello."),
        (&[], "See https://track.platform.example/c/1 today."),
        (&[], "See //PLATFORM.EXAMPLE:8443/x today."),
        (&[], "See https://user@platform.example/ today."),
        (&[], "Write to mailto:help@platform.example today."),
        (&[("Content-Type", "text/html")], "<img src='https://i.platform.example/o.gif'>"),
    ];
    for (fields, body) in leaks {
        let mut scene = Scene::customer();
        scene.write(fields, body);
        assert!(scene.verdict().has("platform_domain_leak"), "{fields:?} {body}");
    }
    let mut scene = Scene::customer();
    scene.set_reverse_path("bounce@platform.example");
    assert!(scene.verdict().has("platform_domain_leak"));
}

#[test]
fn a_correspondent_on_the_platform_is_no_leak() {
    let mut scene = Scene::customer();
    let quoted = [("To", "x@platform.example"), ("In-Reply-To", "<9@platform.example>")];
    scene.write(&quoted, "You wrote from x@platform.example, and https://notplatform.example/ is another.");
    assert!(!scene.verdict().has("platform_domain_leak"));
}

#[test]
fn a_customers_own_bounce_host_may_take_its_reports() {
    let mut scene = Scene::customer();
    scene.set_reverse_path("r1@bounce.customer.example");
    assert!(scene.verdict().has("identity_mismatch"));
    domain_facts(&mut scene).bounce_host = Some(domain("bounce.customer.example"));
    assert!(!scene.verdict().has("identity_mismatch"));
}

#[test]
fn what_callers_may_not_put_into_a_header_denies() {
    let injected: &[(&str, &str)] = &[
        ("Bcc", "eve@evil.example"),
        ("Received", "from x by y"),
        ("DKIM-Signature", "v=1"),
        ("X-Connex-Release", "1"),
        ("Resent-From", "a@b.example"),
        ("Return-Path", "<>"),
        ("Subject", "a\nb"),
        ("Subject", "a\rb"),
        ("Subject", "a\0b"),
        ("Subject", "a\r\nFrom: boss@platform.example"),
        ("Subject", "=?utf-8?Q?a=0D=0ABcc:_x@y.example?="),
        ("Subject", "=?utf-8?B?YQpi?="),
        ("Subject", "a\r\n \r\n b"),
        ("X-Long", &"a".repeat(999)),
    ];
    for (name, value) in injected {
        let mut scene = Scene::connex();
        scene.write(&[(name, value)], "Hello.");
        assert!(scene.verdict().has("header_injection"), "{name}: {value:?}");
    }
    for bytes in [
        &b"From : deals@platform.example\r\n\r\nx"[..],
        b"From: d\xe9als@platform.example\r\n\r\nx",
        b"no header",
        b"A: b\n\nx",
    ] {
        let mut scene = Scene::connex();
        scene.set_bytes(bytes);
        assert!(scene.verdict().has("header_injection"), "{bytes:?}");
    }
    let mut scene = Scene::connex();
    let fine =
        [("Subject", "Gr\u{fc}\u{df}e\r\n =?utf-8?Q?=C3=A9?="), ("X-Ticket", "7"), ("Auto-Submitted", "auto-replied")];
    scene.write(&fine, "Hello.");
    assert!(!scene.verdict().has("header_injection"));
}

#[test]
fn an_approval_counts_only_for_what_it_was_given_to() {
    let spoilt: &[fn(&mut Approval)] = &[
        |approval| approval.tenant = OTHER_TENANT,
        |approval| approval.draft = crate::ids::DraftId::from_bits(99),
        |approval| approval.content_hash = "0".repeat(64).parse().unwrap(),
        |approval| approval.is_revoked = true,
        |approval| approval.expires_at = NOW,
        |approval| approval.decided_at = NOW.plus(Duration::from_micros(1)),
        |approval| approval.decided_at = ago(Duration::from_secs(3_600)),
        |approval| approval.approver = person(1),
        |approval| approval.approver = Actor::Key { key: KeyId::from_bits(1) },
        |approval| approval.approver = Actor::Agent { agent: "a".to_owned() },
    ];
    for (number, spoil) in spoilt.iter().enumerate() {
        let mut scene = Scene::connex();
        let mut approval = scene.approval();
        spoil(&mut approval);
        scene.facts.approvals = Fact::Known(vec![approval.clone()]);
        assert!(scene.verdict().has("approval_required"), "{number}");
        assert_eq!(scene.verdict().ruling(), Ruling::Hold, "{number}");
        // Another approval that counts makes it good again.
        scene.facts.approvals = Fact::Known(vec![approval, scene.approval()]);
        assert_eq!(scene.verdict().ruling(), Ruling::Release, "{number}");
    }
}

#[test]
fn only_a_person_may_release_what_that_person_wrote_and_only_where_settings_say_so() {
    let mut scene = Scene::connex();
    scene.facts.policy = Fact::Known(Policy { four_eyes: false, ..Policy::default() });
    scene.version.author = person(2);
    assert_eq!(scene.verdict().ruling(), Ruling::Release);
    for actor in [Actor::Key { key: KeyId::from_bits(1) }, Actor::Agent { agent: "a".to_owned() }] {
        scene.version.author = actor.clone();
        scene.facts.approvals = Fact::Known(vec![Approval { approver: actor, ..scene.approval() }]);
        assert_eq!(scene.verdict().codes(), ["approval_required"]);
    }
}

#[test]
fn policy_auto_lets_only_low_risk_pass_without_a_person() {
    let mut scene = Scene::of(IdentityOwner::Connex, ReplyPolicy::PolicyAuto);
    scene.facts.approvals = Fact::Known(Vec::new());
    assert_eq!(scene.verdict().ruling(), Ruling::Release);
    scene.write(&[], "Please see https://docs.example/ for this.");
    assert_eq!(scene.verdict().codes(), ["approval_required"]);
    scene.write(&[], "We will refund you.");
    assert_eq!(scene.verdict().codes(), ["approval_required", "risk_high"]);
    scene.approve();
    assert_eq!(scene.verdict().codes(), ["risk_high"]);
    scene.approve_with(&["risk_high"]);
    assert_eq!(scene.verdict().ruling(), Ruling::Release);
}

#[test]
fn the_policy_says_whose_yes_counts_and_a_role_that_is_not_known_does_not() {
    let mut scene = Scene::connex();
    scene.facts.approver_roles = Fact::Known(Vec::new());
    assert_eq!(scene.verdict().codes(), ["approval_required"], "of an account that was disabled since");
    scene.facts.approver_roles = Fact::Known(vec![(UserId::from_bits(2), Role::Approver)]);
    scene.facts.policy = Fact::Known(Policy { approver: Role::Admin, ..Policy::default() });
    assert_eq!(scene.verdict().codes(), ["approval_required"], "an approver's yes");
    scene.facts.approver_roles = Fact::Known(vec![(UserId::from_bits(1), Role::Owner)]);
    assert_eq!(scene.verdict().codes(), ["approval_required"], "somebody else's role");
    scene.facts.approver_roles = Fact::Unknown;
    assert_eq!(scene.verdict().codes(), ["approval_required"]);
    scene.facts.approver_roles = Fact::Known(vec![(UserId::from_bits(2), Role::Owner)]);
    assert_eq!(scene.verdict().ruling(), Ruling::Release);
    let actor = Actor::Issued { issuer: "https://id.example".into(), subject: "2".into() };
    scene.facts.approvals = Fact::Known(vec![Approval { approver: actor, ..scene.approval() }]);
    assert_eq!(scene.verdict().codes(), ["approval_required"], "of another issuer's people no role is known");
}

#[test]
fn a_tenants_own_words_are_risky_as_whole_words_in_any_case() {
    let mut scene = Scene::of(IdentityOwner::Connex, ReplyPolicy::PolicyAuto);
    scene.facts.approvals = Fact::Known(Vec::new());
    let risk_words = vec!["Project  Falcon".to_owned()];
    scene.facts.policy = Fact::Known(Policy { risk_words, ..Policy::default() });
    scene.write(&[], "Thank you for the projects, falcon and all.");
    assert!(!scene.verdict().has("risk_high"));
    scene.write(&[], "Thank you for PROJECT falcon.");
    assert_eq!(scene.verdict().codes(), ["approval_required", "risk_high"]);
}

#[test]
fn where_the_policy_names_templates_no_other_draft_goes_without_a_person() {
    let mut scene = Scene::of(IdentityOwner::Connex, ReplyPolicy::PolicyAuto);
    scene.facts.approvals = Fact::Known(Vec::new());
    let automatic_templates = Some(vec!["welcome".to_owned()]);
    scene.facts.policy = Fact::Known(Policy { automatic_templates, ..Policy::default() });
    assert_eq!(scene.verdict().codes(), ["approval_required"]);
    scene.facts.template = Fact::Known(Some("other".to_owned()));
    assert_eq!(scene.verdict().codes(), ["approval_required"]);
    scene.facts.template = Fact::Unknown;
    let verdict = scene.verdict();
    assert!(verdict.codes() == ["approval_required"] && verdict.reasons()[0].is_unknown);
    scene.facts.template = Fact::Known(Some("welcome".to_owned()));
    assert_eq!(scene.verdict().ruling(), Ruling::Release);
}

#[test]
fn a_person_may_accept_what_is_known_but_not_what_is_unknown() {
    let accepted = ["new_recipient", "inbound_unauthenticated", "instruction_injection", "risk_high"];
    for row in ROWS.iter().filter(|row| accepted.contains(&row.code)) {
        let mut scene = Scene::connex();
        (row.applies)(&mut scene);
        scene.approve();
        assert_eq!(scene.verdict().codes(), [row.code], "an approval that was not shown it");
        scene.approve_with(&[row.code]);
        assert_eq!(scene.verdict().ruling(), Ruling::Release, "{}", row.code);
        let mut scene = Scene::connex();
        (row.unknown.unwrap())(&mut scene);
        scene.approve_with(&accepted);
        assert!(scene.verdict().has(row.code), "{}", row.code);
    }
    // High risk asks for a fresh sign-in besides.
    let mut scene = Scene::connex();
    scene.write(&[], "We accept the contract.");
    let approval = Approval { accepted: vec!["risk_high".to_owned()], ..scene.approval() };
    scene.facts.approvals = Fact::Known(vec![approval]);
    assert_eq!(scene.verdict().codes(), ["risk_high"]);
}

#[test]
fn what_is_unknown_cannot_be_accepted_together_with_what_is_known() {
    let mut scene = Scene::connex();
    answered(&mut scene, |answered| answered.is_phishing = Fact::Known(true));
    scene.approve_with(&["inbound_unauthenticated"]);
    assert_eq!(scene.verdict().ruling(), Ruling::Release);
    answered(&mut scene, |answered| answered.dmarc = Fact::Unknown);
    assert_eq!(scene.verdict().codes(), ["inbound_unauthenticated"]);
}

#[test]
fn a_claimed_identity_does_not_borrow_a_known_mailbox() {
    let mut scene = Scene::connex();
    let claimed = crate::contract::request::SourceMailbox {
        sender_identity_owner: Some("connex".to_owned()),
        ..Default::default()
    };
    scene.facts.identity = Fact::Known(crate::governance::Identity::resolve(Some(&claimed), None).0);
    assert_eq!(scene.verdict().codes(), ["mailbox_inactive"]);
}

#[test]
fn automatic_mail_is_not_answered() {
    let null: fn(&mut Scene) = |scene| answered(scene, |answered| answered.has_null_reverse_path = Fact::Known(true));
    assert_eq!(check(null, "auto_reply_loop"), [(Ruling::Deny, false)]);
    let mut scene = Scene::connex();
    scene.facts.thread.answered = Fact::Known(None);
    assert_eq!(scene.verdict().ruling(), Ruling::Release);
}

#[test]
fn automatic_answers_have_a_rate_and_what_a_person_says_yes_to_has_none() {
    let over = |policy, rate| {
        let mut scene = Scene::of(IdentityOwner::Connex, policy);
        scene.facts.approvals = Fact::Known(Vec::new());
        scene.facts.standing.is_over_auto_reply_rate = rate;
        scene
    };
    for rate in [Fact::Known(true), Fact::Unknown] {
        let mut scene = over(ReplyPolicy::PolicyAuto, rate);
        assert_eq!(scene.verdict().codes(), ["auto_reply_loop"]);
        scene.approve();
        assert_eq!(scene.verdict().ruling(), Ruling::Release);
        assert_eq!(over(ReplyPolicy::HumanApproval, rate).verdict().codes(), ["approval_required"], "people are asked");
    }
}

#[test]
fn flagged_phishing_holds_and_a_missing_dmarc_policy_does_not() {
    let phishing =
        check(|scene| answered(scene, |answered| answered.is_phishing = Fact::Known(true)), "inbound_unauthenticated");
    assert_eq!(phishing, [(Ruling::Hold, false)]);
    let none = check(
        |scene| answered(scene, |answered| answered.dmarc = Fact::Known(Dmarc::NoPolicy)),
        "inbound_unauthenticated",
    );
    assert_eq!(none, []);
}

#[test]
fn limits_are_the_last_good_value() {
    let mut scene = Scene::connex();
    scene.send_to(&["ann@buyer.example"; 10]);
    scene.approve();
    scene.facts.standing.similar_to_new_recipients = Fact::Known(20);
    scene.facts.standing.quota = Fact::Known(Quota::UsedUpUntil(NOW));
    assert_eq!(scene.verdict().codes(), Vec::<&str>::new());
}
