//! `connex messages`: what the spool holds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::installation::{self, open};
use super::output::Table;
use super::{CliError, DataArgs, JsonArgs, Output};
use crate::app::{Instance, spool_options};
use crate::ids::{InvalidId, MessageId, TenantId};
use crate::spool::{Files, Position, SpoolView, StoredMessage};

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
            let bytes = stored.view.read_body(&message.body).map_err(anyhow::Error::new)?;
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
    let StoredMessage { manifest, body, .. } = message;
    let row = match manifest.tenant() {
        Some(tenant) => instance.store.for_tenant(tenant).message(manifest.id).await?,
        None => None,
    };
    Ok(Listed {
        id: manifest.id,
        tenant_id: manifest.tenant(),
        received_at: manifest.received_at.to_string(),
        size: body.size,
        sha256: body.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        state: row.as_ref().map_or_else(|| "spooled".to_owned(), |row| row.state.clone()),
        reason: row.as_ref().and_then(|row| row.reason.clone()),
        duplicate_of: row.and_then(|row| row.duplicate_of),
    })
}

/// What the spool of an installation holds, read beside a gateway that may be running.
struct Stored {
    instance: Instance,
    view: SpoolView,
    messages: Vec<StoredMessage>,
}

async fn stored(data: &DataArgs) -> Result<Stored, CliError> {
    let instance = open(data).await?;
    let view = SpoolView::open(spool_options(&instance.config), Files::Real, instance.clock.clone());
    let view = view.map_err(|error| CliError::Unreachable(anyhow::Error::new(error)))?;
    let mut messages: Vec<StoredMessage> = Vec::new();
    loop {
        let after = messages.last().map_or(Position::START, |message| message.next);
        let more = view.read_after(after, PAGE, u64::MAX).map_err(anyhow::Error::new)?;
        if more.is_empty() {
            return Ok(Stored { instance, view, messages });
        }
        messages.extend(more);
    }
}

/// Without `--all`.
const NEWEST: usize = 100;
/// Records that are read in one go.
const PAGE: usize = 1000;
