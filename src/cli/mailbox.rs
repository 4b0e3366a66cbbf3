//! `connex mailbox`: addresses that this gateway owns.

use clap::{Args, Subcommand, ValueEnum};

use super::{CliError, DataArgs, JsonArgs, Output};

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
    /// Remove a mailbox; mail to it is answered 550 from now on.
    #[command(after_help = "Example: connex mailbox remove sales@in.example.org --tenant acme")]
    Remove(OneArgs),
}

/// Arguments of `connex mailbox add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: String,
    /// Its address, on one of smtp.platform_domains.
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// Who may speak as it.
    #[arg(long, value_enum, default_value_t = Owner::Connex)]
    pub owner: Owner,
    /// What may happen to a reply.
    #[arg(long, value_enum, default_value_t = ReplyPolicy::HumanApproval)]
    pub reply_policy: ReplyPolicy,
    /// App that gets its operations, by id or name; without it, all apps of the tenant.
    #[arg(long, value_name = "APP")]
    pub app: Option<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex mailbox list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only this tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex mailbox show` and `connex mailbox remove`.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// Id or address of the mailbox.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Its tenant, by id or name; needed where a name is not unique.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
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
            Self::Add(args) => &args.json,
            Self::List(args) => &args.json,
            Self::Show(args) | Self::Remove(args) => &args.json,
        }
    }
}

/// Changes or shows mailboxes.
///
/// # Errors
/// The database cannot be opened, or what is named does not exist.
pub async fn run(_command: MailboxCommand, _out: &mut Output) -> Result<(), CliError> {
    Err(CliError::failed("this command is not part of this build yet"))
}
