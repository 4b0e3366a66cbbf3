//! `connex serve`: run the gateway.

use clap::Args;

use super::{CliError, DataArgs, JsonArgs, Output};

/// Arguments of `connex serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Runs until a signal comes.
///
/// # Errors
/// A faulty configuration, or what could not be opened.
pub async fn run(args: ServeArgs, _out: &mut Output) -> Result<(), CliError> {
    let _config = args.data.load()?;
    Err(CliError::failed("this command is not part of this build yet"))
}
