//! `connex dev`: the whole product on loopback, with sample data.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, JsonArgs, Output};

/// Arguments of `connex dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Data folder; made where it is missing, used again where it is there.
    #[arg(long, value_name = "DIR", default_value = "connex-data")]
    pub dir: PathBuf,
    /// First of five ports in a row: SMTP, SMTP over TLS, API, admin, receiver; 0: any free ports.
    #[arg(long, value_name = "PORT")]
    pub port_base: Option<u16>,
    /// Do not send the sample mails.
    #[arg(long)]
    pub no_samples: bool,
    /// How to answer: with JSON, one object when everything is ready.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Runs until a signal comes.
///
/// # Errors
/// What could not be made or opened.
pub async fn run(_args: DevArgs, _out: &mut Output) -> Result<(), CliError> {
    Err(CliError::failed("this command is not part of this build yet"))
}
