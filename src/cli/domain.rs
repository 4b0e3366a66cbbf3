//! `connex domain`: the domains of a tenant, and how they are proven.

use clap::{Args, Subcommand};

use super::installation::{self, open};
use super::output::Table;
use super::place::{ListArgs, OneArgs};
use super::{CliError, DataArgs, JsonArgs, Output};
use crate::app::Instance;
use crate::dns::{Resolver, ResolverSettings};
use crate::mail::address::Domain;
use crate::pipeline::domains::{self, Looked, proof_name};
use crate::pipeline::recipients::new_token;
use crate::store::StoreError;
use crate::store::domains::DomainRow;

/// `connex domain …`
#[derive(Debug, Subcommand)]
pub enum DomainCommand {
    /// Claim a domain, and show the TXT record that proves it.
    #[command(after_help = "Example: connex domain add acme.example --tenant acme")]
    Add(AddArgs),
    /// List domains.
    #[command(after_help = "Example: connex domain list --tenant acme")]
    List(ListArgs),
    /// Look for the TXT record, and take the domain as proven when it is there.
    #[command(after_help = "Example: connex domain check acme.example --tenant acme")]
    Check(OneArgs),
    /// Give a domain up; mail from and to it no longer counts as the tenant's.
    #[command(after_help = "Example: connex domain remove acme.example --tenant acme")]
    Remove(OneArgs),
}

/// Arguments of `connex domain add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The domain, exactly as it stands in addresses: one below it is another one.
    #[arg(value_name = "DOMAIN")]
    pub domain: String,
    /// Its tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: String,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

impl DomainCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Add(args) => &args.json,
            Self::List(args) => &args.json,
            Self::Check(args) | Self::Remove(args) => &args.json,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: DomainCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        DomainCommand::Add(args) => add(args, out).await,
        DomainCommand::List(args) => {
            let instance = open(&args.data).await?;
            let mut table = Table::new(["DOMAIN", "STATE", "SINCE", "TENANT"]);
            let mut all = Vec::new();
            for (name, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
                for row in tenant.domains().await? {
                    let state = row.state.as_str().to_owned();
                    table.row([row.domain.clone(), state, row.state_since.to_string(), name.clone()]);
                    all.push(shown(&row));
                }
            }
            out.answer(&all, |out| out.table(&table))
        }
        DomainCommand::Check(args) => {
            let (instance, row) = one(&args).await?;
            check(&instance, row, out).await
        }
        DomainCommand::Remove(args) => {
            let (instance, row) = one(&args).await?;
            instance.store.for_tenant(row.tenant).remove_domain(&row.domain).await?;
            out.answer(&serde_json::json!({ "removed": row.domain }), |out| {
                out.line(&format!("Removed {}; its mail counts as nobody's of the tenant", row.domain))
            })
        }
    }
}

async fn add(args: AddArgs, out: &mut Output) -> Result<(), CliError> {
    let instance = open(&args.data).await?;
    let domain = Domain::parse(&args.domain).map_err(|error| CliError::Usage(format!("{}: {error}", args.domain)))?;
    if instance.config.smtp.platform_domains.contains(&domain) {
        return Err(CliError::Usage(format!("{domain} is one of smtp.platform_domains, which belong to no tenant")));
    }
    let tenant = installation::tenant(&instance, &args.tenant).await?;
    tenant.claim_domain(&domain, format!("connex-verification={}", new_token())).await?;
    let claimed = tenant.domains().await?.into_iter().find(|row| row.domain == domain.as_str());
    let row = claimed.ok_or_else(|| CliError::failed("the domain was removed meanwhile"))?;
    out.answer(&shown(&row), |out| {
        out.line(&format!(
            "{} is {}. Set this record, and run `connex domain check`:",
            row.domain,
            row.state.as_str()
        ))?;
        out.line(&format!("{} TXT \"{}\"", proof_name(&row.domain), row.proof))
    })
}

fn shown(row: &DomainRow) -> serde_json::Value {
    serde_json::json!({
        "tenant": row.tenant,
        "domain": row.domain,
        "state": row.state,
        "stateSince": row.state_since,
        "provenAt": row.proven_at,
        "misses": row.misses,
        "checkedAt": row.checked_at,
        "record": { "name": proof_name(&row.domain), "type": "TXT", "value": row.proof },
    })
}

async fn check(instance: &Instance, row: DomainRow, out: &mut Output) -> Result<(), CliError> {
    let dns = &instance.config.dns;
    let settings = ResolverSettings {
        servers: dns.servers.clone(),
        timeout: dns.timeout,
        attempts: usize::try_from(dns.attempts).unwrap_or(usize::MAX),
    };
    let resolver = Resolver::new(&settings).map_err(anyhow::Error::new)?;
    // Trouble of the DNS says nothing about the domain, which keeps its state.
    let looked = domains::look(&resolver, &row)
        .await
        .map_err(|error| CliError::Unreachable(anyhow::Error::new(error).context("looking for the record")))?;
    let state = match domains::settle(&instance.store, &row, &looked).await {
        Err(StoreError::Exists(_)) => {
            return Err(CliError::failed(format!(
                "another tenant has proven {}: it must give the domain up first",
                row.domain
            )));
        }
        settled => settled?,
    };
    let Looked { found, is_proven } = looked;
    let answer = serde_json::json!({ "domain": row.domain, "state": state, "expected": row.proof, "found": found });
    out.answer(&answer, |out| {
        out.line(&format!("{} is {}", row.domain, state.as_str()))?;
        if is_proven {
            return Ok(());
        }
        out.line(&format!("expected  {} TXT \"{}\"", proof_name(&row.domain), row.proof))?;
        match found.as_slice() {
            [] => out.line("found     no TXT record there"),
            found => found.iter().try_for_each(|text| out.line(&format!("found     \"{text}\""))),
        }
    })?;
    if is_proven { Ok(()) } else { Err(CliError::failed(format!("{} is not proven", row.domain))) }
}

async fn one(args: &OneArgs) -> Result<(Instance, DomainRow), CliError> {
    let instance = open(&args.data).await?;
    let wanted = Domain::parse(&args.id).map_err(|error| CliError::Usage(format!("{}: {error}", args.id)))?;
    let mut rows = Vec::new();
    for (_, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
        rows.extend(tenant.domains().await?.into_iter().map(|row| (row.tenant, row)));
    }
    let is_wanted = |row: &DomainRow| row.domain == wanted.as_str();
    let (_, row) = installation::found("domain", &args.id, rows.into_iter(), is_wanted)?;
    Ok((instance, row))
}
