//! What a route is told beside copies: those that are lost, and that its connector works.

use super::*;
use crate::ids::RouteId;
use crate::mail::envelope::TransferDefect;
use crate::mail::journal::ReportFormat;
use crate::store::watch::{Alarm, AlarmRow, Counts};

/// A journal route of the scene's tenant.
async fn journal_route(scene: &Scene) -> (RouteId, Recipient) {
    route_read_by(scene, Reader::Journal(ReportFormat::Exchange)).await
}

async fn route_read_by(scene: &Scene, reader: Reader) -> (RouteId, Recipient) {
    let (rows, route) = (scene.store.for_tenant(scene.tenant), scene.store.clock().mint());
    let new = NewRoute {
        reader,
        token_hash: [2; 32],
        address_sealed: String::new(),
        app: None,
        peers: Vec::new(),
        size_cap: None,
        observe_until: None,
    };
    rows.add_route(route, new).await.unwrap();
    (route, Recipient::Route { tenant: scene.tenant, route, reader, peer_authorised: true, shared_range: false })
}

async fn alarms(scene: &Scene) -> Vec<(RouteId, Alarm, u64)> {
    let rows = scene.store.for_tenant(scene.tenant).alarms_since(Timestamp::from_micros(0)).await.unwrap();
    rows.into_iter().map(|AlarmRow { route, alarm, count, .. }| (route, alarm, count)).collect()
}

async fn counts(scene: &Scene) -> Counts {
    let (from, to) = (Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX));
    scene.store.for_tenant(scene.tenant).hours(from, to).await.unwrap().remove(0).2
}

#[tokio::test]
async fn a_copy_that_was_refused_for_its_size_is_a_record_an_alarm_and_no_event() {
    let scene = scene().await;
    let (route, recipient) = journal_route(&scene).await;
    for count in 1..=2 {
        let mut manifest = scene.manifest(scene.store.clock().mint(), &[recipient]);
        manifest.defects.push(TransferDefect::OverSize);
        scene.accept_manifest(manifest, b"Subject: the beginning").await;
        scene.drain().await;
        assert_eq!(alarms(&scene).await, [(route, Alarm::TooLarge, count)]);
        assert_eq!(counts(&scene).await, Counts { refused: count, ..Counts::default() }, "it was not received");
    }
    let held = ("held".to_owned(), Some("too_large".to_owned()));
    assert_eq!(scene.states().await, [held.clone(), held]);
    let rows = scene.store.for_tenant(scene.tenant);
    assert!(mail_events(&rows).await.is_empty());
    assert!(rows.messages_after("", 10).await.unwrap().iter().all(|row| row.is_raw_kept && row.size == 22));
}

#[tokio::test]
async fn a_delivery_report_with_no_more_than_the_header_of_a_journal_report_is_an_alarm() {
    let scene = scene().await;
    let (route, recipient) = journal_route(&scene).await;
    let report = |id: &str, header: &str| {
        format!(
            "From: postmaster@harbor.example\r\nMessage-ID: <{id}@x>\r\nSubject: Undeliverable\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=o\r\n\r\n--o\r\n\r\nsorry\r\n--o\r\n\
             Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; journal@x\r\n\
             Action: failed\r\nStatus: 5.0.0\r\n\r\n--o\r\nContent-Type: text/rfc822-headers\r\n\r\n{header}\r\n--o--\r\n"
        )
    };
    scene.accept(recipient, report("1", "From: j@harbor.example\r\nSubject: x\r\n").as_bytes()).await;
    scene.drain().await;
    assert_eq!(alarms(&scene).await, [], "a report about other mail");
    scene.accept(recipient, report("2", "From: j@harbor.example\r\nX-MS-Journal-Report:\r\n").as_bytes()).await;
    scene.drain().await;
    assert_eq!(alarms(&scene).await, [(route, Alarm::JournalLost, 1)]);
    assert_eq!(counts(&scene).await.received, 2);
}

#[tokio::test]
async fn the_mail_by_which_a_connector_is_tested_is_a_step_of_the_set_up() {
    let scene = scene().await;
    let (route, recipient) = journal_route(&scene).await;
    let Recipient::Route { tenant, reader, .. } = recipient else { panic!() };
    let as_peer =
        |peer_authorised, shared_range| Recipient::Route { tenant, route, reader, peer_authorised, shared_range };
    let test = String::from_utf8(mail("1", "")).unwrap();
    let test = test
        .replace("Ann <ann@lakeside.example>", "\"O365ConnectorValidation\" <o365connectorvalidation@harbor.example>");
    let validated_at = async || scene.store.for_tenant(tenant).route(route).await.unwrap().unwrap().validated_at;
    let held = |reason: &str| ("held".to_owned(), Some(reason.to_owned()));
    scene.accept(as_peer(false, false), test.as_bytes()).await;
    scene.accept(recipient, &mail("2", "")).await;
    scene.drain().await;
    assert_eq!(scene.states().await, [held("format_mismatch"), held("format_mismatch")]);
    assert_eq!(validated_at().await, None, "a stranger's, and other mail");
    for (count, peer) in [(3, as_peer(true, false)), (4, as_peer(false, true))] {
        scene.accept(peer, test.as_bytes()).await;
        scene.drain().await;
        let left_out = ("excluded".to_owned(), Some("connector_validation".to_owned()));
        assert_eq!(scene.states().await.get(count - 1), Some(&left_out));
        assert_eq!(validated_at().await, Some(scene.store.clock().now()));
    }
    assert!(mail_events(&scene.store.for_tenant(tenant)).await.is_empty());
}

#[tokio::test]
async fn a_provider_that_asks_whether_it_may_forward_is_told_to_the_operator_and_makes_no_event() {
    let scene = scene().await;
    let (route, recipient) = route_read_by(&scene, Reader::Forward).await;
    let asked = String::from_utf8(mail("1", "")).unwrap();
    let asked = asked.replace("Ann <ann@lakeside.example>", "Gmail Team <forwarding-noreply@google.com>");
    let stranger = Recipient::Route {
        tenant: scene.tenant,
        route,
        reader: Reader::Forward,
        peer_authorised: false,
        shared_range: false,
    };
    scene.accept(stranger, asked.as_bytes()).await;
    scene.drain().await;
    assert_eq!(scene.states().await[0].0, "held", "anybody can write one");
    assert_eq!(alarms(&scene).await, []);
    scene.accept(recipient, asked.as_bytes()).await;
    scene.drain().await;
    assert_eq!(scene.states().await[1], ("excluded".to_owned(), Some("forward_confirmation".to_owned())));
    assert_eq!(alarms(&scene).await, [(route, Alarm::ForwardConfirmation, 1)]);
    assert!(mail_events(&scene.store.for_tenant(scene.tenant)).await.is_empty());
}
