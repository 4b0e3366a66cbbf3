//! What DNS says of a domain, and what follows from it.
//!
//! Trouble of the DNS is no answer: whoever asks changes nothing by it.

use futures_util::future::join_all;

use crate::dns::{DnsError, Resolver};
use crate::mail::setup::bounces::{HeldHost, compare_host};
use crate::mail::setup::{self, Check, Held, KeyRecord, Standing, Told};
use crate::store::domains::{DomainRow, DomainState};
use crate::store::{Store, StoreError, TenantStore};

/// Names at which a DMARC policy is looked for at most (RFC 9989 §4.10).
const POLICIES: usize = 8;

/// What a look for a domain's proof came to: `true` where it is there.
///
/// # Errors
/// [`DnsError`]: DNS does not say, which says nothing about the domain.
pub type Looked = Result<bool, DnsError>;

/// Looks for a domain's proof: a text, or an alias (CNAME) where no text can be set.
pub async fn look(resolver: &Resolver, row: &DomainRow) -> Looked {
    let (_, _, looked) = look_closely(resolver, row).await;
    looked
}

/// The same, with what stands there.
async fn look_closely(resolver: &Resolver, row: &DomainRow) -> (Told<String>, Told<String>, Looked) {
    let name = setup::proof_name(&row.domain);
    // An alias leads to a name that need not exist, and whose servers need not answer: either alone is enough.
    let (texts, aliases) = tokio::join!(texts(resolver, &name), resolver.aliases(&name));
    let found = (texts.as_deref().unwrap_or_default(), aliases.as_deref().unwrap_or_default());
    let is_proven = setup::is_proof(&row.proof, found.0, found.1);
    let looked = match (&texts, &aliases) {
        _ if is_proven => Ok(true),
        (Err(error), _) | (_, Err(error)) => Err(error.clone()),
        (Ok(_), Ok(_)) => Ok(false),
    };
    (texts.ok(), aliases.ok(), looked)
}

/// Looks for every record that a domain may need; what DNS does not tell stays unknown.
pub async fn survey(resolver: &Resolver, row: &DomainRow, keys: &[KeyRecord]) -> (Held, Looked) {
    let domain = row.domain.as_str();
    let (mta_sts, tls_rpt) = (format!("_mta-sts.{domain}."), format!("_smtp._tls.{domain}."));
    let key_texts = join_all(keys.iter().map(|key| texts(resolver, &key.name)));
    let ((proof_texts, proof_aliases, looked), exchangers, own, policies, mta_sts, tls_rpt, keys) = tokio::join!(
        look_closely(resolver, row),
        resolver.exchangers(domain),
        texts(resolver, domain),
        policies(resolver, domain),
        texts(resolver, &mta_sts),
        texts(resolver, &tls_rpt),
        key_texts,
    );
    let held = Held {
        proof_texts,
        proof_aliases,
        exchangers: exchangers.ok(),
        texts: own.ok(),
        policies,
        mta_sts: mta_sts.ok(),
        tls_rpt: tls_rpt.ok(),
        keys: keys.into_iter().map(Result::ok).collect(),
    };
    (held, looked)
}

/// Looks whether a host leads here.
pub async fn survey_host(resolver: &Resolver, host: &str) -> HeldHost {
    let (exchangers, aliases) = tokio::join!(resolver.exchangers(host), resolver.aliases(host));
    HeldHost { exchangers: exchangers.ok(), aliases: aliases.ok() }
}

/// Looks for the host to which a domain's reports are delegated, where there is one, and notes what was found; what stands
/// there. Trouble of the DNS changes nothing.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn look_for_host(
    tenant: &TenantStore,
    resolver: &Resolver,
    gateway: &[String],
    domain: &str,
) -> Result<Option<Check>, StoreError> {
    let Some(row) = tenant.bounce_host(domain).await? else { return Ok(None) };
    let check = compare_host(&row.host, gateway, &survey_host(resolver, &row.host).await);
    if check.standing != Standing::Unknown {
        match tenant.note_bounce_host(domain, check.standing == Standing::Ok).await {
            // It was withdrawn meanwhile.
            Ok(()) | Err(StoreError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(check))
}

/// The texts at `_dmarc` of a domain, and of those above it until one has any (RFC 9989 §4.10).
async fn policies(resolver: &Resolver, domain: &str) -> Vec<(String, Told<String>)> {
    let mut found = Vec::new();
    let mut above = domain;
    while found.len() < POLICIES {
        let told = texts(resolver, &format!("_dmarc.{above}.")).await.ok();
        let is_end = told.as_ref().is_none_or(|texts| !texts.is_empty());
        found.push((above.to_owned(), told));
        match above.split_once('.') {
            Some((_, parent)) if !is_end && parent.contains('.') => above = parent,
            _ => break,
        }
    }
    found
}

async fn texts(resolver: &Resolver, name: &str) -> Result<Vec<String>, DnsError> {
    let texts = resolver.texts(name).await?;
    Ok(texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect())
}

/// Records what a look found; the state that follows. Ownership is never dropped by it.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Exists`] when another tenant has proven the domain.
pub async fn settle(store: &Store, row: &DomainRow, is_proven: bool) -> Result<DomainState, StoreError> {
    let tenant = store.for_tenant(row.tenant);
    if is_proven {
        return tenant.prove_domain(&row.domain).await;
    }
    let state = tenant.miss_domain(&row.domain).await?;
    if (row.state, state) == (DomainState::Verified, DomainState::Failing) {
        metrics::counter!("connex_domains_failing_total").increment(1);
        tracing::warn!(
            tenant.id = %row.tenant,
            dns.name = row.domain,
            error.kind = "domain_failing",
            "The proof of a domain is gone from DNS: the domain goes on to count, and its owner must set the record again"
        );
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Timestamp;
    use crate::dns::ResolverSettings;
    use crate::dns::zone::{Trouble, Zone};

    async fn resolver(zone: &Zone) -> Resolver {
        let settings = ResolverSettings { servers: vec![zone.address()], timeout: Duration::from_secs(1), attempts: 1 };
        Resolver::new(&settings).unwrap()
    }

    fn row(domain: &str) -> DomainRow {
        DomainRow {
            tenant: crate::ids::TenantId::from_bits(1),
            domain: domain.into(),
            state: DomainState::Pending,
            proof: "connex-verification=abc".into(),
            state_since: Timestamp::from_micros(0),
            proven_at: None,
            misses: 0,
            checked_at: None,
        }
    }

    #[tokio::test]
    async fn a_domain_is_proven_by_an_alias_to_a_name_that_does_not_exist_or_does_not_answer() {
        let zone = Zone::start().unwrap();
        zone.cname("_connex.lake.example", "abc.mx.gate.example");
        zone.cname("_connex.other.example", "abd.mx.gate.example");
        let resolver = resolver(&zone).await;
        assert_eq!(look(&resolver, &row("lake.example")).await, Ok(true));
        assert_eq!(look(&resolver, &row("other.example")).await, Ok(false));
        assert_eq!(look(&resolver, &row("none.example")).await, Ok(false));
        zone.trouble_at("abc.mx.gate.example", Trouble::Fails);
        assert_eq!(look(&resolver, &row("lake.example")).await, Ok(true));
        zone.trouble_at("_connex.fails.example", Trouble::Fails);
        assert!(look(&resolver, &row("fails.example")).await.is_err(), "trouble is no answer");
    }

    #[tokio::test]
    async fn a_survey_tells_what_stands_there_and_leaves_open_what_dns_does_not_tell() {
        let zone = Zone::start().unwrap();
        zone.txt("_connex.a.lake.example", "connex-verification=abc")
            .mx("a.lake.example", "mx.gate.example")
            .txt("a.lake.example", "v=spf1 -all")
            .txt("_dmarc.lake.example", "v=DMARC1; p=reject")
            .txt("_mta-sts.a.lake.example", "v=STSv1; id=1")
            .txt("s1._domainkey.a.lake.example", "v=DKIM1; p=abc")
            .trouble_at("_smtp._tls.a.lake.example", Trouble::Fails);
        let key = KeyRecord { name: setup::key_name("s1", "a.lake.example"), record: String::new() };
        let (held, looked) = survey(&resolver(&zone).await, &row("a.lake.example"), &[key]).await;
        assert_eq!(looked, Ok(true));
        let texts = |all: &[&str]| Some(all.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        let expected = Held {
            proof_texts: texts(&["connex-verification=abc"]),
            proof_aliases: texts(&[]),
            exchangers: Some(vec![(10, "mx.gate.example.".into())]),
            texts: texts(&["v=spf1 -all"]),
            policies: vec![
                ("a.lake.example".into(), texts(&[])),
                ("lake.example".into(), texts(&["v=DMARC1; p=reject"])),
            ],
            mta_sts: texts(&["v=STSv1; id=1"]),
            tls_rpt: None,
            keys: vec![texts(&["v=DKIM1; p=abc"])],
        };
        assert_eq!(held, expected);
    }
}
