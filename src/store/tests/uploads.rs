//! Files that wait for drafts, on SQLite and on PostgreSQL.

use super::engine::on_both_engines;
use super::*;
use crate::store::uploads::{NewUpload, UploadRoom};

on_both_engines! {
    an_upload_is_read_back_until_its_time_is_over_and_within_the_tenants_room,
    uploads_that_come_at_once_find_no_more_room_than_there_is,
}

fn new(clock: &Clock, size: u64) -> NewUpload {
    NewUpload {
        id: clock.mint(),
        key: clock.mint(),
        name: "loi.pdf".into(),
        media_type: "application/pdf".into(),
        size,
        sha256: "ab".into(),
        sealed_key: vec![0, 1, 255],
        content: vec![255, 0, 13, 10],
        expires_at: clock.now().plus(Duration::from_secs(60)),
    }
}

async fn uploads_that_come_at_once_find_no_more_room_than_there_is(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock().clone());
    let room = UploadRoom { files: 100, octets: 100 };
    let all = (0..10).map(|_| own.add_upload(new(&clock, 40), room));
    let kept = futures_util::future::join_all(all).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(kept, 2);
}

async fn an_upload_is_read_back_until_its_time_is_over_and_within_the_tenants_room(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock().clone());
    let new = |size: u64| new(&clock, size);
    let room = UploadRoom { files: 2, octets: 100 };
    let first = new(60);
    own.add_upload(first.clone(), room).await.unwrap();
    let row = own.upload(first.id).await.unwrap().unwrap();
    assert_eq!((row.name, row.size, row.sealed_key, row.content), (first.name, 60, first.sealed_key, first.content));
    assert!(matches!(own.add_upload(new(41), room).await, Err(StoreError::Conflict(_))), "over the octets");
    own.add_upload(new(40), room).await.unwrap();
    assert!(matches!(own.add_upload(new(0), room).await, Err(StoreError::Conflict(_))), "over the files");
    assert_eq!(own.drop_uploads().await.unwrap(), 0);
    clock.advance(Duration::from_secs(60));
    assert_eq!(own.upload(first.id).await.unwrap(), None, "over, although it is there");
    own.add_upload(new(100), room).await.unwrap();
    assert_eq!(own.drop_uploads().await.unwrap(), 2);
}
