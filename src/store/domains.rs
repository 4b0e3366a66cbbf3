//! Domains that tenants claim, and which of them are proven.
//!
//! Any number of tenants may claim a domain; one alone can have proven it.

use serde::Serialize;
use serde_json::json;

use super::audit::{NewEntry, append};
use super::directory::no_tenant_or;
use super::sql::{Row, query};
use super::{Store, StoreError, TenantStore, from_id};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::ids::TenantId;
use crate::mail::address::Domain;

/// How far a domain is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainState {
    /// Claimed, and not proven yet: it counts for nothing.
    Pending,
    /// Proven.
    Verified,
    /// Proven once, and the record was missing when it was looked for last. It still counts for reading mail.
    Failing,
    /// Counts for nothing until somebody resumes it and it is proven again; nobody else can prove it meanwhile.
    Suspended,
}

impl DomainState {
    /// Its word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verified => "verified",
            Self::Failing => "failing",
            Self::Suspended => "suspended",
        }
    }

    fn read(word: &str) -> Result<Self, StoreError> {
        let all = [Self::Pending, Self::Verified, Self::Failing, Self::Suspended];
        let found = all.into_iter().find(|state| state.as_str() == word);
        found.ok_or_else(|| StoreError::Unreadable { what: "state", detail: "not a known word".to_owned() })
    }
}

/// A domain that a tenant claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainRow {
    /// Who claims it.
    pub tenant: TenantId,
    /// The domain, as A-label.
    pub domain: String,
    /// How far it is proven.
    pub state: DomainState,
    /// What its TXT record must hold, or its alias in another form; empty where it was taken without proof.
    pub proof: String,
    /// Since when it is in this state.
    pub state_since: Timestamp,
    /// When the record was last seen.
    pub proven_at: Option<Timestamp>,
    /// Looks since then that did not find it.
    pub misses: u32,
    /// When it was looked for last.
    pub checked_at: Option<Timestamp>,
}

/// Whose a domain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DomainOwner {
    /// Who has proven it.
    pub tenant: TenantId,
    /// Since when it is suspended, where it is.
    pub suspended_since: Option<Timestamp>,
}

/// So many looks in a row without the record, and a proven domain is failing.
const MISSES: i64 = 3;

impl Store {
    /// The tenant that has proven a domain, and whether it is suspended.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn owner_of_domain(&self, domain: &Domain) -> Result<Option<DomainOwner>, StoreError> {
        const FIND: &str = "\
SELECT tenant_id, state, state_since FROM domains WHERE domain = $1 AND state IN ('verified', 'failing', 'suspended')";
        let row = query(FIND).bind(domain.as_str()).fetch_optional(&self.doors).await?;
        let read = |row: Row| {
            let is_suspended = DomainState::read(row.try_get(1)?)? == DomainState::Suspended;
            let since: i64 = row.try_get(2)?;
            let suspended_since = is_suspended.then(|| Timestamp::from_micros(since));
            Ok(DomainOwner { tenant: from_id("tenant_id", row.try_get(0)?)?, suspended_since })
        };
        row.map(read).transpose()
    }
}

impl TenantStore {
    /// Claims a domain, to be proven by a record that holds `proof`. A second claim keeps the first one's proof.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::NotFound`] when there is no such tenant.
    pub async fn claim_domain(&self, domain: &Domain, proof: String, who: Who) -> Result<(), StoreError> {
        const CLAIM: &str = "\
INSERT INTO domains (tenant_id, domain, state, created_at, proof, state_since) VALUES ($1, $2, 'pending', $3, $4, $3)
ON CONFLICT (tenant_id, domain) DO NOTHING";
        let (tenant, domain, now) = (self.tenant, domain.to_string(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let claim = query(CLAIM).bind(tenant.to_string()).bind(&domain).bind(now.as_micros()).bind(proof);
                    let claimed = claim.execute(&mut *connection).await;
                    if claimed.map_err(no_tenant_or("a domain of this name"))? == 0 {
                        return Ok(());
                    }
                    append(connection, tenant, now, vec![NewEntry::new(who, "domain.claimed", domain, json!({}))]).await
                })
            })
            .await
    }

    /// Takes a domain as this tenant's without proof: for the development instance, whose domains do not exist.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when a tenant has it already.
    pub async fn assume_domain(&self, domain: &Domain) -> Result<(), StoreError> {
        const ADD: &str = "\
INSERT INTO domains (tenant_id, domain, state, created_at, proof, state_since) VALUES ($1, $2, 'verified', $3, '', $3)";
        let (tenant, domain, now) = (self.tenant, domain.to_string(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let add = query(ADD).bind(tenant.to_string()).bind(&domain).bind(now.as_micros());
                    add.execute(&mut *connection).await.map_err(no_tenant_or("a domain of this name"))?;
                    let entry = NewEntry::new(Who::Operator, "domain.verified", domain, json!({ "proof": "none" }));
                    append(connection, tenant, now, vec![entry]).await
                })
            })
            .await
    }

    /// Records a look that found the domain's proof; the state that follows. One that is suspended stays so.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Exists`] when another tenant has proven it.
    pub async fn prove_domain(&self, domain: &str) -> Result<DomainState, StoreError> {
        const PROVE: &str = "\
UPDATE domains SET state_since = $3, state = 'verified', proven_at = $3, checked_at = $3, misses = 0
WHERE tenant_id = $1 AND domain = $2 AND state IN ('pending', 'failing')";
        const SEEN: &str = "\
UPDATE domains SET proven_at = $3, checked_at = $3, misses = 0 WHERE tenant_id = $1 AND domain = $2 RETURNING state";
        let (tenant, domain, now) = (self.tenant, domain.to_owned(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let prove = query(PROVE).bind(tenant.to_string()).bind(&domain).bind(now.as_micros());
                    let proven = prove.execute(&mut *connection).await;
                    if proven.map_err(no_tenant_or("a domain of this name, proven by another tenant,"))? > 0 {
                        let entry = NewEntry::new(Who::Gateway, "domain.verified", domain, json!({}));
                        append(connection, tenant, now, vec![entry]).await?;
                        return Ok(DomainState::Verified);
                    }
                    let seen = query(SEEN).bind(tenant.to_string()).bind(&domain).bind(now.as_micros());
                    let row = seen.fetch_optional(connection).await?.ok_or(StoreError::NotFound("domain"))?;
                    DomainState::read(row.try_get(0)?)
                })
            })
            .await
    }

    /// Lets a proven domain count for nothing; doors and workers see it within a second. Once more changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] when it was never proven.
    pub async fn suspend_domain(&self, domain: &str) -> Result<(), StoreError> {
        const SUSPEND: &str = "\
UPDATE domains SET state_since = $3, state = 'suspended'
WHERE tenant_id = $1 AND domain = $2 AND state IN ('verified', 'failing')";
        let entry = NewEntry::new(Who::Operator, "domain.suspended", domain, json!({}));
        match self.step_domain(SUSPEND, entry, "the domain is not proven: it counts for nothing anyway").await {
            Err(StoreError::Conflict(_)) if self.state_of_domain(domain).await? == Some(DomainState::Suspended) => {
                Ok(())
            }
            done => done,
        }
    }

    /// Lets a suspended domain count again. Whether it is still proven is for the caller to see first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] when it is not suspended.
    pub async fn resume_domain(&self, domain: &str) -> Result<(), StoreError> {
        const RESUME: &str = "\
UPDATE domains SET state_since = $3, state = 'verified' WHERE tenant_id = $1 AND domain = $2 AND state = 'suspended'";
        let entry = NewEntry::new(Who::Operator, "domain.resumed", domain, json!({}));
        self.step_domain(RESUME, entry, "the domain is not suspended").await
    }

    /// Changes the domain that `entry` is about, and records that.
    async fn step_domain(
        &self,
        step: &'static str,
        entry: NewEntry,
        otherwise: &'static str,
    ) -> Result<(), StoreError> {
        let (tenant, now, domain) = (self.tenant, self.store.clock.now(), entry.subject.clone());
        let stepped = self.store.write(move |connection| {
            Box::pin(async move {
                let change = query(step).bind(tenant.to_string()).bind(&entry.subject).bind(now.as_micros());
                let changed = change.execute(&mut *connection).await?;
                if changed == 0 { Ok(false) } else { append(connection, tenant, now, vec![entry]).await.map(|()| true) }
            })
        });
        match stepped.await? {
            true => Ok(()),
            false if self.state_of_domain(&domain).await?.is_some() => Err(StoreError::Conflict(otherwise)),
            false => Err(StoreError::NotFound("domain")),
        }
    }

    async fn state_of_domain(&self, domain: &str) -> Result<Option<DomainState>, StoreError> {
        Ok(self.domains().await?.into_iter().find(|row| row.domain == domain).map(|row| row.state))
    }

    /// Whether the tenant has a mailbox on a domain, or one for all of it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn has_mailboxes_on(&self, domain: &Domain) -> Result<bool, StoreError> {
        const ANY: &str = "\
SELECT EXISTS (SELECT 1 FROM mailboxes WHERE tenant_id = $1 AND state <> 'deleted' AND address_key LIKE $2 ESCAPE '!')";
        // Of the letters of a domain LIKE knows the underscore alone.
        let ending = format!("%@{}", domain.as_str().replace('_', "!_"));
        let any = query(ANY).bind(self.tenant.to_string()).bind(ending);
        Ok(any.fetch_one(&self.store.doors).await?.try_get(0)?)
    }

    /// Records a look that did not find the domain's record; the state that follows. Ownership is not dropped by it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn miss_domain(&self, domain: &str) -> Result<DomainState, StoreError> {
        const MISS: &str = "\
UPDATE domains SET misses = misses + 1, checked_at = $3 WHERE tenant_id = $1 AND domain = $2 RETURNING state, misses";
        const FAIL: &str =
            "UPDATE domains SET state_since = $3, state = 'failing' WHERE tenant_id = $1 AND domain = $2";
        let (tenant, domain, now) = (self.tenant, domain.to_owned(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let of_it = |sql| query(sql).bind(tenant.to_string()).bind(&domain).bind(now.as_micros());
                    let row = of_it(MISS).fetch_optional(&mut *connection).await?;
                    let row = row.ok_or(StoreError::NotFound("domain"))?;
                    let (state, misses) = (DomainState::read(row.try_get(0)?)?, row.try_get::<i64>(1)?);
                    if state != DomainState::Verified || misses < MISSES {
                        return Ok(state);
                    }
                    of_it(FAIL).execute(&mut *connection).await?;
                    let detail = json!({ "misses": misses });
                    let entry = NewEntry::new(Who::Gateway, "domain.failing", &domain, detail);
                    append(connection, tenant, now, vec![entry]).await?;
                    Ok(DomainState::Failing)
                })
            })
            .await
    }

    /// Gives a domain up.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn remove_domain(&self, domain: &str) -> Result<(), StoreError> {
        // What is claimed anew meanwhile stays.
        const REMOVE: &str =
            "DELETE FROM domains WHERE tenant_id = $1 AND domain = $2 AND created_at <= $3 RETURNING domain";
        let told = |domain: String| NewEntry::new(Who::Operator, "domain.removed", domain, json!({}));
        self.change_on_record(REMOVE, domain.to_owned(), "domain", told).await
    }

    /// As [`TenantStore::remove_domain`], for the tenant itself: a domain that the operator suspended stays, since a new
    /// claim would end that.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] while it is suspended; [`StoreError::NotFound`].
    pub async fn give_up_domain(&self, domain: &str, who: Who) -> Result<(), StoreError> {
        const GIVE_UP: &str = "\
DELETE FROM domains WHERE tenant_id = $1 AND domain = $2 AND created_at <= $3 AND state <> 'suspended'";
        let entry = NewEntry::new(who, "domain.removed", domain, json!({}));
        self.step_domain(GIVE_UP, entry, "the domain is suspended").await
    }

    /// The domains that the tenant claims.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn domains(&self) -> Result<Vec<DomainRow>, StoreError> {
        const LIST: &str = "\
SELECT tenant_id, domain, state, proof, state_since, proven_at, misses, checked_at FROM domains WHERE tenant_id = $1 ORDER BY domain";
        let rows = query(LIST).bind(self.tenant.to_string()).fetch_all(&self.store.readers).await?;
        rows.iter().map(read_domain).collect()
    }

    /// The domains that count as the tenant's when mail is read, as A-labels.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn verified_domains(&self) -> Result<Vec<String>, StoreError> {
        const LIST: &str =
            "SELECT domain FROM domains WHERE tenant_id = $1 AND state IN ('verified', 'failing') ORDER BY domain";
        let rows = query(LIST).bind(self.tenant.to_string()).fetch_all(&self.store.readers).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

fn read_domain(row: &Row) -> Result<DomainRow, StoreError> {
    let state: &str = row.try_get(2)?;
    let proven_at: Option<i64> = row.try_get(5)?;
    Ok(DomainRow {
        tenant: from_id("tenant_id", row.try_get(0)?)?,
        domain: row.try_get(1)?,
        state: DomainState::read(state)?,
        proof: row.try_get(3)?,
        state_since: Timestamp::from_micros(row.try_get(4)?),
        proven_at: proven_at.map(Timestamp::from_micros),
        misses: u32::try_from(row.try_get::<i64>(6)?).unwrap_or(u32::MAX),
        checked_at: row.try_get::<Option<i64>>(7)?.map(Timestamp::from_micros),
    })
}
