//! The `Idempotency-Key` of a call: its stored answer, for a day, per tenant and principal, in the effect's transaction.

use std::time::Duration;

use super::StoreError;
use super::sql::{Connection, query};
use crate::clock::Timestamp;
use crate::ids::TenantId;

/// One call under an idempotency key.
#[derive(Debug, Clone)]
pub struct KeyedCall {
    /// Whose key it is: an API key's id.
    pub principal: String,
    /// The `Idempotency-Key`.
    pub key: String,
    /// SHA-256 over method, path and body.
    pub fingerprint: [u8; 32],
    /// The answer that this call would give, stored when it is the first.
    pub body: String,
}

/// What was known of a call's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once<T> {
    /// The call is the first: its effect was made.
    First(T),
    /// It was made before; this was the answer.
    Replayed(String),
    /// The key was used for another call.
    Reused,
    /// The first call has not ended.
    InProgress,
}

/// How long a key is kept.
const KEPT: Duration = Duration::from_secs(86_400);

/// Takes the key for a call; `First` when the caller is to make the effect in the same transaction.
pub(super) async fn claim(
    connection: &mut Connection,
    tenant: TenantId,
    call: &KeyedCall,
    now: Timestamp,
) -> Result<Once<()>, StoreError> {
    const FORGET: &str = "DELETE FROM idempotency_keys WHERE tenant_id = $1 AND created_at < $2";
    // Taken first and asked second: of two calls at the same moment, on whichever nodes, one waits for the other here.
    const TAKE: &str = "\
INSERT INTO idempotency_keys (tenant_id, principal, idempotency_key, fingerprint, status, body, created_at)
VALUES ($1, $2, $3, $4, 200, $5, $6) ON CONFLICT DO NOTHING";
    const FIND: &str = "\
SELECT fingerprint, status, body FROM idempotency_keys WHERE tenant_id = $1 AND principal = $2 AND idempotency_key = $3";
    let tenant = tenant.to_string();
    let oldest = now.as_micros().saturating_sub(i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX));
    query(FORGET).bind(&tenant).bind(oldest).execute(&mut *connection).await?;
    let take = query(TAKE)
        .bind(&tenant)
        .bind(&call.principal)
        .bind(&call.key)
        .bind(call.fingerprint.as_slice())
        .bind(&call.body)
        .bind(now.as_micros());
    if take.execute(&mut *connection).await? == 1 {
        return Ok(Once::First(()));
    }
    let find = query(FIND).bind(&tenant).bind(&call.principal).bind(&call.key);
    let row = find.fetch_one(connection).await?;
    if row.try_get::<Vec<u8>>(0)? != call.fingerprint {
        return Ok(Once::Reused);
    }
    Ok(match (row.try_get::<Option<i64>>(1)?, row.try_get::<Option<String>>(2)?) {
        (Some(_), Some(body)) => Once::Replayed(body),
        _ => Once::InProgress,
    })
}
