//! `connex sending`: what stands in the way of mail that leaves.

use clap::{Args, Subcommand};
use serde_json::json;

use super::installation::{self, open};
use super::output::Table;
use super::{CliError, DataArgs, JsonArgs, Output, TenantArgs};
use crate::ids::DraftId;
use crate::mail::address::Mailbox;
use crate::service::audit::Who;
use crate::store::releases::Finding;
use crate::store::standing::{Paused, SuppressionReason};
use crate::store::{StoreError, TenantStore};

/// `connex sending …`
#[derive(Debug, Subcommand)]
pub enum SendingCommand {
    /// Stop sending, within a second on every node: of everything, a tenant, a mailbox or an agent. Drafts keep their approvals.
    #[command(after_help = "Example: connex sending pause --tenant acme --mailbox sales@in.example.org")]
    Pause(SwitchArgs),
    /// Let sending go on.
    #[command(after_help = "Example: connex sending resume --tenant acme --mailbox sales@in.example.org")]
    Resume(SwitchArgs),
    /// Show what is paused, to whom nothing is sent, and what became of notices to people.
    #[command(after_help = "Example: connex sending status --tenant acme")]
    Status(TenantArgs),
    /// Send nothing to an address any more.
    #[command(after_help = "Example: connex sending suppress ann@lakeside.example --tenant acme")]
    Suppress(AddressArgs),
    /// Let an address be sent to again.
    #[command(after_help = "Example: connex sending unsuppress ann@lakeside.example --tenant acme")]
    Unsuppress(AddressArgs),
    /// Say whether a message was taken, of which nobody knows. Nothing is sent by it.
    #[command(
        after_help = "Example: connex sending settle drf_01kb3r8x7g0000000000000000 --recipient ann@lakeside.example --taken yes --tenant acme"
    )]
    Settle(SettleArgs),
}

/// Arguments of the switches.
#[derive(Debug, Args)]
pub struct SwitchArgs {
    /// The tenant, by id or name; without it, the whole gateway.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// One mailbox of it, by address or id.
    #[arg(long, value_name = "MAILBOX", requires = "tenant", conflicts_with = "agent")]
    pub mailbox: Option<String>,
    /// One agent of it.
    #[arg(long, value_name = "AGENT", requires = "tenant")]
    pub agent: Option<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of the commands about an address.
#[derive(Debug, Args)]
pub struct AddressArgs {
    /// The address.
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// Whose, and how to answer.
    #[command(flatten)]
    pub whose: TenantArgs,
}

/// Suppressed addresses that are shown at most.
const SHOWN: u32 = 1_000;

/// Arguments of `connex sending settle`.
#[derive(Debug, Args)]
pub struct SettleArgs {
    /// The draft.
    #[arg(value_name = "DRAFT")]
    pub draft: String,
    /// The recipient.
    #[arg(long, value_name = "ADDRESS")]
    pub recipient: String,
    /// Whether the message was taken.
    #[arg(long, value_name = "YES|NO", action = clap::ArgAction::Set, value_parser = ["yes", "no"])]
    pub taken: String,
    /// Whose, and how to answer.
    #[command(flatten)]
    pub whose: TenantArgs,
}

impl SendingCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Pause(args) | Self::Resume(args) => &args.json,
            Self::Status(args) => &args.json,
            Self::Suppress(args) | Self::Unsuppress(args) => &args.whose.json,
            Self::Settle(args) => &args.whose.json,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: SendingCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        SendingCommand::Pause(args) => switch(&args, true, out).await,
        SendingCommand::Resume(args) => switch(&args, false, out).await,
        SendingCommand::Status(args) => status(&args, out).await,
        SendingCommand::Suppress(args) => {
            let (tenant, key) = address(&args).await?;
            tenant.suppress(key.clone(), SuppressionReason::Manual, None, Who::Operator).await?;
            out.answer(&json!({ "suppressed": key }), |out| out.line(&format!("Nothing is sent to {key} any more")))
        }
        SendingCommand::Settle(args) => settle(&args, out).await,
        SendingCommand::Unsuppress(args) => {
            let (tenant, key) = address(&args).await?;
            tenant.unsuppress(key.clone(), Who::Operator).await?;
            out.answer(&json!({ "unsuppressed": key }), |out| out.line(&format!("{key} can be sent to again")))
        }
    }
}

async fn switch(args: &SwitchArgs, is_paused: bool, out: &mut Output) -> Result<(), CliError> {
    let instance = open(&args.data).await?;
    let (what, changed) = match &args.tenant {
        None => ("the whole gateway".to_owned(), instance.store.pause_gateway(is_paused).await?),
        Some(name) => {
            let tenant = installation::tenant(&instance, name).await?;
            let (what, paused) = subject(args, &tenant, name).await?;
            (what, tenant.pause_sending(paused, is_paused, Who::Operator).await?)
        }
    };
    out.answer(&json!({ "paused": is_paused, "what": what, "changed": changed }), |out| {
        let words = if is_paused { "Sending is paused for" } else { "Sending goes on for" };
        let before = if changed { "" } else { ", as it did before" };
        out.line(&format!("{words} {what}{before}"))
    })
}

async fn subject(args: &SwitchArgs, tenant: &TenantStore, name: &str) -> Result<(String, Paused), CliError> {
    if let Some(agent) = &args.agent {
        return Ok((format!("the agent {agent} of {name}"), Paused::Agent(agent.clone())));
    }
    let Some(wanted) = &args.mailbox else { return Ok((format!("the tenant {name}"), Paused::Tenant)) };
    let key = Mailbox::parse(wanted).ok().map(|mailbox| mailbox.key());
    let mailboxes = tenant.mailboxes().await?;
    let is_it = |row: &&crate::store::directory::MailboxRow| {
        row.id.to_string() == *wanted || Mailbox::parse(&row.address).ok().map(|own| own.key()) == key && key.is_some()
    };
    let row = mailboxes.iter().find(is_it);
    let row = row.ok_or_else(|| CliError::NotFound(format!("mailbox `{wanted}` of this tenant")))?;
    Ok((format!("the mailbox {}", row.address), Paused::Mailbox(row.id)))
}

async fn status(args: &TenantArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, tenant) = args.open().await?;
    let mut table = Table::new(["WHAT", "WHICH", "WHY", "SINCE"]);
    let gateway = instance.store.gateway_paused_since().await?;
    if let Some(since) = gateway {
        table.row(["gateway".to_owned(), String::new(), "paused".to_owned(), since.to_string()]);
    }
    let pauses = tenant.pauses().await?;
    for (kind, subject, since) in &pauses {
        table.row([kind.clone(), subject.clone(), "paused".to_owned(), since.to_string()]);
    }
    let suppressed = tenant.suppressions_after("", SHOWN).await?;
    for row in &suppressed {
        table.row(["address".to_owned(), row.address_key.clone(), row.reason.clone(), row.created_at.to_string()]);
    }
    let counts = tenant.notice_counts().await?;
    for (kind, state, count) in &counts {
        table.row(["notices".to_owned(), kind.clone(), format!("{count} {state}"), String::new()]);
    }
    let notices: Vec<_> =
        counts.iter().map(|(kind, state, count)| json!({ "kind": kind, "state": state, "count": count })).collect();
    let shown_pauses: Vec<_> = pauses
        .iter()
        .map(|(kind, subject, since)| json!({ "kind": kind, "subject": subject, "since": since.to_string() }))
        .collect();
    let shown_suppressed: Vec<_> = suppressed
        .iter()
        .map(|row| json!({ "address": row.address_key, "reason": row.reason, "event": row.event, "since": row.created_at.to_string() }))
        .collect();
    let answer = json!({ "gatewayPausedSince": gateway.map(|since| since.to_string()), "pauses": shown_pauses, "suppressed": shown_suppressed,
        "notices": notices });
    out.answer(&answer, |out| out.table(&table))
}

async fn settle(args: &SettleArgs, out: &mut Output) -> Result<(), CliError> {
    let no_id = |_| CliError::Usage(format!("`{}` is no id of a draft, which begins with drf_", args.draft));
    let draft: DraftId = args.draft.parse().map_err(no_id)?;
    let recipient =
        Mailbox::parse(&args.recipient).map_err(|error| CliError::Usage(format!("{}: {error}", args.recipient)))?;
    let (_instance, tenant) = args.whose.open().await?;
    let finding = Finding { recipient, was_taken: args.taken == "yes", by: Who::Operator };
    let state = tenant.settle_unknown(draft, finding).await.map_err(|error| match error {
        StoreError::NotFound("draft") => CliError::NotFound(format!("draft `{draft}` of this tenant")),
        StoreError::NotFound(what) => {
            CliError::NotFound(format!("{what} in `{draft}`; what is known shows `connex explain {draft}`"))
        }
        error => error.into(),
    })?;
    let answer = json!({ "draft": args.draft, "state": state.as_str() });
    out.answer(&answer, |out| out.line(&format!("{} is `{}` now", args.draft, state.as_str())))
}

async fn address(args: &AddressArgs) -> Result<(TenantStore, String), CliError> {
    let mailbox =
        Mailbox::parse(&args.address).map_err(|error| CliError::Usage(format!("{}: {error}", args.address)))?;
    let (_instance, tenant) = args.whose.open().await?;
    Ok((tenant, mailbox.key()))
}
