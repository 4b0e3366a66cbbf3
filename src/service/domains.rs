//! Domains of a tenant: claimed, looked for in DNS, shown, given up. The API and the operator's commands share it.
//!
//! What it must never do: take a domain as proven without having seen its record, or let a tenant shed a suspension by
//! giving the domain up.

pub mod look;
pub mod relay;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::drafts::actor_of;
use super::keys::{Authenticated, DomainsRead, DomainsWrite};
use super::tokens::new_token;
use super::{Fault, Service, ServiceError, signing};
use crate::dns::{DnsError, Resolver};
use crate::governance::audit::Who;
use crate::ids::TenantId;
use crate::mail::address::{AddressError, Domain};
use crate::mail::setup::{self, Check, Wanted, proof_name, proof_target};
use crate::store::domains::{DomainRow, DomainState};
use crate::store::{Store, StoreError};

/// Domains that a tenant may claim.
pub const DOMAINS: usize = 1_000;

/// What domains are held against.
#[derive(Debug, Clone)]
pub struct DomainDesk {
    /// Names of this gateway, the one for MX first.
    pub hosts: Arc<[String]>,
    /// Domains that belong to no tenant.
    pub platform_domains: Arc<[Domain]>,
    /// Where mail goes from here, as receipts say it, where no relay of a domain takes it.
    pub route: Arc<str>,
}

/// A domain to be claimed.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainRequest {
    /// The domain, exactly as it stands in addresses: one below it is another one.
    #[schema(min_length = 1, max_length = 255)]
    pub domain: String,
}

/// A domain that a tenant claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainView {
    /// Who claims it.
    pub tenant: String,
    /// The domain, as A-label; its id.
    pub domain: String,
    /// As people write it, where that differs.
    pub unicode: Option<String>,
    /// `pending`, `verified`, `failing` or `suspended`.
    pub state: String,
    /// Since when it is in this state.
    pub state_since: String,
    /// When the record was last seen.
    pub proven_at: Option<String>,
    /// Looks since then that did not find it.
    pub misses: u32,
    /// When it was looked for last.
    pub checked_at: Option<String>,
    /// The record that proves it.
    pub record: ProofRecord,
    /// Another that does, where no TXT can be set.
    pub alias: ProofRecord,
}

/// A record that proves a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProofRecord {
    /// Where it stands.
    pub name: String,
    /// `TXT` or `CNAME`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it holds.
    pub value: String,
}

/// The domains of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainPage {
    /// All of them, by name.
    pub items: Vec<DomainView>,
}

/// What stands in DNS of what a domain needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainRecords {
    /// The domain.
    pub domain: String,
    /// As people write it, where that differs.
    pub unicode: Option<String>,
    /// Its state, after the look where that counts.
    pub state: String,
    /// Whether the proof is there: `found`, `missing`, `unknown` (DNS did not say), or `taken`: it is there, and another
    /// tenant has proven the domain and must give it up first.
    pub proof: String,
    /// Which way its mail goes, as receipts say it: `relay:HOST:PORT`, or `direct` to the recipients' own servers.
    pub route: String,
    /// Every record that the domain needs.
    pub records: Vec<RecordView>,
}

/// One record: what is expected of it, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordView {
    /// `ownership`, `mx`, `spf`, `dkim`, `dmarc`, `mta_sts`, `tls_rpt` or `bounce_host`.
    pub record: String,
    /// Where it stands, with the final dot; empty where no place is known.
    pub name: String,
    /// `TXT` or `MX`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it should say, for people.
    pub expected: String,
    /// What stands there, as in a zone file.
    pub found: Vec<String>,
    /// `ok`, `missing`, `differs`, `not_needed` or `unknown`.
    pub standing: String,
    /// What to know about it.
    pub note: Option<String>,
    /// Lines for the zone of which any one sets the record.
    pub zone_lines: Vec<String>,
}

/// A domain that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainRemoved {
    /// The domain.
    pub removed: String,
}

/// Why a domain cannot be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The text names no domain.
    #[error(transparent)]
    NoDomain(#[from] AddressError),
    /// It is this gateway's own.
    #[error("{0} is one of smtp.platform_domains, which belong to no tenant")]
    Platform(Domain),
    /// The tenant claims as many as it may.
    #[error("the tenant claims {DOMAINS} domains already")]
    TooMany,
    /// The store does not take it now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why reports cannot be delegated to a host.
#[derive(Debug, thiserror::Error)]
pub enum DelegateError {
    /// The text names no host.
    #[error(transparent)]
    NoHost(#[from] AddressError),
    /// It is not below the domain: SPF would not pass for the domain, and nobody has proven that it is theirs.
    #[error("{host} is not below {domain}")]
    Elsewhere {
        /// What was given.
        host: Domain,
        /// The domain.
        domain: Domain,
    },
    /// The store does not take it now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a look for a domain's proof says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// It is there.
    Found,
    /// It is not.
    Missing,
    /// DNS did not say.
    Unknown(DnsError),
    /// It is there, and another tenant has proven the domain.
    Taken,
}

/// What came of a look.
#[derive(Debug, Clone)]
pub struct Looked {
    /// Whether the proof is there.
    pub proof: Proof,
    /// The domain's state behind the look.
    pub state: DomainState,
    /// Which way its mail goes.
    pub route: String,
    /// Every record that it needs.
    pub records: Vec<Check>,
}

impl DomainDesk {
    /// Claims a domain; a second claim changes nothing.
    ///
    /// # Errors
    /// [`ClaimError`].
    pub async fn claim(&self, store: &Store, tenant: TenantId, text: &str, who: Who) -> Result<DomainRow, ClaimError> {
        let domain = Domain::parse(text)?;
        if self.platform_domains.contains(&domain) {
            return Err(ClaimError::Platform(domain));
        }
        let tenant = store.for_tenant(tenant);
        let is_it = |row: &DomainRow| row.domain == domain.as_str();
        let own = tenant.domains().await?;
        if own.len() >= DOMAINS && !own.iter().any(is_it) {
            return Err(ClaimError::TooMany);
        }
        tenant.claim_domain(&domain, format!("connex-verification={}", new_token()), who).await?;
        let claimed = tenant.domains().await?.into_iter().find(is_it);
        Ok(claimed.ok_or(StoreError::NotFound("domain"))?)
    }

    /// Delegates reports about a domain's mail to a host below it. It counts once it leads here.
    ///
    /// # Errors
    /// [`DelegateError`].
    pub async fn delegate_bounces(&self, store: &Store, row: &DomainRow, text: &str) -> Result<Domain, DelegateError> {
        let (domain, host) = (Domain::parse(&row.domain)?, Domain::parse(text)?);
        if !host.as_str().ends_with(&format!(".{domain}")) {
            return Err(DelegateError::Elsewhere { host, domain });
        }
        store.for_tenant(row.tenant).delegate_bounces(&domain, &host, Who::Operator).await?;
        Ok(host)
    }

    /// Looks for every record that a domain needs, and changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn survey(&self, resolver: &Resolver, store: &Store, row: &DomainRow) -> Result<Looked, StoreError> {
        let keys = signing::records_of(&store.for_tenant(row.tenant), &row.domain).await?;
        let (held, looked) = look::survey(resolver, row, &keys).await;
        let proof = match looked {
            Ok(true) => Proof::Found,
            Ok(false) => Proof::Missing,
            Err(error) => Proof::Unknown(error),
        };
        // What stands in the store is an A-label; anything else would have no mailboxes either.
        let Ok(domain) = Domain::parse(&row.domain) else { return Err(StoreError::NotFound("domain")) };
        let takes_mail = store.for_tenant(row.tenant).has_mailboxes_on(&domain).await?;
        let wanted = Wanted { domain: &domain, proof: &row.proof, hosts: &self.hosts, takes_mail, keys: &keys };
        let mut records = setup::compare(&wanted, &held);
        if let Some(delegated) = store.for_tenant(row.tenant).bounce_host(&row.domain).await? {
            let held = look::survey_host(resolver, &delegated.host).await;
            records.push(setup::bounces::compare_host(&delegated.host, &self.hosts, &held));
        }
        let route = self.relay(store, row).await?.route;
        Ok(Looked { proof, state: row.state, route, records })
    }

    /// The same, and what the look for the proof says counts. Trouble of the DNS says nothing: the domain keeps its state.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where it was given up meanwhile; [`StoreError::Unavailable`].
    pub async fn check(&self, resolver: &Resolver, store: &Store, row: &DomainRow) -> Result<Looked, StoreError> {
        let mut looked = self.survey(resolver, store, row).await?;
        look::look_for_host(&store.for_tenant(row.tenant), resolver, &self.hosts, &row.domain).await?;
        if matches!(looked.proof, Proof::Unknown(_)) {
            return Ok(looked);
        }
        match look::settle(store, row, looked.proof == Proof::Found).await {
            Ok(state) => looked.state = state,
            Err(StoreError::Exists(_)) => looked.proof = Proof::Taken,
            Err(error) => return Err(error),
        }
        Ok(looked)
    }

    /// A domain as it is shown.
    #[must_use]
    pub fn view(&self, row: &DomainRow) -> DomainView {
        let record = |kind: &str, value| ProofRecord { name: proof_name(&row.domain), kind: kind.to_owned(), value };
        DomainView {
            tenant: row.tenant.to_string(),
            domain: row.domain.clone(),
            unicode: unicode(&row.domain),
            state: row.state.as_str().to_owned(),
            state_since: row.state_since.to_string(),
            proven_at: row.proven_at.map(|at| at.to_string()),
            misses: row.misses,
            checked_at: row.checked_at.map(|at| at.to_string()),
            record: record("TXT", row.proof.clone()),
            alias: record("CNAME", proof_target(&row.proof, self.hosts.first().map_or("localhost", String::as_str))),
        }
    }
}

impl DomainRecords {
    /// What came of a look, as it is shown.
    #[must_use]
    pub fn of(row: &DomainRow, looked: &Looked) -> Self {
        let proof = match looked.proof {
            Proof::Found => "found",
            Proof::Missing => "missing",
            Proof::Unknown(_) => "unknown",
            Proof::Taken => "taken",
        };
        let record = |check: &Check| RecordView {
            record: check.record.as_str().to_owned(),
            name: check.name.clone(),
            kind: check.kind.to_owned(),
            expected: check.expected.clone(),
            found: check.found.clone(),
            standing: check.standing.as_str().to_owned(),
            note: check.note.clone(),
            zone_lines: check.zone_lines.clone(),
        };
        Self {
            domain: row.domain.clone(),
            unicode: unicode(&row.domain),
            state: looked.state.as_str().to_owned(),
            proof: proof.to_owned(),
            route: looked.route.clone(),
            records: looked.records.iter().map(record).collect(),
        }
    }
}

/// A domain as people write it, where that differs.
#[must_use]
pub fn unicode(domain: &str) -> Option<String> {
    Domain::parse(domain).ok()?.unicode()
}

impl Service {
    /// The domains that the caller's tenant claims.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn domains(&self, caller: &Authenticated<DomainsRead>) -> Result<DomainPage, ServiceError> {
        let rows = self.store.for_tenant(caller.principal().tenant()).domains().await?;
        Ok(DomainPage { items: rows.iter().map(|row| self.domains.view(row)).collect() })
    }

    /// One of them.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn domain(&self, id: &str, caller: &Authenticated<DomainsRead>) -> Result<DomainView, ServiceError> {
        Ok(self.domains.view(&self.domain_row(id, caller.principal().tenant()).await?))
    }

    /// What stands in DNS of what one of them needs; nothing is recorded.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn domain_records(
        &self,
        id: &str,
        caller: &Authenticated<DomainsRead>,
    ) -> Result<DomainRecords, ServiceError> {
        let row = self.domain_row(id, caller.principal().tenant()).await?;
        Ok(DomainRecords::of(&row, &self.domains.survey(&self.resolver, &self.store, &row).await?))
    }

    /// The same, and the domain is taken as proven where its record is there.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn check_domain(
        &self,
        id: &str,
        caller: &Authenticated<DomainsWrite>,
    ) -> Result<DomainRecords, ServiceError> {
        let row = self.domain_row(id, caller.principal().tenant()).await?;
        Ok(DomainRecords::of(&row, &self.domains.check(&self.resolver, &self.store, &row).await?))
    }

    /// Claims a domain for the caller's tenant. Once more changes nothing and gives the same answer.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] where it cannot be claimed.
    pub async fn claim_domain(
        &self,
        request: &DomainRequest,
        caller: &Authenticated<DomainsWrite>,
    ) -> Result<DomainView, ServiceError> {
        let who = Who::Actor(actor_of(caller.principal()));
        match self.domains.claim(&self.store, caller.principal().tenant(), &request.domain, who).await {
            Ok(row) => Ok(self.domains.view(&row)),
            Err(ClaimError::Store(error)) => Err(error.into()),
            // Which domains are the gateway's own is for its operator to know.
            Err(ClaimError::Platform(_)) => Err(fault("/domain", "belongs to no tenant here")),
            Err(error) => Err(fault("/domain", error.to_string())),
        }
    }

    /// Gives a domain up: mail from and to it counts as nobody's of the tenant.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::Invalid`] while it is suspended, since a new claim would end that.
    pub async fn remove_domain(
        &self,
        id: &str,
        caller: &Authenticated<DomainsWrite>,
    ) -> Result<DomainRemoved, ServiceError> {
        let row = self.domain_row(id, caller.principal().tenant()).await?;
        let who = Who::Actor(actor_of(caller.principal()));
        match self.store.for_tenant(row.tenant).give_up_domain(&row.domain, who).await {
            Ok(()) => Ok(DomainRemoved { removed: row.domain }),
            Err(StoreError::Conflict(_)) => {
                Err(fault("/id", "is suspended by the operator, who alone can resume or remove it"))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn domain_row(&self, id: &str, tenant: TenantId) -> Result<DomainRow, ServiceError> {
        let wanted = Domain::parse(id).map_err(|_| ServiceError::NotFound("domain"))?;
        let rows = self.store.for_tenant(tenant).domains().await?;
        rows.into_iter().find(|row| row.domain == wanted.as_str()).ok_or(ServiceError::NotFound("domain"))
    }
}

fn fault(pointer: &str, message: impl Into<String>) -> ServiceError {
    ServiceError::Invalid(vec![Fault::at(pointer, message)])
}
