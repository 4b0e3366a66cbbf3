//! `connex route`: unguessable addresses for copies of mail.

use clap::{Args, Subcommand, ValueEnum};

use super::installation::{self, open};
use super::output::Table;
use super::place::{ListArgs, OneArgs};
use super::{CliError, DataArgs, JsonArgs, Output};
use crate::app::Instance;
use crate::mail::journal::ReportFormat;
use crate::mail::peer::PeerRule;
use crate::mail::reading::Reader;
use crate::pipeline::recipients::{new_token, token_hash};
use crate::store::directory::{NewRoute, RouteRow};

/// `connex route …`
#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// Add an intake route and show its address.
    #[command(
        after_help = "Example: connex route add --tenant acme --app your-saas --kind journal --format exchange --peer 198.51.100.0/24"
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
    /// The layout of a journal route's mail; pinned, whatever the mail says of itself.
    #[arg(long, value_enum, required_if_eq("kind", "journal"))]
    pub format: Option<JournalFormat>,
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
    /// Journal reports, or the plain copies of a whole organisation.
    Journal,
    /// Blind copies.
    Bcc,
    /// Forwarded messages.
    Fwd,
}

/// The layout of what a journal route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum JournalFormat {
    /// Reports of Exchange 2007 and later, and of Exchange Online.
    Exchange,
    /// Reports of Exchange 2000 and 2003.
    ExchangeLegacy,
    /// Reports of Amazon WorkMail.
    Workmail,
    /// The messages themselves: Google Workspace, Postfix, Exim, Zimbra, Domino.
    Plain,
}

/// How a route of this kind reads.
///
/// # Errors
/// A format for a kind that has none, or none for a journal route.
pub(super) fn reader(kind: RouteKind, format: Option<JournalFormat>) -> Result<Reader, CliError> {
    match (kind, format) {
        (RouteKind::Bcc, None) => Ok(Reader::Bcc),
        (RouteKind::Fwd, None) => Ok(Reader::Forward),
        (RouteKind::Journal, Some(JournalFormat::Plain)) => Ok(Reader::JournalPlain),
        (RouteKind::Journal, Some(JournalFormat::Exchange)) => Ok(Reader::Journal(ReportFormat::Exchange)),
        (RouteKind::Journal, Some(JournalFormat::ExchangeLegacy)) => Ok(Reader::Journal(ReportFormat::ExchangeLegacy)),
        (RouteKind::Journal, Some(JournalFormat::Workmail)) => Ok(Reader::Journal(ReportFormat::Workmail)),
        (RouteKind::Journal, None) => {
            Err(CliError::Usage("a journal route needs --format: its mail must not choose how it is read".to_owned()))
        }
        (RouteKind::Bcc | RouteKind::Fwd, Some(_)) => {
            Err(CliError::Usage("--format is for journal routes alone".to_owned()))
        }
    }
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
            let reader = reader(args.kind, args.format)?;
            let (id, address) = add_route(&instance, &tenant, reader, Some(app), args.peer).await?;
            out.answer(&serde_json::json!({ "id": id, "address": address }), |out| {
                out.line(&format!("Route {id} takes copies at {address}"))?;
                out.line("Whoever knows the address can send to it: treat it as a secret.")
            })
        }
        RouteCommand::List(args) => {
            let instance = open(&args.data).await?;
            let mut table = Table::new(["ROUTE", "KIND", "FORMAT", "PEERS", "STATE", "TENANT"]);
            let mut all = Vec::new();
            for (name, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
                for row in tenant.routes().await? {
                    let peers: Vec<String> = row.peers.iter().map(ToString::to_string).collect();
                    table.row([
                        row.id.to_string(),
                        row.reader.prefix().to_owned(),
                        row.reader.format().unwrap_or("-").to_owned(),
                        peers.join(" "),
                        row.state.clone(),
                        name.clone(),
                    ]);
                    all.push(shown(&row));
                }
            }
            out.answer(&all, |out| out.table(&table))
        }
        RouteCommand::Show(args) => {
            let (instance, row) = one(&args).await?;
            let address = instance.key.open(&row.id.to_string(), &row.address_sealed).map_err(anyhow::Error::new)?;
            let mut shown = shown(&row);
            if let Some(fields) = shown.as_object_mut() {
                fields.insert("address".to_owned(), address.clone().into());
            }
            out.answer(&shown, |out| {
                let format = row.reader.format().map(|format| format!(" {format}")).unwrap_or_default();
                out.line(&format!("{} {}{format} {} {address}", row.id, row.reader.prefix(), row.state))?;
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

/// A route as data, without its address.
pub(super) fn shown(row: &RouteRow) -> serde_json::Value {
    serde_json::json!({
        "tenant": row.tenant,
        "id": row.id,
        "kind": row.reader.prefix(),
        "format": row.reader.format(),
        "app": row.app,
        "peers": row.peers,
        "state": row.state,
        "stateSince": row.state_since,
    })
}

/// Makes a route with a new token; gives its id and address.
pub(super) async fn add_route(
    instance: &Instance,
    tenant: &crate::store::TenantStore,
    reader: Reader,
    app: Option<crate::ids::AppId>,
    peers: Vec<PeerRule>,
) -> Result<(crate::ids::RouteId, String), CliError> {
    let domain = instance.config.smtp.platform_domains.first();
    let domain = domain.ok_or_else(|| CliError::failed("smtp.platform_domains is empty"))?;
    let token = new_token();
    let address = format!("{}-{token}@{domain}", reader.prefix());
    let id = instance.clock.mint::<crate::ids::RouteId>();
    let address_sealed = instance.key.seal(&id.to_string(), &address);
    tenant.add_route(id, NewRoute { reader, token_hash: token_hash(&token), address_sealed, app, peers }).await?;
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
