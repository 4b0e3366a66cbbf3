//! What use cases are held against, from the configuration and the instance key.

use std::sync::Arc;

use super::Instance;
use crate::config::Config;
use crate::mail::reply_token::ReplyTokens;
use crate::service::domains::DomainDesk;
use crate::service::drafts::{DraftDesk, SigningKey};
use crate::service::routes::RouteDesk;

/// What drafts are written with.
pub(super) fn draft_desk(instance: &Instance) -> DraftDesk {
    DraftDesk {
        platform_domains: instance.config.smtp.platform_domains.as_slice().into(),
        reply_tokens: Arc::new(ReplyTokens::new(instance.key.reply_tokens())),
        evidence: Arc::new(SigningKey::of(instance.key.evidence())),
        route: route(&instance.config).into(),
    }
}

/// Where mail goes from here, as receipts say it.
fn route(config: &Config) -> String {
    match &config.sending.relay {
        Some(relay) => format!("relay:{}:{}", relay.host, relay.port),
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
