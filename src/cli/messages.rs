//! `connex messages`: what the spool holds.

use clap::{Args, Subcommand};

use super::{CliError, DataArgs, JsonArgs, Output};

/// `connex messages …`
#[derive(Debug, Subcommand)]
pub enum MessagesCommand {
    /// List stored messages, newest first.
    #[command(after_help = "Example: connex messages list --all --json")]
    List(ListArgs),
    /// Write the exact bytes of one message to standard output.
    #[command(after_help = "Example: connex messages raw msg_01kb3r8x7g0000000000000000 > message.eml")]
    Raw(RawArgs),
}

/// Arguments of `connex messages list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only this tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// All, not only the newest 100.
    #[arg(long)]
    pub all: bool,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex messages raw`.
#[derive(Debug, Args)]
pub struct RawArgs {
    /// Id of the message.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer: with JSON, an object with the bytes in base64.
    #[command(flatten)]
    pub json: JsonArgs,
}

impl MessagesCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::List(args) => &args.json,
            Self::Raw(args) => &args.json,
        }
    }
}

/// Reads the spool and its index.
///
/// # Errors
/// They cannot be opened, or the message does not exist.
pub async fn run(_command: MessagesCommand, _out: &mut Output) -> Result<(), CliError> {
    Err(CliError::failed("this command is not part of this build yet"))
}
