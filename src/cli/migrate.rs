//! `connex migrate`: bring the database to this version.

use clap::Args;

use super::installation::open;
use super::{CliError, DataArgs, JsonArgs, Output};

/// Arguments of `connex migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(args: MigrateArgs, out: &mut Output) -> Result<(), CliError> {
    let instance = open(&args.data).await?;
    let database = instance.config.database.describe();
    out.answer(&serde_json::json!({ "database": database, "upToDate": true }), |out| {
        out.line(&format!("{database} is up to date"))
    })
}
