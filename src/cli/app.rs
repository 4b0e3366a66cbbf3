//! `connex app`: the applications that get operations.

use clap::{Args, Subcommand};

use super::installation::{self, open};
use super::output::Table;
use super::place::ListArgs;
use super::{CliError, JsonArgs, Output, TenantArgs};
use crate::store::directory::AppProfileRow;

pub mod template;

/// `connex app …`
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// Add an app.
    #[command(
        after_help = "Example: connex app add --tenant acme your-saas --status-map problem_reported=Open --inbox Sales"
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
    /// The words with which decisions propose answers.
    #[command(subcommand, after_help = "Example: connex app template list --tenant acme")]
    Template(template::TemplateCommand),
}

/// Arguments of `connex app add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its name, unique within the tenant; the `app` of the API.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The app's own word for a canonical status; again for more.
    #[arg(long, value_name = "CANONICAL=STATUS", value_parser = pair)]
    pub status_map: Vec<(String, String)>,
    /// An inbox of the app that work can be routed to; again for more.
    #[arg(long, value_name = "INBOX")]
    pub inbox: Vec<String>,
    /// A status that a record of the app may have; may be given often.
    #[arg(long, value_name = "STATUS")]
    pub allowed: Vec<String>,
    /// Trade of the app's customers: sales, real_estate, help_desk, recruiting or finance.
    #[arg(long, value_name = "TRADE")]
    pub industry: Option<String>,
    /// Whose it is.
    #[command(flatten)]
    pub whose: TenantArgs,
}

/// Arguments of `connex app show` and `connex app remove`.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// Id or name of the app.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Whose, and how to answer.
    #[command(flatten)]
    pub whose: TenantArgs,
}

/// `canonical=App Status`, both not empty.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=').map(|(canonical, own)| (canonical.trim(), own.trim())) {
        Some((canonical, own)) if !canonical.is_empty() && !own.is_empty() => {
            Ok((canonical.to_owned(), own.to_owned()))
        }
        _ => Err("must be CANONICAL=STATUS, such as problem_reported=Open".to_owned()),
    }
}

impl AppCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Add(args) => &args.whose.json,
            Self::List(args) => &args.json,
            Self::Show(args) | Self::Remove(args) => &args.whose.json,
            Self::Template(command) => command.json(),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: AppCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        AppCommand::Add(args) => {
            let (_instance, tenant) = args.whose.open().await?;
            let profile = AppProfileRow {
                status_map: args.status_map.into_iter().collect(),
                allowed_statuses: args.allowed,
                inboxes: args.inbox,
                industry: args.industry,
                ..AppProfileRow::default()
            };
            let id = tenant.put_app(&args.name, &profile).await?;
            out.answer(&serde_json::json!({ "id": id, "name": args.name, "profile": profile }), |out| {
                out.line(&format!("App {} is {id}", args.name))
            })
        }
        AppCommand::List(args) => {
            let instance = open(&args.data).await?;
            let mut table = Table::new(["APP", "NAME", "TENANT"]);
            let mut all = Vec::new();
            for (name, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
                for app in tenant.apps().await? {
                    table.row([app.id.to_string(), app.name.clone(), name.clone()]);
                    all.push(app);
                }
            }
            out.answer(&all, |out| out.table(&table))
        }
        AppCommand::Show(args) => {
            let (_instance, tenant) = args.whose.open().await?;
            let app = installation::app(&tenant, &args.id).await?;
            let text = serde_json::to_string_pretty(&app).map_err(anyhow::Error::new)?;
            out.answer(&app, |out| text.lines().try_for_each(|line| out.line(line)))
        }
        AppCommand::Template(command) => template::run(command, out).await,
        AppCommand::Remove(args) => {
            let (_instance, tenant) = args.whose.open().await?;
            let id = installation::app(&tenant, &args.id).await?.id;
            tenant.remove_app(id).await?;
            out.answer(&serde_json::json!({ "removed": id }), |out| out.line(&format!("Removed app {id}")))
        }
    }
}
