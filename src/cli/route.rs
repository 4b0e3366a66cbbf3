//! `connex route`: unguessable addresses for copies of mail.

use clap::{Args, Subcommand, ValueEnum};

use super::{CliError, DataArgs, JsonArgs, Output};

/// `connex route …`
#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// Add an intake route and show its address.
    #[command(
        after_help = "Example: connex route add --tenant acme --app your-saas --kind bcc --peer 198.51.100.0/24 --domain acme.example"
    )]
    Add(AddArgs),
    /// List intake routes.
    #[command(after_help = "Example: connex route list --tenant acme")]
    List(ListArgs),
    /// Show one intake route.
    #[command(after_help = "Example: connex route show rte_01kb3r8x7g0000000000000000 --tenant acme")]
    Show(OneArgs),
    /// Remove an intake route; mail to it is answered 550 from now on.
    #[command(after_help = "Example: connex route remove rte_01kb3r8x7g0000000000000000 --tenant acme")]
    Remove(OneArgs),
}

/// Arguments of `connex route add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: String,
    /// App that gets its operations, by id or name.
    #[arg(long, value_name = "APP")]
    pub app: String,
    /// What kind of copy it takes.
    #[arg(long, value_enum)]
    pub kind: RouteKind,
    /// Network whose copies are trusted; again for more.
    #[arg(long, value_name = "CIDR")]
    pub peer: Vec<ipnet::IpNet>,
    /// Domain of the tenant, which tells direction; again for more.
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Vec<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of `connex route list`.
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

/// Arguments of `connex route show` and `connex route remove`.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// Id or address of the route.
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

/// What kind of copy a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum RouteKind {
    /// Blind copies.
    Bcc,
}

impl RouteCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Add(args) => &args.json,
            Self::List(args) => &args.json,
            Self::Show(args) | Self::Remove(args) => &args.json,
        }
    }
}

/// Changes or shows routes.
///
/// # Errors
/// The database cannot be opened, or what is named does not exist.
pub async fn run(_command: RouteCommand, _out: &mut Output) -> Result<(), CliError> {
    Err(CliError::failed("this command is not part of this build yet"))
}
