//! `connex listen`: a tenant's events, delivered to a laptop.
//!
//! # Security
//! The key comes from a file, from `CONNEX_API_KEY`, or, for quick trials, from `--key`.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, DataArgs, JsonArgs, Output};

/// Arguments of `connex listen`.
#[derive(Debug, Args)]
pub struct ListenArgs {
    /// Gateway; without it, server.public_url.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// API key; other users of this machine can see it, so better --key-file or CONNEX_API_KEY.
    #[arg(long, value_name = "KEY", env = "CONNEX_API_KEY", hide_env_values = true, conflicts_with = "key_file")]
    pub key: Option<String>,
    /// File with the API key.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Where each event is posted to, signed as a webhook; without it, events are only shown.
    #[arg(long, value_name = "URL")]
    pub forward: Option<String>,
    /// Event type to receive; again for more. Without it, all.
    #[arg(long, value_name = "TYPE")]
    pub event_type: Vec<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Receives until a signal comes.
///
/// # Errors
/// The gateway cannot be reached, or the key is refused.
pub async fn run(args: ListenArgs, _out: &mut Output) -> Result<(), CliError> {
    let _config = args.data.load()?;
    Err(CliError::failed("this command is not part of this build yet"))
}
