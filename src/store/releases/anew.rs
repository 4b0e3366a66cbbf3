//! A release for another route: what was let out by one way goes on by another under a release and a receipt of its own.

use serde_json::json;

use super::{ClaimedRelease, hold_on, is_open};
use crate::governance::audit::Who;
use crate::governance::receipt::Unsigned;
use crate::ids::{ReleaseId, WorkerId};
use crate::store::audit::{NewEntry, append};
use crate::store::drafts::lock_draft;
use crate::store::receipts::add_receipt;
use crate::store::sql::query;
use crate::store::{StoreError, TenantStore};

impl TenantStore {
    /// Ends a release that the gate has just readmitted, and stores one of the same content for the route that `receipt`
    /// says. All recipients go over as they are, with what this worker holds; whoever waited for the former release is given
    /// up there. `None` where another worker is at work for one of them by the former route.
    ///
    /// Since when it counts for limits and tries stays, and so does its end: nothing is tried for longer by it.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when this worker holds none of its recipients any more; [`StoreError::Conflict`] when the
    /// release is over. [`StoreError::NotFound`].
    pub async fn release_anew(
        &self,
        worker: WorkerId,
        claimed: &ClaimedRelease,
        id: ReleaseId,
        receipt: Unsigned,
    ) -> Result<Option<ClaimedRelease>, StoreError> {
        const OTHERS: &str = "SELECT position FROM transmissions WHERE tenant_id = $1 AND release_id = $2 \
AND state = 'in_flight' AND lease_owner <> $3 LIMIT 1";
        const RELEASE: &str = "\
INSERT INTO releases (tenant_id, release_id, draft_id, version, mailbox_id, content_hash, evidence, policy_version, owner,
    released_at, expires_at, agent_id, similarity, newcomers, route)
SELECT tenant_id, $3, draft_id, version, mailbox_id, content_hash, evidence, $4, owner,
    released_at, expires_at, agent_id, similarity, newcomers, $5
FROM releases WHERE tenant_id = $1 AND release_id = $2";
        const CARRY: &str = "\
INSERT INTO transmissions (tenant_id, release_id, position, recipient, state, attempts, next_attempt_at, lease_owner,
    lease_until, eod_started_at, host, reply, finished_at, returned_by)
SELECT tenant_id, $3, position, recipient, state, attempts, next_attempt_at, lease_owner,
    lease_until, eod_started_at, host, reply, finished_at, returned_by
FROM transmissions WHERE tenant_id = $1 AND release_id = $2";
        const LEAVE: &str = "\
UPDATE transmissions SET state = 'rejected', finished_at = $3, reply = $4, lease_owner = NULL, lease_until = NULL
WHERE tenant_id = $1 AND release_id = $2 AND state IN ('pending', 'in_flight', 'deferred')";
        const END: &str = "UPDATE releases SET ended_at = $3 WHERE tenant_id = $1 AND release_id = $2";
        let (tenant, claimed, now) = (self.tenant, claimed.clone(), self.store.clock.now());
        // The tenant first, as every step does: a report that comes meanwhile is noted under one of the two.
        self.store
            .write_step(tenant, move |connection| {
                Box::pin(async move {
                    lock_draft(connection, tenant, claimed.draft).await?;
                    if !is_open(connection, tenant, claimed.release).await? {
                        return Err(StoreError::Conflict("the release is over"));
                    }
                    hold_on(connection, tenant, (worker, claimed.release), now).await?;
                    let former = claimed.release.to_string();
                    let of_former = |sql| query(sql).bind(tenant.to_string()).bind(&former);
                    let others = of_former(OTHERS).bind(worker.to_string());
                    if others.fetch_optional(&mut *connection).await?.is_some() {
                        return Ok(None);
                    }
                    let (policy, route) = (receipt.receipt.policy_version.clone(), receipt.receipt.route.clone());
                    let (hash, recipients) = (receipt.receipt.content_hash.clone(), receipt.receipt.recipients);
                    // A draft has one release at a time.
                    of_former(END).bind(now.as_micros()).execute(&mut *connection).await?;
                    let release = of_former(RELEASE).bind(id.to_string()).bind(&policy).bind(&route);
                    release.execute(&mut *connection).await?;
                    of_former(CARRY).bind(id.to_string()).execute(&mut *connection).await?;
                    let leave = of_former(LEAVE).bind(now.as_micros()).bind(format!("goes on as {id}, by another route"));
                    leave.execute(&mut *connection).await?;
                    let receipt = add_receipt(connection, tenant, id, receipt).await?;
                    let detail = json!({ "release": id, "former": claimed.release, "contentHash": hash, "policy": policy,
                        "route": route, "recipients": recipients, "receipt": receipt });
                    let entry = NewEntry::new(Who::Gateway, "release.rerouted", claimed.draft, detail);
                    append(connection, tenant, now, vec![entry]).await?;
                    Ok(Some(ClaimedRelease { release: id, ..claimed }))
                })
            })
            .await
    }
}
