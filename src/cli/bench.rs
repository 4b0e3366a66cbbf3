//! `connex bench`: what this machine can do.

use clap::{Args, Subcommand};

use super::{CliError, DataArgs, JsonArgs, Output};

/// `connex bench …`
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// How many messages a second are taken in durably over SMTP.
    #[command(after_help = "Example: connex bench accept --sessions 100 --messages 100000 --size 10KiB")]
    Accept(BenchArgs),
    /// How long it takes from a message to its signed webhook.
    #[command(after_help = "Example: connex bench pipeline --sessions 10 --rate 200")]
    Pipeline(BenchArgs),
}

/// Arguments of `connex bench …`
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Sessions at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub sessions: u32,
    /// Messages in all.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    pub messages: u64,
    /// Size of one message.
    #[arg(long, value_name = "SIZE", default_value = "10KiB", value_parser = size)]
    pub size: u64,
    /// Messages a second; without it, as many as go.
    #[arg(long, value_name = "COUNT")]
    pub rate: Option<u32>,
    /// SMTP server to measure; without it, one is started in a folder of its own.
    #[arg(long, value_name = "HOST:PORT")]
    pub server: Option<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

impl BenchCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Accept(args) | Self::Pipeline(args) => &args.json,
        }
    }
}

/// Measures and shows rate and percentiles.
///
/// # Errors
/// What could not be started or reached.
pub async fn run(_command: BenchCommand, _out: &mut Output) -> Result<(), CliError> {
    Err(CliError::failed("this command is not part of this build yet"))
}

fn size(text: &str) -> Result<u64, String> {
    crate::config::units::parse_size(text).ok_or_else(|| format!("must be {}", crate::config::units::SIZE_FORM))
}
