//! `connex signing`: the keys that sign what leaves for a domain, and their records.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::installation::{self, open};
use super::output::Table;
use super::place::ListArgs;
use super::{CliError, DataArgs, JsonArgs, Output};
use crate::app::{Instance, resolver};
use crate::ids::OPERATOR;
use crate::mail::address::Domain;
use crate::service::audit::Who;
use crate::service::signing::{SigningError, holders, look, make_key, make_pair, signing};
use crate::store::TenantStore;
use crate::store::signing::SigningKeyRow;

/// `connex signing …`
#[derive(Debug, Subcommand)]
pub enum SigningCommand {
    /// Make a key for a domain, and show the TXT record to publish. It signs once the record was seen.
    #[command(after_help = "Example: connex signing add in.example.org --selector s1")]
    Add(AddArgs),
    /// Make two keys for a domain, Ed25519 and RSA, and show the records to publish: every message is signed with both.
    #[command(after_help = "Example: connex signing pair acme.example --tenant acme")]
    Pair(PairArgs),
    /// Make two new keys for a domain. Each signs in place of the one before it once its record was seen.
    #[command(after_help = "Example: connex signing rotate acme.example")]
    Rotate(RotateArgs),
    /// List keys.
    #[command(after_help = "Example: connex signing list")]
    List(ListArgs),
    /// Look for the records of a domain's keys.
    #[command(after_help = "Example: connex signing check in.example.org")]
    Check(DomainArgs),
    /// Sign with a key no more; leave its record for as long as mail may be under way.
    #[command(after_help = "Example: connex signing retire in.example.org --selector s1")]
    Retire(RetireArgs),
}

/// Arguments of `connex signing add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The domain, exactly as it stands in From.
    #[arg(value_name = "DOMAIN")]
    pub domain: String,
    /// Tells its keys apart: another one for each.
    #[arg(long, value_name = "NAME", default_value = "connex1")]
    pub selector: String,
    /// Its tenant, by id or name; without it, the domain is the gateway's own.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Take this key, RSA or Ed25519 in PEM, in place of making an Ed25519 one.
    #[arg(long, value_name = "FILE")]
    pub pem: Option<PathBuf>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex signing pair`.
#[derive(Debug, Args)]
pub struct PairArgs {
    /// The domain, exactly as it stands in From.
    #[arg(value_name = "DOMAIN")]
    pub domain: String,
    /// Beginning of both selectors, behind which stands e or r; without it, the day.
    #[arg(long, value_name = "NAME")]
    pub selector: Option<String>,
    /// Its tenant, by id or name; without it, the domain is the gateway's own.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex signing rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// The domain, which has keys already.
    #[arg(value_name = "DOMAIN")]
    pub domain: String,
    /// Beginning of both selectors, behind which stands e or r; without it, the day.
    #[arg(long, value_name = "NAME")]
    pub selector: Option<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of the commands about a domain.
#[derive(Debug, Args)]
pub struct DomainArgs {
    /// The domain.
    #[arg(value_name = "DOMAIN")]
    pub domain: String,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex signing retire`.
#[derive(Debug, Args)]
pub struct RetireArgs {
    /// The domain.
    #[arg(value_name = "DOMAIN")]
    pub domain: String,
    /// Which of its keys.
    #[arg(long, value_name = "NAME")]
    pub selector: String,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

impl SigningCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Add(args) => &args.json,
            Self::Pair(args) => &args.json,
            Self::Rotate(args) => &args.json,
            Self::List(args) => &args.json,
            Self::Check(args) => &args.json,
            Self::Retire(args) => &args.json,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: SigningCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        SigningCommand::Add(args) => add(args, out).await,
        SigningCommand::Pair(args) => {
            let instance = open(&args.data).await?;
            let domain = domain(&args.domain)?;
            let tenant = holder(&instance, &domain, args.tenant.as_deref()).await?;
            pair(&instance, &tenant, &domain, args.selector, out).await
        }
        SigningCommand::Rotate(args) => {
            let instance = open(&args.data).await?;
            let rows = of_domain(&instance, &args.domain).await?;
            let Some((tenant, _)) = rows.into_iter().next_back() else { return Ok(()) };
            pair(&instance, &tenant, &domain(&args.domain)?, args.selector, out).await
        }
        SigningCommand::List(args) => {
            let instance = open(&args.data).await?;
            let rows = match &args.tenant {
                Some(name) => installation::tenant(&instance, name).await?.signing_keys().await?,
                None => all(&instance).await?.into_iter().map(|(_, row)| row).collect(),
            };
            show(&rows, out)
        }
        SigningCommand::Check(args) => check(args, out).await,
        SigningCommand::Retire(args) => {
            let instance = open(&args.data).await?;
            let rows = of_domain(&instance, &args.domain).await?;
            let (tenant, row) = rows
                .into_iter()
                .find(|(_, row)| row.selector == args.selector)
                .ok_or_else(|| CliError::NotFound(format!("signing key `{}` of {}", args.selector, args.domain)))?;
            tenant.retire_signing_key(&row.domain, &row.selector, Who::Operator).await?;
            out.answer(&serde_json::json!({ "retired": row.selector, "domain": row.domain }), |out| {
                out.line(&format!("Nothing is signed with {} of {} any more", row.selector, row.domain))
            })
        }
    }
}

async fn add(args: AddArgs, out: &mut Output) -> Result<(), CliError> {
    let domain = domain(&args.domain)?;
    let pem = match &args.pem {
        None => None,
        Some(path) => Some(
            std::fs::read_to_string(path).map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?,
        ),
    };
    let instance = open(&args.data).await?;
    let tenant = holder(&instance, &domain, args.tenant.as_deref()).await?;
    let row = make_key(&tenant, &instance.key, domain, &args.selector, pem.as_deref()).await.map_err(refused)?;
    out.answer(&shown(&row), |out| {
        out.line("Publish this record, and run `connex signing check`; the key signs once the record was seen:")?;
        out.line(&record_line(&row))
    })
}

fn domain(text: &str) -> Result<Domain, CliError> {
    Domain::parse(text).map_err(|error| CliError::Usage(format!("{text}: {error}")))
}

/// Whose the keys of a domain are: the operator's, where it is the gateway's own.
async fn holder(instance: &Instance, domain: &Domain, tenant: Option<&str>) -> Result<TenantStore, CliError> {
    let is_platform = instance.config.smtp.platform_domains.contains(domain);
    match tenant {
        Some(name) if !is_platform => installation::tenant(instance, name).await,
        None if is_platform => Ok(instance.store.for_tenant(OPERATOR)),
        Some(_) => Err(CliError::Usage(format!("{domain} is the gateway's own: leave --tenant out"))),
        None => Err(CliError::Usage(format!("{domain} is not in smtp.platform_domains: name its --tenant"))),
    }
}

async fn pair(
    instance: &Instance,
    tenant: &TenantStore,
    domain: &Domain,
    selector: Option<String>,
    out: &mut Output,
) -> Result<(), CliError> {
    // `2026-12-01T…` to `cx20261201`.
    let day = || instance.clock.now().to_string().chars().take(10).filter(char::is_ascii_digit).collect::<String>();
    let name = selector.unwrap_or_else(|| format!("cx{}", day()));
    let rows = make_pair(tenant, &instance.key, domain, &name).await.map_err(refused)?;
    out.answer(&rows.iter().map(shown).collect::<Vec<_>>(), |out| {
        out.line("Publish these records, and run `connex signing check`; each key signs once its record was seen:")?;
        rows.iter().try_for_each(|row| out.line(&record_line(row)))
    })
}

fn refused(error: SigningError) -> CliError {
    match error {
        SigningError::Key(error) => CliError::Usage(error.to_string()),
        SigningError::Store(error) => error.into(),
    }
}

async fn check(args: DomainArgs, out: &mut Output) -> Result<(), CliError> {
    let instance = open(&args.data).await?;
    let resolver = resolver(&instance.config).map_err(anyhow::Error::new)?;
    let rows = of_domain(&instance, &args.domain).await?;
    for (tenant, row) in rows.iter().filter(|(_, row)| row.state == "active") {
        look(tenant, &resolver, row)
            .await
            .map_err(|error| CliError::Unreachable(anyhow::Error::new(error).context("looking for the record")))?;
    }
    let rows: Vec<_> = of_domain(&instance, &args.domain).await?.into_iter().map(|(_, row)| row).collect();
    show(&rows, out)?;
    match rows.iter().find(|row| row.state == "active" && row.seen_at.is_none()) {
        None => Ok(()),
        Some(row) => Err(CliError::failed(format!("this record is not in DNS: {}", record_line(row)))),
    }
}

fn show(rows: &[SigningKeyRow], out: &mut Output) -> Result<(), CliError> {
    let mut table = Table::new(["DOMAIN", "SELECTOR", "ALGORITHM", "STATE", "SIGNS", "SEEN"]);
    for row in rows {
        let signs = if signing(rows, &row.domain).contains(&row) { "yes" } else { "no" }.to_owned();
        let seen = row.seen_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
        table.row([row.domain.clone(), row.selector.clone(), row.algorithm.clone(), row.state.clone(), signs, seen]);
    }
    out.answer(&rows.iter().map(shown).collect::<Vec<_>>(), |out| out.table(&table))
}

fn shown(row: &SigningKeyRow) -> serde_json::Value {
    let time = |at: Option<crate::clock::Timestamp>| at.map(|at| at.to_string());
    serde_json::json!({
        "domain": row.domain, "selector": row.selector, "algorithm": row.algorithm, "state": row.state,
        "name": format!("{}._domainkey.{}", row.selector, row.domain), "record": row.record,
        "seenAt": time(row.seen_at), "checkedAt": time(row.checked_at),
    })
}

fn record_line(row: &SigningKeyRow) -> String {
    // A string of a TXT record has 255 octets at most (RFC 1035 §3.3).
    let octets = row.record.as_bytes().chunks(255).map(|piece| format!("\"{}\"", String::from_utf8_lossy(piece)));
    format!("{}._domainkey.{} IN TXT {}", row.selector, row.domain, octets.collect::<Vec<_>>().join(" "))
}

async fn all(instance: &Instance) -> Result<Vec<(TenantStore, SigningKeyRow)>, CliError> {
    let mut all = Vec::new();
    for tenant in holders(&instance.store).await? {
        all.extend(tenant.signing_keys().await?.into_iter().map(|row| (tenant.clone(), row)));
    }
    Ok(all)
}

async fn of_domain(instance: &Instance, domain: &str) -> Result<Vec<(TenantStore, SigningKeyRow)>, CliError> {
    let wanted = Domain::parse(domain).map_err(|error| CliError::Usage(format!("{domain}: {error}")))?;
    let rows: Vec<_> = all(instance).await?.into_iter().filter(|(_, row)| row.domain == wanted.as_str()).collect();
    if rows.is_empty() { Err(CliError::NotFound(format!("signing key of {wanted}"))) } else { Ok(rows) }
}
