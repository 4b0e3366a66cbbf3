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

/// Makes an Ed25519 key with which a domain signs, and stores it sealed; or takes the one whose PEM is given.
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
    add_key(tenant, key, &made, &pem).await
}

/// Makes a key of each kind, whose selectors are `name` with `e` or `r` behind it: what a domain needs to be believed by
/// receivers that know RSA alone, and by those that want no RSA any more.
///
/// # Errors
/// [`SigningError`]
pub async fn make_pair(
    tenant: &TenantStore,
    key: &InstanceKey,
    domain: &Domain,
    name: &str,
) -> Result<[SigningKeyRow; 2], SigningError> {
    let (ed25519, rsa) = (Selector::parse(&format!("{name}e"))?, Selector::parse(&format!("{name}r"))?);
    let ed25519 = SigningKey::generate(domain.clone(), ed25519)?;
    let rsa = SigningKey::generate_rsa(domain.clone(), rsa)?;
    let ed25519 = add_key(tenant, key, &ed25519.0, ed25519.1.as_str()).await?;
    Ok([ed25519, add_key(tenant, key, &rsa.0, rsa.1.as_str()).await?])
}

async fn add_key(
    tenant: &TenantStore,
    key: &InstanceKey,
    made: &SigningKey,
    pem: &str,
) -> Result<SigningKeyRow, SigningError> {
    let (domain, selector) = (made.domain().to_string(), made.selector().as_str().to_owned());
    let row = SigningKeyRow {
        secret_sealed: key.seal(&place(&domain, &selector), pem),
        domain,
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

/// Of the keys of a domain, oldest first, those that sign: of each kind the newest whose record was seen. So a new key takes
/// the place of the one before it when receivers can find it, and no sooner.
#[must_use]
pub fn signing<'r>(rows: &'r [SigningKeyRow], domain: &str) -> Vec<&'r SigningKeyRow> {
    let usable = |row: &&SigningKeyRow| row.domain == domain && row.state == "active" && row.seen_at.is_some();
    let newest = |algorithm: &str| rows.iter().rev().filter(usable).find(|row| row.algorithm == algorithm);
    ["rsa", "ed25519"].into_iter().filter_map(newest).collect()
}

/// The keys that sign for a domain.
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
    let opened = signing(&rows, domain.as_str()).into_iter().map(|row| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn row(selector: &str, algorithm: &str, state: &str, is_seen: bool) -> SigningKeyRow {
        SigningKeyRow {
            domain: "acme.example".to_owned(),
            selector: selector.to_owned(),
            algorithm: algorithm.to_owned(),
            record: String::new(),
            state: state.to_owned(),
            created_at: Timestamp::from_micros(0),
            seen_at: is_seen.then(|| Timestamp::from_micros(1)),
            checked_at: None,
            secret_sealed: String::new(),
        }
    }

    #[test]
    fn of_each_kind_the_newest_key_signs_whose_record_was_seen() {
        let mut rows = vec![
            row("1e", "ed25519", "active", true),
            row("1r", "rsa", "active", true),
            row("2e", "ed25519", "active", false),
            row("2r", "rsa", "active", false),
            row("3r", "rsa", "retired", true),
        ];
        let selectors = |rows: &[SigningKeyRow]| {
            signing(rows, "acme.example").into_iter().map(|row| row.selector.clone()).collect::<Vec<_>>()
        };
        assert_eq!(selectors(&rows), ["1r", "1e"]);
        rows[3].seen_at = Some(Timestamp::from_micros(2));
        assert_eq!(selectors(&rows), ["2r", "1e"], "each kind goes over by itself");
        rows[2].seen_at = Some(Timestamp::from_micros(2));
        assert_eq!(selectors(&rows), ["2r", "2e"]);
        assert!(signing(&rows, "other.example").is_empty());
    }
}
