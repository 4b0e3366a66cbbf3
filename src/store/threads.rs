//! Conversations of mail that gives no id, and what a report is about.

use std::collections::{BTreeMap, BTreeSet};

use super::sql::{Connection, query};
use super::{StoreError, TenantStore, from_id, rows};
use crate::clock::Timestamp;
use crate::ids::{EventId, MessageId, ThreadId};

impl TenantStore {
    /// The conversations of a mailbox or route that were written under one of these keys of subject and people between two
    /// moments. More than one means that it cannot be told which; no more than needed for that are given.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn threads_by_subject(
        &self,
        scope: &str,
        subjects: &[[u8; 32]],
        between: (Timestamp, Timestamp),
    ) -> Result<BTreeSet<ThreadId>, StoreError> {
        const FIND: &str = "SELECT thread_id FROM thread_subjects WHERE tenant_id = $1 AND scope = $2 AND subject = $3 \
AND seen_at BETWEEN $4 AND $5 ORDER BY thread_id LIMIT 2";
        let mut found = BTreeSet::new();
        for subject in subjects {
            let find = query(FIND)
                .bind(self.tenant.to_string())
                .bind(scope)
                .bind(subject.as_slice())
                .bind(between.0.as_micros())
                .bind(between.1.as_micros());
            for row in find.fetch_all(&self.store.readers).await? {
                found.insert(from_id("thread_id", row.try_get(0)?)?);
            }
            if found.len() > 1 {
                break;
            }
        }
        Ok(found)
    }

    /// The first event of mail with this Message-ID, in any mailbox or route of the tenant, and our id of the message.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn event_of_mail(&self, message_id: &str) -> Result<Option<(EventId, MessageId)>, StoreError> {
        const FIND: &str = "SELECT event_id, message_id FROM events WHERE tenant_id = $1 AND source_event_id = $2 \
AND message_id IS NOT NULL ORDER BY cursor LIMIT 1";
        let find = query(FIND).bind(self.tenant.to_string()).bind(message_id);
        let Some(row) = find.fetch_optional(&self.store.readers).await? else { return Ok(None) };
        Ok(Some((from_id("event_id", row.try_get(0)?)?, from_id("message_id", row.try_get(1)?)?)))
    }
}

/// A Message-ID's digest: tenant, scope, reference and thread.
pub(super) type ReferenceName = (String, String, [u8; 32], String);

/// Registers Message-IDs, as SHA-256, by which later messages find a conversation.
pub(super) async fn insert_references(
    connection: &mut Connection,
    references: &[ReferenceName],
) -> Result<(), StoreError> {
    const REFERENCES: &str = "INSERT INTO thread_references (tenant_id, scope, reference, thread_id) ";
    const KNOWN: &str = "ON CONFLICT DO NOTHING";
    rows::insert_unless(connection, REFERENCES, KNOWN, references, |row, (tenant, scope, reference, thread)| {
        row.push_bind(tenant.as_str())
            .push_bind(scope.as_str())
            .push_bind(reference.as_slice())
            .push_bind(thread.as_str());
    })
    .await?;
    Ok(())
}

/// A key of subject and people: tenant, scope, key and thread.
pub(super) type SubjectName = (String, String, [u8; 32], String);

/// Registers keys of subject and people with when they were last written so.
pub(super) async fn insert_subjects(
    connection: &mut Connection,
    subjects: &BTreeMap<SubjectName, i64>,
) -> Result<(), StoreError> {
    const SUBJECTS: &str = "INSERT INTO thread_subjects (tenant_id, scope, subject, thread_id, seen_at) ";
    const NEWER: &str = "ON CONFLICT (tenant_id, scope, subject, thread_id) DO UPDATE SET seen_at = excluded.seen_at \
WHERE excluded.seen_at > thread_subjects.seen_at";
    let subjects: Vec<(&SubjectName, i64)> = subjects.iter().map(|(name, seen_at)| (name, *seen_at)).collect();
    rows::insert_unless(connection, SUBJECTS, NEWER, &subjects, |row, ((tenant, scope, subject, thread), seen_at)| {
        row.push_bind(tenant.as_str())
            .push_bind(scope.as_str())
            .push_bind(subject.as_slice())
            .push_bind(thread.as_str())
            .push_bind(*seen_at);
    })
    .await?;
    Ok(())
}
