//! Quotas of all nodes together, on SQLite and on PostgreSQL.

use super::engine::on_both_engines;
use super::*;
use crate::store::limits::{Block, BlockRequest};

on_both_engines! {
    takers_on_two_nodes_never_get_more_than_the_quota,
    blocks_get_smaller_towards_the_end_of_a_quota,
    windows_that_are_long_over_are_deleted,
}

fn block(subject: &str, ends_at: Timestamp, quota: u32, wanted: u32) -> BlockRequest {
    BlockRequest { policy: "default", subject: subject.into(), ends_at, quota, wanted }
}

async fn takers_on_two_nodes_never_get_more_than_the_quota(engine: Engine) {
    let scene = Scene::new(engine).await;
    let other = scene.place.open(scene.store.clock().clone()).await;
    let end = scene.store.clock().now().plus(Duration::from_secs(60));
    let takers = (0..16).map(|taker| {
        let store = if taker % 2 == 0 { &scene.store } else { &other };
        async move {
            let mut got = 0;
            for _ in 0..40 {
                let Block { granted, left } = store.take_block(block("key_a", end, 100, 7)).await.unwrap();
                got += granted;
                if granted == 0 {
                    assert_eq!(left, 0);
                    break;
                }
            }
            got
        }
    });
    assert_eq!(futures_util::future::join_all(takers).await.iter().sum::<u32>(), 100);
    let elsewhere = scene.store.take_block(block("key_b", end, 100, 7)).await.unwrap();
    assert_eq!(elsewhere, Block { granted: 7, left: 93 });
    let later = scene.store.take_block(block("key_a", end.plus(Duration::from_secs(60)), 100, 7)).await.unwrap();
    assert_eq!(later, Block { granted: 7, left: 93 });
}

async fn blocks_get_smaller_towards_the_end_of_a_quota(engine: Engine) {
    let scene = Scene::new(engine).await;
    let end = scene.store.clock().now();
    let mut granted = Vec::new();
    for _ in 0..11 {
        granted.push(scene.store.take_block(block("key_a", end, 20, 4)).await.unwrap().granted);
    }
    assert_eq!(granted, [4, 4, 3, 3, 2, 1, 1, 1, 1, 0, 0]);
    let lowered = scene.store.take_block(block("key_a", end, 10, 4)).await.unwrap();
    assert_eq!(lowered, Block { granted: 0, left: 0 }, "a node may know a smaller quota");
    let raised = scene.store.take_block(block("key_a", end, 30, 4)).await.unwrap();
    assert_eq!(raised, Block { granted: 3, left: 7 });
    let whole = scene.store.take_block(block("key_b", end, 3, 8)).await.unwrap();
    assert_eq!(whole, Block { granted: 3, left: 0 });
}

async fn windows_that_are_long_over_are_deleted(engine: Engine) {
    const COUNT: &str = "SELECT COUNT(*) FROM rate_windows";
    let scene = Scene::new(engine).await;
    let ended = scene.store.clock().now();
    for subject in 0..64 {
        scene.store.take_block(block(&subject.to_string(), ended, 9, 1)).await.unwrap();
    }
    scene.store.clock().advance(Duration::from_secs(3_601));
    scene.store.take_block(block("now", scene.store.clock().now(), 9, 1)).await.unwrap();
    let rows: i64 = query(COUNT).fetch_one(&scene.store.readers).await.unwrap().try_get(0).unwrap();
    assert_eq!(rows, 1);
}
