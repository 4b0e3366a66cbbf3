//! `connex import`: old mail out of files, for one mailbox or route.
//!
//! Messages are handed over one after the other at a socket file of the running gateway, and end in the same accept as any
//! mail. From that door nothing follows but events: no operations, drafts or webhooks, unless they are asked for. Every
//! message that was answered 250 is noted in a journal, so that an import that was stopped, by whatever, goes on where it was;
//! one that was taken and not noted comes twice, and the second is folded as a copy.
//!
//! It must never count a message that was not answered 250, and never keep more than one message in memory, nor all of that.

mod hand_over;
mod journal;
mod places;
mod progress;
mod reader;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::installation::{found, open, tenants};
use super::{CliError, DataArgs, JsonArgs, Output};
use crate::app::{Instance, LocalDoors};
use crate::ids::MessageId;
use crate::mail::address::Mailbox;
use crate::mail::mbox::Quoting;
use crate::store::TenantStore;
use hand_over::{HandOver, Refusal};
use journal::Journal;
use progress::Progress;

/// Arguments of `connex import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A message file, an mbox, a Maildir, or a folder with any of these in it.
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// The mailbox whose mail it is.
    #[arg(long, value_name = "ADDRESS", required_unless_present = "route", conflicts_with = "route")]
    pub mailbox: Option<String>,
    /// The intake route whose copies they are.
    #[arg(long, value_name = "ID")]
    pub route: Option<String>,
    /// How an mbox keeps lines that begin with `From `.
    #[arg(long, value_enum, default_value = "mboxrd")]
    pub mbox_format: MboxFormat,
    /// Treat the messages as new ones: operations, drafts and webhooks follow from them.
    #[arg(long)]
    pub emit: bool,
    /// Begin again, whatever was imported before; copies are folded.
    #[arg(long)]
    pub again: bool,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// How an mbox keeps lines that begin with `From `.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum MboxFormat {
    /// `>` before them and before those that have one.
    Mboxrd,
    /// `>` before them.
    Mboxo,
    /// As they are; messages are told apart by the dates in their first lines.
    Mboxcl2,
}

impl From<MboxFormat> for Quoting {
    fn from(format: MboxFormat) -> Self {
        match format {
            MboxFormat::Mboxrd => Self::Mboxrd,
            MboxFormat::Mboxo => Self::Mboxo,
            MboxFormat::Mboxcl2 => Self::None,
        }
    }
}

/// What came of an import.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// Messages found, those of earlier runs not among them.
    read: u64,
    /// Answered 250.
    imported: u64,
    /// Of those: copies of messages that were there.
    duplicates: u64,
    /// Of those: kept without an event.
    kept: u64,
    /// Files and mailbox files that an earlier run was done with.
    done_before: u64,
    /// Not taken.
    refused: u64,
    /// The first of them, and what cannot be read.
    refusals: Vec<Refusal>,
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code; what was imported until then stays.
pub async fn run(args: ImportArgs, out: &mut Output) -> Result<(), CliError> {
    let instance = open(&args.data).await?;
    let (tenant, address) = destination(&instance, &args).await?;
    let doors = LocalDoors::of(&instance.config.server.data_dir);
    let socket = if args.emit { doors.import_and_emit } else { doors.import };
    let name = format!("{}{}", args.mailbox.or(args.route).unwrap_or_default(), if args.emit { " emit" } else { "" });
    let folder = instance.config.server.data_dir.join("import");
    let progress = Arc::new(Progress::default());
    let (counts, paths) = (Arc::clone(&progress), args.paths);
    let work = tokio::task::spawn_blocking(move || {
        let sources = places::find(&paths)?;
        counts.expect(sources.iter().map(|source| source.size).sum());
        let journal = Journal::open(&folder, &name, args.again)?;
        HandOver::new(&socket, address, args.mbox_format.into(), journal, &counts).all(&sources)
    });
    let handed_over = progress.show_until(work, out).await.map_err(anyhow::Error::new)??;
    let mut report = Report {
        read: progress.read(),
        imported: progress.imported(),
        done_before: progress.skipped(),
        refused: progress.refused(),
        refusals: handed_over.refusals,
        ..Report::default()
    };
    for id in handed_over.journal.ids_of_this_run()? {
        match state(&tenant, id).await?.as_str() {
            "duplicate" => report.duplicates += 1,
            "held" | "poisoned" => report.kept += 1,
            _ => {}
        }
    }
    tell(&report, out)?;
    match handed_over.stopped {
        Some(stopped) => Err(stopped),
        None if report.refused > 0 => Err(CliError::failed(format!("{} messages were not taken", report.refused))),
        None => Ok(()),
    }
}

/// Whose mail it is, and the address under which the gateway knows them.
async fn destination(instance: &Instance, args: &ImportArgs) -> Result<(TenantStore, String), CliError> {
    if let Some(address) = &args.mailbox {
        let unknown =
            || CliError::NotFound(format!("mailbox `{address}`; `connex mailbox list` shows those there are"));
        let mailbox = Mailbox::parse(address).map_err(|error| CliError::Usage(format!("{address}: {error}")))?;
        let row = instance.store.mailbox_by_address(&mailbox.key_without_detail()).await?.ok_or_else(unknown)?.0;
        return Ok((instance.store.for_tenant(row.tenant), mailbox.to_string()));
    }
    let wanted = args.route.as_deref().unwrap_or_default();
    let mut all = Vec::new();
    for (_, tenant) in tenants(instance, None).await? {
        all.extend(tenant.routes().await?.into_iter().map(|row| (row.tenant, row)));
    }
    let (id, row) = found("route", wanted, all.into_iter(), |row| row.id.to_string() == wanted)?;
    let address = instance.key.open(&row.id.to_string(), &row.address_sealed).map_err(anyhow::Error::new)?;
    Ok((instance.store.for_tenant(id), address))
}

/// What became of a message, once the gateway has read it from its spool.
async fn state(tenant: &TenantStore, id: MessageId) -> Result<String, CliError> {
    for _ in 0..STEPS {
        if let Some(row) = tenant.message(id).await? {
            return Ok(row.state);
        }
        tokio::time::sleep(STEP).await;
    }
    Err(CliError::failed(format!("message {id} is stored, and not read yet: is the gateway still running?")))
}

/// How often and after what time it is looked whether a message was read: for two minutes.
const STEPS: u32 = 2_400;
const STEP: std::time::Duration = std::time::Duration::from_millis(50);

fn tell(report: &Report, out: &mut Output) -> Result<(), CliError> {
    out.answer(report, |out| {
        out.line(&format!(
            "Read {} messages: {} imported ({} were there already, {} kept without an event), {} not taken; {} files or \
             messages were done before",
            report.read, report.imported, report.duplicates, report.kept, report.refused, report.done_before
        ))?;
        report.refusals.iter().try_for_each(|refusal| out.line(&format!("{}: {}", refusal.place, refusal.reason)))
    })
}
