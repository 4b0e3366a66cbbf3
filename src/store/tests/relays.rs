//! Relays of domains, and releases that go on by another route, on SQLite and on PostgreSQL.

use super::drafts::{accepted, hash, under_way};
use super::engine::on_both_engines;
use super::*;
use crate::governance::audit::Who;
use crate::governance::lifecycle::{DraftEvent, DraftState, TransmissionEvent, TransmissionState};
use crate::governance::receipt::Unsigned;
use crate::governance::receipt::tests::unsigned;
use crate::governance::{Admission, ReleaseRow};
use crate::ids::{ReleaseId, WorkerId};
use crate::mail::address::Domain;
use crate::store::relays::DomainRelayRow;
use crate::store::releases::{ClaimedRelease, Finding, Outcome, StoredRelease};
use crate::store::sent::NewReturned;
use crate::store::standing::SuppressionReason;

on_both_engines! {
    a_relay_is_of_one_domain_of_one_tenant_and_goes_with_it,
    a_release_goes_on_by_another_route_with_all_that_is_known_of_its_recipients,
    nothing_goes_on_by_another_route_that_is_over_or_at_work_by_the_former_one,
    what_became_of_mail_that_went_on_by_another_route_is_for_its_newest_release,
    mail_that_came_back_is_told_once_though_its_release_went_on_by_another_route,
}

const ACME: &str = "acme.example";

/// A relay with this password, as if it were sealed.
pub(super) fn relay(domain: &str, sealed: &str) -> DomainRelayRow {
    DomainRelayRow {
        domain: domain.into(),
        host: "smtp.saltwater.example".into(),
        port: 587,
        tls: "starttls".into(),
        user: Some("saltwater".into()),
        password_sealed: Some(sealed.into()),
        set_at: Timestamp::from_micros(0),
    }
}

/// A receipt for this route.
pub(super) fn by(route: &str, id: ReleaseId) -> Unsigned {
    let mut unsigned = unsigned(&id.to_string(), "sales");
    unsigned.receipt.route = route.into();
    unsigned.receipt.recipients = 1;
    unsigned
}

async fn a_relay_is_of_one_domain_of_one_tenant_and_goes_with_it(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let other = scene.store.for_tenant(scene.store.add_tenant("other").await.unwrap());
    let of = async |tenant: &TenantStore| tenant.domain_relay(ACME).await.unwrap();
    let unclaimed = own.set_domain_relay(relay(ACME, "s1:one"), Who::Operator).await;
    assert!(matches!(unclaimed, Err(StoreError::NotFound("domain"))), "{unclaimed:?}");
    let acme = Domain::parse(ACME).unwrap();
    for tenant in [&own, &other] {
        tenant.claim_domain(&acme, "proof".into(), Who::Operator).await.unwrap();
    }
    own.set_domain_relay(relay(ACME, "s1:one"), Who::Operator).await.unwrap();
    assert_eq!(of(&own).await, Some(DomainRelayRow { set_at: clock.now(), ..relay(ACME, "s1:one") }));
    assert_eq!((of(&other).await, own.domain_relay("other.example").await.unwrap()), (None, None));
    clock.advance(Duration::from_secs(1));
    let open = DomainRelayRow { user: None, password_sealed: None, port: 25, ..relay(ACME, "") };
    own.set_domain_relay(open.clone(), Who::Operator).await.unwrap();
    assert_eq!(of(&own).await, Some(DomainRelayRow { set_at: clock.now(), ..open }));
    own.remove_domain_relay(ACME, Who::Operator).await.unwrap();
    let none = own.remove_domain_relay(ACME, Who::Operator).await;
    assert!(matches!(none, Err(StoreError::NotFound(_))) && of(&own).await.is_none(), "{none:?}");

    // Whichever way the domain is given up.
    for way in ["operator", "tenant"] {
        own.claim_domain(&acme, "proof".into(), Who::Operator).await.unwrap();
        own.set_domain_relay(relay(ACME, "s1:one"), Who::Operator).await.unwrap();
        match way {
            "operator" => own.remove_domain(ACME).await.unwrap(),
            _ => own.give_up_domain(ACME, Who::Operator).await.unwrap(),
        }
        own.claim_domain(&acme, "proof".into(), Who::Operator).await.unwrap();
        assert_eq!(of(&own).await, None, "{way}: a new claim has none");
    }
    let rows = own.audit_after(0, 100).await.unwrap();
    let steps: Vec<_> = rows.iter().filter(|row| row.entry.action.starts_with("domain_relay.")).collect();
    let set = steps[0].detail.as_deref().unwrap();
    for told in ["smtp.saltwater.example", "587", "starttls", "\"saltwater\""] {
        assert!(set.contains(told), "{set}");
    }
    assert!(steps.iter().all(|row| row.entry.subject == ACME && !format!("{row:?}").contains("s1:")), "{steps:?}");
    let actions: Vec<_> = steps.iter().map(|row| row.entry.action.trim_start_matches("domain_relay.")).collect();
    assert_eq!(actions, ["set", "set", "removed", "set", "set"]);
}

async fn a_release_goes_on_by_another_route_with_all_that_is_known_of_its_recipients(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let sending = under_way(scene, "x").await;
    let former = sending.claimed.release;
    assert_eq!(own.release(former).await.unwrap().unwrap().route.as_deref(), Some("direct"));
    own.begin_end_of_data(sending.worker, former, vec![0]).await.unwrap();
    let later = Outcome {
        event: TransmissionEvent::Defer,
        reply: "535 5.7.8 no".into(),
        next_attempt_at: Some(clock.now()),
        ..accepted(1)
    };
    own.finish_transmissions(sending.worker, sending.claimed.clone(), vec![accepted(0), later]).await.unwrap();
    let worker: WorkerId = clock.mint();
    let again = scene.store.claim_transmissions(worker).await.unwrap().unwrap();
    assert_eq!((again.release, again.positions.as_slice()), (former, [1].as_slice()));
    clock.advance(Duration::from_secs(1));
    let id: ReleaseId = clock.mint();
    let anew = own.release_anew(worker, &again, id, by("relay:smtp.acme.example:587", id)).await.unwrap().unwrap();
    assert_eq!((anew.release, anew.positions.as_slice()), (id, [1].as_slice()));

    let old = own.release(former).await.unwrap().unwrap();
    let new = own.release(id).await.unwrap().unwrap();
    let states = |release: &StoredRelease| release.row.transmissions.iter().map(|one| one.state).collect::<Vec<_>>();
    let (accepted_once, given_up) = (TransmissionState::Accepted, TransmissionState::Rejected);
    let expected = (vec![accepted_once, given_up], vec![accepted_once, TransmissionState::InFlight]);
    assert_eq!((states(&old), states(&new)), expected);
    assert!(old.ended_at.is_some() && old.progress[1].reply.as_deref().unwrap().contains(&id.to_string()), "{old:?}");
    assert_eq!((new.route.as_deref(), new.ended_at), (Some("relay:smtp.acme.example:587"), None));
    let kept = |row: &ReleaseRow| (row.content_hash, row.evidence.clone(), row.owner, row.released_at, row.expires_at);
    assert_eq!(kept(&old.row), kept(&new.row), "nothing is tried for longer by it");
    assert_eq!((new.progress[1].attempts, new.progress[0].host.is_some()), (2, true));
    for (release, route) in [(former, "direct"), (id, "relay:smtp.acme.example:587")] {
        let receipt = own.receipt(release).await.unwrap().unwrap();
        assert_eq!((receipt.receipt.route.as_str(), receipt.check(None).is_ok()), (route, true));
    }
    let rows = own.audit_after(0, 100).await.unwrap();
    let step = rows.iter().find(|row| row.entry.action == "release.rerouted").unwrap();
    let receipt = own.receipt(id).await.unwrap().unwrap().receipt;
    assert_eq!((step.entry.subject.as_str(), step.entry.number), (&*sending.draft.to_string(), receipt.audit.number));

    // What comes of the rest makes the draft what it is.
    own.begin_sending(worker, &anew, Admission::of_test(hash("x"))).await.unwrap();
    own.begin_end_of_data(worker, id, vec![1]).await.unwrap();
    own.finish_transmissions(worker, anew, vec![accepted(1)]).await.unwrap();
    assert_eq!(own.draft(sending.draft).await.unwrap().unwrap().state, DraftState::Sent);
    assert_eq!(scene.store.claim_transmissions(worker).await.unwrap(), None);
}

async fn nothing_goes_on_by_another_route_that_is_over_or_at_work_by_the_former_one(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let sending = under_way(scene, "x").await;
    let (worker, claimed) = (sending.worker, &sending.claimed);
    let id: ReleaseId = clock.mint();
    let stranger = own.release_anew(clock.mint(), claimed, id, by("direct", id)).await;
    assert!(matches!(stranger, Err(StoreError::LeaseLost)), "{stranger:?}");
    let part = ClaimedRelease { positions: vec![1], ..claimed.clone() };
    own.put_back(worker, part, clock.now()).await.unwrap();
    let second: WorkerId = clock.mint();
    let other = scene.store.claim_transmissions(second).await.unwrap().unwrap();
    assert_eq!(other.positions, [1]);
    assert_eq!(own.release_anew(second, &other, id, by("direct", id)).await.unwrap(), None, "the first is at work");
    assert_eq!(own.release(id).await.unwrap(), None);
    own.revoke_release(claimed, DraftEvent::Deny, Vec::new()).await.unwrap();
    let over = own.release_anew(second, &other, id, by("direct", id)).await;
    assert!(matches!(over, Err(StoreError::Conflict(_))), "{over:?}");
}

async fn what_became_of_mail_that_went_on_by_another_route_is_for_its_newest_release(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let sending = under_way(scene, "x").await;
    own.begin_end_of_data(sending.worker, sending.claimed.release, vec![0]).await.unwrap();
    let lost = Outcome { event: TransmissionEvent::LostAfterEndOfData, ..accepted(0) };
    let later = Outcome { event: TransmissionEvent::Defer, next_attempt_at: Some(clock.now()), ..accepted(1) };
    own.finish_transmissions(sending.worker, sending.claimed.clone(), vec![lost, later]).await.unwrap();
    let (worker, id): (WorkerId, ReleaseId) = (clock.mint(), clock.mint());
    let again = scene.store.claim_transmissions(worker).await.unwrap().unwrap();
    clock.advance(Duration::from_secs(1));
    let anew = own.release_anew(worker, &again, id, by("relay:smtp.acme.example:587", id)).await.unwrap().unwrap();
    // A sender that was slow gives up what is over by now, and nothing else.
    own.revoke_release(&sending.claimed, DraftEvent::Deny, vec!["mailbox_inactive".into()]).await.unwrap();
    assert_eq!(own.release(id).await.unwrap().unwrap().ended_at, None);
    own.begin_sending(worker, &anew, Admission::of_test(hash("x"))).await.unwrap();
    own.begin_end_of_data(worker, id, vec![1]).await.unwrap();
    own.finish_transmissions(worker, anew, vec![accepted(1)]).await.unwrap();
    let state = async || own.draft(sending.draft).await.unwrap().unwrap().state;
    assert_eq!(state().await, DraftState::Unknown);
    let recipient = own.release(id).await.unwrap().unwrap().row.transmissions[0].recipient.clone();
    let finding = Finding { recipient, was_taken: true, by: Who::Operator };
    assert_eq!(own.settle_unknown(sending.draft, finding).await.unwrap(), DraftState::Sent);
    let rows = own.audit_of(&sending.draft.to_string()).await.unwrap();
    let count = |action: &str| rows.iter().filter(|row| row.entry.action == action).count();
    assert_eq!((count("transmission.settled"), count("release.revoked")), (1, 0), "{rows:?}");
}

async fn mail_that_came_back_is_told_once_though_its_release_went_on_by_another_route(engine: Engine) {
    let scene = &Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock());
    let sending = under_way(scene, "x").await;
    let former = sending.claimed.release;
    own.begin_end_of_data(sending.worker, former, vec![0]).await.unwrap();
    let part = ClaimedRelease { positions: vec![0], ..sending.claimed.clone() };
    own.finish_transmissions(sending.worker, part, vec![accepted(0)]).await.unwrap();
    let id: ReleaseId = clock.mint();
    own.release_anew(sending.worker, &sending.claimed, id, by("relay:a.example:25", id)).await.unwrap().unwrap();
    let mut report = scene.message(1);
    report.views[0].event.returned = Some(NewReturned {
        id_key: crate::store::sent::keys(&super::drafts::bytes("x")).1,
        path: None,
        addresses: Some(vec!["ann@lakeside.example".to_owned()]),
        reason: SuppressionReason::HardBounce,
    });
    scene.store.record_mail(vec![report], at(SpoolCursor { segment: 1, position: 0 })).await.unwrap();
    for release in [former, id] {
        let stored = own.release(release).await.unwrap().unwrap();
        assert!(stored.progress[0].returned_by.is_some(), "{release}");
    }
    let rows = own.audit_after(0, 100).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.entry.action == "transmission.returned").count(), 1);
}
