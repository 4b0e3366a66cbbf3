//! Makes unreadable what routes do not keep: what they said before a copy came is done with its event; what they said
//! later, what a legal hold put off, and what has been kept long enough, is done here. Uploads that are over go too, what no
//! limit counts any more, and what drafts hold of persons that have been over for long enough: no legal hold is of drafts.
//!
//! Of several nodes one does so at a time.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::rounds;
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::mail::retention::Keep;
use crate::store::drafts::erase::DraftErasure;
use crate::store::retention::Overdue;
use crate::store::{Store, StoreError, TenantStore};

/// Copies of one transaction: the database's one writer has other work.
const AT_ONCE: u32 = 100;

/// The task.
#[derive(Debug, Clone)]
pub struct Retain {
    store: Store,
    every: Duration,
    drafts: Option<Duration>,
}

impl Retain {
    /// Looks at all routes every so often.
    #[must_use]
    pub const fn new(store: Store, every: Duration) -> Self {
        Self { store, every, drafts: None }
    }

    /// Erases what drafts hold that have been over for so long; none: never.
    #[must_use]
    pub fn keeping_drafts(self, drafts: Option<Duration>) -> Self {
        Self { drafts, ..self }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        rounds::run(self.every, &stop, "What is not to be kept stays for now", || self.round(&stop)).await;
    }

    /// One round, where no other node has taken it; it ends early at `stop`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn round(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        if !rounds::take(&self.store, "route_retention", self.every).await? {
            return Ok(());
        }
        let now = self.store.clock().now();
        for tenant in self.store.tenants().await? {
            let own = self.store.for_tenant(tenant.id);
            own.drop_uploads().await?;
            own.drop_counted().await?;
            // What cannot be read of one tenant keeps nobody else's round.
            if let Err(error) = self.erase_drafts(&own, now, stop).await {
                tracing::warn!(tenant.id = %tenant.id, error.kind = "store", "Drafts that were kept long enough stay for now: {error}");
            }
            for (route, retention) in own.retentions().await? {
                let over = retention.over_before(now).map(|before| (Keep::None, Overdue::Before(before)));
                let undecided = retention.undecided_before(now);
                let undecided = undecided.map(|before| (retention.at_decision(), Overdue::Before(before)));
                let work = [Some((retention.at_decision(), Overdue::Decided)), undecided, over];
                for (keep, overdue) in work.into_iter().flatten() {
                    let mut count = 0;
                    loop {
                        let reduced = own.reduce_copies(route, keep, overdue, AT_ONCE).await?;
                        count += reduced;
                        if reduced < AT_ONCE as usize || stop.is_cancelled() {
                            break;
                        }
                    }
                    if count > 0 {
                        tracing::info!(route.id = %route, tenant.id = %tenant.id, "{count} copies of route `{route}` are kept as `{}` from now on", keep.as_str());
                    }
                }
            }
        }
        Ok(())
    }

    /// Erases the drafts of a tenant that have been kept long enough, each in a transaction of its own.
    async fn erase_drafts(
        &self,
        own: &TenantStore,
        now: Timestamp,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let Some(kept) = self.drafts else { return Ok(()) };
        let before = now.as_micros().saturating_sub(i64::try_from(kept.as_micros()).unwrap_or(i64::MAX));
        let mut count = 0;
        while !stop.is_cancelled() {
            let over = own.drafts_over_before(Timestamp::from_micros(before), AT_ONCE).await?;
            let mut erased = 0;
            for draft in &over {
                erased += usize::from(matches!(own.erase_draft(*draft, Who::Gateway).await?, DraftErasure::Done(_)));
            }
            count += erased;
            if over.len() < AT_ONCE as usize || erased == 0 {
                break;
            }
        }
        if count > 0 {
            tracing::info!(tenant.id = %own.tenant(), "{count} drafts were kept long enough: what they held is erased");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::ids::{DraftId, MessageId, RouteId};
    use crate::mail::reading::Reader;
    use crate::store::ingest::{Kept, NewCopy, NewMessage, Progress, SpoolCursor};
    use crate::store::routes::{NewRoute, RouteChange};
    use crate::store::tests::engine::{Engine, Place, on_both_engines};

    on_both_engines! {
        copies_are_over_after_their_days_by_one_node_and_not_on_legal_hold,
        drafts_that_are_over_are_erased_after_their_time_and_no_others,
    }

    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(24 * 3_600);

    async fn drafts_that_are_over_are_erased_after_their_time_and_no_others(engine: Engine) {
        let place = Place::new(engine).await;
        let clock = Clock::fixed(Timestamp::from_micros(1_790_000_000_000_000));
        let store = place.open(clock.clone()).await;
        let tenant = store.add_tenant("harbor").await.unwrap();
        let own = store.for_tenant(tenant);
        let add = async |state: &str| {
            let (id, now) = (clock.mint::<DraftId>(), clock.now().as_micros());
            let sql = format!(
                "INSERT INTO drafts (tenant_id, draft_id, identity_owner, state, content, created_at, updated_at) \
VALUES ('{tenant}', '{id}', 'connex', '{state}', '{{\"text\":\"x\"}}', {now}, {now})"
            );
            place.run(&sql).await;
            id
        };
        // More than one transaction's worth.
        let mut old = Vec::new();
        for _ in 0..=AT_ONCE {
            old.push(add("sent").await);
        }
        let (waiting, unknown) = (add("pending_approval").await, add("unknown").await);
        clock.advance(20 * DAY);
        let young = add("withdrawn").await;
        clock.advance(20 * DAY + HOUR);
        let erased = async |id: DraftId| own.draft(id).await.unwrap().unwrap().erased_at.is_some();
        let stop = CancellationToken::new();
        Retain::new(store.clone(), HOUR).round(&stop).await.unwrap();
        assert!(!erased(old[0]).await, "nobody asked for it");
        clock.advance(HOUR);
        Retain::new(store.clone(), HOUR).keeping_drafts(Some(40 * DAY)).round(&stop).await.unwrap();
        for id in old {
            assert!(erased(id).await);
        }
        assert_eq!([erased(waiting).await, erased(unknown).await, erased(young).await], [false; 3]);
    }

    async fn copies_are_over_after_their_days_by_one_node_and_not_on_legal_hold(engine: Engine) {
        let place = Place::new(engine).await;
        let clock = Clock::fixed(Timestamp::from_micros(1_790_000_000_000_000));
        let (store, second) = (place.open(clock.clone()).await, place.open(clock.clone()).await);
        let tenant = store.add_tenant("harbor").await.unwrap();
        let (own, id) = (store.for_tenant(tenant), clock.mint::<RouteId>());
        let route = NewRoute {
            reader: Reader::Bcc,
            token_hash: [1; 32],
            address_sealed: String::new(),
            app: None,
            peers: Vec::new(),
            size_cap: None,
            observe_until: None,
        };
        own.add_route(id, route).await.unwrap();
        let change = RouteChange { keep_days: Some(Some(30)), ..RouteChange::default() };
        own.change_route(id, change).await.unwrap();
        let mut taken: Vec<MessageId> = Vec::new();
        for segment in 1..=2 {
            let message = NewMessage {
                tenant,
                id: clock.mint(),
                received_at: clock.now(),
                size: 10,
                manifest: "{}".into(),
                body: "{}".into(),
                trace: None,
                kept: Some(Kept::Excluded("excluded")),
                views: Vec::new(),
                copies: vec![NewCopy {
                    route: id,
                    marks: None,
                    keep: Keep::Raw,
                    alarm: None,
                    tests_connector: false,
                    held: None,
                }],
            };
            taken.push(message.id);
            let progress = Progress::Log { log: "n".into(), cursor: SpoolCursor { segment, position: 0 } };
            store.record_mail(vec![message], progress).await.unwrap();
            clock.advance(10 * DAY);
        }
        let kept = async || {
            let mut kept = Vec::new();
            for id in &taken {
                kept.push(own.message(*id).await.unwrap().unwrap().is_raw_kept);
            }
            kept
        };
        let stop = CancellationToken::new();
        let (one, other) = (Retain::new(store.clone(), HOUR), Retain::new(second, HOUR));
        // The first is 30 days old, to the moment, and goes in the next round.
        clock.advance(10 * DAY);
        one.round(&stop).await.unwrap();
        assert_eq!(kept().await, [true, true]);
        clock.advance(HOUR);
        own.hold_route(id, true).await.unwrap();
        one.round(&stop).await.unwrap();
        assert_eq!(kept().await, [true, true], "on legal hold");
        own.hold_route(id, false).await.unwrap();
        other.round(&stop).await.unwrap();
        assert_eq!(kept().await, [true, true], "the round was taken already, by another node");
        clock.advance(HOUR);
        other.round(&stop).await.unwrap();
        assert_eq!(kept().await, [false, true]);
        clock.advance(10 * DAY);
        one.round(&stop).await.unwrap();
        assert_eq!(kept().await, [false, false]);
    }
}
