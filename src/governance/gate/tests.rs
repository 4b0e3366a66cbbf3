use std::time::Duration;

use super::*;
use crate::governance::facts::{DomainState, Fact};
use crate::governance::fixture::{NOW, OTHER_TENANT, Scene, TENANT, ago, domain, mailbox, person};
use crate::governance::notice::{Addressee, Telling};
use crate::governance::{Policy, ReplyPolicy};
use crate::ids::ApprovalId;

type Tamper = fn(&mut ReleaseRow);

fn released() -> (Scene, ReleaseRow) {
    let scene = Scene::connex();
    let (_, row) = scene.release().unwrap();
    (scene, row)
}

fn readmit_at(scene: &Scene, row: &ReleaseRow, now: Timestamp) -> Result<WireParts, Refused> {
    readmit(row, Draft::new(scene.version.clone()), &scene.facts, now).map(ReleasableMessage::into_wire)
}

#[test]
fn what_was_approved_is_exactly_what_goes_onto_the_wire() {
    let (scene, row) = released();
    let (message, _) = scene.release().unwrap();
    assert_eq!((message.release(), message.content_hash()), (row.id, scene.version.content.hash()));
    let wire = message.into_wire();
    assert_eq!(&wire.bytes, scene.version.content.bytes());
    assert_eq!(wire.recipients, scene.version.content.recipients());
    assert_eq!(&wire.reverse_path, scene.version.content.reverse_path());
    assert_eq!(readmit_at(&scene, &row, NOW).unwrap().bytes, wire.bytes);
}

#[test]
fn what_is_released_shows_neither_addresses_nor_text_in_a_log() {
    let (scene, _) = released();
    let (message, _) = scene.release().unwrap();
    let shown = format!("{:?} {message:?} {:?}", scene.version, readmit_at(&scene, &released().1, NOW).unwrap());
    assert!(!shown.contains("ann") && !shown.contains("Tuesday") && !shown.contains("deals"), "{shown}");
}

#[test]
fn a_release_row_reads_back_from_its_stored_form() {
    let (scene, row) = released();
    let stored = serde_json::to_string(&row).unwrap();
    let read: ReleaseRow = serde_json::from_str(&stored).unwrap();
    assert_eq!(read, row);
    assert!(readmit_at(&scene, &read, NOW).is_ok());
    assert!(stored.contains(&scene.version.content.hash().to_string()));
}

#[test]
fn an_approval_of_other_content_or_another_draft_is_refused() {
    let scene = Scene::connex();
    let approval = scene.approval();
    let mut edited = Draft::new(scene.version.clone());
    let mut other = scene.clone();
    other.write(&[], "Thank you, Ann. See you on Monday.");
    edited.edit(person(3), other.version.content.clone());
    assert_eq!(edited.version().author, person(3));
    assert_eq!(edited.approve(&approval).unwrap_err(), NotApproved::ContentChanged);
    let foreign = Approval { tenant: OTHER_TENANT, ..approval };
    assert_eq!(Draft::new(scene.version).approve(&foreign).unwrap_err(), NotApproved::AnotherDraft);
}

#[test]
fn editing_after_approval_voids_it() {
    let (mut scene, row) = released();
    scene.write(&[], "Thank you, Ann. See you on Monday.");
    assert!(scene.verdict().has("approval_stale"));
    assert!(scene.verdict().has("approval_required"));
    assert!(readmit_at(&scene, &row, NOW).is_err());
    // Also where a new approval exists: the release was of the former content.
    scene.approve();
    assert_eq!(readmit_at(&scene, &row, NOW).unwrap_err(), Refused::ContentChanged);
}

#[test]
fn a_stored_release_is_judged_again_at_the_moment_of_sending() {
    let changes: &[fn(&mut Scene)] = &[
        |scene| scene.facts.standing.is_paused = Fact::Known(true),
        |scene| scene.facts.standing.suppressed = Fact::Known(vec![mailbox("ann@buyer.example")]),
        |scene| scene.facts.approvals = Fact::Known(Vec::new()),
        |scene| scene.facts.approvals = Fact::Known(vec![Approval { is_revoked: true, ..scene.approval() }]),
        |scene| scene.facts.thread.last_message_from_person = Fact::Known(Some(NOW)),
        |scene| scene.facts.domain = Fact::Unknown,
        |scene| scene.facts.mailbox = Fact::Unknown,
        |scene| scene.set_identity(IdentityOwner::SourceApp, ReplyPolicy::SourceAppOnly),
        |scene| scene.set_identity(IdentityOwner::Connex, ReplyPolicy::SourceAppOnly),
        |scene| scene.facts.identity = Fact::Unknown,
    ];
    for (number, change) in changes.iter().enumerate() {
        let (mut scene, row) = released();
        change(&mut scene);
        assert!(matches!(readmit_at(&scene, &row, NOW), Err(Refused::Verdict(_))), "{number}");
    }
}

#[test]
fn a_customer_domain_that_is_verified_no_more_stops_a_released_message() {
    let mut scene = Scene::customer();
    let (_, row) = scene.release().unwrap();
    let Fact::Known(domain) = &mut scene.facts.domain else { panic!("known") };
    domain.state = DomainState::Failed;
    assert!(
        matches!(readmit_at(&scene, &row, NOW), Err(Refused::Verdict(verdict)) if verdict.has("domain_unverified"))
    );
}

#[test]
fn a_row_of_another_draft_tenant_mailbox_owner_or_content_releases_nothing() {
    let tampered: &[(Tamper, Refused)] = &[
        (|row| row.draft = DraftId::from_bits(99), Refused::ContentChanged),
        (|row| row.tenant = OTHER_TENANT, Refused::ContentChanged),
        (|row| row.mailbox = MailboxId::from_bits(99), Refused::ContentChanged),
        (|row| row.content_hash = "1".repeat(64).parse().unwrap(), Refused::ContentChanged),
        (|row| row.transmissions[0].recipient = mailbox("eve@evil.example"), Refused::ContentChanged),
        (|row| row.transmissions.clear(), Refused::ContentChanged),
        (|row| row.owner = IdentityOwner::CustomerDomain, Refused::OwnerChanged),
        (|row| row.expires_at = NOW, Refused::Expired),
        (|row| row.released_at = NOW.plus(Duration::from_secs(1)), Refused::Expired),
        (|row| row.evidence = Evidence::Person { approval: crate::ids::ApprovalId::from_bits(99) }, Refused::Evidence),
        (|row| row.evidence = Evidence::Policy { version: "default".to_owned() }, Refused::Evidence),
    ];
    for (tamper, expected) in tampered {
        let (scene, mut row) = released();
        tamper(&mut row);
        assert_eq!(readmit_at(&scene, &row, NOW).unwrap_err(), *expected);
    }
}

#[test]
fn nobody_who_got_it_or_may_have_got_it_is_sent_to_again() {
    let mut scene = Scene::connex();
    let everybody = ["ann@buyer.example"; 6];
    scene.send_to(&everybody);
    scene.approve();
    let (_, mut row) = scene.release().unwrap();
    for (transmission, state) in row.transmissions.iter_mut().zip(TransmissionState::ALL) {
        transmission.state = *state;
    }
    assert_eq!(readmit_at(&scene, &row, NOW).unwrap().recipients.len(), 2, "pending and deferred");
    row.transmissions.iter_mut().for_each(|transmission| transmission.state = TransmissionState::Accepted);
    assert_eq!(readmit_at(&scene, &row, NOW).unwrap_err(), Refused::NothingLeft);
    row.transmissions.iter_mut().for_each(|transmission| transmission.state = TransmissionState::Unknown);
    assert_eq!(readmit_at(&scene, &row, NOW).unwrap_err(), Refused::NothingLeft);
}

#[test]
fn a_retry_does_not_ask_for_thread_freshness_but_for_all_else() {
    let (mut scene, mut row) = released();
    scene.facts.thread.last_message_from_person = Fact::Known(Some(ago(Duration::from_secs(60))));
    assert!(readmit_at(&scene, &row, NOW).is_err());
    row.transmissions[0].state = TransmissionState::Deferred;
    assert!(readmit_at(&scene, &row, NOW).is_ok());
    scene.facts.standing.is_paused = Fact::Known(true);
    assert!(readmit_at(&scene, &row, NOW).is_err());
}

#[test]
fn policy_evidence_counts_only_while_the_policy_says_so() {
    let mut scene = Scene::of(IdentityOwner::Connex, ReplyPolicy::PolicyAuto);
    scene.facts.approvals = Fact::Known(Vec::new());
    let (_, row) = scene.release().unwrap();
    assert_eq!(row.evidence, Evidence::Policy { version: Policy::default().version });
    assert!(readmit_at(&scene, &row, NOW).is_ok());
    scene.set_identity(IdentityOwner::Connex, ReplyPolicy::HumanApproval);
    assert!(readmit_at(&scene, &row, NOW).is_err());
    // A person's approval that was not the release's evidence does not stand in for it.
    scene.approve();
    assert_eq!(readmit_at(&scene, &row, NOW).unwrap_err(), Refused::Evidence);
}

#[test]
fn an_expired_release_is_refused_at_both_doors() {
    let (mut scene, row) = released();
    let longer = Approval { expires_at: row.expires_at.plus(Duration::from_secs(1)), ..scene.approval() };
    scene.facts.approvals = Fact::Known(vec![longer]);
    let last = Timestamp::from_micros(row.expires_at.as_micros() - 1);
    assert!(readmit_at(&scene, &row, last).is_ok());
    assert_eq!(readmit_at(&scene, &row, row.expires_at).unwrap_err(), Refused::Expired);
    let approved = Draft::new(scene.version.clone()).approve(&scene.approval()).unwrap();
    let terms = ReleaseTerms { expires_at: NOW, ..Scene::terms() };
    assert_eq!(approved.release(terms, &scene.facts, NOW).unwrap_err(), Refused::Expired);
}

/// Does not compile when the type has one of the traits: then two implementations fit, and `_` is ambiguous.
macro_rules! has_none_of {
    ($type:ty: $($bound:path),*) => {
        const _: fn() = || {
            trait Ambiguous<A> {
                fn check() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            $({
                struct Has;
                impl<T: ?Sized + $bound> Ambiguous<Has> for T {}
            })*
            let _ = <$type as Ambiguous<_>>::check;
        };
    };
}

has_none_of!(ReleasableNotice: Clone, Copy, Default, serde::de::DeserializeOwned, Serialize, From<Content>);
has_none_of!(ReleasableMessage: Clone, Copy, Default, serde::de::DeserializeOwned, Serialize, From<ReleaseRow>, From<Content>);
has_none_of!(ApprovedDraft: Clone, Copy, Default, serde::de::DeserializeOwned, Serialize, From<Version>, From<Draft>);

/// A notice, and all that lets it out.
fn notice() -> (Notice, NoticeFacts) {
    let notice = Notice {
        id: NoticeId::from_bits(1),
        tenant: TENANT,
        organisation: "acme".into(),
        telling: Telling::Approval {
            approval: ApprovalId::from_bits(9),
            subject: "Tuesday\r\nBcc: all@evil.example".into(),
            others: 0,
            is_escalated: false,
        },
        base_url: "https://gate.example".into(),
        made_at: NOW,
        expires_at: NOW.plus(Duration::from_hours(1)),
    };
    let addressee =
        Addressee { tenant: TENANT, address: mailbox("ann@acme.example"), is_active: true, is_wanted: true };
    let facts = NoticeFacts {
        from: Fact::Known(mailbox("connex@platform.example")),
        platform_domains: Fact::Known(vec![domain("platform.example")]),
        has_matching_key: Fact::Known(true),
        addressee: Fact::Known(addressee),
        is_suppressed: Fact::Known(false),
        is_paused: Fact::Known(false),
    };
    (notice, facts)
}

#[test]
fn a_notice_leaves_in_words_of_ours_to_one_person_of_the_tenant() {
    let (notice, facts) = notice();
    let released = system_notice(&notice, &facts, NOW).unwrap();
    let hash = released.content_hash();
    let wire = released.into_wire();
    assert_eq!((wire.tenant, wire.content_hash, wire.notice), (TENANT, hash, notice.id));
    assert_eq!(wire.recipients, [mailbox("ann@acme.example")]);
    assert_eq!(wire.reverse_path.to_string(), "connex@platform.example");
    let text = String::from_utf8(wire.bytes.to_vec()).unwrap();
    assert!(
        text.contains("Auto-Submitted: auto-generated\r\n") && text.contains("From: <connex@platform.example>\r\n"),
        "{text}"
    );
    assert!(text.contains("Subject: Tuesday  Bcc: all[at]evil[.]example\r\n"), "{text}");
    assert!(!text.contains("\r\nBcc:"), "{text}");
}

#[test]
fn what_is_not_known_or_not_so_keeps_a_notice_back() {
    use NoticeRefused as No;
    let refused = |change: &dyn Fn(&mut Notice, &mut NoticeFacts)| {
        let (mut notice, mut facts) = notice();
        change(&mut notice, &mut facts);
        system_notice(&notice, &facts, NOW).err()
    };
    assert_eq!(refused(&|_, _| {}), None);
    let unknown: [&dyn Fn(&mut NoticeFacts); 6] = [
        &|facts| facts.from = Fact::Unknown,
        &|facts| facts.platform_domains = Fact::Unknown,
        &|facts| facts.has_matching_key = Fact::Unknown,
        &|facts| facts.addressee = Fact::Unknown,
        &|facts| facts.is_suppressed = Fact::Unknown,
        &|facts| facts.is_paused = Fact::Unknown,
    ];
    for change in unknown {
        assert_eq!(refused(&|_, facts| change(facts)), Some(No::Unknown));
    }
    fn addressee(facts: &mut NoticeFacts) -> &mut Addressee {
        match &mut facts.addressee {
            Fact::Known(addressee) => addressee,
            Fact::Unknown => panic!("nobody"),
        }
    }
    assert_eq!(refused(&|_, facts| addressee(facts).tenant = OTHER_TENANT), Some(No::Addressee));
    assert_eq!(refused(&|notice, _| notice.tenant = OTHER_TENANT), Some(No::Addressee));
    assert_eq!(refused(&|_, facts| addressee(facts).is_active = false), Some(No::Addressee));
    assert_eq!(refused(&|_, facts| addressee(facts).is_wanted = false), Some(No::Unwanted));
    assert_eq!(refused(&|_, facts| facts.from = Fact::Known(mailbox("deals@customer.example"))), Some(No::Sender));
    assert_eq!(refused(&|_, facts| facts.is_suppressed = Fact::Known(true)), Some(No::Suppressed));
    assert_eq!(refused(&|_, facts| facts.is_paused = Fact::Known(true)), Some(No::Paused));
    assert_eq!(refused(&|_, facts| facts.has_matching_key = Fact::Known(false)), Some(No::Keys));
    assert_eq!(refused(&|notice, _| notice.expires_at = NOW), Some(No::Expired));
}

#[test]
fn what_is_let_out_says_what_the_gate_said_of_this_content_by_which_policy() {
    let mut scene = Scene::connex();
    let said = |message: &ReleasableMessage| serde_json::to_value(message.admission()).unwrap();
    let (message, row) = scene.release().unwrap();
    let expected = |policy: &str| {
        serde_json::json!({ "contentHash": scene.version.content.hash(), "ruling": "release", "reasons": [],
            "policy": policy })
    };
    assert_eq!(said(&message), expected("default"));
    // At the moment of sending it is another verdict, by the policy of then.
    let expected = expected("v2");
    scene.facts.policy = Fact::Known(Policy { version: "v2".into(), ..Policy::default() });
    let again = readmit(&row, Draft::new(scene.version.clone()), &scene.facts, NOW).unwrap();
    assert_eq!(said(&again), expected);
}
