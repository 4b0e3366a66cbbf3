//! `connex audit`: who decided what, and whether that record is as it was written.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::installation::{self, open};
use super::output::Table;
use super::{CliError, DataArgs, JsonArgs, Output};
use crate::service::audit::{self, Head, Unsound};
use crate::store::audit::AuditRow;

/// `connex audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show rows, oldest first.
    #[command(after_help = "Example: connex audit list --tenant acme --subject drf_01kb3r8x7g0000000000000000")]
    List(ListArgs),
    /// Write the newest row's number and hash, to be kept where this machine cannot change it.
    #[command(after_help = "Example: connex audit head --tenant acme > acme-2026-11-29.head")]
    Head(HeadArgs),
    /// Follow the chain from its first row, and find what was changed, removed, exchanged or cut off.
    #[command(after_help = "Example: connex audit verify --tenant acme --head acme-2026-11-29.head")]
    Verify(VerifyArgs),
}

/// Arguments of `connex audit list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: String,
    /// Only rows about this id.
    #[arg(long, value_name = "ID")]
    pub subject: Option<String>,
    /// Only rows behind this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub after: u64,
    /// How many rows at most.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub limit: u32,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex audit head`.
#[derive(Debug, Args)]
pub struct HeadArgs {
    /// The tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: String,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex audit verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: String,
    /// A head that was kept: without one, a chain that was made anew from its beginning is not told from the true one.
    #[arg(long, value_name = "FILE")]
    pub head: Option<PathBuf>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

impl AuditCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::List(args) => &args.json,
            Self::Head(args) => &args.json,
            Self::Verify(args) => &args.json,
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
    }
}

async fn list(args: ListArgs, out: &mut Output) -> Result<(), CliError> {
    let instance = open(&args.data).await?;
    let tenant = installation::tenant(&instance, &args.tenant).await?;
    let rows = match &args.subject {
        Some(subject) => tenant.audit_of(subject).await?,
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

async fn head(args: HeadArgs, out: &mut Output) -> Result<(), CliError> {
    let instance = open(&args.data).await?;
    let tenant = installation::tenant(&instance, &args.tenant).await?;
    let head = audit::head(&tenant, instance.store.clock().now()).await?;
    let text = serde_json::to_string(&head).map_err(anyhow::Error::new)?;
    // For a file either way: what is kept is what `verify` reads.
    out.answer(&head, |out| out.line(&text))
}

async fn verify(args: VerifyArgs, out: &mut Output) -> Result<(), CliError> {
    let kept = args.head.as_deref().map(read_head).transpose()?;
    let instance = open(&args.data).await?;
    let tenant = installation::tenant(&instance, &args.tenant).await?;
    let (rows, hash) = audit::verify(&tenant, kept.as_ref()).await.map_err(|error| match error {
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

fn read_head(path: &std::path::Path) -> Result<Head, CliError> {
    let wrong = |error: String| CliError::Usage(format!("{}: {error}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > LARGEST_HEAD {
        return Err(wrong("is no head of an audit log: it is too large".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(format!("is no head of an audit log: {error}")))
}
