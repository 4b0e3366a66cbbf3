//! What use cases are held against, from the configuration and the instance key.

use std::sync::Arc;
use std::time::Duration;

use super::Instance;
use crate::clock::Clock;
use crate::config::Config;
use crate::dns::Resolver;
use crate::mail::reply_token::ReplyTokens;
use crate::oidc::Issuers;
use crate::outbound::route::relayed;
use crate::pipeline::heads::Heads;
use crate::service::accounts::{Accounts, Desk, Provider, Role};
use crate::service::domains::DomainDesk;
use crate::service::drafts::uploads::UploadDesk;
use crate::service::drafts::{DraftDesk, SigningKey};
use crate::service::routes::RouteDesk;
use crate::supervisor::{RestartPolicy, Spawner};
use crate::webhook::deliver::{ClientError, ClientSettings};
use crate::webhook::fetch::Fetcher;

/// What drafts are written with.
pub(super) fn draft_desk(instance: &Instance) -> DraftDesk {
    DraftDesk {
        platform_domains: instance.config.smtp.platform_domains.as_slice().into(),
        reply_tokens: Arc::new(ReplyTokens::new(instance.key.reply_tokens())),
        uploads: UploadDesk::new(Arc::clone(instance.key.bodies())),
        evidence: Arc::new(SigningKey::of(instance.key.evidence())),
    }
}

/// Writes heads of the audit logs to where this configuration says, if anywhere.
pub(super) fn export_heads(work: &Spawner, instance: &Instance) {
    let audit = &instance.config.audit;
    let Some(dir) = audit.heads_dir.clone() else { return };
    let key = Arc::new(SigningKey::of(instance.key.evidence()));
    let heads = Heads::new(instance.store.clone(), key, dir, audit.heads_interval);
    work.spawn("heads", RestartPolicy::Restart, move |stop| heads.clone().run(stop));
}

/// Where mail goes from here, as receipts say it.
fn route(config: &Config) -> String {
    match &config.sending.relay {
        Some(relay) => relayed(&relay.host, relay.port),
        None => "direct".to_owned(),
    }
}

/// What domains are held against in this configuration.
#[must_use]
pub fn domain_desk(config: &Config) -> DomainDesk {
    let own = std::iter::once(&config.server.hostname);
    let others = config.acme.iter().flat_map(|acme| &acme.domains);
    DomainDesk {
        hosts: own.chain(others).map(ToString::to_string).collect(),
        platform_domains: config.smtp.platform_domains.as_slice().into(),
        route: route(config).into(),
    }
}

/// What routes of this installation are made with.
#[must_use]
pub fn route_desk(instance: &Instance) -> RouteDesk {
    RouteDesk {
        key: Arc::clone(&instance.key),
        domain: instance.config.smtp.platform_domains.first().cloned(),
        largest: instance.config.routes.message_size,
    }
}

/// What signing in shares, with the providers of this configuration.
pub(super) fn accounts(config: &Config, resolver: &Resolver, clock: &Clock) -> Result<Accounts, ClientError> {
    // A person waits for it, within the time of one call.
    let settings = ClientSettings { total_timeout: Duration::from_secs(8), ..ClientSettings::default() };
    let fetcher = Fetcher::new(&settings, resolver, &config.sign_in.allow)?;
    let providers = config.sign_in.providers.iter().map(|one| Provider {
        name: one.name.clone(),
        label: one.label.clone(),
        issuer: one.issuer.clone(),
        client_id: one.client_id.clone(),
        client_secret: one.client_secret.as_ref().map(|secret| secret.expose().to_owned()),
        tenant: one.tenant.clone(),
        first_role: one.first_role.as_deref().and_then(Role::parse),
    });
    let desk = Desk::new(providers.collect(), Issuers::new(fetcher, clock.clone()));
    let mut accounts = Accounts::default();
    accounts.elsewhere = Some(desk);
    Ok(accounts)
}
