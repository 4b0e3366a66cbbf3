//! Keys that sign what leaves: made here, published by whoever has the domain's DNS, and used once their record was seen.
//!
//! # Security
//! A key's secret is sealed for its domain and selector before it is stored, and never shown: what is published is its
//! public half. Keys of the gateway's own domains are the operator's.

use std::sync::Arc;

use super::{Service, ServiceError};
use crate::dns::{DnsError, Resolver};
use crate::governance::audit::Who;
use crate::ids::OPERATOR;
use crate::mail::address::Domain;
use crate::mail::setup::{self, KeyRecord};
use crate::outbound::keys::{Selector, SigningKey};
use crate::seal::InstanceKey;
use crate::store::signing::SigningKeyRow;
use crate::store::{Store, StoreError, TenantStore};

/// Why a signing key cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The selector or key is not usable.
    #[error(transparent)]
    Key(#[from] crate::outbound::keys::InvalidKey),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a key with which a domain signs, and stores it sealed; or takes the one whose PEM is given.
///
/// # Errors
/// [`SigningError`]
pub async fn make_key(
    tenant: &TenantStore,
    key: &InstanceKey,
    domain: Domain,
    selector: &str,
    pem: Option<&str>,
) -> Result<SigningKeyRow, SigningError> {
    let selector = Selector::parse(selector)?;
    let (made, pem) = match pem {
        Some(pem) => (SigningKey::from_pem(domain.clone(), selector, pem)?, pem.to_owned()),
        None => {
            let (made, pem) = SigningKey::generate(domain.clone(), selector)?;
            (made, pem.as_str().to_owned())
        }
    };
    let selector = made.selector().as_str().to_owned();
    let row = SigningKeyRow {
        secret_sealed: key.seal(&place(domain.as_str(), &selector), &pem),
        domain: domain.to_string(),
        selector,
        algorithm: if made.algorithm().as_str().starts_with("rsa") { "rsa" } else { "ed25519" }.to_owned(),
        record: made.published_record(),
        state: "active".to_owned(),
        created_at: crate::clock::Timestamp::from_micros(0),
        seen_at: None,
        checked_at: None,
    };
    tenant.add_signing_key(row.clone(), Who::Operator).await?;
    Ok(row)
}

/// The active keys of a domain whose records were seen.
///
/// # Errors
/// [`ServiceError::Unavailable`]; [`ServiceError::Internal`] for one that cannot be opened.
pub async fn keys_of(
    service: &Service,
    key: &Arc<InstanceKey>,
    tenant: &TenantStore,
    domain: &Domain,
) -> Result<Vec<SigningKey>, ServiceError> {
    let is_platform = service.drafts.is_platform(domain);
    let tenant = if is_platform { service.store.for_tenant(OPERATOR) } else { tenant.clone() };
    let rows = tenant.signing_keys().await?;
    let usable =
        rows.iter().filter(|row| row.domain == domain.as_str() && row.state == "active" && row.seen_at.is_some());
    let opened = usable.map(|row| {
        let pem = key.open(&place(&row.domain, &row.selector), &row.secret_sealed);
        let pem = pem.map_err(|error| ServiceError::Internal(error.into()))?;
        let selector = Selector::parse(&row.selector).map_err(|error| ServiceError::Internal(error.into()))?;
        SigningKey::from_pem(domain.clone(), selector, &pem).map_err(|error| ServiceError::Internal(error.into()))
    });
    opened.collect()
}

/// The records of the keys that sign for a domain and are not retired.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn records_of(tenant: &TenantStore, domain: &str) -> Result<Vec<KeyRecord>, StoreError> {
    let rows = tenant.signing_keys().await?.into_iter();
    let active = rows.filter(|row| row.domain == domain && row.state == "active");
    Ok(active.map(|row| KeyRecord { name: setup::key_name(&row.selector, &row.domain), record: row.record }).collect())
}

/// Looks for the record of a key, and notes what was found; whether it is as it should be. Trouble of the DNS changes nothing.
///
/// # Errors
/// [`DnsError`] where DNS cannot tell now.
pub async fn look(store: &TenantStore, resolver: &Resolver, row: &SigningKeyRow) -> Result<bool, LookError> {
    let name = setup::key_name(&row.selector, &row.domain);
    let found = match resolver.texts(&name).await {
        Ok(texts) => texts,
        Err(DnsError::NotFound { .. }) => Vec::new(),
        Err(error) => return Err(LookError::Dns(error)),
    };
    let texts: Vec<String> = found.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    let is_seen = setup::is_published(&row.record, &texts);
    store.note_signing_key(&row.domain, &row.selector, is_seen).await.map_err(LookError::Store)?;
    Ok(is_seen)
}

/// Why a record could not be looked for.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// DNS cannot tell now.
    #[error(transparent)]
    Dns(DnsError),
    /// What was found cannot be noted.
    #[error(transparent)]
    Store(StoreError),
}

/// The tenants whose signing keys there may be: all, and the operator.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn holders(store: &Store) -> Result<Vec<TenantStore>, StoreError> {
    let mut all: Vec<_> = store.tenants().await?.into_iter().map(|tenant| tenant.id).collect();
    if !all.contains(&OPERATOR) {
        all.push(OPERATOR);
    }
    Ok(all.into_iter().map(|tenant| store.for_tenant(tenant)).collect())
}

/// What a sealed key is bound to.
fn place(domain: &str, selector: &str) -> String {
    format!("dkim {selector}._domainkey.{domain}")
}
