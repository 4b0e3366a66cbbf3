//! Limits over several nodes: two routers over one database.

use super::*;

const CHECK: &str = "/api/connex/key-check";

/// Calls both nodes in turn until each refuses; how many calls were let in.
async fn let_in(nodes: [&Gateway; 2], path: &str, key: Option<&str>, quota: u32, code: &str) -> u32 {
    let mut admitted = 0;
    for turn in 0..2 * quota {
        let reply = nodes[turn as usize % 2].post(path, key, &event("1")).await;
        let left: u32 =
            reply.header("ratelimit").rsplit_once(";r=").unwrap().1.split_once(';').unwrap().0.parse().unwrap();
        if reply.status == StatusCode::TOO_MANY_REQUESTS {
            reply.problem(429, code);
            assert!((1..=86_400).contains(&reply.header("retry-after").parse::<u32>().unwrap()));
            assert_eq!(left, 0);
            continue;
        }
        assert!(reply.status != StatusCode::SERVICE_UNAVAILABLE, "{}", reply.text());
        admitted += 1;
        assert!(left <= quota - admitted.min(quota) + quota.div_ceil(16), "{left} of {quota} after {admitted}");
    }
    admitted
}

#[tokio::test]
async fn previews_at_two_nodes_are_one_quota() {
    let preview = |settings: &mut Settings| settings.preview_quota = Some(Quota::per_minute(40));
    let first = Gateway::on(Engine::Postgres, preview).await;
    let second = first.another_node(preview).await;
    assert_eq!(let_in([&first, &second], PREVIEW, None, 40, "rate_limited").await, 40);
    first.clock.advance(std::time::Duration::from_mins(1));
    assert_eq!(let_in([&second, &first], PREVIEW, None, 40, "rate_limited").await, 40, "the next window is a new one");
}

#[tokio::test]
async fn calls_at_two_nodes_are_one_quota_of_the_key_and_one_of_the_tenant() {
    let both = |settings: &mut Settings| {
        settings.key_quota = Some(Quota::per_minute(20));
        settings.tenant_quota = Some(Quota::per_day(50));
    };
    let first = Gateway::on(Engine::Postgres, both).await;
    let second = first.another_node(both).await;
    let key = first.key().await;
    let mut admitted = 0;
    for (turn, node) in [&first, &second].into_iter().cycle().take(50).enumerate() {
        let reply = node.post(CHECK, Some(&key), &json!({})).await;
        match reply.status {
            StatusCode::OK => admitted += 1,
            _ => drop(reply.problem(429, "rate_limited")),
        }
        assert!(reply.header("ratelimit").starts_with("\"default\";r="), "{turn}");
    }
    assert_eq!(admitted, 20);
    // What was refused by the one limit was counted by the other: the day's is used up.
    first.clock.advance(std::time::Duration::from_mins(1));
    let reply = second.post(CHECK, Some(&key), &json!({})).await;
    reply.problem(429, "quota_exceeded");
    assert_eq!(reply.header("retry-after"), "50340", "until midnight, for all nodes");
}

#[tokio::test]
async fn a_lost_database_stops_no_preview_within_the_quota() {
    let preview = |settings: &mut Settings| settings.preview_quota = Some(Quota::per_minute(40));
    let gateway = Gateway::on(Engine::Postgres, preview).await;
    gateway.post(PREVIEW, None, &event("1")).await;
    gateway.store.close().await;
    let mut admitted = 1;
    while gateway.post(PREVIEW, None, &event("1")).await.status == StatusCode::OK {
        admitted += 1;
    }
    assert_eq!(admitted, 40);
}
