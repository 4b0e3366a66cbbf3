//! `connex key`: API keys.

use clap::{Args, Subcommand, ValueEnum};

use super::{CliError, DataArgs, JsonArgs, Output};

/// `connex key …`
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Add an API key and show it, once.
    #[command(
        after_help = "Example: connex key add --tenant acme --name production --scope status:evaluate --app your-saas"
    )]
    Add(AddArgs),
    /// List API keys.
    #[command(after_help = "Example: connex key list --tenant acme")]
    List(ListArgs),
    /// Show one API key, without the secret.
    #[command(after_help = "Example: connex key show key_01kb3r8x7g0000000000000000 --tenant acme")]
    Show(OneArgs),
    /// Revoke an API key.
    #[command(after_help = "Example: connex key remove key_01kb3r8x7g0000000000000000 --tenant acme")]
    Remove(OneArgs),
}

/// Arguments of `connex key add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: String,
    /// What it is for.
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// Scope; again for more. Without it, status:evaluate.
    #[arg(long, value_name = "SCOPE")]
    pub scope: Vec<String>,
    /// Environment of the key.
    #[arg(long, value_enum, default_value_t = Environment::Live)]
    pub env: Environment,
    /// App that it is bound to, by id or name; again for more. Without it, none.
    #[arg(long, value_name = "APP")]
    pub app: Vec<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex key list`.
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

/// Arguments of `connex key show` and `connex key remove`.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// Id of the key.
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

/// Environment of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Environment {
    /// `cxk_live_…`
    Live,
    /// `cxk_test_…`
    Test,
}

impl KeyCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Add(args) => &args.json,
            Self::List(args) => &args.json,
            Self::Show(args) | Self::Remove(args) => &args.json,
        }
    }
}

/// Changes or shows API keys.
///
/// # Errors
/// The database cannot be opened, or what is named does not exist.
pub async fn run(_command: KeyCommand, _out: &mut Output) -> Result<(), CliError> {
    Err(CliError::failed("this command is not part of this build yet"))
}
