//! The contract of the store: each test runs on SQLite and on PostgreSQL.

use super::engine::on_both_engines;
use super::*;
use crate::store::instance::KeyHolder;

on_both_engines! {
    a_copy_of_a_message_makes_no_second_event_in_the_same_batch_or_later,
    the_cursor_counts_a_tenants_events_without_gaps,
    held_and_poisoned_messages_are_kept_without_events,
    a_reply_finds_its_thread_and_counts_on_in_it,
    one_source_event_is_recorded_once_however_often_and_concurrently_it_is_sent,
    nothing_of_one_tenant_is_seen_by_another,
    an_address_has_one_owner_and_is_free_again_when_removed,
    what_was_recorded_is_there_after_the_store_is_opened_again,
    a_watcher_sees_what_is_new_in_order,
    a_keyring_is_kept_in_place_of_the_one_that_was_seen_and_of_no_other,
    who_has_which_key_is_known_until_it_stops_or_is_not_seen_any_more,
}

async fn a_keyring_is_kept_in_place_of_the_one_that_was_seen_and_of_no_other(engine: Engine) {
    let Scene { store, .. } = Scene::new(engine).await;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(store.keyring().await.unwrap(), None);
    assert!(!store.keep_keyring("b".to_owned(), text("a")).await.unwrap(), "there is none to be replaced");
    assert!(store.keep_keyring("a".to_owned(), None).await.unwrap());
    assert!(!store.keep_keyring("b".to_owned(), None).await.unwrap(), "there is one by now");
    let both =
        tokio::join!(store.keep_keyring("b".to_owned(), text("a")), store.keep_keyring("c".to_owned(), text("a")));
    assert_ne!(both.0.unwrap(), both.1.unwrap(), "one of two that saw the same");
    assert!(["b", "c"].map(text).contains(&store.keyring().await.unwrap()));
}

async fn who_has_which_key_is_known_until_it_stops_or_is_not_seen_any_more(engine: Engine) {
    let Scene { store, .. } = Scene::new(engine).await;
    let within = Duration::from_secs(45);
    let holder = |name: &str, key: &str| KeyHolder { node: store.clock().mint(), name: name.into(), key: key.into() };
    let (one, two) = (holder("one", "old"), holder("two", "old"));
    for holder in [&two, &one] {
        store.note_key_holder(holder.clone()).await.unwrap();
    }
    assert_eq!(store.key_holders(within).await.unwrap(), [one.clone(), two.clone()]);
    let renewed = KeyHolder { key: "new".into(), ..one.clone() };
    store.clock().advance(Duration::from_secs(40));
    store.note_key_holder(renewed.clone()).await.unwrap();
    store.clock().advance(Duration::from_secs(10));
    assert_eq!(store.key_holders(within).await.unwrap(), [renewed], "the other was not seen for 50 s");
    store.forget_key_holder(one.node).await.unwrap();
    assert_eq!(store.key_holders(within).await.unwrap(), []);
}

async fn a_copy_of_a_message_makes_no_second_event_in_the_same_batch_or_later(engine: Engine) {
    let scene = Scene::new(engine).await;
    let first = vec![scene.message(1), scene.message(1), scene.message(2)];
    assert_eq!(scene.store.record_mail(first, at(CURSOR)).await.unwrap(), 2);
    scene.store.clock().advance(Duration::from_secs(40 * 24 * 3600));
    let later = SpoolCursor { segment: 2, position: 0 };
    assert_eq!(scene.store.record_mail(vec![scene.message(2), scene.message(3)], at(later)).await.unwrap(), 1);
    let duplicates = scene.own().messages(Some("duplicate"), 10).await.unwrap();
    assert_eq!(duplicates.len(), 2);
    assert!(duplicates.iter().all(|row| row.duplicate_of.is_some()));
    assert_eq!(scene.store.spool_cursor("n").await.unwrap(), Some(later));
    assert_eq!(scene.store.spool_cursor("other").await.unwrap(), None);
}

async fn the_cursor_counts_a_tenants_events_without_gaps(engine: Engine) {
    let scene = Scene::new(engine).await;
    let batches = (0..6_u8).map(|start| {
        let messages = (0..7_u8).map(|place| scene.message(start * 5 + place)).collect();
        scene.store.record_mail(messages, at(CURSOR))
    });
    let recorded: usize = futures_util::future::join_all(batches).await.into_iter().map(|result| result.unwrap()).sum();
    let events = scene.own().events_after(0, 100).await.unwrap();
    let cursors: Vec<i64> = events.iter().map(|event| event.cursor).collect();
    assert_eq!(recorded, 32);
    assert_eq!(cursors, (1..=32).collect::<Vec<i64>>());
    assert_eq!(scene.own().newest_cursor().await.unwrap(), 32);
}

async fn held_and_poisoned_messages_are_kept_without_events(engine: Engine) {
    let scene = Scene::new(engine).await;
    let mut held = scene.message(1);
    held.views.clear();
    held.kept = Some(Kept::Held("peer_not_authorised"));
    assert_eq!(scene.store.record_mail(vec![held], at(CURSOR)).await.unwrap(), 0);
    let row = scene.own().messages(Some("held"), 1).await.unwrap().remove(0);
    assert_eq!(row.reason.as_deref(), Some("peer_not_authorised"));
}

async fn a_reply_finds_its_thread_and_counts_on_in_it(engine: Engine) {
    let scene = Scene::new(engine).await;
    scene.store.record_mail(vec![scene.message(1)], at(CURSOR)).await.unwrap();
    let thread = scene.own().thread_of("mbx_a", &[[9; 32], [7; 32]]).await.unwrap().unwrap();
    assert_eq!(scene.own().thread_of("mbx_b", &[[7; 32]]).await.unwrap(), None);
    let mut reply = scene.message(2);
    reply.views[0].event.thread = Some(NewThreadPlace { thread_id: thread, references: vec![], subjects: vec![] });
    scene.store.record_mail(vec![reply], at(CURSOR)).await.unwrap();
    let events = scene.own().events_after(0, 10).await.unwrap();
    let places: Vec<_> = events.iter().map(|event| event.thread.clone().unwrap()).collect();
    assert_eq!(places, [(thread.to_string(), 1), (thread.to_string(), 2)]);
}

async fn one_source_event_is_recorded_once_however_often_and_concurrently_it_is_sent(engine: Engine) {
    let scene = Scene::new(engine).await;
    let key = SourceKey {
        app_id: scene.app,
        source_system: "crm".into(),
        source_event_id: "evt_1".into(),
        fingerprint: [1; 32],
    };
    let calls = (0..8).map(|_| {
        let (own, key) = (scene.own(), key.clone());
        let event = scene.event("x", scene.store.clock().mint());
        async move { own.record_source_event(key, event).await.unwrap() }
    });
    let results = futures_util::future::join_all(calls).await;
    assert_eq!(results.iter().filter(|result| matches!(result, Recorded::New)).count(), 1);
    assert!(results.iter().all(|result| match result {
        Recorded::Duplicate(answer) => answer.duplicate,
        other => matches!(other, Recorded::New),
    }));
    let other = SourceKey { fingerprint: [2; 32], ..key };
    let event = scene.event("x", scene.store.clock().mint());
    assert!(matches!(scene.own().record_source_event(other, event).await.unwrap(), Recorded::Conflict));
    assert_eq!(scene.own().newest_cursor().await.unwrap(), 1);
}

async fn nothing_of_one_tenant_is_seen_by_another(engine: Engine) {
    let scene = Scene::new(engine).await;
    scene.endpoint(&["*"]).await;
    scene.store.record_mail(vec![scene.message(1)], at(CURSOR)).await.unwrap();
    let message = scene.own().messages(None, 1).await.unwrap().remove(0);
    let event = scene.own().events_after(0, 1).await.unwrap().remove(0);
    let stranger = scene.store.for_tenant(scene.store.add_tenant("stranger").await.unwrap());
    assert!(stranger.messages(None, 10).await.unwrap().is_empty());
    assert!(stranger.message(message.id).await.unwrap().is_none());
    assert!(stranger.event(event.id).await.unwrap().is_none());
    assert!(stranger.events_after(0, 10).await.unwrap().is_empty());
    assert!(matches!(stranger.explain(&event.id.to_string()).await, Err(StoreError::NotFound(_))));
    assert!(matches!(stranger.explain(&message.id.to_string()).await, Err(StoreError::NotFound(_))));
    assert!(stranger.app_by_name("deals").await.unwrap().is_none());
    assert!(stranger.endpoints().await.unwrap().is_empty());
    assert_eq!(stranger.thread_of("mbx_a", &[[7; 32]]).await.unwrap(), None);
    assert!(matches!(stranger.remove_app(scene.app).await, Err(StoreError::NotFound(_))));
}

async fn an_address_has_one_owner_and_is_free_again_when_removed(engine: Engine) {
    let scene = Scene::new(engine).await;
    let mailbox = |address: &str| NewMailbox {
        address: Mailbox::parse(address).unwrap(),
        app: Some(scene.app),
        identity_owner: "source_app".into(),
        reply_policy: "source_app_only".into(),
        external_reply_url: None,
    };
    let id = scene.own().add_mailbox(mailbox("Deals@in.example")).await.unwrap();
    let stranger = scene.store.for_tenant(scene.store.add_tenant("stranger").await.unwrap());
    assert!(matches!(stranger.add_mailbox(mailbox("deals@IN.example")).await, Err(StoreError::Exists(_))));
    assert_eq!(scene.store.mailbox_by_address("deals@in.example").await.unwrap().unwrap().0.id, id);
    scene.own().remove_mailbox(id).await.unwrap();
    assert!(scene.store.mailbox_by_address("deals@in.example").await.unwrap().is_none());
    stranger.add_mailbox(mailbox("deals@in.example")).await.unwrap();
}

async fn what_was_recorded_is_there_after_the_store_is_opened_again(engine: Engine) {
    let place = Place::new(engine).await;
    let store = place.open(Clock::System).await;
    let tenant = store.add_tenant("harbor").await.unwrap();
    store.close().await;
    assert!(matches!(store.add_tenant("late").await, Err(StoreError::Closed)));
    let store = place.open(Clock::System).await;
    assert_eq!(store.tenants().await.unwrap()[0].id, tenant);
    assert!(matches!(store.add_tenant("harbor").await, Err(StoreError::Exists(_))));
    assert!(matches!(
        store.for_tenant(store.clock().mint()).put_app("x", &AppProfileRow::default()).await,
        Err(StoreError::NotFound("tenant"))
    ));
}

async fn a_watcher_sees_what_is_new_in_order(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (_, start) = scene.own().tail_newest(10).await.unwrap();
    scene.store.record_mail(vec![scene.message(1)], at(CURSOR)).await.unwrap();
    let (lines, next) = scene.own().tail(start).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.what).collect::<Vec<_>>(), ["message", "decision"]);
    assert!(scene.own().tail(next.clone()).await.unwrap().0.is_empty());
    scene.store.record_mail((2..9).map(|key| scene.message(key)).collect(), at(CURSOR)).await.unwrap();
    let (lines, newest) = scene.own().tail_newest(3).await.unwrap();
    assert_eq!(lines.len(), 6, "three messages and three decisions");
    assert_eq!(newest, scene.own().tail(next).await.unwrap().1);
    // More than are read in one go.
    scene.store.record_mail((10..=250).map(|key| scene.message(key)).collect(), at(CURSOR)).await.unwrap();
    let (lines, newest) = scene.own().tail_newest(230).await.unwrap();
    assert_eq!(lines.len(), 460, "230 messages and 230 decisions");
    assert!(scene.own().tail(newest).await.unwrap().0.is_empty());
}
