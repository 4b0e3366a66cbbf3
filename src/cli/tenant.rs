//! `connex tenant`: the customers of this gateway.

use clap::{Args, Subcommand};

use super::installation::{self, open};
use super::output::Table;
use super::{CliError, DataArgs, JsonArgs, Output};
use crate::service::routes::forms::RouteView;

/// `connex tenant …`
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Add a tenant.
    #[command(after_help = "Example: connex tenant add acme")]
    Add(AddArgs),
    /// List tenants.
    #[command(after_help = "Example: connex tenant list")]
    List(ListArgs),
    /// Show one tenant with its apps, mailboxes and routes.
    #[command(after_help = "Example: connex tenant show acme")]
    Show(OneArgs),
    /// Remove a tenant that has no apps, mailboxes, routes, keys, webhooks or mail.
    #[command(after_help = "Example: connex tenant remove acme")]
    Remove(OneArgs),
}

/// Arguments of `connex tenant add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its name, unique here.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex tenant list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex tenant show` and `connex tenant remove`.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// Id or name of the tenant.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

impl TenantCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Add(args) => &args.json,
            Self::List(args) => &args.json,
            Self::Show(args) | Self::Remove(args) => &args.json,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: TenantCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        TenantCommand::Add(args) => {
            let instance = open(&args.data).await?;
            let id = instance.store.add_tenant(&args.name).await?;
            out.answer(&serde_json::json!({ "id": id, "name": args.name }), |out| {
                out.line(&format!("Tenant {} is {id}", args.name))
            })
        }
        TenantCommand::List(args) => {
            let tenants = open(&args.data).await?.store.tenants().await?;
            let mut table = Table::new(["TENANT", "NAME", "SUSPENDED"]);
            for tenant in &tenants {
                let suspended = tenant.suspended_at.map_or_else(String::new, |at| at.to_string());
                table.row([tenant.id.to_string(), tenant.name.clone(), suspended]);
            }
            out.answer(&tenants, |out| out.table(&table))
        }
        TenantCommand::Show(args) => {
            let instance = open(&args.data).await?;
            let tenant = installation::tenant(&instance, &args.id).await?;
            let (apps, mailboxes) = (tenant.apps().await?, tenant.mailboxes().await?);
            let now = instance.clock.now();
            let (routes, endpoints) = (tenant.routes().await?, tenant.endpoints().await?);
            let shown = serde_json::json!({
                "id": tenant.tenant(),
                "apps": apps,
                "mailboxes": mailboxes,
                "routes": routes.iter().map(|row| RouteView::of(row, &[], &apps, now)).collect::<Vec<_>>(),
                "webhooks": endpoints,
            });
            out.answer(&shown, |out| {
                out.line(&format!("Tenant {}", tenant.tenant()))?;
                out.line(&format!("{} apps: {}", apps.len(), joined(apps.iter().map(|app| &app.name))))?;
                let addresses = joined(mailboxes.iter().map(|mailbox| &mailbox.address));
                out.line(&format!("{} mailboxes: {addresses}", mailboxes.len()))?;
                out.line(&format!("{} routes", routes.len()))?;
                out.line(&format!("{} webhooks: {}", endpoints.len(), joined(endpoints.iter().map(|row| &row.url))))
            })
        }
        TenantCommand::Remove(args) => {
            let instance = open(&args.data).await?;
            let id = installation::tenant(&instance, &args.id).await?.tenant();
            instance.store.remove_tenant(id).await?;
            out.answer(&serde_json::json!({ "removed": id }), |out| out.line(&format!("Removed tenant {id}")))
        }
    }
}

fn joined<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}
