//! `connex mailbox`: addresses that this gateway owns.

use clap::{Args, Subcommand, ValueEnum};

use super::installation::{self, open};
use super::output::Table;
use super::place::{ListArgs, OneArgs};
use super::{CliError, JsonArgs, Output, TenantArgs};
use crate::mail::address::{AddressError, Domain, Mailbox};
use crate::mail::authentication::FailurePolicy;
use crate::pipeline::recipients::catch_all;
use crate::store::directory::{MailboxRow, NewMailbox};

/// `connex mailbox …`
#[derive(Debug, Subcommand)]
pub enum MailboxCommand {
    /// Add a mailbox.
    #[command(after_help = "Example: connex mailbox add --tenant acme sales@in.example.org --app your-saas")]
    Add(AddArgs),
    /// List mailboxes.
    #[command(after_help = "Example: connex mailbox list --tenant acme")]
    List(ListArgs),
    /// Show one mailbox.
    #[command(after_help = "Example: connex mailbox show sales@in.example.org --tenant acme")]
    Show(OneArgs),
    /// Change what a mailbox does with mail that fails DMARC.
    #[command(
        after_help = "Example: connex mailbox update sales@in.example.org --tenant acme --authentication-policy quarantine"
    )]
    Update(UpdateArgs),
    /// Remove a mailbox; mail to it is answered 550 from now on.
    #[command(after_help = "Example: connex mailbox remove sales@in.example.org --tenant acme")]
    Remove(OneArgs),
}

/// Arguments of `connex mailbox add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its address, on one of smtp.platform_domains or a domain that the tenant has proven; with --catch-all such a domain.
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// It takes what no other mailbox of the domain does.
    #[arg(long)]
    pub catch_all: bool,
    /// Who may speak as it; without it, customer_domain on a tenant's own domain and connex elsewhere.
    #[arg(long, value_enum)]
    pub owner: Option<Owner>,
    /// What may happen to a reply.
    #[arg(long, value_enum, default_value_t = ReplyPolicy::HumanApproval)]
    pub reply_policy: ReplyPolicy,
    /// App that gets its operations, by id or name; without it, all apps of the tenant.
    #[arg(long, value_name = "APP")]
    pub app: Option<String>,
    /// Where a person answers in the app's own pages.
    #[arg(long, value_name = "URL")]
    pub external_reply_url: Option<String>,
    /// What it does with mail that fails DMARC.
    #[arg(long, value_enum, default_value_t = AuthenticationPolicy::Mark)]
    pub authentication_policy: AuthenticationPolicy,
    /// Whose it is.
    #[command(flatten)]
    pub whose: TenantArgs,
}

/// Arguments of `connex mailbox update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Which mailbox, by id or address.
    #[command(flatten)]
    pub one: OneArgs,
    /// What it does with mail that fails DMARC.
    #[arg(long, value_enum)]
    pub authentication_policy: AuthenticationPolicy,
}

/// What a mailbox does with mail that fails DMARC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum AuthenticationPolicy {
    /// Take it as any other; the results are on the event.
    Mark,
    /// Keep it, and let nothing follow from it, where the author's domain asks for quarantine or reject.
    Quarantine,
    /// Refuse it in the session, where the author's domain asks for quarantine or reject.
    Reject,
}

impl AuthenticationPolicy {
    const fn stored(self) -> FailurePolicy {
        match self {
            Self::Mark => FailurePolicy::Mark,
            Self::Quarantine => FailurePolicy::Quarantine,
            Self::Reject => FailurePolicy::Reject,
        }
    }
}

/// Who may speak as a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Owner {
    /// This gateway, when policy allows.
    Connex,
    /// The source app, always.
    SourceApp,
    /// The customer's own verified domain.
    CustomerDomain,
}

/// What may happen to a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ReplyPolicy {
    /// The app replies, whatever the owner says.
    SourceAppOnly,
    /// Every draft needs a person's approval.
    HumanApproval,
    /// Drafts of low risk need none.
    PolicyAuto,
    /// Receive only.
    Never,
}

impl MailboxCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Add(args) => &args.whose.json,
            Self::List(args) => &args.json,
            Self::Show(args) | Self::Remove(args) => &args.json,
            Self::Update(args) => &args.one.json,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: MailboxCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        MailboxCommand::Add(args) => add(args, out).await,
        MailboxCommand::List(args) => {
            let instance = open(&args.data).await?;
            let mut table =
                Table::new(["MAILBOX", "ADDRESS", "OWNER", "REPLY POLICY", "ON DMARC FAILURE", "STATE", "TENANT"]);
            let mut all = Vec::new();
            for (name, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
                for row in tenant.mailboxes().await? {
                    let (owner, policy) = (row.identity_owner.clone(), row.reply_policy.clone());
                    table.row([
                        row.id.to_string(),
                        beside(&row.address),
                        owner,
                        policy,
                        row.authentication_policy.as_str().to_owned(),
                        row.state.clone(),
                        name.clone(),
                    ]);
                    all.push(shown(&row)?);
                }
            }
            out.answer(&all, |out| out.table(&table))
        }
        MailboxCommand::Show(args) => {
            let row = one(&args).await?.1;
            let row = shown(&row)?;
            let text = serde_json::to_string_pretty(&row).map_err(anyhow::Error::new)?;
            out.answer(&row, |out| text.lines().try_for_each(|line| out.line(line)))
        }
        MailboxCommand::Update(args) => {
            let (instance, row) = one(&args.one).await?;
            let policy = args.authentication_policy.stored();
            instance.store.for_tenant(row.tenant).set_authentication_policy(row.id, policy).await?;
            out.answer(&serde_json::json!({ "id": row.id, "authenticationPolicy": policy }), |out| {
                out.line(&format!("Mailbox {} now has the authentication policy {}", row.address, policy.as_str()))
            })
        }
        MailboxCommand::Remove(args) => {
            let (instance, row) = one(&args).await?;
            instance.store.for_tenant(row.tenant).remove_mailbox(row.id).await?;
            out.answer(&serde_json::json!({ "removed": row.id }), |out| {
                out.line(&format!("Removed mailbox {}; its mail stays", row.address))
            })
        }
    }
}

async fn add(args: AddArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, tenant) = args.whose.open().await?;
    let wrong = |error: AddressError| CliError::Usage(format!("{}: {error}", args.address));
    let text = match args.catch_all {
        true => catch_all(&Domain::parse(&args.address).map_err(wrong)?),
        false => args.address.clone(),
    };
    let address = Mailbox::parse(&text).map_err(wrong)?;
    let is_platform = instance.config.smtp.platform_domains.contains(address.domain());
    let is_own = !is_platform && tenant.verified_domains().await?.iter().any(|own| own == address.domain().as_str());
    if !is_own && (args.catch_all || !is_platform) {
        let allowed: Vec<_> = instance.config.smtp.platform_domains.iter().map(ToString::to_string).collect();
        return Err(CliError::Usage(format!(
            "{address}: its domain must be one that the tenant has proven (`connex domain check`), or without --catch-all \
             one of smtp.platform_domains: {}",
            allowed.join(", ")
        )));
    }
    let owner = args.owner.unwrap_or(if is_own { Owner::CustomerDomain } else { Owner::Connex });
    let app = match &args.app {
        Some(app) => Some(installation::app(&tenant, app).await?.id),
        None => None,
    };
    let mailbox = NewMailbox {
        address: address.clone(),
        app,
        identity_owner: word(&owner),
        reply_policy: word(&args.reply_policy),
        external_reply_url: args.external_reply_url,
    };
    let id = tenant.add_mailbox(mailbox).await?;
    // A new mailbox marks.
    if args.authentication_policy != AuthenticationPolicy::Mark {
        tenant.set_authentication_policy(id, args.authentication_policy.stored()).await?;
    }
    out.answer(&serde_json::json!({ "id": id, "address": address }), |out| {
        out.line(&format!("Mailbox {address} is {id}"))
    })
}

async fn one(args: &OneArgs) -> Result<(crate::app::Instance, MailboxRow), CliError> {
    let instance = open(&args.data).await?;
    let mut rows = Vec::new();
    for (_, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
        rows.extend(tenant.mailboxes().await?.into_iter().map(|row| (row.tenant, row)));
    }
    // In whichever spelling: the domain as A- or U-label.
    let key = |address: &str| Mailbox::parse(address).ok().map(|address| address.key());
    let wanted = key(&args.id);
    let is_it = |row: &MailboxRow| row.id.to_string() == args.id || (wanted.is_some() && key(&row.address) == wanted);
    let (_, row) = installation::found("mailbox", &args.id, rows.into_iter(), is_it)?;
    Ok((instance, row))
}

/// An address with its domain as A-label, with the form that people write beside it where that differs.
fn beside(address: &str) -> String {
    match unicode(address) {
        Some(shown) => format!("{address} ({shown})"),
        None => address.to_owned(),
    }
}

fn unicode(address: &str) -> Option<String> {
    Mailbox::parse(address).ok()?.unicode()
}

/// The row, with its address as people write it.
fn shown(row: &MailboxRow) -> Result<serde_json::Value, CliError> {
    let mut shown = serde_json::to_value(row).map_err(anyhow::Error::new)?;
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("unicode".to_owned(), unicode(&row.address).into());
    }
    Ok(shown)
}

/// The word of the contract for a value of the command line.
fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
