//! What the gate said and what it was told, kept for a while so that it can be asked again by another policy. It is no evidence:
//! that is the audit log.

use std::time::Duration;

use super::sql::{Row, query};
use super::{StoreError, TenantStore, from_id, from_json, to_json};
use crate::clock::Timestamp;
use crate::ids::DraftId;

/// On which occasion the gate was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Somebody asked for release, or said yes.
    Request,
    /// It was about to be sent.
    Sending,
}

impl Occasion {
    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Sending => "sending",
        }
    }
}

/// What the gate said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictRow {
    /// When.
    pub at: Timestamp,
    /// About which draft.
    pub draft: DraftId,
    /// In which version.
    pub version: u32,
    /// On which occasion, in a word.
    pub occasion: String,
    /// What it ruled, in a word.
    pub ruling: String,
    /// The rules that applied.
    pub codes: Vec<String>,
    /// By which version of the policy.
    pub policy_version: String,
    /// What was known, as JSON; `None` where it was too much.
    pub ground: Option<String>,
}

/// How long they are kept.
pub const KEPT: Duration = Duration::from_hours(90 * 24);
/// Octets of what was known that are kept at most.
pub const LARGEST: usize = 64 * 1024;

impl TenantStore {
    /// Keeps a verdict for a while, and forgets those that were kept long enough.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn keep_verdict(&self, row: VerdictRow) -> Result<(), StoreError> {
        const ADD: &str =
            "INSERT INTO verdicts (tenant_id, at, draft_id, version, occasion, ruling, codes, policy_version, ground)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
        const FORGET: &str = "DELETE FROM verdicts WHERE tenant_id = $1 AND at < $2";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let id = tenant.to_string();
                    let add = query(ADD)
                        .bind(&id)
                        .bind(row.at.as_micros())
                        .bind(row.draft.to_string())
                        .bind(i64::from(row.version))
                        .bind(&row.occasion)
                        .bind(&row.ruling)
                        .bind(to_json("codes", &row.codes)?)
                        .bind(&row.policy_version)
                        .bind(row.ground.filter(|ground| ground.len() <= LARGEST));
                    add.execute(&mut *connection).await?;
                    let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
                    let before = now.as_micros().saturating_sub(kept);
                    query(FORGET).bind(&id).bind(before).execute(connection).await?;
                    Ok(())
                })
            })
            .await
    }

    /// Verdicts behind the moment `after`, in their order; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn verdicts_after(
        &self,
        (at, draft): (Timestamp, &str),
        limit: u32,
    ) -> Result<Vec<VerdictRow>, StoreError> {
        const LIST: &str = "\
SELECT at, draft_id, version, occasion, ruling, codes, policy_version, ground FROM verdicts
WHERE tenant_id = $1 AND (at > $2 OR (at = $2 AND draft_id > $3)) ORDER BY at, draft_id LIMIT $4";
        let list = query(LIST).bind(self.tenant.to_string()).bind(at.as_micros()).bind(draft).bind(i64::from(limit));
        list.fetch_all(&self.store.readers).await?.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<VerdictRow, StoreError> {
    Ok(VerdictRow {
        at: Timestamp::from_micros(row.try_get(0)?),
        draft: from_id("draft_id", row.try_get(1)?)?,
        version: u32::try_from(row.try_get::<i64>(2)?).unwrap_or(0),
        occasion: row.try_get(3)?,
        ruling: row.try_get(4)?,
        codes: from_json("codes", row.try_get(5)?)?,
        policy_version: row.try_get(6)?,
        ground: row.try_get(7)?,
    })
}
