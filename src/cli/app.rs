//! `connex app`: the applications that get operations.

use clap::{Args, Subcommand};

use super::{CliError, DataArgs, JsonArgs, Output};

/// `connex app …`
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// Add an app.
    #[command(
        after_help = "Example: connex app add --tenant acme your-saas --status-map needs_reply=Open --inbox sales"
    )]
    Add(AddArgs),
    /// List apps.
    #[command(after_help = "Example: connex app list --tenant acme")]
    List(ListArgs),
    /// Show one app with its statuses and inboxes.
    #[command(after_help = "Example: connex app show your-saas --tenant acme")]
    Show(OneArgs),
    /// Remove an app; its webhooks end.
    #[command(after_help = "Example: connex app remove your-saas --tenant acme")]
    Remove(OneArgs),
}

/// Arguments of `connex app add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: String,
    /// Its name, unique within the tenant; the `app` of the API.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The app's own word for a canonical status; again for more.
    #[arg(long, value_name = "CANONICAL=STATUS", value_parser = pair)]
    pub status_map: Vec<(String, String)>,
    /// An inbox of the app that work can be routed to; again for more.
    #[arg(long, value_name = "INBOX")]
    pub inbox: Vec<String>,
    /// An operation type that the app applies; again for more. Without it, all.
    #[arg(long, value_name = "OPERATION")]
    pub allowed: Vec<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex app list`.
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

/// Arguments of `connex app show` and `connex app remove`.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// Id or name of the app.
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

/// `canonical=App Status`, both not empty.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=').map(|(canonical, own)| (canonical.trim(), own.trim())) {
        Some((canonical, own)) if !canonical.is_empty() && !own.is_empty() => {
            Ok((canonical.to_owned(), own.to_owned()))
        }
        _ => Err("must be CANONICAL=STATUS, such as needs_reply=Open".to_owned()),
    }
}

impl AppCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Add(args) => &args.json,
            Self::List(args) => &args.json,
            Self::Show(args) | Self::Remove(args) => &args.json,
        }
    }
}

/// Changes or shows apps.
///
/// # Errors
/// The database cannot be opened, or what is named does not exist.
pub async fn run(_command: AppCommand, _out: &mut Output) -> Result<(), CliError> {
    Err(CliError::failed("this command is not part of this build yet"))
}
