//! `connex check-config`: the effective configuration, or every fault of it.

use clap::Args;

use super::{CliError, DataArgs, JsonArgs, Output};
use crate::config::show;

/// Arguments of `connex check-config`.
#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Shows every value with the place that it came from, secrets hidden.
///
/// # Errors
/// Every fault of the configuration.
pub fn run(args: &CheckConfigArgs, out: &mut Output) -> Result<(), CliError> {
    let config = args.data.load()?;
    out.answer(&show::to_json(&config.layers), |out| out.bytes(show::to_toml(&config.layers).as_bytes()))
}
