//! The worker that reads accepted mail, and the judge of mail that is read before it is accepted.

use std::sync::Arc;

use super::{AppError, Instance, apart, authentication};
use crate::config::Config;
use crate::decide::Engine;
use crate::intake::Acceptor;
use crate::mail::address::Domain;
use crate::mail::message;
use crate::pipeline::ingest::waiting::Waiting;
use crate::pipeline::ingest::{Ingest, IngestSettings};
use crate::pipeline::recipients::Recipients;
use crate::pipeline::verdict::Verdicts;
use crate::spool::Spool;
use crate::supervisor::{RestartPolicy, Spawner};

/// Starts the worker, on a runtime of its own.
pub(super) fn start(work: &Spawner, instance: &Instance, spool: &Spool, engine: &Arc<Engine>, waiting: &Waiting) {
    let config = Arc::clone(&instance.config);
    let parts = (instance.store.clone(), spool.clone(), Arc::clone(engine), Arc::clone(&instance.key), waiting.clone());
    work.spawn("ingest", RestartPolicy::Restart, move |stop| {
        let (store, spool, engine, key, waiting) = parts.clone();
        let config = Arc::clone(&config);
        apart::apart("ingest", move || async move {
            let store = match store.apart().await {
                Ok(store) => store,
                Err(error) => {
                    return tracing::error!(error.kind = "store", "Accepted mail waits in the spool: {error}");
                }
            };
            let ingest = Ingest::new(store, &spool, engine, key, settings(&config)).telling(waiting);
            let asking = super::resolver(&config)
                .and_then(|resolver| Ok((ingest.resolving(resolver), authentication::authenticator(&config)?)));
            match asking {
                Ok((ingest, Some(authenticator))) => ingest.authenticating(authenticator).run(stop).await,
                Ok((ingest, None)) => ingest.run(stop).await,
                Err(error) => tracing::error!(error.kind = "dns", "Accepted mail waits in the spool: {error}"),
            }
        })
    });
}

/// An acceptor that asks before it accepts for mailboxes that refuse what fails DMARC.
///
/// # Errors
/// The resolver cannot be made.
pub(super) fn judged(acceptor: Acceptor, config: &Config, recipients: &Arc<Recipients>) -> Result<Acceptor, AppError> {
    Ok(match authentication::authenticator(config)? {
        Some(found) => {
            let limits = limits(config);
            acceptor.judged_by(Arc::new(Verdicts::new(Arc::clone(recipients), found, limits)))
        }
        None => acceptor,
    })
}

/// The host's name, and those that its certificate is ordered for.
fn own_hosts(config: &Config) -> Vec<Domain> {
    let ordered = config.acme.iter().flat_map(|acme| &acme.domains);
    std::iter::once(&config.server.hostname).chain(ordered).cloned().collect()
}

fn settings(config: &Config) -> IngestSettings {
    let own = &config.pipeline;
    let count = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    IngestSettings {
        batch: count(own.ingest_batch.into()),
        poll: own.poll,
        lease: own.lease,
        limits: limits(config),
        hostname: config.server.hostname.to_string(),
        own_hosts: own_hosts(config),
        public_url: config.server.public_url.clone(),
    }
}

/// Within what messages are taken apart: when their events are made, and when their parts are given out.
pub(super) fn limits(config: &Config) -> message::Limits {
    let own = &config.pipeline;
    let count = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    message::Limits {
        nesting: count(own.nesting.into()),
        parts: count(own.parts.into()),
        header_block: count(own.header_size),
        text: count(own.text_size),
        ..message::Limits::default()
    }
}
