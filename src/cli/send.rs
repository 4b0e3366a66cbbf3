//! `connex send`: a message through real SMTP, as any client would send it.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, DataArgs, JsonArgs, Output};

/// Arguments of `connex send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// A message file (RFC 5322), `-` for standard input, or the name of a sample.
    #[arg(value_name = "FILE|SAMPLE", required_unless_present = "list_samples")]
    pub message: Option<String>,
    /// Recipient; again for more. Without it, the mailbox that `connex dev` made.
    #[arg(long, value_name = "ADDRESS")]
    pub to: Vec<String>,
    /// Reverse-path; without it, the author of the message.
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<String>,
    /// SMTP server; without it, the first address of smtp.listen.
    #[arg(long, value_name = "HOST:PORT")]
    pub server: Option<String>,
    /// Certificate authority to trust (PEM); without it, the development one of the data folder.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// List the samples instead.
    #[arg(long)]
    pub list_samples: bool,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Sends one message and shows the reply.
///
/// # Errors
/// The server cannot be reached, or refuses.
pub async fn run(args: SendArgs, _out: &mut Output) -> Result<(), CliError> {
    let _config = args.data.load()?;
    Err(CliError::failed("this command is not part of this build yet"))
}
