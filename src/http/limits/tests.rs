//! Counting at one node, alone and with others.

use std::convert::Infallible;
use std::sync::atomic::AtomicU32;

use futures_util::FutureExt as _;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn alone<K: Hash + Eq + Clone + Display>(name: &'static str, quota: Option<Quota>) -> Limiter<K> {
    Limiter::new(name, quota, Nodes::One)
}

impl<K: Hash + Eq + Clone + Display> Limiter<K> {
    /// Counts where nobody has to be asked.
    fn count_alone(&self, key: K, now: Timestamp) -> Option<Standing> {
        let never = |_| -> std::future::Ready<Result<Block, Infallible>> { panic!("asked") };
        self.count_by(key, now, never).now_or_never().expect("it does not wait")
    }
}

#[test]
fn a_window_admits_its_quota_and_then_refuses_until_it_ends() {
    let limiter = alone("preview", Some(Quota::per_minute(2)));
    assert!(!limiter.count_alone(1, at(0)).unwrap().is_over());
    let second = limiter.count_alone(1, at(10)).unwrap();
    assert!(!second.is_over() && second.remaining == 0 && second.resets_in == 50);
    let third = limiter.count_alone(1, at(11)).unwrap();
    let problem = third.admit(Code::RateLimited).unwrap_err();
    assert_eq!(problem.code(), Code::RateLimited);
    assert!(!limiter.count_alone(2, at(11)).unwrap().is_over(), "another client is not held");
    assert!(!limiter.count_alone(1, at(60)).unwrap().is_over(), "the next window admits again");
}

#[test]
fn refused_requests_do_not_lengthen_the_wait() {
    let limiter = alone("preview", Some(Quota::per_minute(1)));
    for second in 0..60 {
        limiter.count_alone(1, at(second));
    }
    assert!(!limiter.count_alone(1, at(60)).unwrap().is_over());
}

#[test]
fn headers_name_policy_and_rest() {
    let limiter = alone("default", Some(Quota::per_minute(600)));
    let mut headers = HeaderMap::new();
    write_headers(&[limiter.count_alone(1, at(48)).unwrap()], &mut headers);
    assert_eq!(headers["ratelimit-policy"], "\"default\";q=600;w=60");
    assert_eq!(headers["ratelimit"], "\"default\";r=599;t=60");
    assert!(!headers.contains_key("retry-after"));
}

#[test]
fn a_lifted_limit_counts_nothing() {
    assert_eq!(alone("preview", None).count_alone(1, at(0)), None);
}

#[test]
fn memory_is_bounded_however_many_clients_come() {
    let limiter = alone("preview", Some(Quota::per_minute(1)));
    for client in 0..200_000u32 {
        limiter.count_alone(client, at(0));
    }
    let held: usize = limiter.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
    assert!(held <= 16 * SHARD_CAPACITY);
}

#[test]
fn one_customer_network_is_one_client() {
    let client = |text: &str| client_of(text.parse().unwrap());
    assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::9"));
    assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
    assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
}

/// The row that nodes share, counted in memory; says how often it was asked.
#[derive(Default)]
struct Shared {
    taken: AtomicU32,
    asked: AtomicU32,
}

impl Shared {
    async fn take(&self, request: BlockRequest) -> Result<Block, Infallible> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        // Others run while the database is asked.
        tokio::task::yield_now().await;
        let left = request.quota - self.taken.load(Ordering::Relaxed);
        let granted = request.wanted.min(left);
        self.taken.fetch_add(granted, Ordering::Relaxed);
        Ok(Block { granted, left: left - granted })
    }
}

#[tokio::test]
async fn requests_that_need_a_block_at_the_same_moment_take_one() {
    let limiter = Limiter::new("default", Some(Quota::per_minute(160)), Nodes::Several);
    let shared = Shared::default();
    let calls = (0..10).map(|_| limiter.count_by(1, at(0), |request| shared.take(request)));
    let standings = futures_util::future::join_all(calls).await;
    assert!(standings.iter().all(|standing| !standing.unwrap().is_over()));
    assert_eq!((shared.asked.into_inner(), shared.taken.into_inner()), (1, 10));
    assert_eq!(standings.last().unwrap().unwrap().remaining, 150, "what nobody took and what this node has");
}

#[tokio::test]
async fn a_subject_that_waits_for_the_database_keeps_no_other_waiting() {
    let limiter = Limiter::new("default", Some(Quota::per_minute(160)), Nodes::Several);
    let stuck = limiter.count_by(1, at(0), |_| std::future::pending::<Result<Block, Infallible>>());
    let mut stuck = Box::pin(stuck);
    assert!(futures_util::poll!(&mut stuck).is_pending());
    let shared = Shared::default();
    let other = limiter.count_by(2, at(0), |request| shared.take(request)).await;
    assert!(!other.unwrap().is_over());
    // Whoever had the turn and went away leaves it to the next.
    drop(stuck);
    let next = limiter.count_by(1, at(0), |request| shared.take(request)).await;
    assert!(!next.unwrap().is_over());
}

#[tokio::test]
async fn a_subject_that_used_its_quota_up_is_refused_without_a_question() {
    let limiter = Limiter::new("preview", Some(Quota::per_minute(3)), Nodes::Several);
    let shared = Shared::default();
    for _ in 0..5 {
        limiter.count_by(1, at(61), |request| shared.take(request)).await;
    }
    assert_eq!((shared.taken.into_inner(), shared.asked.into_inner()), (3, 3));
    let over = limiter.count_alone(1, at(80)).unwrap();
    assert!(over.is_over() && over.remaining == 0 && over.resets_in == 40, "{over:?}");
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_silent_refuses_nobody_within_the_quota_and_is_not_waited_for_each_time() {
    let limiter = Limiter::new("preview", Some(Quota::per_minute(4)), Nodes::Several);
    let begun = tokio::time::Instant::now();
    let silent = |_| std::future::pending::<Result<Block, Infallible>>();
    let calls = (0..3).map(|_| limiter.count_by(1, at(0), silent));
    let standings = futures_util::future::join_all(calls).await;
    assert!(standings.iter().all(|standing| !standing.unwrap().is_over()));
    assert_eq!(begun.elapsed(), PATIENCE, "one waited, and the others with it");
    assert_eq!(limiter.count_alone(1, at(1)).unwrap().remaining, 0);
    assert!(limiter.count_alone(1, at(2)).unwrap().is_over(), "no node lets in more than the quota by itself");

    let shared = Shared::default();
    let other = limiter.count_by(2, at(6), |request| shared.take(request)).await;
    assert!(!other.unwrap().is_over() && shared.asked.into_inner() == 1, "it is asked again after a while");
}

#[tokio::test]
async fn what_was_let_in_unasked_is_paid_when_the_database_answers() {
    let limiter = Limiter::new("preview", Some(Quota::per_minute(32)), Nodes::Several);
    let refused = |_| std::future::ready(Err::<Block, _>(std::io::Error::other("away")));
    for _ in 0..10 {
        assert!(!limiter.count_by(1, at(0), refused).await.unwrap().is_over());
    }
    let shared = Shared::default();
    let next = limiter.count_by(1, at(30), |request| shared.take(request)).await.unwrap();
    assert_eq!((shared.taken.into_inner(), next.remaining), (12, 21));
}
