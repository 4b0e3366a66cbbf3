//! The `Idempotency-Key` of a call: its stored answer, for a day, per tenant and principal.
//!
//! Where the effect is rows, the key is taken in the effect's transaction (`claim`). Where it is not (mail goes to the
//! spool), the key is taken before, with the answer that will be given, and marked when the effect is durable: an attempt
//! that did not come so far leaves its answer to the next one, which makes the same effect under the same ids.

use std::time::Duration;

use super::sql::{Connection, query};
use super::{StoreError, TenantStore};
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
/// How long an attempt that was begun is waited for. Two at the same time do no harm: they make the same effect.
const LEASE: Duration = Duration::from_secs(30);

impl TenantStore {
    /// Takes the key for a call whose effect is outside of the database. [`Once::First`] has the answer that is to be given:
    /// the call's own, or that of an earlier attempt that did not end, whose effect may have been made.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begin_call(&self, call: KeyedCall) -> Result<Once<String>, StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store.write(move |connection| Box::pin(async move { begin(connection, tenant, call, now).await })).await
    }

    /// What is known of a call's key; [`Once::First`] where nothing is.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn known_call(&self, principal: &str, key: &str, fingerprint: [u8; 32]) -> Result<Once<()>, StoreError> {
        const FIND: &str = "SELECT fingerprint, status, body FROM idempotency_keys \
WHERE tenant_id = $1 AND principal = $2 AND idempotency_key = $3 AND created_at >= $4";
        let since = before(self.store.clock.now(), KEPT);
        let find = query(FIND).bind(self.tenant.to_string()).bind(principal).bind(key).bind(since);
        let Some(row) = find.fetch_optional(&self.store.readers).await? else { return Ok(Once::First(())) };
        if row.try_get::<Vec<u8>>(0)? != fingerprint {
            return Ok(Once::Reused);
        }
        Ok(match (row.try_get::<Option<i64>>(1)?, row.try_get::<Option<String>>(2)?) {
            (Some(_), Some(body)) => Once::Replayed(body),
            _ => Once::InProgress,
        })
    }

    /// Keeps the answer to a call whose effect is made, and makes no second one when it is asked for again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn keep_call(&self, call: KeyedCall) -> Result<Once<()>, StoreError> {
        let (tenant, now) = (self.tenant, self.store.clock.now());
        self.store.write(move |connection| Box::pin(async move { claim(connection, tenant, &call, now).await })).await
    }

    /// Marks that the effect of a call is durable: from now on its answer is repeated.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn end_call(&self, call: KeyedCall) -> Result<(), StoreError> {
        const END: &str = "UPDATE idempotency_keys SET status = 200 WHERE tenant_id = $1 AND principal = $2 \
AND idempotency_key = $3 AND fingerprint = $4 AND status IS NULL";
        self.change_call(END, call).await
    }

    /// Gives the key of a call back that made no effect, and makes none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn drop_call(&self, call: KeyedCall) -> Result<(), StoreError> {
        const DROP: &str = "DELETE FROM idempotency_keys WHERE tenant_id = $1 AND principal = $2 \
AND idempotency_key = $3 AND fingerprint = $4 AND status IS NULL";
        self.change_call(DROP, call).await
    }

    /// Lets the next attempt in at once, after one of which it is not known whether it made its effect.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn release_call(&self, call: KeyedCall) -> Result<(), StoreError> {
        const RELEASE: &str = "UPDATE idempotency_keys SET created_at = $5 WHERE tenant_id = $1 AND principal = $2 \
AND idempotency_key = $3 AND fingerprint = $4 AND status IS NULL";
        let ended = before(self.store.clock.now(), LEASE);
        let tenant = self.tenant.to_string();
        let KeyedCall { principal, key, fingerprint, .. } = call;
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let release = query(RELEASE).bind(tenant).bind(principal).bind(key).bind(fingerprint.as_slice());
                    Ok(release.bind(ended).execute(connection).await.map(|_| ())?)
                })
            })
            .await
    }

    async fn change_call(&self, sql: &'static str, call: KeyedCall) -> Result<(), StoreError> {
        let tenant = self.tenant.to_string();
        let KeyedCall { principal, key, fingerprint, .. } = call;
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let change = query(sql).bind(tenant).bind(principal).bind(key).bind(fingerprint.as_slice());
                    Ok(change.execute(connection).await.map(|_| ())?)
                })
            })
            .await
    }
}

async fn begin(
    connection: &mut Connection,
    tenant: TenantId,
    call: KeyedCall,
    now: Timestamp,
) -> Result<Once<String>, StoreError> {
    const TAKE: &str = "\
INSERT INTO idempotency_keys (tenant_id, principal, idempotency_key, fingerprint, status, body, created_at)
VALUES ($1, $2, $3, $4, NULL, $5, $6) ON CONFLICT DO NOTHING";
    const FIND: &str = "\
SELECT fingerprint, status, body FROM idempotency_keys WHERE tenant_id = $1 AND principal = $2 AND idempotency_key = $3";
    const TAKE_OVER: &str = "UPDATE idempotency_keys SET created_at = $4 WHERE tenant_id = $1 AND principal = $2 \
AND idempotency_key = $3 AND status IS NULL AND created_at <= $5";
    let tenant = tenant.to_string();
    forget(connection, &tenant, now).await?;
    let KeyedCall { principal, key, fingerprint, body } = call;
    let take = query(TAKE).bind(&tenant).bind(&principal).bind(&key).bind(fingerprint.as_slice());
    if take.bind(&body).bind(now.as_micros()).execute(&mut *connection).await? == 1 {
        return Ok(Once::First(body));
    }
    let find = query(FIND).bind(&tenant).bind(&principal).bind(&key);
    let row = find.fetch_one(&mut *connection).await?;
    if row.try_get::<Vec<u8>>(0)? != fingerprint {
        return Ok(Once::Reused);
    }
    let is_done = row.try_get::<Option<i64>>(1)?.is_some();
    let Some(first) = row.try_get::<Option<String>>(2)? else { return Ok(Once::InProgress) };
    if is_done {
        return Ok(Once::Replayed(first));
    }
    let over =
        query(TAKE_OVER).bind(&tenant).bind(&principal).bind(&key).bind(now.as_micros()).bind(before(now, LEASE));
    Ok(if over.execute(connection).await? == 1 { Once::First(first) } else { Once::InProgress })
}

fn before(now: Timestamp, time: Duration) -> i64 {
    now.as_micros().saturating_sub(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}

async fn forget(connection: &mut Connection, tenant: &str, now: Timestamp) -> Result<(), StoreError> {
    const FORGET: &str = "DELETE FROM idempotency_keys WHERE tenant_id = $1 AND created_at < $2";
    query(FORGET).bind(tenant).bind(before(now, KEPT)).execute(connection).await?;
    Ok(())
}

/// Takes the key for a call; `First` when the caller is to make the effect in the same transaction.
pub(super) async fn claim(
    connection: &mut Connection,
    tenant: TenantId,
    call: &KeyedCall,
    now: Timestamp,
) -> Result<Once<()>, StoreError> {
    // Taken first and asked second: of two calls at the same moment, on whichever nodes, one waits for the other here.
    const TAKE: &str = "\
INSERT INTO idempotency_keys (tenant_id, principal, idempotency_key, fingerprint, status, body, created_at)
VALUES ($1, $2, $3, $4, 200, $5, $6) ON CONFLICT DO NOTHING";
    const FIND: &str = "\
SELECT fingerprint, status, body FROM idempotency_keys WHERE tenant_id = $1 AND principal = $2 AND idempotency_key = $3";
    let tenant = tenant.to_string();
    forget(connection, &tenant, now).await?;
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
