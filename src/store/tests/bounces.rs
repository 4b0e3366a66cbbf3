//! Hosts to which reports are delegated, and reverse-paths on them, on SQLite and on PostgreSQL.

use super::drafts::{accepted, draft, hash, question, release, version, yes};
use super::engine::on_both_engines;
use super::*;
use crate::governance::Approval;
use crate::governance::audit::Who;
use crate::governance::gate::Admission;
use crate::governance::lifecycle::DraftState;
use crate::ids::{MailboxId, WorkerId};
use crate::mail::address::{Domain, Mailbox, ReversePath};
use crate::store::approvals::NewQuestion;
use crate::store::directory::NewMailbox;
use crate::store::drafts::VersionRow;
use crate::store::releases::ClaimedRelease;
use crate::store::sent::NewReturned;
use crate::store::standing::SuppressionReason;

on_both_engines! {
    a_delegated_host_counts_from_when_it_was_seen_until_three_looks_in_vain,
    a_report_at_a_reverse_path_is_tied_to_its_message_though_it_names_none,
    a_draft_is_bounced_once_the_mail_to_all_whom_it_reached_came_back,
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

/// A draft of a mailbox that is being sent to two, behind both ends of data, with the worker that does.
async fn on_its_way(scene: &Scene, mailbox: MailboxId, path: &str) -> (WorkerId, ClaimedRelease) {
    let (own, clock) = (scene.own(), scene.store.clock());
    let (id, approval, worker) = (clock.mint(), clock.mint(), clock.mint());
    let reverse_path = ReversePath::Mailbox(Mailbox::parse(path).unwrap());
    let one = VersionRow { reverse_path, ..version(clock, 1, "x") };
    own.add_draft(draft(id, mailbox), one, None).await.unwrap();
    own.ask_approval(NewQuestion { content_hash: hash("x"), ..question(clock, id, approval) }).await.unwrap();
    own.approve(Approval { content_hash: hash("x"), ..yes(clock, scene.tenant, id, approval) }).await.unwrap();
    own.release_draft(release(clock, scene.tenant, id)).await.unwrap();
    let claimed = scene.store.claim_transmissions(worker).await.unwrap().unwrap();
    own.begin_sending(worker, &claimed, Admission::of_test(hash("x"))).await.unwrap();
    own.begin_end_of_data(worker, claimed.release, vec![0, 1]).await.unwrap();
    (worker, claimed)
}

/// Records a report that came to a path; `number` is that of the message.
async fn report(scene: &Scene, number: u8, path: &str, addresses: Option<&str>) {
    let mut message = scene.message(number);
    let event = &mut message.views[0].event;
    let addresses = addresses.map(|address| vec![address.to_owned()]);
    let (path, reason) = (Some(path.to_owned()), SuppressionReason::HardBounce);
    event.returned = Some(NewReturned { id_key: None, path, addresses, reason });
    let place = SpoolCursor { segment: number.into(), position: 0 };
    scene.store.record_mail(vec![message], at(place)).await.unwrap();
}

async fn a_draft_is_bounced_once_the_mail_to_all_whom_it_reached_came_back(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let mut number = 0_u8;
    // Whether the last report comes before the answer is recorded that it is about.
    for is_early in [false, true] {
        let path = format!("bounce-abcdefghijklmnopqrstuv{number:02}@bounces.acme.example");
        let (worker, claimed) = on_its_way(scene, clock.mint(), &path).await;
        let state = async || own.draft(claimed.draft).await.unwrap().unwrap().state;
        let row = own.release(claimed.release).await.unwrap().unwrap().row;
        let [first, second] = [0, 1].map(|place: usize| row.transmissions[place].recipient.key());
        own.finish_transmissions(worker, claimed.clone(), vec![accepted(0)]).await.unwrap();
        report(scene, number + 1, &path, Some(&first)).await;
        assert_eq!(state().await, DraftState::Sending, "the other is still tried");
        if is_early {
            report(scene, number + 2, &path, Some(&second)).await;
            own.finish_transmissions(worker, claimed.clone(), vec![accepted(1)]).await.unwrap();
        } else {
            own.finish_transmissions(worker, claimed.clone(), vec![accepted(1)]).await.unwrap();
            assert_eq!(state().await, DraftState::Sent, "it reached one of two");
            report(scene, number + 2, &path, Some(&second)).await;
        }
        assert_eq!(state().await, DraftState::Bounced);
        let log = own.audit_of(&claimed.draft.to_string()).await.unwrap();
        assert!(log.last().unwrap().detail.as_ref().is_some_and(|detail| detail.contains("bounced")), "{log:?}");
        number += 2;
    }
}

async fn a_report_at_a_reverse_path_is_tied_to_its_message_though_it_names_none(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let own = scene.own();
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
    let (_, claimed) = on_its_way(scene, mailbox, PATH).await;
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
        report(scene, number, path, addresses).await;
    };
    report("bounce-other@bounces.acme.example", Some(&first)).await;
    report(PATH, None).await;
    assert_eq!(own.suppressions_after("", 9).await.unwrap(), [], "another path, and one of two recipients");
    report(PATH, Some(&first)).await;
    let suppressed = own.suppressions_after("", 9).await.unwrap();
    assert_eq!((suppressed.len(), &suppressed[0].address_key), (1, &first));
    let returned = own.release(claimed.release).await.unwrap().unwrap().progress;
    assert!(returned[0].returned_by.is_some() && returned[1].returned_by.is_none());
}
