//! From the spool to events: reads what was accepted, and records event, decision, operations and deliveries.
//!
//! Follows the spool in order. Every batch moves the spool's own place on in the same transaction that records its events:
//! a crash before it leads to the batch being read again, a crash after it does not. A message that cannot be processed is
//! recorded as poisoned and never stops those behind it; trouble of the database or disk stops all until it is over.

mod again;
mod authenticity;
mod directory;
mod marked;
mod source;
mod threads;
mod view;
pub mod waiting;
mod words;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::decide::Engine;
use crate::dns::Resolver;
use crate::mail::address::Domain;
use crate::mail::authentication::{Authentication, Trace};
use crate::mail::envelope::{Manifest, TransferDefect};
use crate::mail::message;
use crate::mail::reading::{self, Opened};
use crate::mail::reply_token::ReplyTokens;
use crate::mailauth::Authenticator;
use crate::seal::InstanceKey;
use crate::spool::{Committed, Spool, SpoolError, StoredMessage};
use crate::store::ingest::{Kept, NewCopy, NewMessage, Progress};
use crate::store::watch::Alarm;
use crate::store::{Store, StoreError};

use super::recipients::ranges::Ranges;
use again::Again;
use directory::Directory;
use source::{Batch, Fetched, Source};
use threads::NewThreads;
use waiting::Waiting;

/// Octets of bodies, and of the events that they become, in one batch: large mail and many recipients must not add up.
const BATCH_OCTETS: u64 = 16 * 1024 * 1024;
/// Wait after trouble of the database or disk.
const PAUSE: Duration = Duration::from_millis(500);

/// Why a batch was not recorded; it is tried again.
#[derive(Debug, thiserror::Error)]
enum IngestError {
    #[error("the spool cannot be read: {0}")]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("reading was interrupted")]
    Interrupted,
}

/// The worker that turns accepted messages into events.
#[derive(Debug, Clone)]
pub struct Ingest {
    store: Store,
    source: Source,
    committed: Committed,
    spool: Spool,
    engine: Arc<Engine>,
    directory: Directory,
    tokens: Arc<ReplyTokens>,
    authenticator: Option<Authenticator>,
    ranges: Ranges,
    settings: IngestSettings,
    waiting: Waiting,
    /// So many messages are recorded one by one, since a batch among them was refused.
    alone: usize,
}

/// How the worker reads.
#[derive(Debug, Clone)]
pub struct IngestSettings {
    /// Messages of one batch at most.
    pub batch: usize,
    /// How often the spool is looked at without a hint.
    pub poll: Duration,
    /// How long a lane of a shared spool belongs to a worker that does not renew its lease.
    pub lease: Duration,
    /// Bounds of reading one message.
    pub limits: message::Limits,
    /// The name of this gateway in trace fields.
    pub hostname: String,
    /// All its names, by which a message that goes in a circle is known.
    pub own_hosts: Vec<Domain>,
    /// Where this gateway is reached, without a slash at the end.
    pub public_url: String,
}

/// A batch that was read and decided on.
struct Prepared {
    messages: Vec<NewMessage>,
    first: Option<StoredMessage>,
    threads: NewThreads,
}

impl Ingest {
    /// A worker for what `spool` holds.
    #[must_use]
    pub fn new(
        store: Store,
        spool: &Spool,
        engine: Arc<Engine>,
        key: Arc<InstanceKey>,
        settings: IngestSettings,
    ) -> Self {
        let tokens = Arc::new(ReplyTokens::new(key.reply_tokens()));
        let directory = Directory::new(store.clone(), key);
        let ranges = Ranges::new(store.clock().clone(), None);
        let source = Source::new(spool, &store, settings.lease);
        let committed = spool.committed();
        Self {
            store,
            source,
            committed,
            spool: spool.clone(),
            engine,
            directory,
            tokens,
            authenticator: None,
            ranges,
            settings,
            waiting: Waiting::default(),
            alone: 0,
        }
    }

    /// The same, telling `waiting` what it cannot get past.
    #[must_use]
    pub fn telling(self, waiting: Waiting) -> Self {
        Self { waiting, ..self }
    }

    /// The same, finding out who really sent each message.
    #[must_use]
    pub fn authenticating(self, authenticator: Authenticator) -> Self {
        Self { authenticator: Some(authenticator), ..self }
    }

    /// The same, looking up the networks of providers.
    #[must_use]
    pub fn resolving(self, resolver: Resolver) -> Self {
        Self { ranges: Ranges::new(self.store.clock().clone(), Some(resolver)), ..self }
    }

    /// Works until `stop`; a batch that was begun is finished.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.committed.mark_seen();
            match self.step().await {
                Ok(true) => {}
                Ok(false) if self.decide_held().await => {}
                Ok(false) => tokio::select! {
                    () = self.committed.more() => {}
                    () = tokio::time::sleep(self.settings.poll) => {}
                    () = stop.cancelled() => {}
                },
                Err(IngestError::Store(StoreError::LeaseLost)) => {
                    tracing::info!("Another node reads a lane that this one was too slow with");
                }
                Err(error) => {
                    if let Some(lane) = self.source.lane() {
                        self.waiting.hold(lane, self.store.clock().now(), error.to_string());
                    }
                    // A commit whose answer was lost may have happened: the store knows.
                    self.source.forget();
                    tracing::error!(
                        error.kind = "ingest",
                        temporary = true,
                        "Accepted mail waits in the spool: {error}"
                    );
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        () = stop.cancelled() => {}
                    }
                }
            }
        }
    }

    /// One batch: whether there was anything.
    async fn step(&mut self) -> Result<bool, IngestError> {
        let is_alone = self.alone > 0;
        let Some(batch) = self.source.next(if is_alone { 1 } else { self.settings.batch }).await? else {
            return Ok(false);
        };
        let count = batch.messages.len();
        let Batch { messages, progress } = batch;
        // What takes long is done before the transaction that records it, which needs no renewal: it holds the lane's row.
        let prepared = self.source.holding(&progress, self.prepare(messages)).await?;
        match self.record(prepared, progress.clone()).await {
            // Something in this batch can never be recorded: find it, and let the others pass.
            Err(IngestError::Store(error)) if !error.is_temporary() && !is_alone => {
                tracing::warn!(error.kind = "ingest", "A batch cannot be recorded together: {error}");
                self.alone = count;
                return Ok(true);
            }
            recorded => recorded?,
        }
        self.alone = self.alone.saturating_sub(1);
        self.source.recorded(&progress);
        if let Some(lane) = self.source.lane() {
            self.waiting.release(lane);
        }
        metrics::counter!("connex_messages_ingested_total").increment(u64::try_from(count).unwrap_or(0));
        Ok(true)
    }

    /// Reads the messages of a batch and decides on them.
    async fn prepare(&self, messages: Vec<Fetched>) -> Result<Prepared, IngestError> {
        let limits = self.settings.limits;
        let reading = tokio::task::spawn_blocking(move || {
            messages.into_iter().map(|fetched| parse(fetched, &limits)).collect::<Result<Vec<_>, _>>()
        });
        let mut prepared = Prepared { messages: Vec::new(), first: None, threads: NewThreads::default() };
        let read = reading.await.map_err(|_| IngestError::Interrupted)??;
        // All at once: a batch takes as long as its slowest message, and at most the budget of one.
        let found = join_all(read.iter().map(|read| self.authenticate(read))).await;
        for (read, authentication) in read.into_iter().zip(found) {
            prepared.first.get_or_insert_with(|| read.stored.clone());
            let message = self.message_or_poisoned(read, authentication, None, &mut prepared.threads).await?;
            prepared.messages.push(message);
            // A large batch must not keep a lease from being renewed.
            tokio::task::yield_now().await;
        }
        Ok(prepared)
    }

    fn trace(&self, manifest: &Manifest, authentication: &Authentication) -> Result<String, StoreError> {
        let trace = Trace::of(manifest, &self.settings.hostname, authentication);
        serde_json::to_string(&TraceRow { trace, authentication }).map_err(|error| unwritable("trace", &error))
    }

    async fn authenticate(&self, read: &Read) -> Authentication {
        match (&self.authenticator, read.outer()) {
            (Some(authenticator), Some(message)) => {
                let manifest = &read.stored.manifest;
                let check = |(bytes, message)| authenticator.check_original(bytes, message, manifest);
                let originals = join_all(read.originals().map(check));
                let outer = authenticator.check(&read.bytes, message, manifest);
                let (outer, originals) = futures_util::join!(outer, originals);
                let mut originals = originals.into_iter();
                let original = originals.next().unwrap_or_default();
                Authentication { original, other_originals: originals.collect(), ..outer }
            }
            _ => Authentication::default(),
        }
    }

    /// Records a batch; one message alone that cannot be recorded is kept as poisoned.
    async fn record(&self, prepared: Prepared, progress: Progress) -> Result<(), IngestError> {
        let Prepared { messages, first, mut threads } = prepared;
        let is_alone = messages.len() == 1;
        let recorded = match self.store.record_mail(messages, progress.clone()).await {
            Err(error) if is_alone && !error.is_temporary() => {
                let Some(stored) = first else { return Err(error.into()) };
                tracing::error!(message.id = %stored.manifest.id, error.kind = "ingest", "Message `{}` cannot be recorded: {error}", stored.manifest.id);
                let poisoned = Read::kept(stored, Kept::Poisoned("not_recordable"));
                let poisoned = self.message(poisoned, Authentication::default(), None, &mut threads).await?;
                match self.store.record_mail(vec![poisoned], progress.clone()).await {
                    // Not even that.
                    Err(error) if !error.is_temporary() => self.source.step_over(progress).await.map(|()| 0)?,
                    recorded => recorded?,
                }
            }
            recorded => recorded?,
        };
        metrics::counter!("connex_events_recorded_total").increment(u64::try_from(recorded).unwrap_or(0));
        Ok(())
    }

    /// As [`Ingest::message`]; what cannot be decided on, by a row that cannot be read or by a fault of ours, is poisoned.
    async fn message_or_poisoned(
        &self,
        read: Read,
        authentication: Authentication,
        again: Option<&Again>,
        threads: &mut NewThreads,
    ) -> Result<NewMessage, IngestError> {
        let stored = read.stored.clone();
        match guarded(self.message(read, authentication.clone(), again, threads)).await {
            Ok(Err(IngestError::Store(error))) if !error.is_temporary() => {
                tracing::error!(message.id = %stored.manifest.id, error.kind = "ingest", "Message `{}` cannot be decided on: {error}", stored.manifest.id);
            }
            Ok(made) => return made,
            Err(Panicked) => {
                metrics::counter!("connex_task_panics_total", "task" => "decide").increment(1);
                tracing::error!(message.id = %stored.manifest.id, error.kind = "panic", "Message `{}` cannot be decided on", stored.manifest.id);
            }
        }
        self.message(Read::kept(stored, Kept::Poisoned("not_decidable")), authentication, again, threads).await
    }

    async fn message(
        &self,
        read: Read,
        authentication: Authentication,
        again: Option<&Again>,
        threads: &mut NewThreads,
    ) -> Result<NewMessage, IngestError> {
        let Read { stored, opened: read, .. } = read;
        let manifest = &stored.manifest;
        let mut message = NewMessage {
            // Every door accepts for at least one recipient; mail without one would be the operator's to look at.
            tenant: manifest.tenant().unwrap_or(crate::ids::OPERATOR),
            id: manifest.id,
            received_at: manifest.received_at,
            size: stored.body.size(),
            manifest: serde_json::to_string(manifest).map_err(|error| unwritable("manifest", &error))?,
            body: serde_json::to_string(&stored.body).map_err(|error| unwritable("body", &error))?,
            trace: Some(self.trace(manifest, &authentication)?),
            kept: None,
            views: Vec::new(),
            copies: Vec::new(),
        };
        match read {
            Err(kept) => {
                message.copies = marked::copies(manifest, &kept);
                message.kept = Some(kept);
            }
            Ok(opened) => {
                let found = self.views(&stored, &opened, &authentication, again, threads).await?;
                (message.views, message.copies) = (found.views, found.copies);
                let mut held = found.held.into_iter();
                if message.views.is_empty() {
                    message.kept = held.next().map(|(_, reason)| reason);
                }
                for (scope, kept) in held.filter(|_| again.is_none()) {
                    tell_kept(&message, &kept, &format!(" for {scope}"));
                }
            }
        }
        // What is read again was counted when it came.
        if again.is_some() {
            return Ok(message);
        }
        if let Some(kept) = &message.kept {
            tell_kept(&message, kept, "");
        }
        message.copies.iter().for_each(|copy| tell_alarm(&message, copy));
        Ok(message)
    }
}

/// Counts and logs a message that makes no event. What an operator excluded is no trouble, and may be most of the mail.
fn tell_kept(message: &NewMessage, kept: &Kept, whose: &str) {
    let ((state, reason), id) = (kept.words(), message.id);
    metrics::counter!("connex_messages_kept_total", "state" => state, "reason" => reason).increment(1);
    if matches!(kept, Kept::Excluded(_)) {
        tracing::debug!(message.id = %id, tenant.id = %message.tenant, "Message `{id}` is {state}{whose}: {reason}");
    } else {
        tracing::warn!(message.id = %id, tenant.id = %message.tenant, "Message `{id}` is {state}{whose}: {reason}");
    }
}

/// Counts and logs what somebody should look at; the row is raised with the message's own.
fn tell_alarm(message: &NewMessage, copy: &NewCopy) {
    let Some(alarm) = copy.alarm else { return };
    let (route, id) = (copy.route, message.id);
    metrics::counter!("connex_route_alarms_total", "alarm" => alarm.as_str()).increment(1);
    let what = match alarm {
        Alarm::JournalLost => {
            "it tells of a journal report that could not be delivered and did not come back: a copy is lost"
        }
        Alarm::ForwardConfirmation => {
            "a mail provider asks whether it may forward to the route: read the message, and follow its link or copy its code"
        }
        _ => "it grew over what the route takes, and is lost: its envelope and first octets are what there is of it",
    };
    tracing::warn!(message.id = %id, route.id = %route, tenant.id = %message.tenant, error.kind = alarm.as_str(), "Message `{id}` for route `{route}`: {what}");
}

/// What is kept beside the bytes in place of header fields.
#[derive(serde::Serialize)]
struct TraceRow<'a> {
    #[serde(flatten)]
    trace: Trace,
    authentication: &'a Authentication,
}

/// The work panicked; the panic hook has said where.
#[derive(Debug, PartialEq, Eq)]
struct Panicked;

/// Keeps a panic of one message from ending the worker: it would be met again at every start.
async fn guarded<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| Panicked)
}

fn unwritable(what: &'static str, error: &serde_json::Error) -> StoreError {
    StoreError::Unreadable { what, detail: error.to_string() }
}

/// A message of the spool, and what its bytes say or why they cannot be read.
struct Read {
    stored: StoredMessage,
    /// Empty where they cannot be had.
    bytes: Vec<u8>,
    /// As each kind of its recipients reads it, and of a forward of several each of them.
    opened: Result<Vec<Opened>, Kept>,
}

impl Read {
    const fn kept(stored: StoredMessage, why: Kept) -> Self {
        Self { stored, bytes: Vec::new(), opened: Err(why) }
    }

    /// The exact bytes of each message that was inside, and what they say: of whatever reader unwraps first.
    fn originals(&self) -> impl Iterator<Item = (&[u8], &message::Message)> {
        let opened = self.opened.as_deref().unwrap_or_default();
        let reader = opened.iter().find(|opened| opened.is_unwrapped()).map(Opened::reader);
        let of_it = opened.iter().filter(move |opened| Some(opened.reader()) == reader);
        of_it.filter_map(|opened| opened.original(&self.bytes))
    }

    /// The message as it was handed over.
    fn outer(&self) -> Option<&message::Message> {
        self.opened.as_ref().ok()?.first().map(Opened::outer)
    }
}

/// Reads one message. Only trouble that is not the message's own is an error.
fn parse((stored, bytes): Fetched, limits: &message::Limits) -> Result<Read, SpoolError> {
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(SpoolError::Damaged { .. } | SpoolError::Altered) => {
            return Ok(Read::kept(stored, Kept::Poisoned("body_damaged")));
        }
        Err(SpoolError::Erased) => return Ok(Read::kept(stored, Kept::Held("erased"))),
        Err(error) => return Err(error),
    };
    if stored.manifest.defects.contains(&TransferDefect::OverSize) {
        return Ok(Read::kept(stored, Kept::Held("too_large")));
    }
    // The reader does not panic; should it, the message is kept and those behind it go on.
    let opened = std::panic::catch_unwind(AssertUnwindSafe(|| reading::open_all(&stored.manifest, &bytes, limits)))
        .map_err(|_| Kept::Poisoned("reader_failed"));
    Ok(Read { stored, bytes, opened })
}

#[cfg(test)]
mod tests;
