//! `connex audit`: who decided what, and whether that record is as it was written.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::installation::{self, open};
use super::output::Table;
use super::{CliError, DataArgs, JsonArgs, Output};
use crate::governance::audit::{ChainHash, Head, Walk};
use crate::store::TenantStore;
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

/// Rows that are read at once.
const PAGE: u32 = 1_000;
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
    let (number, hash) = tenant.audit_head().await?;
    let head = Head {
        tenant: tenant.tenant(),
        number,
        hash: hash.to_string(),
        taken_at: instance.store.clock().now().to_string(),
    };
    let text = serde_json::to_string(&head).map_err(anyhow::Error::new)?;
    // For a file either way: what is kept is what `verify` reads.
    out.answer(&head, |out| out.line(&text))
}

async fn verify(args: VerifyArgs, out: &mut Output) -> Result<(), CliError> {
    let kept = args.head.as_deref().map(read_head).transpose()?;
    let instance = open(&args.data).await?;
    let tenant = installation::tenant(&instance, &args.tenant).await?;
    let (rows, hash) = follow(&tenant, kept.as_ref()).await?;
    let answer = json!({ "intact": true, "rows": rows, "hash": hash.to_string(), "head": kept.as_ref().map(|head| head.number) });
    out.answer(&answer, |out| {
        let against = match &kept {
            Some(head) => format!("; row {} is the one of the head of {}", head.number, head.taken_at),
            None => " in itself; give --head to hold it against one that was kept".to_owned(),
        };
        out.line(&format!("The chain of {rows} rows is whole{against}"))
    })
}

async fn follow(tenant: &TenantStore, kept: Option<&Head>) -> Result<(u64, ChainHash), CliError> {
    let broken =
        |error: crate::governance::audit::Broken| CliError::failed(format!("the audit log is not whole: {error}"));
    let mut walk = Walk::new(tenant.tenant(), kept).map_err(broken)?;
    let mut after = 0;
    loop {
        let rows = tenant.audit_after(after, PAGE).await?;
        for row in &rows {
            walk.take(&row.entry, row.hash, row.detail.as_deref()).map_err(broken)?;
            after = row.entry.number;
        }
        if rows.len() < PAGE as usize {
            break;
        }
    }
    let end = walk.end().map_err(broken)?;
    // The next row would follow the newest that is remembered: it must be the one that is there.
    let remembered = tenant.audit_head().await?;
    // Rows may have been added since the last page was read.
    if remembered.0 < end.0 || (remembered.0 == end.0 && remembered.1 != end.1) {
        return Err(CliError::failed("the audit log is not whole: its newest row is not the one that is remembered"));
    }
    if remembered.0 > end.0 && tenant.audit_after(end.0, 1).await?.is_empty() {
        return Err(CliError::failed(format!(
            "the audit log is not whole: it ends at row {}, and {} were written",
            end.0, remembered.0
        )));
    }
    Ok(end)
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
