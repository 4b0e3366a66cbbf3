//! `connex audit`: who decided what, and whether that record is as it was written.

mod receipt;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::installation::open;
use super::output::Table;
use super::{CliError, DataArgs, JsonArgs, Output, TenantArgs};
use crate::app::Instance;
use crate::mail::address::Mailbox;
use crate::service::audit::{self, Head, Unsound, Who, subject_of_address};
use crate::service::erasures::{ErasureAnswer, erase as erase_held};
use crate::service::receipts::SigningKey;
use crate::store::audit::AuditRow;

pub use receipt::ReceiptCommand;

/// `connex audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show rows, oldest first.
    #[command(after_help = "Example: connex audit list --tenant acme --subject drf_01kb3r8x7g0000000000000000")]
    List(ListArgs),
    /// Write the newest row's number and hash, to be kept where this machine cannot change it.
    #[command(after_help = "Example: connex audit head --tenant acme > acme-2026-11-29.head")]
    Head(TenantArgs),
    /// Follow the chain from its first row, and find what was changed, removed, exchanged or cut off.
    #[command(after_help = "Example: connex audit verify --tenant acme --head acme-2026-11-29.head")]
    Verify(VerifyArgs),
    /// Show the public key with which receipts and heads are checked.
    #[command(after_help = "Example: connex audit key")]
    Key(KeyArgs),
    /// Erase what is held of a person: drafts to an address that are over, or one draft, and the details of rows about them.
    ///
    /// The chain stays whole, and receipts stay true. Drafts that are not over are left as they are, and named.
    #[command(after_help = "Example: connex audit erase ann@lakeside.example --tenant acme")]
    Erase(EraseArgs),
    /// Receipts of releases: who let what out, signed.
    #[command(subcommand, arg_required_else_help = true)]
    #[command(after_help = "Example: connex audit receipt show rel_01kb3r8x7g0000000000000000 --tenant acme")]
    Receipt(ReceiptCommand),
}

/// Arguments of `connex audit key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex audit erase`.
#[derive(Debug, Args)]
pub struct EraseArgs {
    /// An address; or the id of a draft, or of whatever rows are about.
    #[arg(value_name = "ID")]
    pub subject: String,
    /// Whose, and how to answer.
    #[command(flatten)]
    pub whose: TenantArgs,
}

/// Arguments of `connex audit list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only rows about this id or address.
    #[arg(long, value_name = "ID")]
    pub subject: Option<String>,
    /// Only rows behind this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub after: u64,
    /// How many rows at most.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub limit: u32,
    /// Whose, and how to answer.
    #[command(flatten)]
    pub whose: TenantArgs,
}

/// Arguments of `connex audit verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A head that was kept: without one, a chain that was made anew from its beginning is not told from the true one.
    #[arg(long, value_name = "FILE")]
    pub head: Option<PathBuf>,
    /// Whose, and how to answer.
    #[command(flatten)]
    pub whose: TenantArgs,
}

impl AuditCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::List(args) => &args.whose.json,
            Self::Head(args) => &args.json,
            Self::Verify(args) => &args.whose.json,
            Self::Key(args) => &args.json,
            Self::Erase(args) => &args.whose.json,
            Self::Receipt(command) => command.json(),
        }
    }
}

/// Octets of a head file: one has some 300.
const LARGEST_HEAD: u64 = 16 * 1024;

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: AuditCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        AuditCommand::List(args) => list(args, out).await,
        AuditCommand::Head(args) => head(args, out).await,
        AuditCommand::Verify(args) => verify(args, out).await,
        AuditCommand::Key(args) => key(args, out).await,
        AuditCommand::Erase(args) => erase(args, out).await,
        AuditCommand::Receipt(command) => receipt::run(command, out).await,
    }
}

async fn list(args: ListArgs, out: &mut Output) -> Result<(), CliError> {
    let (_instance, tenant) = args.whose.open().await?;
    let rows = match &args.subject {
        Some(subject) => tenant.audit_of(&recorded(subject)).await?,
        None => tenant.audit_after(args.after, args.limit).await?,
    };
    let mut table = Table::new(["NUMBER", "TIME", "WHO", "WHAT", "TO WHAT"]);
    let mut all = Vec::new();
    for AuditRow { entry, hash, detail } in rows.into_iter().filter(|row| row.entry.number > args.after) {
        all.push(json!({
            "number": entry.number, "at": entry.at.to_string(), "actor": entry.actor, "action": entry.action,
            "subject": entry.subject, "hash": hash.to_string(),
            "detail": detail.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok()),
        }));
        table.row([entry.number.to_string(), entry.at.to_string(), entry.actor, entry.action, entry.subject]);
    }
    out.answer(&all, |out| out.table(&table))
}

async fn head(args: TenantArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, tenant) = args.open().await?;
    let head = audit::head(&tenant, &signing_key(&instance), instance.store.clock().now()).await?;
    let text = serde_json::to_string(&head).map_err(anyhow::Error::new)?;
    // For a file either way: what is kept is what `verify` reads.
    out.answer(&head, |out| out.line(&text))
}

async fn verify(args: VerifyArgs, out: &mut Output) -> Result<(), CliError> {
    let kept = args.head.as_deref().map(read_head).transpose()?;
    let (instance, tenant) = args.whose.open().await?;
    let key = signing_key(&instance).public();
    let (rows, hash) = audit::verify(&tenant, kept.as_ref(), &key).await.map_err(|error| match error {
        Unsound::Store(error) => error.into(),
        broken => CliError::failed(broken.to_string()),
    })?;
    let answer = json!({ "intact": true, "rows": rows, "hash": hash.to_string(), "head": kept.as_ref().map(|head| head.number) });
    out.answer(&answer, |out| {
        let against = match &kept {
            Some(head) => format!("; row {} is the one of the head of {}", head.number, head.taken_at),
            None => " in itself; give --head to hold it against one that was kept".to_owned(),
        };
        out.line(&format!("The chain of {rows} rows is whole{against}"))
    })
}

async fn key(args: KeyArgs, out: &mut Output) -> Result<(), CliError> {
    let key = signing_key(&open(&args.data).await?).public().to_string();
    out.answer(&json!({ "algorithm": "Ed25519", "publicKey": key }), |out| out.line(&key))
}

async fn erase(args: EraseArgs, out: &mut Output) -> Result<(), CliError> {
    let (_instance, tenant) = args.whose.open().await?;
    let erased = erase_held(&tenant, &args.subject, Who::Operator).await?;
    out.answer(&erased, |out| {
        let ErasureAnswer { drafts, details, open } = &erased;
        out.line(&format!("Erased {drafts} drafts and the details of {details} rows about {}", args.subject))?;
        if !open.is_empty() {
            let open = open.join(", ");
            out.line(&format!("Not over, so not erased; cancel or withdraw them, and erase again: {open}"))?;
        }
        Ok(())
    })
}

/// What rows about it name: an address stands there as its digest.
fn recorded(subject: &str) -> String {
    match Mailbox::parse(subject) {
        Ok(mailbox) => subject_of_address(&mailbox.key()),
        Err(_) => subject.to_owned(),
    }
}

fn signing_key(instance: &Instance) -> SigningKey {
    SigningKey::of(instance.key.evidence())
}

fn read_head(path: &std::path::Path) -> Result<Head, CliError> {
    let wrong = |error: String| CliError::Usage(format!("{}: {error}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > LARGEST_HEAD {
        return Err(wrong("is no head of an audit log: it is too large".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(format!("is no head of an audit log: {error}")))
}
