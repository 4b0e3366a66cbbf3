//! Where accepted mail comes from, batch by batch: this machine's log, or a lane of the queue that nodes share.
//!
//! Both promise that a batch that was not recorded comes again, and that one that was recorded does not.

use std::future::Future;
use std::time::Duration;

use super::waiting::LOG_LANE;
use super::{BATCH_OCTETS, IngestError, view};
use crate::ids::{MessageId, WorkerId};
use crate::spool::log::{Log, Position};
use crate::spool::rows::{self, Rows};
use crate::spool::{BodyRef, Spool, SpoolError, StoredMessage};
use crate::store::ingest::{Progress, SpoolCursor};
use crate::store::spool::{Lane, Queued};
use crate::store::{Store, StoreError};

/// A message with its bytes, or why they cannot be had.
pub(super) type Fetched = (StoredMessage, Result<Vec<u8>, SpoolError>);

/// Messages to be recorded together, and what moves on with them.
pub(super) struct Batch {
    pub(super) messages: Vec<Fetched>,
    pub(super) progress: Progress,
}

/// The place that a worker reads from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Log { log: Log, store: Store, after: Option<Position> },
    Lanes { rows: Rows, store: Store, worker: WorkerId, lease: Duration, lane: Option<i64> },
}

impl Source {
    pub(super) fn new(spool: &Spool, store: &Store, lease: Duration) -> Self {
        match spool {
            Spool::Log(log) => Self::Log { log: log.clone(), store: store.clone(), after: None },
            Spool::Rows(rows) => {
                let (rows, store, worker) = (rows.clone(), store.clone(), store.clock().mint());
                Self::Lanes { rows, store, worker, lease, lane: None }
            }
        }
    }

    /// The next messages, `count` at most; `None` when there are none now.
    pub(super) async fn next(&mut self, count: usize) -> Result<Option<Batch>, IngestError> {
        match self {
            Self::Log { log, store, after } => {
                let from = match *after {
                    Some(after) => after,
                    None => place_in_log(store, &log.name()).await?,
                };
                *after = Some(from);
                let log = log.clone();
                let read = tokio::task::spawn_blocking(move || read_log(&log, from, count)).await;
                read.map_err(|_| IngestError::Interrupted)?
            }
            Self::Lanes { rows, store, worker, lease, lane: at } => {
                *at = None;
                let Some(lane) = store.claim_lane(*worker, *lease).await? else { return Ok(None) };
                *at = Some(lane.number());
                read_lane(rows, store, lane, count).await
            }
        }
    }

    /// The lane that is read now; `None` where that is not known.
    pub(super) const fn lane(&self) -> Option<i64> {
        match self {
            Self::Log { after: Some(_), .. } => Some(LOG_LANE),
            Self::Log { after: None, .. } => None,
            Self::Lanes { lane, .. } => *lane,
        }
    }

    /// Runs `work` on a batch. A lane is held for as long as that takes.
    pub(super) async fn holding<T>(&self, progress: &Progress, work: impl Future<Output = T>) -> T {
        let (Self::Lanes { store, lease, .. }, Progress::Lane { lane, .. }) = (self, progress) else {
            return work.await;
        };
        tokio::select! {
            biased;
            done = work => done,
            never = renew(store, *lane, *lease) => match never {},
        }
    }

    /// A batch was recorded: what comes next is behind it.
    pub(super) fn recorded(&mut self, progress: &Progress) {
        if let (Self::Log { after, .. }, Progress::Log { cursor, .. }) = (self, progress) {
            *after = Some(Position { segment: cursor.segment, offset: cursor.position });
        }
    }

    /// It is not known what was recorded: the store is asked again.
    pub(super) fn forget(&mut self) {
        if let Self::Log { after, .. } = self {
            *after = None;
        }
    }

    /// Steps over a message that can never be recorded; it stays where it is, and `connex messages list` shows it.
    pub(super) async fn step_over(&self, progress: Progress) -> Result<(), StoreError> {
        match (self, progress) {
            (Self::Lanes { store, .. }, Progress::Lane { lane, done }) => store.set_aside(lane, done).await,
            (Self::Log { store, .. } | Self::Lanes { store, .. }, progress) => {
                store.record_mail(Vec::new(), progress).await.map(|_| ())
            }
        }
    }
}

/// Renews a lease again and again.
async fn renew(store: &Store, lane: Lane, lease: Duration) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(lease / 3).await;
        // What cannot be renewed shows when the batch is recorded.
        let _ = store.renew_lane(lane, lease).await;
    }
}

/// Up to where the log named `name` was recorded.
pub(super) async fn place_in_log(store: &Store, name: &str) -> Result<Position, StoreError> {
    let cursor = store.spool_cursor(name).await?;
    Ok(cursor.map_or(Position::START, |cursor| Position { segment: cursor.segment, offset: cursor.position }))
}

/// Takes messages until their events would need more memory than a batch may.
fn fits() -> impl FnMut(u64, usize) -> bool {
    let mut room = BATCH_OCTETS;
    move |size, views| {
        let fits = room > 0;
        // The text of a message is in each of its events; its bytes are held once.
        let views = u64::try_from(views).unwrap_or(u64::MAX);
        let weight = size.min(2 * view::STORED_TEXT as u64).saturating_mul(views).max(size);
        room = room.saturating_sub(weight);
        fits
    }
}

/// Blocks.
fn read_log(log: &Log, after: Position, count: usize) -> Result<Option<Batch>, IngestError> {
    let mut fits = fits();
    let mut next = after;
    let mut messages = Vec::new();
    for stored in log.read_after(after, count, BATCH_OCTETS)? {
        if !fits(stored.body.size, stored.manifest.envelope.forward_paths.len()) {
            break;
        }
        next = stored.next;
        let bytes = log.read_body(&stored.body);
        messages.push((StoredMessage { manifest: stored.manifest, body: BodyRef::Log(stored.body) }, bytes));
    }
    let cursor = SpoolCursor { segment: next.segment, position: next.offset };
    Ok((!messages.is_empty()).then_some(Batch { messages, progress: Progress::Log { log: log.name().into(), cursor } }))
}

async fn read_lane(rows: &Rows, store: &Store, lane: Lane, count: usize) -> Result<Option<Batch>, IngestError> {
    let mut fits = fits();
    let (mut messages, mut done) = (Vec::new(), Vec::<MessageId>::new());
    for queued in store.queued_in(lane, u32::try_from(count).unwrap_or(u32::MAX)).await? {
        let Ok(manifest) = serde_json::from_str::<crate::mail::envelope::Manifest>(&queued.manifest) else {
            // Written by a newer version: alone, so that nothing else waits for it.
            tracing::error!(message.id = %queued.id, error.kind = "ingest", "The manifest of message `{}` cannot be read", queued.id);
            store.set_aside(lane, vec![queued.id]).await?;
            return Ok(None);
        };
        if !fits(queued.size, manifest.envelope.forward_paths.len()) {
            break;
        }
        done.push(queued.id);
        let (body, bytes) = fetch(rows, queued).await;
        messages.push((StoredMessage { manifest, body: BodyRef::Rows(body) }, bytes));
    }
    if messages.is_empty() {
        // Another node was quicker: the lane is given back at once.
        store.renew_lane(lane, Duration::ZERO).await?;
        return Ok(None);
    }
    Ok(Some(Batch { messages, progress: Progress::Lane { lane, done } }))
}

async fn fetch(rows: &Rows, queued: Queued) -> (rows::BodyRef, Result<Vec<u8>, SpoolError>) {
    let Queued { tenant, id: message, parts, size, sha256, body: inline, .. } = queued;
    let body = rows::BodyRef { tenant, message, parts, size, sha256 };
    let bytes = match inline {
        Some(stored) => rows.open_body(stored, &body).await,
        None => rows.read_body(&body).await,
    };
    (body, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_as_often_as_it_has_views_but_its_text_is_bounded() {
        let text = 2 * view::STORED_TEXT as u64;
        let taken = |size: u64, views: usize| {
            let mut fits = fits();
            std::iter::repeat_with(|| fits(size, views)).take(1_000_000).take_while(|fits| *fits).count() as u64
        };
        assert_eq!(taken(text, 4), BATCH_OCTETS.div_ceil(4 * text));
        assert_eq!(taken(100 * text, 1), BATCH_OCTETS.div_ceil(100 * text), "the bytes themselves are held");
        assert_eq!(taken(u64::MAX, 1), 1, "one always comes");
    }
}
