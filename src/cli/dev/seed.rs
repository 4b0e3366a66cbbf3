//! The sample tenant of a development instance: app, mailbox, bcc route, webhook endpoint, API key.

use crate::app::{Instance, route_desk};
use crate::cli::CliError;
use crate::cli::key::add_key;
use crate::cli::webhook::{Told, add_endpoint};
use crate::ids::{AppId, TenantId};
use crate::keys::{Environment, KeyBindings, Scopes};
use crate::mail::address::{Domain, Mailbox};
use crate::mail::reading::Reader;
use crate::service::keys::NewKey;
use crate::service::routes::Wanted;
use crate::store::directory::{AppProfileRow, NewMailbox};
use crate::store::routes::RouteRow;
use crate::store::{StoreError, TenantStore};
use crate::webhook::sign::WebhookSecret;

/// Name of the sample app.
pub(super) const APP: &str = "your-saas";
const TENANT: &str = "sample";
/// The sample mails on the bcc route are written by somebody of this domain.
const DOMAIN: &str = "harbor.example";

/// What the samples and the user need to know.
pub(super) struct Seed {
    pub(super) tenant: TenantId,
    pub(super) mailbox: Mailbox,
    pub(super) bcc_route: String,
    pub(super) api_key: String,
    pub(super) secret: WebhookSecret,
}

/// Makes what is missing; the key is new at each start, since it is shown only once.
pub(super) async fn sow(instance: &Instance, receiver_url: &str) -> Result<Seed, CliError> {
    let tenants = instance.store.tenants().await?;
    let tenant = match tenants.iter().find(|tenant| tenant.name == TENANT) {
        Some(tenant) => tenant.id,
        None => instance.store.add_tenant(TENANT).await?,
    };
    let rows = instance.store.for_tenant(tenant);
    let app = rows.put_app(APP, &profile()).await?;
    if let Ok(domain) = Domain::parse(DOMAIN) {
        or_there(rows.assume_domain(&domain).await)?;
    }
    Ok(Seed {
        tenant,
        mailbox: mailbox(instance, &rows, app).await?,
        bcc_route: bcc_route(instance, &rows, app).await?,
        api_key: api_key(instance, &rows).await?,
        secret: secret(instance, &rows, app, receiver_url).await?,
    })
}

/// The words of a small deal desk, so that mapping has something to show.
fn profile() -> AppProfileRow {
    let map = [
        ("proof_of_funds_requested", "Needs POF"),
        ("offer_received", "LOI Received"),
        ("meeting_requested", "Showing"),
        ("unsubscribe_requested", "Do Not Contact"),
        ("problem_reported", "Open"),
        ("outage_reported", "Open, Urgent"),
        ("invoice_received", "Billing"),
    ];
    AppProfileRow {
        status_map: map.map(|(canonical, own)| (canonical.to_owned(), own.to_owned())).into(),
        inboxes: ["Sales", "Support", "Billing", "Human Approval"].map(str::to_owned).to_vec(),
        industry: Some("real_estate".to_owned()),
        ..AppProfileRow::default()
    }
}

async fn mailbox(instance: &Instance, rows: &TenantStore, app: AppId) -> Result<Mailbox, CliError> {
    let domain = instance.config.smtp.platform_domains.first();
    let domain = domain.ok_or_else(|| CliError::failed("smtp.platform_domains is empty"))?;
    let address = Mailbox::parse(&format!("deals@{domain}")).map_err(anyhow::Error::new)?;
    let mailbox = NewMailbox {
        address: address.clone(),
        app: Some(app),
        identity_owner: "source_app".to_owned(),
        reply_policy: "source_app_only".to_owned(),
        external_reply_url: Some("https://your-saas.example/inbox".to_owned()),
    };
    or_there(rows.add_mailbox(mailbox).await.map(drop))?;
    Ok(address)
}

async fn bcc_route(instance: &Instance, rows: &TenantStore, app: AppId) -> Result<String, CliError> {
    let is_there = |route: &RouteRow| route.app == Some(app) && route.reader == Reader::Bcc;
    if let Some(route) = rows.routes().await?.into_iter().find(is_there) {
        return Ok(instance.key.open(&route.id.to_string(), &route.address_sealed).map_err(anyhow::Error::new)?);
    }
    let loopback = ["127.0.0.0/8", "::1/128"].iter().filter_map(|range| range.parse().ok()).collect();
    let wanted = Wanted { reader: Reader::Bcc, app: Some(app), peers: loopback, size_cap: None, observe: None };
    Ok(route_desk(instance).make(rows, wanted, &instance.clock).await?.address)
}

async fn api_key(instance: &Instance, rows: &TenantStore) -> Result<String, CliError> {
    const NAME: &str = "connex dev";
    for key in rows.keys().await?.into_iter().filter(|key| key.name == NAME && key.revoked_at.is_none()) {
        rows.revoke_key(key.id).await?;
    }
    let new = NewKey {
        name: NAME.to_owned(),
        environment: Environment::Live,
        scopes: Scopes::all(),
        bindings: KeyBindings::default(),
        allowed_networks: Vec::new(),
        expires_at: None,
    };
    Ok(add_key(instance, rows, new).await?.0.reveal().to_owned())
}

/// The signing secret of the endpoint that points at the receiver.
async fn secret(
    instance: &Instance,
    rows: &TenantStore,
    app: AppId,
    receiver_url: &str,
) -> Result<WebhookSecret, CliError> {
    for endpoint in rows.endpoints().await?.into_iter().filter(|endpoint| endpoint.app == Some(app)) {
        // Made anew at each start: its secret is then known here, and its port may be another.
        rows.remove_endpoint(endpoint.id).await?;
    }
    let told = Told { event_types: vec!["*".to_owned()], ..Told::default() };
    Ok(add_endpoint(instance, rows, Some(app), receiver_url, told).await?.1)
}

fn or_there(result: Result<(), StoreError>) -> Result<(), CliError> {
    match result {
        Ok(()) | Err(StoreError::Exists(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
