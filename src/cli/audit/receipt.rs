//! `connex audit receipt`: receipts of releases, and their check, for which no installation is needed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::super::{CliError, JsonArgs, Output, TenantArgs};
use crate::ids::ReleaseId;
use crate::service::receipts::{PublicKey, SignedReceipt};

/// `connex audit receipt …`
#[derive(Debug, Subcommand)]
pub enum ReceiptCommand {
    /// Write the receipt of a release, to be handed on.
    #[command(
        after_help = "Example: connex audit receipt show rel_01kb3r8x7g0000000000000000 --tenant acme > receipt.json"
    )]
    Show(ShowArgs),
    /// Check a receipt: offline, and without an installation.
    #[command(
        after_help = "Example: connex audit receipt verify receipt.json --key 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    )]
    Verify(VerifyArgs),
}

/// Arguments of `connex audit receipt show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The release.
    #[arg(value_name = "RELEASE")]
    pub release: String,
    /// Whose, and how to answer.
    #[command(flatten)]
    pub whose: TenantArgs,
}

/// Arguments of `connex audit receipt verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The receipt.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The gateway's public key, as `connex audit key` or its discovery document told it. Without it the receipt is held
    /// against the key that it names itself, which anybody can have made.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

impl ReceiptCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Show(args) => &args.whose.json,
            Self::Verify(args) => &args.json,
        }
    }
}

/// Octets of a receipt's file that are read.
const LARGEST: u64 = 64 * 1024;

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub(super) async fn run(command: ReceiptCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        ReceiptCommand::Show(args) => show(args, out).await,
        ReceiptCommand::Verify(args) => verify(&args, out),
    }
}

async fn show(args: ShowArgs, out: &mut Output) -> Result<(), CliError> {
    let id: ReleaseId = args.release.parse().map_err(|error| CliError::Usage(format!("{}: {error}", args.release)))?;
    let (_instance, tenant) = args.whose.open().await?;
    let receipt = tenant.receipt(id).await?;
    let receipt =
        receipt.ok_or_else(|| CliError::NotFound(format!("a receipt of the release `{id}` of this tenant")))?;
    let text = serde_json::to_string_pretty(&receipt).map_err(anyhow::Error::new)?;
    // For a file either way: what is handed on is what `verify` reads.
    out.answer(&receipt, |out| text.lines().try_for_each(|line| out.line(line)))
}

fn verify(args: &VerifyArgs, out: &mut Output) -> Result<(), CliError> {
    let wrong = |error: String| CliError::Usage(format!("{}: {error}", args.file.display()));
    let trusted: Option<PublicKey> = match &args.key {
        None => None,
        Some(text) => Some(text.parse().map_err(|error| CliError::Usage(format!("--key {error}")))?),
    };
    let size = std::fs::metadata(&args.file).map_err(|error| wrong(error.to_string()))?.len();
    if size > LARGEST {
        return Err(wrong("is no receipt: it is too large".to_owned()));
    }
    let text = std::fs::read_to_string(&args.file).map_err(|error| wrong(error.to_string()))?;
    let checked = SignedReceipt::read(&text).and_then(|receipt| Ok((receipt.check(trusted.as_ref())?, receipt)));
    let (key, receipt) = checked.map_err(|error| CliError::failed(format!("The receipt {error}")))?;
    let receipt = receipt.receipt;
    let answer =
        json!({ "genuine": true, "publicKey": key.to_string(), "isKeyTrusted": trusted.is_some(), "receipt": receipt });
    out.answer(&answer, |out| {
        let who = match receipt.approvals.first() {
            Some(approval) => format!("approved by {}", approval.by),
            None => format!("let out by policy {}", receipt.policy_version),
        };
        out.line(&format!("The receipt of {} is genuine: {}, {who}", receipt.release, receipt.released_at))?;
        match trusted {
            Some(_) => Ok(()),
            None => out.line(&format!("It names its key itself: hold {key} against what the gateway's owner told you")),
        }
    })
}
