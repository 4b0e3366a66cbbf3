//! Hosts to which reports are delegated, and reverse-paths on them, on SQLite and on PostgreSQL.

use super::drafts::{draft, hash, question, release, version, yes};
use super::engine::on_both_engines;
use super::*;
use crate::governance::Approval;
use crate::governance::audit::Who;
use crate::mail::address::{Domain, Mailbox, ReversePath};
use crate::store::approvals::NewQuestion;
use crate::store::directory::NewMailbox;
use crate::store::drafts::VersionRow;
use crate::store::events::NewReturned;
use crate::store::standing::SuppressionReason;

on_both_engines! {
    a_delegated_host_counts_from_when_it_was_seen_until_three_looks_in_vain,
    a_report_at_a_reverse_path_is_tied_to_its_message_though_it_names_none,
}

const PATH: &str = "bounce-abcdefghijklmnopqrstuvwx@bounces.acme.example";

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

async fn a_delegated_host_counts_from_when_it_was_seen_until_three_looks_in_vain(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let own = scene.own();
    let (acme, host) = (domain("acme.example"), domain("bounces.acme.example"));
    own.assume_domain(&acme).await.unwrap();
    own.delegate_bounces(&acme, &host, Who::Operator).await.unwrap();
    let is_seen = async || own.bounce_host("acme.example").await.unwrap().is_some_and(|row| row.seen_at.is_some());
    assert!(!is_seen().await);
    assert!(scene.store.is_bounce_host(&host).await.unwrap(), "a postmaster from the beginning");
    for (look, counts) in [(true, true), (false, true), (false, true), (false, false), (true, true)] {
        own.note_bounce_host("acme.example", look).await.unwrap();
        assert_eq!(is_seen().await, counts);
    }
    own.delegate_bounces(&acme, &host, Who::Operator).await.unwrap();
    assert!(is_seen().await, "the same once more changes nothing");
    own.delegate_bounces(&acme, &domain("b.acme.example"), Who::Operator).await.unwrap();
    assert!(!is_seen().await, "another host is looked for first");
    own.withdraw_bounces(&acme, Who::Operator).await.unwrap();
    assert_eq!(own.bounce_host("acme.example").await.unwrap(), None);
    assert!(own.withdraw_bounces(&acme, Who::Operator).await.is_err());
    let log = own.audit_of("acme.example").await.unwrap();
    assert_eq!(log.iter().filter(|row| row.entry.action.starts_with("bounce_host.")).count(), 3);
}

async fn a_report_at_a_reverse_path_is_tied_to_its_message_though_it_names_none(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let acme = domain("acme.example");
    own.assume_domain(&acme).await.unwrap();
    let sales = Mailbox::parse("sales@acme.example").unwrap();
    let mailbox = NewMailbox {
        address: sales.clone(),
        app: None,
        identity_owner: "customer_domain".into(),
        reply_policy: "human_approval".into(),
        external_reply_url: None,
    };
    let mailbox = own.add_mailbox(mailbox).await.unwrap();
    let (id, approval, worker) = (clock.mint(), clock.mint(), clock.mint());
    let reverse_path = ReversePath::Mailbox(Mailbox::parse(PATH).unwrap());
    let one = VersionRow { reverse_path, ..version(clock, 1, "x") };
    own.add_draft(draft(id, mailbox), one, None).await.unwrap();
    own.ask_approval(NewQuestion { content_hash: hash("x"), ..question(clock, id, approval) }).await.unwrap();
    own.approve(Approval { content_hash: hash("x"), ..yes(clock, scene.tenant, id, approval) }).await.unwrap();
    own.release_draft(release(clock, scene.tenant, id)).await.unwrap();
    let claimed = scene.store.claim_transmissions(worker).await.unwrap().unwrap();
    own.begin_sending(worker, &claimed).await.unwrap();
    own.begin_end_of_data(worker, claimed.release, vec![0, 1]).await.unwrap();
    // Whose it is, while the host is delegated.
    let sender = async || scene.store.sender_by_reverse_path(PATH).await.unwrap();
    assert_eq!(sender().await, None);
    own.delegate_bounces(&acme, &domain("bounces.acme.example"), Who::Operator).await.unwrap();
    assert_eq!(sender().await, Some((scene.tenant, sales.key())));
    assert_eq!(scene.store.sender_by_reverse_path("bounce-other@bounces.acme.example").await.unwrap(), None);
    let first = own.release(claimed.release).await.unwrap().unwrap().row.transmissions[0].recipient.key();
    let mut number = 0_u8;
    let mut report = async |path: &str, addresses: Option<&str>| {
        number += 1;
        let mut message = scene.message(number);
        let event = &mut message.views[0].event;
        let addresses = addresses.map(|address| vec![address.to_owned()]);
        let (path, reason) = (Some(path.to_owned()), SuppressionReason::HardBounce);
        event.returned = Some(NewReturned { id_key: None, path, addresses, reason });
        let place = SpoolCursor { segment: number.into(), position: 0 };
        scene.store.record_mail(vec![message], at(place)).await.unwrap();
    };
    report("bounce-other@bounces.acme.example", Some(&first)).await;
    report(PATH, None).await;
    assert_eq!(own.suppressions(None).await.unwrap(), [], "another path, and one of two recipients");
    report(PATH, Some(&first)).await;
    let suppressed = own.suppressions(None).await.unwrap();
    assert_eq!((suppressed.len(), &suppressed[0].address_key), (1, &first));
    let returned = own.release(claimed.release).await.unwrap().unwrap().progress;
    assert!(returned[0].returned_by.is_some() && returned[1].returned_by.is_none());
}
