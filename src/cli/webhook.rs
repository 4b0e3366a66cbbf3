//! `connex webhook`: where operations are delivered.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::installation::{self, open};
use super::output::Table;
use super::place::{ListArgs, OneArgs};
use super::{CliError, JsonArgs, Output, TenantArgs};
use crate::app::Instance;
use crate::config::units::{DURATION_FORM, parse_duration};
use crate::contract::webhook::PayloadMode;
use crate::ids::{AppId, EndpointId, TenantId};
use crate::store::TenantStore;
use crate::store::webhooks::{EndpointRow, NewEndpoint};
use crate::webhook::endpoint::PublicUrl;
use crate::webhook::secrets::EndpointSecrets;
use crate::webhook::sign::WebhookSecret;

/// `connex webhook …`
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Add an endpoint and show its secret, once.
    #[command(
        after_help = "Example: connex webhook add --tenant acme --app your-saas https://hooks.example.org/connex"
    )]
    Add(AddArgs),
    /// List endpoints.
    #[command(after_help = "Example: connex webhook list --tenant acme")]
    List(ListArgs),
    /// Show one endpoint and how its deliveries go.
    #[command(after_help = "Example: connex webhook show whe_01kb3r8x7g0000000000000000 --tenant acme")]
    Show(OneArgs),
    /// Make a new signing secret and show it, once; the one before signs too for a while.
    #[command(
        name = "rotate-secret",
        after_help = "Example: connex webhook rotate-secret whe_01kb3r8x7g0000000000000000 --tenant acme --overlap 24h"
    )]
    RotateSecret(RotateArgs),
    /// Enable a webhook that was disabled; what it held is delivered.
    #[command(after_help = "Example: connex webhook enable whe_01kb3r8x7g0000000000000000 --tenant acme")]
    Enable(OneArgs),
    /// Remove an endpoint; what it has not got is cancelled.
    #[command(after_help = "Example: connex webhook remove whe_01kb3r8x7g0000000000000000 --tenant acme")]
    Remove(OneArgs),
}

/// Arguments of `connex webhook add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// App whose operations it gets, by id or name.
    #[arg(long, value_name = "APP")]
    pub app: String,
    /// Where deliveries are posted to: https, and a public address, but for what `webhooks.allow` names.
    #[arg(value_name = "URL")]
    pub url: String,
    /// Event type that it gets; again for more. Without it, message.classified.
    #[arg(long, value_name = "TYPE")]
    pub event_type: Vec<String>,
    /// Tell it the blind recipients of journal reports too.
    #[arg(long)]
    pub show_bcc: bool,
    /// Whose it is.
    #[command(flatten)]
    pub whose: TenantArgs,
}

/// Arguments of `connex webhook rotate-secret`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Which endpoint.
    #[command(flatten)]
    pub one: OneArgs,
    /// For how long the secret before signs too, up to 7d; 0s: not at all, nor any older one.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = overlap)]
    pub overlap: Duration,
}

fn overlap(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(7 * 86_400);
    let read = parse_duration(text).filter(|overlap| *overlap <= LONGEST);
    read.ok_or_else(|| format!("must be {DURATION_FORM}, at most 7d"))
}

impl WebhookCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Add(args) => &args.whose.json,
            Self::List(args) => &args.json,
            Self::RotateSecret(args) => &args.one.json,
            Self::Show(args) | Self::Enable(args) | Self::Remove(args) => &args.json,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: WebhookCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        WebhookCommand::Add(args) => {
            let (instance, tenant) = args.whose.open().await?;
            let app = installation::app(&tenant, &args.app).await?.id;
            let wanted = Told { event_types: args.event_type, show_bcc: args.show_bcc };
            let (id, secret) = add_endpoint(&instance, &tenant, Some(app), &args.url, wanted).await?;
            let secret = secret.expose();
            out.answer(&serde_json::json!({ "id": id, "url": args.url, "secret": secret }), |out| {
                out.line(&format!("Webhook {id} goes to {}", args.url))?;
                out.line(&format!("Signing secret, shown once: {secret}"))
            })
        }
        WebhookCommand::List(args) => {
            let instance = open(&args.data).await?;
            let mut table = Table::new(["WEBHOOK", "URL", "TYPES", "STATE", "TENANT"]);
            let mut all = Vec::new();
            for (name, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
                for row in tenant.endpoints().await? {
                    let types = row.event_types.join(" ");
                    table.row([row.id.to_string(), row.url.clone(), types, row.state.clone(), name.clone()]);
                    all.push(row);
                }
            }
            out.answer(&all, |out| out.table(&table))
        }
        WebhookCommand::Show(args) => {
            let row = one(&args).await?.2;
            let text = serde_json::to_string_pretty(&row).map_err(anyhow::Error::new)?;
            out.answer(&row, |out| text.lines().try_for_each(|line| out.line(line)))
        }
        WebhookCommand::RotateSecret(args) => {
            let (instance, tenant, row) = one(&args.one).await?;
            let secret = rotate_secret(&instance, tenant, row.id, args.overlap).await?.expose();
            let until = instance.clock.now().plus(args.overlap).to_string();
            let until = (!args.overlap.is_zero()).then_some(until);
            out.answer(&serde_json::json!({ "id": row.id, "secret": secret, "previousSignsUntil": until }), |out| {
                out.line(&format!("Signing secret of webhook {}, shown once: {secret}", row.id))?;
                out.line(&match until {
                    Some(until) => format!("The one before signs too until {until}"),
                    None => "The one before signs no more".to_owned(),
                })
            })
        }
        WebhookCommand::Enable(args) => {
            let (instance, tenant, row) = one(&args).await?;
            let resumed = instance.store.for_tenant(tenant).enable_endpoint(row.id).await?;
            out.answer(&serde_json::json!({ "enabled": row.id, "resumed": resumed }), |out| {
                out.line(&format!("Enabled webhook {}; {resumed} deliveries that it held are due now", row.id))
            })
        }
        WebhookCommand::Remove(args) => {
            let (instance, tenant, row) = one(&args).await?;
            instance.store.for_tenant(tenant).remove_endpoint(row.id).await?;
            out.answer(&serde_json::json!({ "removed": row.id }), |out| {
                out.line(&format!("Removed webhook {}; what waited for it is cancelled", row.id))
            })
        }
    }
}

/// What a new endpoint is told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Event types; none: `message.classified`.
    pub(super) event_types: Vec<String>,
    /// The blind recipients of journal reports too.
    pub(super) show_bcc: bool,
}

/// Makes an endpoint with a new signing secret.
pub(super) async fn add_endpoint(
    instance: &Instance,
    tenant: &TenantStore,
    app: Option<AppId>,
    url: &str,
    wanted: Told,
) -> Result<(EndpointId, WebhookSecret), CliError> {
    let checked = PublicUrl::parse(url, &instance.config.webhooks.allow);
    // The URL itself is not repeated: it may hold a password, and errors end up in logs.
    let url = checked.map_err(|error| CliError::Usage(format!("this URL is not taken: {error}")))?.as_str().to_owned();
    let secret = WebhookSecret::generate();
    let id: EndpointId = instance.clock.mint();
    let endpoint = NewEndpoint {
        app,
        url,
        secrets_sealed: instance.key.seal(&id.to_string(), &EndpointSecrets::new(secret.clone()).expose()),
        event_types: match wanted.event_types.is_empty() {
            true => vec!["message.classified".to_owned()],
            false => wanted.event_types,
        },
        mode: PayloadMode::Operations,
        schedule: instance.config.webhooks.schedule.as_str(),
        show_bcc: wanted.show_bcc,
    };
    tenant.add_endpoint(id, endpoint).await?;
    Ok((id, secret))
}

/// Puts a new secret in front of an endpoint's own.
async fn rotate_secret(
    instance: &Instance,
    tenant: TenantId,
    id: EndpointId,
    overlap: Duration,
) -> Result<WebhookSecret, CliError> {
    let tenant = instance.store.for_tenant(tenant);
    let row = id.to_string();
    let before = tenant.endpoint_secrets(id).await?;
    let secret = WebhookSecret::generate();
    // Without an overlap nothing of the old ones is needed, so that this also helps where they cannot be read.
    let secrets = if overlap.is_zero() {
        EndpointSecrets::new(secret.clone())
    } else {
        let opened = instance.key.open(&row, &before).map_err(anyhow::Error::new)?;
        let stored = EndpointSecrets::parse(&opened).map_err(anyhow::Error::new)?;
        stored.rotated(secret.clone(), overlap, instance.clock.now()).map_err(anyhow::Error::new)?
    };
    tenant.replace_endpoint_secrets(id, before, instance.key.seal(&row, &secrets.expose())).await?;
    Ok(secret)
}

async fn one(args: &OneArgs) -> Result<(Instance, TenantId, EndpointRow), CliError> {
    let instance = open(&args.data).await?;
    let mut rows = Vec::new();
    for (_, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
        rows.extend(tenant.endpoints().await?.into_iter().map(|row| (tenant.tenant(), row)));
    }
    let (tenant, row) =
        installation::found("webhook", &args.id, rows.into_iter(), |row| row.id.to_string() == args.id)?;
    Ok((instance, tenant, row))
}
