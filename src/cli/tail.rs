//! `connex tail`: messages, decisions and deliveries as they happen.

use clap::Args;

use super::{CliError, DataArgs, JsonArgs, Output};

/// Arguments of `connex tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Only this tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Begin with this many of the past.
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 10)]
    pub lines: u32,
    /// End after the past instead of following.
    #[arg(long)]
    pub no_follow: bool,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer: with JSON, one object a line.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Shows until a signal comes.
///
/// # Errors
/// The database cannot be opened, or the tenant does not exist.
pub async fn run(args: TailArgs, _out: &mut Output) -> Result<(), CliError> {
    let _config = args.data.load()?;
    Err(CliError::failed("this command is not part of this build yet"))
}
