//! `connex domain check`: every record that a domain needs, beside what stands in DNS; and the proof among them counts.

use super::super::output::{Table, Tone};
use super::super::{CliError, Output};
use crate::app::Instance;
use crate::dns::{Resolver, ResolverSettings};
use crate::mail::address::Domain;
use crate::mail::setup::{self, Check, Standing, Wanted};
use crate::pipeline::domains;
use crate::store::StoreError;
use crate::store::domains::{DomainRow, DomainState};

/// Looks, records what the look for the proof came to, and shows everything.
pub(super) async fn run(instance: &Instance, row: DomainRow, out: &mut Output) -> Result<(), CliError> {
    let (held, looked) = domains::survey(&resolver(instance)?, &row).await;
    // Trouble of the DNS says nothing about the domain, which keeps its state.
    let settled = match &looked {
        Ok(is_proven) => domains::settle(&instance.store, &row, *is_proven).await,
        Err(_) => Ok(row.state),
    };
    let (state, is_others) = match settled {
        Err(StoreError::Exists(_)) => (row.state, true),
        settled => (settled?, false),
    };
    let domain = Domain::parse(&row.domain).map_err(|error| CliError::failed(format!("{}: {error}", row.domain)))?;
    let takes_mail = instance.store.for_tenant(row.tenant).has_mailboxes_on(&domain).await?;
    let hosts = hosts(instance);
    let checks = setup::compare(&Wanted { domain: &domain, proof: &row.proof, hosts: &hosts, takes_mail }, &held);
    let answer =
        serde_json::json!({ "domain": row.domain, "unicode": domain.unicode(), "state": state, "records": checks });
    out.answer(&answer, |out| {
        out.line(&format!("{} is {}", super::beside(&row.domain), state.as_str()))?;
        show(&checks, out)
    })?;
    match looked {
        _ if is_others => {
            Err(CliError::failed(format!("another tenant has proven {}: it must give the domain up first", row.domain)))
        }
        // What was taken without proof has none to look for.
        Ok(is_proven) if is_proven || (row.proof.is_empty() && state != DomainState::Pending) => Ok(()),
        Ok(_) => Err(CliError::failed(format!("{} is not proven", row.domain))),
        Err(error) => Err(CliError::Unreachable(anyhow::Error::new(error).context("looking for the record"))),
    }
}

/// Whether the proof of a domain is in DNS, which is asked anew.
pub(super) async fn is_proven(instance: &Instance, row: &DomainRow) -> Result<bool, CliError> {
    domains::look(&resolver(instance)?, row)
        .await
        .map_err(|error| CliError::Unreachable(anyhow::Error::new(error).context("looking for the record")))
}

/// Names of this gateway, the one for MX first.
pub(super) fn hosts(instance: &Instance) -> Vec<String> {
    let own = std::iter::once(&instance.config.server.hostname);
    let others = instance.config.acme.iter().flat_map(|acme| &acme.domains);
    own.chain(others).map(ToString::to_string).collect()
}

fn resolver(instance: &Instance) -> Result<Resolver, CliError> {
    let dns = &instance.config.dns;
    let settings = ResolverSettings {
        servers: dns.servers.clone(),
        timeout: dns.timeout,
        attempts: usize::try_from(dns.attempts).unwrap_or(usize::MAX),
    };
    Ok(Resolver::new(&settings).map_err(anyhow::Error::new)?)
}

fn show(checks: &[Check], out: &mut Output) -> Result<(), CliError> {
    let mut table = Table::new(["RECORD", "STANDING", "NAME", "TYPE", "EXPECTED", "FOUND"]);
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    for check in checks {
        table.row([
            check.record.as_str().to_owned(),
            check.standing.as_str().to_owned(),
            or_dash(check.name.clone()),
            check.kind.to_owned(),
            or_dash(check.expected.clone()),
            or_dash(check.found.join(", ")),
        ]);
    }
    out.table(&table)?;
    for check in checks {
        if let Some(note) = &check.note {
            out.tinted(Tone::Faint, &format!("{}: {note}", check.record.as_str()))?;
        }
    }
    let open = |check: &&Check| matches!(check.standing, Standing::Missing | Standing::Differs);
    for check in checks.iter().filter(open) {
        for (place, line) in check.zone_lines.iter().enumerate() {
            let word = if place == 0 { "set" } else { "or, where no TXT can be set," };
            out.line(&format!("{}: {word}", check.record.as_str()))?;
            out.line(line)?;
        }
    }
    Ok(())
}
