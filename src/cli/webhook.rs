//! `connex webhook`: where operations are delivered.

use clap::{Args, Subcommand};

use super::{CliError, DataArgs, JsonArgs, Output};

/// `connex webhook …`
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Add an endpoint and show its secret, once.
    #[command(
        after_help = "Example: connex webhook add --tenant acme --app your-saas https://hooks.example.org/connex"
    )]
    Add(AddArgs),
    /// List endpoints.
    #[command(after_help = "Example: connex webhook list --tenant acme")]
    List(ListArgs),
    /// Show one endpoint and how its deliveries go.
    #[command(after_help = "Example: connex webhook show whe_01kb3r8x7g0000000000000000 --tenant acme")]
    Show(OneArgs),
    /// Remove an endpoint; what it has not got is cancelled.
    #[command(after_help = "Example: connex webhook remove whe_01kb3r8x7g0000000000000000 --tenant acme")]
    Remove(OneArgs),
}

/// Arguments of `connex webhook add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: String,
    /// App whose operations it gets, by id or name.
    #[arg(long, value_name = "APP")]
    pub app: String,
    /// Where deliveries are posted to: https, and a public address, but for what `webhooks.allow_…` names.
    #[arg(value_name = "URL")]
    pub url: String,
    /// Event type that it gets; again for more. Without it, message.classified.
    #[arg(long, value_name = "TYPE")]
    pub event_type: Vec<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex webhook list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only this tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex webhook show` and `connex webhook remove`.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// Id of the endpoint.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Its tenant, by id or name; needed where a name is not unique.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

impl WebhookCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Add(args) => &args.json,
            Self::List(args) => &args.json,
            Self::Show(args) | Self::Remove(args) => &args.json,
        }
    }
}

/// Changes or shows webhooks.
///
/// # Errors
/// The database cannot be opened, or what is named does not exist.
pub async fn run(_command: WebhookCommand, _out: &mut Output) -> Result<(), CliError> {
    Err(CliError::failed("this command is not part of this build yet"))
}
