//! `connex issuer`: issuers whose users a tenant lets decide about drafts, inside the pages of its app.

use clap::{Args, Subcommand, ValueEnum};

use super::installation::{self, open};
use super::output::Table;
use super::place::ListArgs;
use super::{CliError, DataArgs, JsonArgs, Output, TenantArgs};
use crate::service::audit::Who;
use crate::service::issuers::{IssuerRequest, IssuerRow, register};
use crate::webhook::endpoint::PublicUrl;

/// `connex issuer …`
#[derive(Debug, Subcommand)]
pub enum IssuerCommand {
    /// Let users of an issuer of OpenID Connect decide about the drafts of a tenant.
    #[command(
        after_help = "Example: connex issuer add https://login.example.org --tenant acme --audience connex-approvals"
    )]
    Add(AddArgs),
    /// List issuers.
    #[command(after_help = "Example: connex issuer list --tenant acme")]
    List(ListArgs),
    /// Believe an issuer no more.
    #[command(after_help = "Example: connex issuer remove iss_01kb3r8x7g0000000000000000")]
    Remove(RemoveArgs),
}

/// Arguments of `connex issuer add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its name, exactly as its tokens say.
    #[arg(value_name = "URL")]
    pub url: String,
    /// For whom its tokens must be made. One for each tenant, where several have the same issuer.
    #[arg(long, value_name = "AUDIENCE")]
    pub audience: String,
    /// What its users may do; only approvers decide.
    #[arg(long, value_enum, default_value_t = IssuerRole::Approver)]
    pub role: IssuerRole,
    /// Whose it is.
    #[command(flatten)]
    pub whose: TenantArgs,
}

/// What users of an issuer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IssuerRole {
    /// Nothing yet.
    Viewer,
    /// Nothing yet.
    Agent,
    /// Decide.
    Approver,
}

/// Arguments of `connex issuer remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Its id.
    #[arg(value_name = "ISSUER")]
    pub issuer: String,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

impl IssuerCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Add(args) => &args.whose.json,
            Self::List(args) => &args.json,
            Self::Remove(args) => &args.json,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: IssuerCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        IssuerCommand::Add(args) => {
            let (instance, own) = args.whose.open().await?;
            let role = args.role.to_possible_value().map(|value| value.get_name().to_owned());
            let request = IssuerRequest { url: args.url, audience: args.audience, role };
            let allow = &instance.config.sign_in.allow;
            let is_address = |url: &str| !url.contains(['?', '#']) && PublicUrl::parse(url, allow).is_ok();
            let row = register(&own, request, is_address, Who::Operator).await?;
            out.answer(&row, |out| {
                out.line(&format!("Users of {} may be {} for this tenant: {}", row.url, row.role, row.id))
            })
        }
        IssuerCommand::List(args) => {
            let instance = open(&args.data).await?;
            let mut rows = Vec::new();
            for (_, own) in installation::tenants(&instance, args.tenant.as_deref()).await? {
                rows.extend(own.issuers().await?);
            }
            out.answer(&rows, |out| out.table(&table(&rows)))
        }
        IssuerCommand::Remove(args) => {
            let instance = open(&args.data).await?;
            let mut rows = Vec::new();
            for (_, own) in installation::tenants(&instance, None).await? {
                rows.extend(own.issuers().await?);
            }
            let all = rows.into_iter().map(|row| (row.tenant, row));
            let (tenant, row) =
                installation::found("issuer", &args.issuer, all, |row| row.id.to_string() == args.issuer)?;
            instance.store.for_tenant(tenant).remove_issuer(row.id, Who::Operator).await?;
            out.answer(&serde_json::json!({ "removed": row.id }), |out| {
                out.line(&format!("{} is believed no more", row.url))
            })
        }
    }
}

fn table(rows: &[IssuerRow]) -> Table {
    let mut table = Table::new(["ISSUER", "TENANT", "URL", "AUDIENCE", "ROLE"]);
    for row in rows {
        let (id, tenant) = (row.id.to_string(), row.tenant.to_string());
        table.row([id, tenant, row.url.clone(), row.audience.clone(), row.role.to_string()]);
    }
    table
}
