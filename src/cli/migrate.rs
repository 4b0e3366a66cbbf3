//! `connex migrate`: bring the database to this version.

use clap::Args;

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

/// Applies what is missing and lists it.
///
/// # Errors
/// The database cannot be opened, or is of a later version.
pub async fn run(args: MigrateArgs, _out: &mut Output) -> Result<(), CliError> {
    let _config = args.data.load()?;
    Err(CliError::failed("this command is not part of this build yet"))
}
