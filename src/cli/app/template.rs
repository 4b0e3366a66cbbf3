//! `connex app template`: the words with which decisions propose answers.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::installation;
use crate::cli::output::Table;
use crate::cli::{CliError, JsonArgs, Output, TenantArgs};
use crate::ids::AppId;
use crate::service::audit::Who;
use crate::service::drafts::words::check_template;
use crate::store::TenantStore;
use crate::store::templates::NewTemplate;

/// `connex app template …`
#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// Keep words for a status in a language; what was proposed with the former keeps their name.
    #[command(
        after_help = "Example: connex app template set --tenant acme --app your-saas --status complaint --language en --file words.txt"
    )]
    Set(SetArgs),
    /// List templates.
    #[command(after_help = "Example: connex app template list --tenant acme")]
    List(TenantArgs),
    /// Remove words; the tenant's, or those that are there from the start, take their place.
    #[command(
        after_help = "Example: connex app template remove --tenant acme --app your-saas --status complaint --language en"
    )]
    Remove(PlaceArgs),
}

/// What words are for.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Whose.
    #[command(flatten)]
    pub whose: TenantArgs,
    /// App that they are for, by id or name; without it, every app of the tenant.
    #[arg(long, value_name = "APP")]
    pub app: Option<String>,
    /// Canonical status, or any.
    #[arg(long, value_name = "STATUS")]
    pub status: String,
    /// Language: two letters.
    #[arg(long, value_name = "LANGUAGE", default_value = "en")]
    pub language: String,
}

/// Arguments of `connex app template set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// What they are for.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// File with the words: plain text, in which {{contact_name}}, {{record_id}}, {{document}} and {{link}} are filled in;
    /// {{contact_name|there}} says what stands there otherwise.
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// Subject; without it, that of the message that is answered.
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,
}

/// Octets of a file with words.
const LARGEST: u64 = 64 * 1024;

impl TemplateCommand {
    pub(in crate::cli) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Set(args) => &args.place.whose.json,
            Self::List(args) => &args.json,
            Self::Remove(args) => &args.whose.json,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub(in crate::cli) async fn run(command: TemplateCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        TemplateCommand::Set(args) => {
            let (tenant, new) = place(&args.place).await?;
            let new = NewTemplate { subject: args.subject, body: read(&args.file)?, ..new };
            check_template(&new).map_err(CliError::Usage)?;
            let row = tenant.set_template(new, Who::Operator).await?;
            out.answer(&row, |out| out.line(&format!("Template {} has version {}", row.id, row.version)))
        }
        TemplateCommand::List(args) => {
            let (_instance, tenant) = args.open().await?;
            let (rows, apps) = (tenant.templates().await?, tenant.apps().await?);
            let name = |id: Option<AppId>| {
                let app = apps.iter().find(|app| Some(app.id) == id);
                app.map_or_else(|| "-".to_owned(), |app| app.name.clone())
            };
            let mut table = Table::new(["TEMPLATE", "VERSION", "APP", "STATUS", "LANGUAGE"]);
            for row in &rows {
                let (status, language) = (row.status.clone(), row.language.clone());
                table.row([row.id.to_string(), row.version.to_string(), name(row.app), status, language]);
            }
            out.answer(&rows, |out| out.table(&table))
        }
        TemplateCommand::Remove(args) => {
            let (tenant, new) = place(&args).await?;
            let row = tenant.set_template(new, Who::Operator).await?;
            out.answer(&serde_json::json!({ "removed": row.id }), |out| {
                out.line(&format!("Removed template {}", row.id))
            })
        }
    }
}

async fn place(args: &PlaceArgs) -> Result<(TenantStore, NewTemplate), CliError> {
    let (_instance, tenant) = args.whose.open().await?;
    let app = match &args.app {
        Some(app) => Some(installation::app(&tenant, app).await?.id),
        None => None,
    };
    let (status, language) = (args.status.clone(), args.language.clone());
    Ok((tenant, NewTemplate { app, status, language, subject: None, body: String::new() }))
}

fn read(file: &std::path::Path) -> Result<String, CliError> {
    let size = std::fs::metadata(file).map_err(|error| unusable(file, &error))?.len();
    if size > LARGEST {
        return Err(CliError::Usage(format!("{} has over {LARGEST} octets", file.display())));
    }
    std::fs::read_to_string(file).map_err(|error| unusable(file, &error))
}

fn unusable(file: &std::path::Path, error: &std::io::Error) -> CliError {
    CliError::Usage(format!("{} cannot be read: {error}", file.display()))
}
