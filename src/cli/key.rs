//! `connex key`: API keys.

use clap::{Args, Subcommand, ValueEnum};

use super::installation::{self, open};
use super::output::Table;
use super::place::{ListArgs, OneArgs};
use super::{CliError, JsonArgs, Output, TenantArgs};
use crate::app::Instance;
use crate::ids::TenantId;
use crate::keys::{self, ApiKey, KeyBindings, KeyRecord, Scope, Scopes};
use crate::mail::address::Mailbox;
use crate::service::keys::{NewKey, make_key};
use crate::store::TenantStore;

/// `connex key …`
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Add an API key and show it, once.
    #[command(
        after_help = "Example: connex key add --tenant acme --name production --scope status:evaluate --app your-saas\n\
                      Example: connex key add --tenant acme --name sales --mailbox sales@in.example.org"
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
    /// Address of a mailbox that it is bound to, here or in the app; again for more. Without it, none.
    #[arg(long, value_name = "ADDRESS", value_parser = |text: &str| Mailbox::parse(text))]
    pub mailbox: Vec<Mailbox>,
    /// Network from which it may be used; again for more. Without it, any.
    #[arg(long, value_name = "CIDR")]
    pub network: Vec<ipnet::IpNet>,
    /// Whose it is.
    #[command(flatten)]
    pub whose: TenantArgs,
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
            Self::Add(args) => &args.whose.json,
            Self::List(args) => &args.json,
            Self::Show(args) | Self::Remove(args) => &args.json,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: KeyCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        KeyCommand::Add(args) => {
            let scopes = scopes(&args.scope)?;
            let (instance, tenant) = args.whose.open().await?;
            let mut apps = Vec::new();
            for app in &args.app {
                apps.push(installation::app(&tenant, app).await?.name);
            }
            let mailboxes = args.mailbox.iter().map(Mailbox::to_string).collect();
            let environment = match args.env {
                Environment::Live => keys::Environment::Live,
                Environment::Test => keys::Environment::Test,
            };
            let bindings = KeyBindings { apps, mailboxes, ..KeyBindings::default() };
            let expires_at = None;
            let new =
                NewKey { name: args.name, environment, scopes, bindings, allowed_networks: args.network, expires_at };
            let (key, record) = add_key(&instance, &tenant, new).await?;
            let id = record.id;
            out.answer(&serde_json::json!({ "id": id, "key": key.reveal() }), |out| {
                out.line(&format!("Key {id}, shown once: {}", key.reveal()))
            })
        }
        KeyCommand::List(args) => {
            let instance = open(&args.data).await?;
            let mut table = Table::new(["KEY", "NAME", "ENDS IN", "SCOPES", "STATE", "TENANT"]);
            let mut all = Vec::new();
            for (name, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
                for key in tenant.keys().await? {
                    let state = if key.revoked_at.is_some() { "revoked" } else { "active" };
                    let (id, last4, scopes) = (key.id.to_string(), key.last4.clone(), words(key.scopes));
                    table.row([id, key.name.clone(), last4, scopes, state.to_owned(), name.clone()]);
                    all.push(shown(&key));
                }
            }
            out.answer(&all, |out| out.table(&table))
        }
        KeyCommand::Show(args) => {
            let key = shown(&one(&args).await?.2);
            let text = serde_json::to_string_pretty(&key).map_err(anyhow::Error::new)?;
            out.answer(&key, |out| text.lines().try_for_each(|line| out.line(line)))
        }
        KeyCommand::Remove(args) => {
            let (instance, tenant, key) = one(&args).await?;
            instance.store.for_tenant(tenant).revoke_key(key.id).await?;
            out.answer(&serde_json::json!({ "revoked": key.id }), |out| out.line(&format!("Revoked key {}", key.id)))
        }
    }
}

/// Makes a key; the raw key is in the answer only.
pub(super) async fn add_key(
    instance: &Instance,
    tenant: &TenantStore,
    new: NewKey,
) -> Result<(ApiKey, KeyRecord), CliError> {
    let (key, record) = make_key(new, tenant.tenant(), &instance.pepper(), &instance.clock);
    tenant.add_key(record.clone()).await?;
    Ok((key, record))
}

fn scopes(words: &[String]) -> Result<Scopes, CliError> {
    if words.is_empty() {
        return Ok(Scopes::of(&[Scope::StatusEvaluate]));
    }
    let read = |word: &String| {
        Scope::parse(word).ok_or_else(|| {
            let known: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
            CliError::Usage(format!("`{word}` is no scope; there are {}", known.join(", ")))
        })
    };
    Ok(Scopes::of(&words.iter().map(read).collect::<Result<Vec<_>, _>>()?))
}

fn words(scopes: Scopes) -> String {
    scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
}

fn shown(key: &KeyRecord) -> serde_json::Value {
    serde_json::json!({
        "id": key.id,
        "tenantId": key.tenant,
        "name": key.name,
        "environment": key.environment.as_str(),
        "last4": key.last4,
        "scopes": key.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "apps": key.bindings.apps,
        "mailboxes": key.bindings.mailboxes,
        "networks": key.allowed_networks,
        "createdAt": key.created_at.to_string(),
        "revokedAt": key.revoked_at.map(|at| at.to_string()),
        "lastUsedAt": key.last_used_at.map(|at| at.to_string()),
    })
}

async fn one(args: &OneArgs) -> Result<(Instance, TenantId, KeyRecord), CliError> {
    let instance = open(&args.data).await?;
    let mut rows = Vec::new();
    for (_, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
        rows.extend(tenant.keys().await?.into_iter().map(|key| (tenant.tenant(), key)));
    }
    let (tenant, key) = installation::found("key", &args.id, rows.into_iter(), |key| key.id.to_string() == args.id)?;
    Ok((instance, tenant, key))
}
