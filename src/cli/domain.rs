//! `connex domain`: the domains of a tenant, how they are proven, and which records they need.

mod check;
mod relay;

use clap::{Args, Subcommand};

use super::installation::{self, open};
use super::output::Table;
use super::place::{ListArgs, OneArgs};
use super::{CliError, JsonArgs, Output, TenantArgs};
use crate::app::{Instance, domain_desk};
use crate::mail::address::Domain;
use crate::service::audit::Who;
use crate::service::domains::{ClaimError, DelegateError, unicode};
use crate::store::domains::{DomainRow, DomainState};

/// `connex domain …`
#[derive(Debug, Subcommand)]
pub enum DomainCommand {
    /// Claim a domain, and show the TXT record that proves it.
    #[command(after_help = "Example: connex domain add acme.example --tenant acme")]
    Add(AddArgs),
    /// List domains.
    #[command(after_help = "Example: connex domain list --tenant acme")]
    List(ListArgs),
    /// Look for every record that the domain needs, and take it as proven when its own is there.
    #[command(after_help = "Example: connex domain check acme.example --tenant acme")]
    Check(OneArgs),
    /// Let a proven domain count for nothing; its mailboxes are put off for three days, then refused.
    #[command(after_help = "Example: connex domain suspend acme.example --tenant acme")]
    Suspend(OneArgs),
    /// Let a suspended domain count again, once its record is seen.
    #[command(after_help = "Example: connex domain resume acme.example --tenant acme")]
    Resume(OneArgs),
    /// Delegate reports about a domain's mail to a host below it that leads here: it stands in reverse-paths, for SPF.
    #[command(after_help = "Example: connex domain bounces acme.example --host bounces.acme.example --tenant acme")]
    Bounces(BouncesArgs),
    /// Have the customer's own server take what is sent for a domain.
    #[command(subcommand, arg_required_else_help = true)]
    #[command(after_help = "Example: connex domain relay show acme.example --tenant acme")]
    Relay(relay::RelayCommand),
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
    /// Whose, and how to answer.
    #[command(flatten)]
    pub whose: TenantArgs,
}

/// Arguments of `connex domain bounces`.
#[derive(Debug, Args)]
pub struct BouncesArgs {
    /// The domain, and whose it is.
    #[command(flatten)]
    pub one: OneArgs,
    /// The host; without it, the delegation ends.
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
}

impl DomainCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Add(args) => &args.whose.json,
            Self::List(args) => &args.json,
            Self::Bounces(args) => &args.one.json,
            Self::Relay(command) => command.json(),
            Self::Check(args) | Self::Suspend(args) | Self::Resume(args) | Self::Remove(args) => &args.json,
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
            let (mut all, desk) = (Vec::new(), domain_desk(&instance.config));
            for (name, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
                for row in tenant.domains().await? {
                    let state = row.state.as_str().to_owned();
                    table.row([beside(&row.domain), state, row.state_since.to_string(), name.clone()]);
                    all.push(desk.view(&row));
                }
            }
            out.answer(&all, |out| out.table(&table))
        }
        DomainCommand::Check(args) => {
            let (instance, row) = one(&args).await?;
            check::run(&instance, row, out).await
        }
        DomainCommand::Suspend(args) => {
            let (instance, row) = one(&args).await?;
            instance.store.for_tenant(row.tenant).suspend_domain(&row.domain).await?;
            out.answer(&serde_json::json!({ "domain": row.domain, "state": DomainState::Suspended }), |out| {
                out.line(&format!("{} is suspended; its mail counts as nobody's of the tenant", beside(&row.domain)))
            })
        }
        DomainCommand::Bounces(args) => bounces(&args, out).await,
        DomainCommand::Relay(command) => relay::run(command, out).await,
        DomainCommand::Resume(args) => resume(&args, out).await,
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
    let (instance, tenant) = args.whose.open().await?;
    let desk = domain_desk(&instance.config);
    let claimed = desk.claim(&instance.store, tenant.tenant(), &args.domain, Who::Operator).await;
    let row = claimed.map_err(|error| match error {
        ClaimError::NoDomain(error) => CliError::Usage(format!("{}: {error}", args.domain)),
        ClaimError::Platform(_) | ClaimError::TooMany => CliError::Usage(error.to_string()),
        ClaimError::Store(error) => error.into(),
    })?;
    let view = desk.view(&row);
    out.answer(&view, |out| {
        out.line(&format!(
            "{} is {}. Set the first of these records, or the second where no TXT can be set, and run `connex domain check`:",
            beside(&row.domain),
            row.state.as_str()
        ))?;
        out.line(&format!("{} IN TXT \"{}\"", view.record.name, view.record.value))?;
        out.line(&format!("{} IN CNAME {}", view.alias.name, view.alias.value))
    })
}

async fn bounces(args: &BouncesArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(&args.one).await?;
    let Some(host) = &args.host else {
        let domain = Domain::parse(&row.domain).map_err(|error| CliError::Usage(error.to_string()))?;
        instance.store.for_tenant(row.tenant).withdraw_bounces(&domain, Who::Operator).await?;
        return out.answer(&serde_json::json!({ "domain": row.domain, "bounceHost": null }), |out| {
            out.line(&format!("Reports about mail of {} go to the mailboxes that sent it", beside(&row.domain)))
        });
    };
    let desk = domain_desk(&instance.config);
    let host = desk.delegate_bounces(&instance.store, &row, host).await.map_err(|error| match error {
        DelegateError::NoHost(_) | DelegateError::Elsewhere { .. } => CliError::Usage(error.to_string()),
        DelegateError::Store(error) => error.into(),
    })?;
    out.answer(&serde_json::json!({ "domain": row.domain, "bounceHost": host }), |out| {
        let own = desk.hosts.first().map_or("localhost", String::as_str);
        out.line("Set these records, and run `connex domain check`; the host counts once it leads here:")?;
        out.line(&format!("{host}. IN MX 10 {}.", own.trim_end_matches('.')))?;
        out.line(&format!("{host}. IN TXT \"v=spf1 a:{} -all\"", own.trim_end_matches('.')))
    })
}

async fn resume(args: &OneArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(args).await?;
    let tenant = instance.store.for_tenant(row.tenant);
    // Meanwhile nobody looked: it may be somebody else's by now.
    if row.state == DomainState::Suspended && !row.proof.is_empty() {
        if !check::is_proven(&instance, &row).await? {
            return Err(CliError::failed(format!(
                "{} stays suspended: its proof is not in DNS (`connex domain check` shows it)",
                row.domain
            )));
        }
        tenant.prove_domain(&row.domain).await?;
    }
    tenant.resume_domain(&row.domain).await?;
    out.answer(&serde_json::json!({ "domain": row.domain, "state": DomainState::Verified }), |out| {
        out.line(&format!("{} is verified; its mailboxes take mail again", beside(&row.domain)))
    })
}

/// A domain as A-label, with the form that people write beside it where that differs.
fn beside(domain: &str) -> String {
    match unicode(domain) {
        Some(shown) => format!("{domain} ({shown})"),
        None => domain.to_owned(),
    }
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
