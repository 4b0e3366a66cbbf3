//! `connex route`: unguessable addresses for copies of mail.

use clap::{Args, Subcommand, ValueEnum};

use super::installation::{self, open};
use super::output::Table;
use super::place::{ListArgs, OneArgs};
use super::{CliError, DataArgs, JsonArgs, Output};
use crate::app::Instance;
use crate::mail::peer::PeerRule;
use crate::pipeline::recipients::{new_token, token_hash};
use crate::store::directory::{NewRoute, RouteRow};

/// `connex route …`
#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// Add an intake route and show its address.
    #[command(after_help = "Example: connex route add --tenant acme --app your-saas --kind bcc --peer 198.51.100.0/24")]
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
    /// Whose copies are trusted: a network, key:KEY_ID, cert:sha256:HEX, cert:name:ISSUER:NAME, door:lmtp, door:milter;
    /// again for more.
    #[arg(long, value_name = "PEER")]
    pub peer: Vec<PeerRule>,
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

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: RouteCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        RouteCommand::Add(args) => {
            let instance = open(&args.data).await?;
            let tenant = installation::tenant(&instance, &args.tenant).await?;
            let app = installation::app(&tenant, &args.app).await?.id;
            let (id, address) = add_route(&instance, &tenant, Some(app), args.peer).await?;
            out.answer(&serde_json::json!({ "id": id, "address": address }), |out| {
                out.line(&format!("Route {id} takes copies at {address}"))?;
                out.line("Whoever knows the address can send to it: treat it as a secret.")
            })
        }
        RouteCommand::List(args) => {
            let instance = open(&args.data).await?;
            let mut table = Table::new(["ROUTE", "KIND", "PEERS", "STATE", "TENANT"]);
            let mut all = Vec::new();
            for (name, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
                for row in tenant.routes().await? {
                    let peers: Vec<String> = row.peers.iter().map(ToString::to_string).collect();
                    table.row([row.id.to_string(), row.kind.clone(), peers.join(" "), row.state.clone(), name.clone()]);
                    all.push(row);
                }
            }
            out.answer(&all, |out| out.table(&table))
        }
        RouteCommand::Show(args) => {
            let (instance, row) = one(&args).await?;
            let address = instance.key.open(&row.id.to_string(), &row.address_sealed).map_err(anyhow::Error::new)?;
            let shown = serde_json::json!({ "id": row.id, "kind": row.kind, "address": address, "app": row.app,
                "peers": row.peers, "state": row.state });
            out.answer(&shown, |out| {
                out.line(&format!("{} {} {} {address}", row.id, row.kind, row.state))?;
                out.line("Whoever knows the address can send to it: treat it as a secret.")
            })
        }
        RouteCommand::Remove(args) => {
            let (instance, row) = one(&args).await?;
            instance.store.for_tenant(row.tenant).remove_route(row.id).await?;
            out.answer(&serde_json::json!({ "removed": row.id }), |out| out.line(&format!("Removed route {}", row.id)))
        }
    }
}

/// Makes a `bcc` route with a new token; gives its id and address.
pub(super) async fn add_route(
    instance: &Instance,
    tenant: &crate::store::TenantStore,
    app: Option<crate::ids::AppId>,
    peers: Vec<PeerRule>,
) -> Result<(crate::ids::RouteId, String), CliError> {
    let domain = instance.config.smtp.platform_domains.first();
    let domain = domain.ok_or_else(|| CliError::failed("smtp.platform_domains is empty"))?;
    let token = new_token();
    let address = format!("bcc-{token}@{domain}");
    let id = instance.clock.mint::<crate::ids::RouteId>();
    let address_sealed = instance.key.seal(&id.to_string(), &address);
    tenant.add_route(id, NewRoute { token_hash: token_hash(&token), address_sealed, app, peers }).await?;
    Ok((id, address))
}

async fn one(args: &OneArgs) -> Result<(Instance, RouteRow), CliError> {
    let instance = open(&args.data).await?;
    let mut rows = Vec::new();
    for (_, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
        rows.extend(tenant.routes().await?.into_iter().map(|row| (row.tenant, row)));
    }
    let (_, row) = installation::found("route", &args.id, rows.into_iter(), |row| row.id.to_string() == args.id)?;
    Ok((instance, row))
}
