//! `connex messages`: what the spool holds.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::installation::{self, open};
use super::output::Table;
use super::{CliError, DataArgs, JsonArgs, Output};
use crate::app::{Instance, spool_options};
use crate::config::Database;
use crate::ids::{InvalidId, MessageId, TenantId};
use crate::mail::envelope::Manifest;
use crate::spool::log::{Files, LogView, Position};
use crate::spool::{BodyRef, SpoolError, StoredMessage, rows};
use crate::store::Store;

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
/// What went wrong, with its exit code.
pub async fn run(command: MessagesCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        MessagesCommand::List(args) => list(args, out).await,
        MessagesCommand::Raw(args) => {
            let wanted: MessageId = args.id.parse().map_err(|error: InvalidId| CliError::Usage(error.to_string()))?;
            let stored = stored(&args.data).await?;
            let found = stored.messages.iter().find(|message| message.manifest.id == wanted);
            let message = found.ok_or_else(|| CliError::NotFound(format!("message `{wanted}` in the spool")))?;
            let kept = match message.manifest.tenant() {
                Some(tenant) => stored.instance.store.for_tenant(tenant).message(wanted).await?,
                None => None,
            };
            if kept.is_some_and(|row| !row.is_raw_kept) {
                return Err(CliError::NotFound(format!(
                    "message `{wanted}` with its bytes: its route does not keep them"
                )));
            }
            let bytes = stored.read_body(&message.body).await.map_err(anyhow::Error::new)?;
            if out.is_json() {
                return out.json_line(&json!({ "id": wanted, "size": bytes.len(), "bytes": STANDARD.encode(&bytes) }));
            }
            out.bytes(&bytes)
        }
    }
}

/// One line of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    id: MessageId,
    tenant_id: Option<TenantId>,
    received_at: String,
    size: u64,
    sha256: String,
    /// `spooled` until the index has read it.
    state: String,
    reason: Option<String>,
    duplicate_of: Option<String>,
    /// Whether its bytes may be read.
    raw_kept: bool,
}

/// Lists what the spool holds, with what the index knows of it: also what was accepted a moment ago.
async fn list(args: ListArgs, out: &mut Output) -> Result<(), CliError> {
    let Stored { instance, mut messages, .. } = stored(&args.data).await?;
    if let Some(tenant) = &args.tenant {
        let wanted = installation::tenant(&instance, tenant).await?.tenant();
        messages.retain(|message| message.manifest.tenant() == Some(wanted));
    }
    messages.reverse();
    if !args.all {
        messages.truncate(NEWEST);
    }
    let mut table = Table::new(["MESSAGE", "RECEIVED", "OCTETS", "STATE", "REASON"]);
    let mut all = Vec::with_capacity(messages.len());
    for message in messages {
        let listed = listed(&instance, message).await?;
        let (id, reason) = (listed.id.to_string(), listed.reason.clone().unwrap_or_default());
        table.row([id, listed.received_at.clone(), listed.size.to_string(), listed.state.clone(), reason]);
        all.push(listed);
    }
    out.answer(&all, |out| out.table(&table))
}

async fn listed(instance: &Instance, message: StoredMessage) -> Result<Listed, CliError> {
    let StoredMessage { manifest, body } = message;
    let row = match manifest.tenant() {
        Some(tenant) => instance.store.for_tenant(tenant).message(manifest.id).await?,
        None => None,
    };
    Ok(Listed {
        id: manifest.id,
        tenant_id: manifest.tenant(),
        received_at: manifest.received_at.to_string(),
        size: body.size(),
        sha256: body.sha256().iter().map(|byte| format!("{byte:02x}")).collect(),
        state: row.as_ref().map_or_else(|| "spooled".to_owned(), |row| row.state.clone()),
        reason: row.as_ref().and_then(|row| row.reason.clone()),
        raw_kept: row.as_ref().is_none_or(|row| row.is_raw_kept),
        duplicate_of: row.and_then(|row| row.duplicate_of),
    })
}

/// What the spool of an installation holds, read beside a gateway that may be running.
struct Stored {
    instance: Instance,
    /// The log, where the spool is one.
    view: Option<LogView>,
    /// Oldest first.
    messages: Vec<StoredMessage>,
}

impl Stored {
    async fn read_body(&self, body: &BodyRef) -> Result<Vec<u8>, SpoolError> {
        match (body, &self.view) {
            (BodyRef::Log(body), Some(view)) => view.read_body(body),
            (BodyRef::Rows(body), _) => rows::read_body(&self.instance.store, self.instance.key.bodies(), body).await,
            (BodyRef::Log(_), None) => Err(SpoolError::Elsewhere),
        }
    }
}

async fn stored(data: &DataArgs) -> Result<Stored, CliError> {
    let instance = open(data).await?;
    match &instance.config.database {
        Database::Sqlite { .. } => {
            let view = {
                let (options, keys) = (spool_options(&instance.config), Arc::clone(instance.key.bodies()));
                LogView::open(options, Files::Real, keys, instance.clock.clone())
            };
            let view = view.map_err(|error| CliError::Unreachable(anyhow::Error::new(error)))?;
            // What was erased stands in the index alone.
            let mut messages = in_log(&view)?;
            messages.extend(in_database(&instance.store).await?);
            in_order(&mut messages);
            Ok(Stored { instance, view: Some(view), messages })
        }
        Database::Postgres { .. } => {
            let messages = in_database(&instance.store).await?;
            Ok(Stored { instance, view: None, messages })
        }
    }
}

fn in_log(view: &LogView) -> Result<Vec<StoredMessage>, CliError> {
    let (mut messages, mut after) = (Vec::new(), Position::START);
    loop {
        let more = view.read_after(after, PAGE, u64::MAX).map_err(anyhow::Error::new)?;
        let Some(last) = more.last() else { return Ok(messages) };
        after = last.next;
        let own =
            more.into_iter().map(|stored| StoredMessage { manifest: stored.manifest, body: BodyRef::Log(stored.body) });
        messages.extend(own);
    }
}

async fn in_database(store: &Store) -> Result<Vec<StoredMessage>, CliError> {
    let read = |manifest: &str| serde_json::from_str::<Manifest>(manifest).map_err(anyhow::Error::new);
    let mut messages = Vec::new();
    // First what waits: what is recorded meanwhile is then seen twice, and not never.
    let mut after = String::new();
    loop {
        let queued = store.queued_after(&after, PAGE as u32).await?;
        let Some(last) = queued.last() else { break };
        after = last.id.to_string();
        for queued in queued {
            let body = rows::BodyRef {
                tenant: queued.tenant,
                message: queued.id,
                parts: queued.parts,
                size: queued.size,
                sha256: queued.sha256,
            };
            messages.push(StoredMessage { manifest: read(&queued.manifest)?, body: BodyRef::Rows(body) });
        }
    }
    for tenant in store.tenants().await? {
        let (rows, mut after) = (store.for_tenant(tenant.id), String::new());
        loop {
            let page = rows.messages_after(&after, PAGE as u32).await?;
            let Some(last) = page.last() else { break };
            after = last.id.to_string();
            for row in page {
                let body = serde_json::from_str(&row.body).map_err(anyhow::Error::new)?;
                messages.push(StoredMessage { manifest: read(&row.manifest)?, body });
            }
        }
    }
    in_order(&mut messages);
    Ok(messages)
}

/// By their ids, each once: the first of those that are the same.
fn in_order(messages: &mut Vec<StoredMessage>) {
    messages.sort_by_key(|message| message.manifest.id);
    messages.dedup_by_key(|message| message.manifest.id);
}

/// Without `--all`.
const NEWEST: usize = 100;
/// Records that are read in one go.
const PAGE: usize = 1000;
