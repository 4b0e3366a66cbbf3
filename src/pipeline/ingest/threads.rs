//! Which conversation a message belongs to: by ids, by tokens of our own, by Outlook's index, by subject, in this order.
//!
//! Conversations are kept apart by mailbox and route, and nothing joins them across.

use std::collections::{BTreeSet, HashMap};

use ring::digest::{SHA256, digest};

use super::Ingest;
use crate::clock::Timestamp;
use crate::event::{About, CanonicalEvent};
use crate::ids::{TenantId, ThreadId};
use crate::mail::address::{Domain, Mailbox};
use crate::mail::copy;
use crate::mail::envelope::{ForwardPath, Manifest, Recipient};
use crate::mail::message::Message;
use crate::mail::notice::{self, Automated};
use crate::mail::thread::{self, Method, SUBJECT_WINDOW, Threading};
use crate::store::StoreError;
use crate::store::events::NewThreadPlace;

/// Scope, and what is looked for in it.
type Key = (String, [u8; 32]);

/// Conversations that were begun in the batch at hand: the store does not know them yet.
#[derive(Default)]
pub(super) struct NewThreads {
    references: HashMap<Key, ThreadId>,
    subjects: HashMap<Key, Vec<(ThreadId, Timestamp)>>,
}

/// A message of which the conversation is wanted.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) recipient: Recipient,
    pub(super) scope: &'a str,
    pub(super) message: &'a Message,
    /// The message that was handed over, where that is another.
    pub(super) outer: &'a Message,
    pub(super) manifest: &'a Manifest,
    pub(super) owned_domains: &'a [Domain],
}

/// Where a message belongs.
pub(super) struct Placed {
    pub(super) threading: Threading,
    pub(super) place: NewThreadPlace,
}

/// Ancestors that are remembered as being answered, so that they find their answer when they come after it.
const ANSWERED: usize = 10;
/// Microseconds on each side of a message in which only its subject finds others.
const WINDOW: i64 = SUBJECT_WINDOW.as_micros() as i64;

impl Ingest {
    /// The conversation of a message, and by what later messages find it.
    pub(super) async fn thread(&self, asked: Asked<'_>, threads: &mut NewThreads) -> Result<Placed, StoreError> {
        let Asked { recipient, scope, message, manifest, .. } = asked;
        let tenant = recipient.tenant();
        let automated = notice::automated(asked.outer, manifest.has_null_reverse_path());
        let about = automated.as_ref().and_then(Automated::original_message_id);
        // A route's peer may have been judged anew meanwhile.
        let reached = |path: &&ForwardPath| match (path.recipient, recipient) {
            (Recipient::Route { route, .. }, Recipient::Route { route: own, .. }) => route == own,
            (path, own) => path == own,
        };
        let paths: Vec<&Mailbox> =
            manifest.envelope.forward_paths.iter().filter(reached).map(|path| &path.mailbox).collect();
        let keys = thread::keys(message, about, |mailbox| {
            copy::is_owned(mailbox.domain(), asked.owned_domains)
                || paths.iter().any(|path| path.key_without_detail() == mailbox.key_without_detail())
        });
        let written = message.date.map_or(manifest.received_at, |date| date.min(manifest.received_at));
        let answers: Vec<[u8; 32]> = keys.answers.iter().map(|id| reference(id)).collect();
        // Not the id itself: some programs give every message the same one.
        let own_answered = message.message_id.as_deref().map(answered);
        let known = 'found: {
            let by_id: Vec<[u8; 32]> = answers.iter().copied().chain(own_answered).collect();
            if let Some(thread) = self.by_reference(tenant, scope, &by_id, threads).await? {
                break 'found Some((thread, Method::References));
            }
            if let Recipient::Mailbox { .. } = recipient {
                let ids = keys.answers.iter().map(String::as_str);
                let addresses = message.to.iter().chain(&message.cc).map(|one| one.address.as_str());
                let reached = paths.iter().filter_map(|path| path.split_detail().1);
                if let Some(thread) = self.tokens.thread(tenant, scope, ids.chain(reached).chain(addresses)) {
                    break 'found Some((thread, Method::ReplyToken));
                }
            }
            if let Some(thread) = self.by_reference(tenant, scope, &keys.outlook, threads).await? {
                break 'found Some((thread, Method::ThreadIndex));
            }
            if keys.may_join_by_subject
                && let Some(thread) = self.by_subject(tenant, scope, &keys.subjects, written, threads).await?
            {
                break 'found Some((thread, Method::Subject));
            }
            None
        };
        let (thread, method) = known.unwrap_or_else(|| (self.store.clock().mint(), Method::New));
        let mut references = answers;
        references.extend(message.message_id.as_deref().map(reference));
        references.extend(keys.answers.iter().take(ANSWERED).map(|id| answered(id)));
        references.extend(keys.outlook);
        for hash in &references {
            threads.references.entry((scope.to_owned(), *hash)).or_insert(thread);
        }
        for subject in &keys.subjects {
            threads.subjects.entry((scope.to_owned(), *subject)).or_default().push((thread, written));
        }
        let reply_token = match recipient {
            Recipient::Mailbox { .. } => Some(self.tokens.token(tenant, scope, thread)),
            Recipient::Route { .. } => None,
        };
        let subjects = keys.subjects.into_iter().map(|subject| (subject, written)).collect();
        let place = NewThreadPlace { thread_id: thread, references, subjects };
        Ok(Placed { threading: Threading { method, reply_token }, place })
    }

    async fn by_reference(
        &self,
        tenant: TenantId,
        scope: &str,
        references: &[[u8; 32]],
        threads: &NewThreads,
    ) -> Result<Option<ThreadId>, StoreError> {
        let begun_now = |hash: &[u8; 32]| threads.references.get(&(scope.to_owned(), *hash)).copied();
        match references.iter().find_map(begun_now) {
            Some(thread) => Ok(Some(thread)),
            None => self.store.for_tenant(tenant).thread_of(scope, references).await,
        }
    }

    /// The one conversation of this subject; where there are several, none.
    async fn by_subject(
        &self,
        tenant: TenantId,
        scope: &str,
        subjects: &[[u8; 32]],
        written: Timestamp,
        threads: &NewThreads,
    ) -> Result<Option<ThreadId>, StoreError> {
        let between = (
            Timestamp::from_micros(written.as_micros().saturating_sub(WINDOW)),
            Timestamp::from_micros(written.as_micros().saturating_add(WINDOW)),
        );
        let mut found = self.store.for_tenant(tenant).threads_by_subject(scope, subjects, between).await?;
        let begun_now = subjects.iter().filter_map(|subject| threads.subjects.get(&(scope.to_owned(), *subject)));
        let is_near = |(_, seen_at): &&(ThreadId, Timestamp)| *seen_at >= between.0 && *seen_at <= between.1;
        let begun_now: BTreeSet<ThreadId> = begun_now.flatten().filter(is_near).map(|(thread, _)| *thread).collect();
        found.extend(begun_now);
        Ok(if found.len() == 1 { found.pop_first() } else { None })
    }

    /// The message that a report is about, where it is known: what was sent may have come by any route of the tenant.
    pub(super) async fn about(&self, event: &CanonicalEvent) -> Result<Option<About>, StoreError> {
        let Some(id) = event.automated.as_ref().and_then(Automated::original_message_id) else { return Ok(None) };
        let found = self.store.for_tenant(event.tenant).event_of_mail(id).await?;
        Ok(found.map(|(event_id, message_id)| About { event_id, message_id }))
    }
}

fn reference(id: &str) -> [u8; 32] {
    let mut hash = [0u8; 32];
    hash.copy_from_slice(digest(&SHA256, id.as_bytes()).as_ref());
    hash
}

/// Under what an id is remembered that a message answers.
fn answered(id: &str) -> [u8; 32] {
    reference(&format!("answered {id}"))
}
