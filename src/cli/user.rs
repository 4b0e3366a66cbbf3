//! `connex user`: people with an account, for whoever runs this gateway.
//!
//! # Security
//! A password comes from standard input, never as an argument, and otherwise the person chooses it by a link that is printed
//! once. A link is part of the answer alone, and of no log.

use std::io::{BufRead as _, Read as _};

use clap::{Args, Subcommand, ValueEnum};

use super::installation::{self, open};
use super::output::Table;
use super::place::{ListArgs, OneArgs};
use super::{CliError, DataArgs, JsonArgs, Output, TenantArgs};
use crate::app::Instance;
use crate::service::accounts::{self, AccountError, Link, UserRow};
use crate::service::audit::Who;
use crate::store::TenantStore;

/// `connex user …`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add an account: print a link by which its person chooses a password, or take the password from standard input.
    #[command(after_help = "Example: connex user add ann@example.org --tenant acme --role approver\n\
                            Example: connex user add ann@example.org --tenant acme --password-stdin")]
    Add(AddArgs),
    /// List accounts.
    #[command(after_help = "Example: connex user list --tenant acme")]
    List(ListArgs),
    /// Print the link by which the first account is made, while there is none.
    #[command(name = "setup-link", after_help = "Example: connex user setup-link --config /etc/connex/connex.toml")]
    SetupLink(SetupLinkArgs),
    /// Let a person sign in no more, and end all their sessions.
    #[command(after_help = "Example: connex user disable ann@example.org --tenant acme")]
    Disable(OneArgs),
    /// Let a person sign in again.
    #[command(after_help = "Example: connex user enable ann@example.org --tenant acme")]
    Enable(OneArgs),
    /// Say whether a person gets mail about drafts that wait.
    #[command(after_help = "Example: connex user notices ann@example.org --tenant acme --approvals off")]
    Notices(NoticesArgs),
    /// Print a link that sets a new password, or take it from standard input. A new password ends all sessions of the person.
    #[command(
        name = "reset-password",
        after_help = "Example: connex user reset-password ann@example.org --tenant acme"
    )]
    ResetPassword(ResetArgs),
}

/// Arguments of `connex user add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Address by which the person signs in.
    #[arg(value_name = "EMAIL")]
    pub email: String,
    /// What the person may do; each role may do what those before it may.
    #[arg(long, value_enum, default_value_t = Role::Viewer)]
    pub role: Role,
    /// Take the password from the first line of standard input.
    #[arg(long)]
    pub password_stdin: bool,
    /// Whose it is.
    #[command(flatten)]
    pub whose: TenantArgs,
}

/// Arguments of `connex user setup-link`.
#[derive(Debug, Args)]
pub struct SetupLinkArgs {
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex user reset-password`.
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// Whose, and how to answer.
    #[command(flatten)]
    pub one: OneArgs,
    /// Take the password from the first line of standard input.
    #[arg(long)]
    pub password_stdin: bool,
}

/// Arguments of `connex user notices`.
#[derive(Debug, Args)]
pub struct NoticesArgs {
    /// Whose, and how to answer.
    #[command(flatten)]
    pub one: OneArgs,
    /// Whether mail comes when a draft waits for an approval.
    #[arg(long, value_enum)]
    pub approvals: Wanted,
}

/// Whether something is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Wanted {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Writes drafts, does tasks.
    Agent,
    /// Decides about drafts.
    Approver,
    /// Sets up.
    Admin,
    /// Makes admins.
    Owner,
}

impl From<Role> for accounts::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Agent => Self::Agent,
            Role::Approver => Self::Approver,
            Role::Admin => Self::Admin,
            Role::Owner => Self::Owner,
        }
    }
}

impl UserCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Add(args) => &args.whose.json,
            Self::List(args) => &args.json,
            Self::SetupLink(args) => &args.json,
            Self::Disable(args) | Self::Enable(args) => &args.json,
            Self::Notices(args) => &args.one.json,
            Self::ResetPassword(args) => &args.one.json,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: UserCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        UserCommand::Add(args) => add(args, out).await,
        UserCommand::List(args) => {
            let instance = open(&args.data).await?;
            let mut table = Table::new(["USER", "EMAIL", "NAME", "ROLE", "STATE", "SIGNED IN LAST", "TENANT"]);
            let mut all = Vec::new();
            for (name, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
                for user in tenant.users().await? {
                    let last = user.last_signed_in_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
                    let (id, email, called) = (user.id.to_string(), user.email.clone(), user.name.clone());
                    let (role, state) = (user.role.to_string(), user.state.as_str().to_owned());
                    table.row([id, email, called, role, state, last, name.clone()]);
                    all.push(user);
                }
            }
            out.answer(&all, |out| out.table(&table))
        }
        UserCommand::SetupLink(args) => {
            let instance = open(&args.data).await?;
            let url = accounts::setup_link(&instance.store, &instance.config.server.public_url).await?;
            out.answer(&serde_json::json!({ "url": url }), |out| out.line(&told_setup(&url)))
        }
        UserCommand::Disable(args) => {
            let (own, user) = one(&args).await?;
            own.disable_user(user.id, Who::Operator).await?;
            out.answer(&serde_json::json!({ "disabled": user.id }), |out| out.line(&format!("Disabled {}", user.email)))
        }
        UserCommand::Enable(args) => {
            let (own, user) = one(&args).await?;
            own.enable_user(user.id, Who::Operator).await?;
            out.answer(&serde_json::json!({ "enabled": user.id }), |out| out.line(&format!("Enabled {}", user.email)))
        }
        UserCommand::Notices(args) => {
            let (own, user) = one(&args.one).await?;
            let wants = args.approvals == Wanted::On;
            own.set_approval_notices(user.id, wants).await?;
            out.answer(&serde_json::json!({ "id": user.id, "approvalNotices": wants }), |out| {
                let words = if wants { "gets" } else { "gets no" };
                out.line(&format!("{} {words} mail about drafts that wait", user.email))
            })
        }
        UserCommand::ResetPassword(args) => {
            let instance = open(&args.one.data).await?;
            let (own, user) = found(&instance, &args.one).await?;
            if args.password_stdin {
                accounts::set_password(&own, &user, &password()?).await?;
                return out.answer(&serde_json::json!({ "id": user.id }), |out| {
                    out.line(&format!("{} has a new password", user.email))
                });
            }
            let link = accounts::reset_link(&own, &user, &instance.config.server.public_url).await?;
            show(&link, out)
        }
    }
}

async fn add(args: AddArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, own) = args.whose.open().await?;
    if args.password_stdin {
        let id = accounts::make_account(&own, &args.email, args.role.into(), &password()?).await?;
        return out.answer(&serde_json::json!({ "id": id, "email": args.email }), |out| {
            out.line(&format!("{} is {id}", args.email))
        });
    }
    let base_url = &instance.config.server.public_url;
    let link = accounts::invite(&own, &args.email, args.role.into(), None, base_url).await?;
    show(&link, out)
}

fn show(link: &Link, out: &mut Output) -> Result<(), CliError> {
    let answer = serde_json::json!({ "url": link.url, "email": link.email, "expiresAt": link.expires_at.to_string() });
    out.answer(&answer, |out| {
        out.line(&format!("Link for {}, shown once, until {}: {}", link.email, link.expires_at, link.url))
    })
}

/// The link for the first account, where there is none.
pub(super) async fn link_of_first(instance: &Instance) -> Result<Option<String>, CliError> {
    if instance.store.has_users().await? {
        return Ok(None);
    }
    match accounts::setup_link(&instance.store, &instance.config.server.public_url).await {
        // Somebody was faster.
        Err(AccountError::Conflict(_)) => Ok(None),
        made => Ok(Some(made?)),
    }
}

/// What is said of that link.
pub(super) fn told_setup(url: &str) -> String {
    format!("The first account is made here, within a day: {url}")
}

/// The first line of standard input.
fn password() -> Result<String, CliError> {
    const MOST: u64 = 4096;
    let mut line = String::new();
    std::io::stdin().lock().take(MOST).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

async fn one(args: &OneArgs) -> Result<(TenantStore, UserRow), CliError> {
    found(&open(&args.data).await?, args).await
}

/// The account of this id or address.
async fn found(instance: &Instance, args: &OneArgs) -> Result<(TenantStore, UserRow), CliError> {
    let mut rows = Vec::new();
    for (_, tenant) in installation::tenants(instance, args.tenant.as_deref()).await? {
        rows.extend(tenant.users().await?);
    }
    let is_it = |row: &&UserRow| row.id.to_string() == args.id || row.email.eq_ignore_ascii_case(&args.id);
    let mut fitting = rows.iter().filter(is_it);
    match (fitting.next(), fitting.next()) {
        (Some(row), None) => Ok((instance.store.for_tenant(row.tenant), row.clone())),
        (None, _) => Err(CliError::NotFound(format!("user `{}`; `connex user list` shows those there are", args.id))),
        (Some(_), Some(_)) => {
            Err(CliError::Usage(format!("several tenants have a user `{}`; name one with --tenant", args.id)))
        }
    }
}

impl From<AccountError> for CliError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NotFound(what) => Self::NotFound(what.to_owned()),
            AccountError::Invalid { .. } => Self::Usage(error.to_string()),
            AccountError::Unavailable(error) => error.into(),
            error => Self::Failed(anyhow::Error::new(error)),
        }
    }
}
