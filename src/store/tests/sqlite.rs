//! What only SQLite needs: readers that are there from the start, and a look at the writer.

use super::*;

#[tokio::test]
async fn readers_that_are_all_busy_keep_no_door_waiting() {
    let scene = Scene::new(Engine::Sqlite).await;
    let mailbox = NewMailbox {
        address: Mailbox::parse("deals@in.example").unwrap(),
        app: Some(scene.app),
        identity_owner: "source_app".into(),
        reply_policy: "source_app_only".into(),
        external_reply_url: None,
    };
    scene.own().add_mailbox(mailbox).await.unwrap();
    let (Pool::Sqlite(readers), Pool::Sqlite(doors)) = (&scene.store.readers, &scene.store.doors) else { panic!() };
    assert_eq!((readers.size(), doors.size()), (READERS, DOOR_READERS), "none is opened later, on another thread");
    let mut busy = Vec::new();
    for _ in 0..READERS {
        busy.push(readers.acquire().await.unwrap());
    }
    assert!(scene.store.mailbox_by_address("deals@in.example").await.unwrap().is_some());
    assert!(scene.store.route_by_token([0; 32]).await.unwrap().is_none());
    let digest = crate::keys::KeyDigest::from_slice(&[0; 32]).unwrap();
    assert!(scene.store.key_by_digest(&digest).await.unwrap().is_none());
}

#[tokio::test]
async fn the_look_at_the_writer_writes_and_so_sees_what_only_a_write_can_see() {
    let scene = Scene::new(Engine::Sqlite).await;
    let patience = Duration::from_secs(20);
    scene.store.check_writer(patience).await.unwrap();
    let read_only = |on: &'static str| {
        scene.store.write(move |connection| {
            Box::pin(async move {
                query(on).execute(connection).await?;
                Ok(())
            })
        })
    };
    read_only("PRAGMA query_only = ON").await.unwrap();
    let error = scene.store.check_writer(patience).await.unwrap_err();
    assert!(error.is_temporary() && matches!(error, StoreError::Unavailable(_)), "{error:?}");
    read_only("PRAGMA query_only = OFF").await.unwrap();
    scene.store.check_writer(patience).await.unwrap();
    scene.store.close().await;
    assert!(matches!(scene.store.check_writer(patience).await, Err(StoreError::Closed)));
}
