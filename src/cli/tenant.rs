//! `connex tenant`: the customers of this gateway.

use clap::{Args, Subcommand};

use super::{CliError, DataArgs, JsonArgs, Output};

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
    /// Suspend a tenant: its mail is answered 450 from now on; nothing is deleted.
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

/// Changes or shows tenants.
///
/// # Errors
/// The database cannot be opened, or what is named does not exist.
pub async fn run(_command: TenantCommand, _out: &mut Output) -> Result<(), CliError> {
    Err(CliError::failed("this command is not part of this build yet"))
}
