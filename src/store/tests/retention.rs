//! What routes take notice of, show and keep, on SQLite and on PostgreSQL.

use serde_json::{Value, json};

use super::engine::on_both_engines;
use super::*;
use crate::ids::RouteId;
use crate::mail::reading::Reader;
use crate::mail::retention::{Keep, Retention};
use crate::mail::selection::Selection;
use crate::store::ingest::NewCopy;
use crate::store::retention::Overdue;
use crate::store::routes::{NewRoute, RouteChange};

on_both_engines! {
    what_a_route_does_not_keep_can_be_read_no_more,
    a_legal_hold_keeps_everything_until_it_ends,
    bytes_are_read_while_one_of_their_routes_keeps_them,
    blind_recipients_of_reports_are_told_to_endpoints_that_may_see_them_alone,
    what_a_route_was_told_of_privacy_is_read_back,
    a_copy_that_was_left_out_is_stored_as_that,
}

async fn add_route(scene: &Scene, hash: u8) -> RouteId {
    let route = NewRoute {
        reader: Reader::Bcc,
        token_hash: [hash; 32],
        address_sealed: format!("sealed {hash}"),
        app: None,
        peers: Vec::new(),
        size_cap: None,
        observe_until: None,
    };
    let id = scene.store.clock().mint();
    scene.own().add_route(id, route).await.unwrap();
    id
}

fn retaining(keep: Keep, days: Option<u32>) -> RouteChange {
    RouteChange { keep: Some(keep), keep_days: Some(days), ..RouteChange::default() }
}

/// A message with a secret text that reached these routes.
fn copy(scene: &Scene, key: u8, routes: &[RouteId]) -> NewMessage {
    let mut message = scene.message(key);
    let view = message.views.remove(0);
    for route in routes {
        let mut event = scene.event(&route.to_string(), scene.store.clock().mint());
        event.message_id = Some(message.id);
        event.content = json!({ "v": 1, "subject": "secret", "visibleText": "secret", "recipients": [] }).to_string();
        event.text = "secret".into();
        message.views.push(NewView { scope: route.to_string(), event, ..view.clone() });
        message.copies.push(NewCopy {
            route: *route,
            marks: None,
            keep: Keep::Raw,
            alarm: None,
            tests_connector: false,
            held: None,
        });
    }
    message
}

async fn is_raw_kept(scene: &Scene, id: MessageId) -> bool {
    scene.own().message(id).await.unwrap().unwrap().is_raw_kept
}

/// Everything of messages and events that a reader gets.
async fn told(scene: &Scene) -> String {
    let events = scene.own().events_after(0, 100).await.unwrap();
    let payloads = query("SELECT body FROM payloads").fetch_all(&scene.store.readers).await.unwrap();
    let bodies: Vec<String> = payloads.iter().map(|row| row.try_get(0).unwrap()).collect();
    format!("{:?} {bodies:?}", events.iter().map(|event| &event.content).collect::<Vec<_>>())
}

async fn what_a_route_does_not_keep_can_be_read_no_more(engine: Engine) {
    let scene = Scene::new(engine).await;
    scene.endpoint(&["*"]).await;
    let route = add_route(&scene, 1).await;
    let (first, again, mut held) = (copy(&scene, 1, &[route]), copy(&scene, 1, &[route]), copy(&scene, 2, &[route]));
    held.views.clear();
    held.kept = Some(Kept::Held("learning"));
    let ids = [first.id, again.id, held.id];
    scene.store.record_mail(vec![first, again, held], at(CURSOR)).await.unwrap();
    let reduce = async |keep, overdue, limit| scene.own().reduce_copies(route, keep, overdue, limit).await.unwrap();
    let kept = async || {
        [is_raw_kept(&scene, ids[0]).await, is_raw_kept(&scene, ids[1]).await, is_raw_kept(&scene, ids[2]).await]
    };
    assert_eq!(reduce(Keep::Raw, Overdue::Decided, 9).await, 0);
    assert_eq!(kept().await, [true; 3]);
    // The second is a copy of the first, and as good to read. What is held is still needed for deciding on it.
    assert_eq!((reduce(Keep::Text, Overdue::Decided, 1).await, reduce(Keep::Text, Overdue::Decided, 9).await), (1, 1));
    assert_eq!(kept().await, [false, false, true]);
    assert!(told(&scene).await.matches("secret").count() >= 3, "the texts are there");
    assert_eq!(reduce(Keep::Text, Overdue::Decided, 9).await, 0, "once is enough");
    assert_eq!(reduce(Keep::None, Overdue::Before(scene.store.clock().now()), 9).await, 0, "nothing is over");
    scene.store.clock().advance(Duration::from_secs(1));
    assert_eq!(reduce(Keep::None, Overdue::Decided, 9).await, 2);
    let left = told(&scene).await;
    assert!(!left.contains("secret") && left.contains("textErased"), "{left}");
    assert_eq!(reduce(Keep::None, Overdue::Before(scene.store.clock().now()), 9).await, 1, "whatever became of it");
    assert_eq!(kept().await, [false; 3]);
    // What is delivered later is the same event without its text.
    let claimed = scene.claim(scene.store.clock().mint()).await;
    assert!(claimed.len() == 1 && claimed[0].body.contains("\"text\":\"\""), "{claimed:?}");
}

async fn a_legal_hold_keeps_everything_until_it_ends(engine: Engine) {
    let scene = Scene::new(engine).await;
    let route = add_route(&scene, 1).await;
    let message = copy(&scene, 1, &[route]);
    let id = message.id;
    scene.store.record_mail(vec![message], at(CURSOR)).await.unwrap();
    let own = scene.own();
    own.hold_route(route, true).await.unwrap();
    scene.store.clock().advance(Duration::from_secs(1));
    for overdue in [Overdue::Decided, Overdue::Before(scene.store.clock().now())] {
        assert_eq!(own.reduce_copies(route, Keep::None, overdue, 9).await.unwrap(), 0);
    }
    assert!(is_raw_kept(&scene, id).await && told(&scene).await.contains("secret"));
    let removed = own.remove_route(route).await;
    assert!(matches!(removed, Err(StoreError::Conflict(_))), "{removed:?}");
    own.hold_route(route, false).await.unwrap();
    own.remove_route(route).await.unwrap();
    assert!(matches!(own.hold_route(route, true).await, Err(StoreError::NotFound(_))));
    assert_eq!(own.retentions().await.unwrap().len(), 1, "what a removed route has taken is over some time too");
    assert_eq!(own.reduce_copies(route, Keep::None, Overdue::Decided, 9).await.unwrap(), 1);
    assert!(!is_raw_kept(&scene, id).await && !told(&scene).await.contains("secret"));
}

async fn bytes_are_read_while_one_of_their_routes_keeps_them(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (one, other) = (add_route(&scene, 1).await, add_route(&scene, 2).await);
    let message = copy(&scene, 1, &[one, other]);
    let id = message.id;
    scene.store.record_mail(vec![message], at(CURSOR)).await.unwrap();
    let own = scene.own();
    assert_eq!(own.reduce_copies(one, Keep::None, Overdue::Decided, 9).await.unwrap(), 1);
    assert!(is_raw_kept(&scene, id).await);
    let events = own.events_after(0, 9).await.unwrap();
    let texts: Vec<&Value> = events.iter().map(|event| &event.content["visibleText"]).collect();
    assert_eq!(texts, [&json!(""), &json!("secret")], "the event of the other has its text");
    assert_eq!(own.reduce_copies(other, Keep::Text, Overdue::Decided, 9).await.unwrap(), 1);
    assert!(!is_raw_kept(&scene, id).await);
}

async fn blind_recipients_of_reports_are_told_to_endpoints_that_may_see_them_alone(engine: Engine) {
    let scene = Scene::new(engine).await;
    let closed = scene.endpoint(&["*"]).await;
    let open = scene.store.clock().mint();
    let endpoint = NewEndpoint {
        app: Some(scene.app),
        url: "https://hooks.example/open".into(),
        secrets_sealed: "s1:x".into(),
        event_types: vec!["*".into()],
        mode: PayloadMode::Operations,
        schedule: "default",
        show_bcc: true,
    };
    scene.own().add_endpoint(open, endpoint).await.unwrap();
    let shown: Vec<bool> = scene.own().endpoints().await.unwrap().iter().map(|row| row.show_bcc).collect();
    assert_eq!(shown, [false, true]);
    let message = |key: u8, source: &str| {
        let mut message = scene.message(key);
        let event = &mut message.views[0].event;
        event.source_kind = source.into();
        event.webhook.data = json!({ "addedRecipients": [
            { "address": "sam@harbor.example", "type": "to" }, { "address": "mia@harbor.example", "type": "bcc" },
        ] });
        message
    };
    scene.store.record_mail(vec![message(1, "journal"), message(2, "bcc")], at(CURSOR)).await.unwrap();
    let claimed = scene.claim(scene.store.clock().mint()).await;
    let mut told: Vec<(bool, bool, bool)> = claimed
        .iter()
        .map(|one| {
            assert!(one.body.contains("sam@harbor.example"), "{}", one.body);
            (one.endpoint == open, one.body.contains("mia@harbor.example"), one.body.contains("\"bccHidden\":true"))
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told, [(false, false, true), (false, true, false), (true, true, false), (true, true, false)]);
    assert!(claimed.iter().any(|one| one.endpoint == closed));
}

async fn what_a_route_was_told_of_privacy_is_read_back(engine: Engine) {
    let scene = Scene::new(engine).await;
    let route = add_route(&scene, 1).await;
    let own = scene.own();
    let row = async || own.route(route).await.unwrap().unwrap();
    assert_eq!((row().await.selection, row().await.retention), (Selection::default(), Retention::default()));
    let rules = |words: &[&str]| words.iter().map(|word| word.parse().unwrap()).collect();
    let selection = Selection {
        include: rules(&["domain:harbor.example", "list"]),
        exclude: rules(&["group:board@harbor.example"]),
    };
    let change = RouteChange {
        include: Some(selection.include.clone()),
        exclude: Some(selection.exclude.clone()),
        ..RouteChange::default()
    };
    own.change_route(route, change).await.unwrap();
    assert_eq!(row().await.authors, []);
    let authors = vec!["address:mia@harbor.example".parse().unwrap()];
    let change = RouteChange { authors: Some(authors.clone()), ..RouteChange::default() };
    own.change_route(route, change).await.unwrap();
    assert_eq!(row().await.authors, authors);
    own.change_route(route, retaining(Keep::Text, Some(90))).await.unwrap();
    own.hold_route(route, true).await.unwrap();
    let retention = Retention { keep: Keep::Text, days: Some(90), legal_hold: true };
    assert_eq!((row().await.selection, row().await.retention), (selection, retention));
    assert_eq!(own.retentions().await.unwrap(), [(route, retention)]);
    own.change_route(route, retaining(Keep::Raw, None)).await.unwrap();
    assert_eq!(row().await.retention, Retention { legal_hold: true, ..Retention::default() });
}

async fn a_copy_that_was_left_out_is_stored_as_that(engine: Engine) {
    let scene = Scene::new(engine).await;
    let route = add_route(&scene, 1).await;
    let mut message = copy(&scene, 1, &[route]);
    message.views.clear();
    message.kept = Some(Kept::Excluded("not_included"));
    assert_eq!(scene.store.record_mail(vec![message], at(CURSOR)).await.unwrap(), 0);
    let row = scene.own().messages(Some("excluded"), 9).await.unwrap().remove(0);
    assert_eq!(row.reason.as_deref(), Some("not_included"));
    let (from, to) = (Timestamp::from_micros(0), scene.store.clock().now().plus(Duration::from_secs(1)));
    let counts = scene.own().hours(from, to).await.unwrap().remove(0).2;
    assert_eq!((counts.received, counts.untrusted), (1, 0), "it is not doubted");
    assert_eq!(scene.own().reduce_copies(route, Keep::Text, Overdue::Decided, 9).await.unwrap(), 1);
}
