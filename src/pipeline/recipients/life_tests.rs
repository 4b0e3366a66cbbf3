//! An address of a route over its whole life, as peers are told.

use super::tests::{Scene, ask_sized, scene};
use super::*;
use crate::ids::RouteId;
use crate::mail::reading::Reader;
use crate::service::tokens::new_token;
use crate::store::routes::{NewRoute, RouteStep};

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn route(scene: &Scene, reader: Reader, size_cap: Option<u64>) -> (RouteId, String) {
    let (id, token) = (scene.store.clock().mint(), new_token());
    let peers = vec!["192.0.2.0/24".parse().unwrap()];
    let token_hash = token_hash(&token);
    let address_sealed = "first".to_owned();
    let route = NewRoute { reader, token_hash, address_sealed, app: None, peers, size_cap, observe_until: None };
    scene.store.for_tenant(scene.tenant).add_route(id, route).await.unwrap();
    (id, format!("{}-{token}@in.example", reader.prefix()))
}

/// The answer, past what is kept for a second.
async fn asked(scene: &Scene, address: &str, size: Option<u64>) -> RecipientAnswer {
    scene.recipients.found.invalidate_all();
    ask_sized(scene, address, "192.0.2.9", size).await
}

fn size_of(answer: RecipientAnswer) -> Option<u64> {
    match answer {
        RecipientAnswer::Known { recipient: Recipient::Route { peer_authorised: true, .. }, size } => size,
        other => panic!("{other:?}"),
    }
}

async fn alarms(scene: &Scene) -> Vec<(Alarm, u64)> {
    let rows = scene.store.for_tenant(scene.tenant).alarms_since(Timestamp::from_micros(0)).await.unwrap();
    rows.iter().map(|row| (row.alarm, row.count)).collect()
}

#[tokio::test]
async fn a_former_address_is_taken_for_the_overlap_put_off_for_three_days_and_then_unknown() {
    let scene = scene().await;
    let (id, old) = route(&scene, Reader::Bcc, None).await;
    let token = new_token();
    let own = scene.store.for_tenant(scene.tenant);
    own.rotate_route(id, token_hash(&token), "second".into(), DAY).await.unwrap();
    let new = format!("bcc-{token}@in.example");
    let is_taken = |answer: RecipientAnswer| matches!(answer, RecipientAnswer::Known { .. });
    assert!(is_taken(asked(&scene, &old, None).await) && is_taken(asked(&scene, &new, None).await));
    scene.store.clock().advance(DAY - Duration::from_secs(1));
    assert!(is_taken(asked(&scene, &old, None).await));
    assert!(alarms(&scene).await.is_empty());
    scene.store.clock().advance(Duration::from_secs(1));
    for _ in 0..2 {
        assert_eq!(asked(&scene, &old, None).await, RecipientAnswer::Retired);
    }
    assert_eq!(alarms(&scene).await, [(Alarm::RetiredAddress, 2)]);
    scene.store.clock().advance(3 * DAY - Duration::from_secs(1));
    assert_eq!(asked(&scene, &old, None).await, RecipientAnswer::Retired);
    scene.store.clock().advance(Duration::from_secs(1));
    assert_eq!(asked(&scene, &old, None).await, RecipientAnswer::Unknown);
    assert!(is_taken(asked(&scene, &new, None).await));
    assert_eq!(alarms(&scene).await, [(Alarm::RetiredAddress, 3)], "what is unknown raises none");
}

#[tokio::test]
async fn a_paused_route_puts_off_for_three_days_and_a_retired_one_is_unknown_after_them() {
    let scene = scene().await;
    let (id, address) = route(&scene, Reader::Bcc, None).await;
    let own = scene.store.for_tenant(scene.tenant);
    let step = |step| own.step_route(id, step);
    assert!(matches!(step(RouteStep::Resume).await, Err(StoreError::Conflict(_))));
    step(RouteStep::Pause).await.unwrap();
    assert_eq!(asked(&scene, &address, None).await, RecipientAnswer::Paused);
    scene.store.clock().advance(3 * DAY);
    assert_eq!(asked(&scene, &address, None).await, RecipientAnswer::Closed);
    step(RouteStep::Resume).await.unwrap();
    assert_eq!(size_of(asked(&scene, &address, None).await), None);
    step(RouteStep::Retire).await.unwrap();
    assert_eq!(asked(&scene, &address, None).await, RecipientAnswer::Retired);
    assert!(matches!(step(RouteStep::Pause).await, Err(StoreError::Conflict(_))));
    scene.store.clock().advance(3 * DAY);
    assert_eq!(asked(&scene, &address, None).await, RecipientAnswer::Unknown);
    assert_eq!(alarms(&scene).await, [(Alarm::RetiredAddress, 1)]);
}

#[tokio::test]
async fn an_announced_size_is_judged_by_the_routes_own_cap_and_what_is_lost_raises_an_alarm() {
    let scene = scene().await;
    let (_, journal) = route(&scene, Reader::JournalPlain, None).await;
    let (_, small) = route(&scene, Reader::Bcc, Some(100)).await;
    let (_, plain) = route(&scene, Reader::Bcc, None).await;
    assert_eq!(size_of(asked(&scene, &journal, Some(2_000)).await), Some(2_000), "as configured");
    assert_eq!(size_of(asked(&scene, &small, Some(100)).await), Some(100));
    assert_eq!(size_of(asked(&scene, &plain, Some(1 << 40)).await), None, "as the door has it");
    assert!(alarms(&scene).await.is_empty());
    assert_eq!(asked(&scene, &journal, Some(2_001)).await, RecipientAnswer::TooLarge);
    assert_eq!(asked(&scene, &small, Some(101)).await, RecipientAnswer::TooLarge);
    assert_eq!(alarms(&scene).await, [(Alarm::TooLarge, 1), (Alarm::TooLarge, 1)]);
    // A stranger learns nothing of the cap.
    let stranger = ask_sized(&scene, &small, "198.51.100.1", Some(101)).await;
    assert_eq!(stranger, RecipientAnswer::NotAuthorised);
}
