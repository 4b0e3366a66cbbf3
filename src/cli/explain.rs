//! `connex explain`: the whole chain of one id.

use clap::Args;

use super::{CliError, DataArgs, JsonArgs, Output};

/// Arguments of `connex explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Id of a message, event, decision, operation, draft or delivery.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Shows session, message, event, decision, operations, deliveries and attempts.
///
/// # Errors
/// The id is of no known kind, or does not exist.
pub async fn run(args: ExplainArgs, _out: &mut Output) -> Result<(), CliError> {
    let _config = args.data.load()?;
    Err(CliError::failed("this command is not part of this build yet"))
}
