//! Puts the senders of a node together from its configuration.

use std::sync::Arc;
use std::time::Duration;

use super::{AppError, Instance};
use crate::config::Config;
use crate::config::sending::RelayTls as Section;
use crate::dns::{Anchors, Resolver};
use crate::mail::address::Domain;
use crate::outbound::destination::Destinations;
use crate::outbound::dialogue::Credentials;
use crate::outbound::pool::{Pool, Reuse};
use crate::outbound::route::{Relay, RelayTls, RouteSettings, Router};
use crate::outbound::sts::Policies;
use crate::outbound::tls::ClientTls;
use crate::outbound::wire::{Terms, Timeouts};
use crate::pipeline::notify::Notify;
use crate::pipeline::questions::Questions;
use crate::pipeline::send::{Send, SendSettings};
use crate::pipeline::signing::Signing;
use crate::reach::Opened;
use crate::service::Service;
use crate::supervisor::{RestartPolicy, Spawner};

/// Starts the senders, the watch over their keys' records, and the one over questions that nobody answers.
pub(super) fn start(
    work: &Spawner,
    instance: &Instance,
    service: &Service,
    resolver: &Resolver,
) -> Result<(), AppError> {
    let every = instance.config.routes.watch_interval;
    let signing = Signing::new(instance.store.clone(), resolver.clone(), every);
    work.spawn("signing", RestartPolicy::Restart, move |stop| signing.clone().run(stop));
    let questions = Questions::new(service.clone());
    work.spawn("questions", RestartPolicy::Restart, move |stop| questions.clone().run(stop));
    let Some((router, settings)) = way_out(instance, resolver)? else { return Ok(()) };
    let key = &instance.key;
    let senders = Send::new(service.clone(), Arc::clone(key), router.clone(), settings.clone());
    work.spawn("send", RestartPolicy::Restart, move |stop| senders.clone().run(stop));
    if let Some(from) = instance.config.sending.notices_from.clone() {
        let notify = Notify::new(service.clone(), Arc::clone(key), router, settings, from);
        work.spawn("notify", RestartPolicy::Restart, move |stop| notify.clone().run(stop));
    }
    Ok(())
}

/// How mail leaves; `None` where this node does not send.
fn way_out(instance: &Instance, resolver: &Resolver) -> Result<Option<(Router, SendSettings)>, AppError> {
    let config = &instance.config;
    let sending = &config.sending;
    if !sending.enabled {
        return Ok(None);
    }
    let failed = |what: &std::path::Path, error: String| AppError::Sending(format!("{}: {error}", what.display()));
    let tls = match &sending.ca_file {
        None => ClientTls::new(&[]).map_err(|error| AppError::Sending(error.to_string()))?,
        Some(file) => {
            let pem = std::fs::read(file).map_err(|error| failed(file, error.to_string()))?;
            ClientTls::believing(&pem).map_err(|error| failed(file, error.to_string()))?
        }
    };
    let opened: Opened = sending.allow.iter().copied().collect();
    let settings = RouteSettings {
        own_names: own_names(config),
        own_addresses: config
            .smtp
            .listen
            .iter()
            .map(std::net::SocketAddr::ip)
            .filter(|ip| !ip.is_unspecified())
            .collect(),
        opened: opened.clone(),
        port: sending.port,
    };
    let policies = sending.mta_sts.then(|| Policies::new(resolver, &tls, &opened, 443)).transpose();
    let policies = policies.map_err(|error| AppError::Sending(error.to_string()))?;
    let router = Router::new(resolver.clone(), settings, policies);
    let router = if sending.dane {
        let anchors = match &config.dns.trust_anchors {
            None => Anchors::default(),
            Some(file) => Anchors::of_file(file).map_err(|error| failed(file, error))?,
        };
        let prover = Resolver::proving(&super::resolver_settings(config), anchors);
        router.proving(prover.map_err(|error| AppError::Sending(error.to_string()))?)
    } else {
        router
    };
    let relay = sending.relay.as_ref().map(|relay| {
        let tls = match relay.tls {
            Section::StartTls => RelayTls::StartTls,
            Section::Implicit => RelayTls::Implicit,
            Section::Never => RelayTls::Never,
        };
        let credentials =
            relay.credentials.as_ref().and_then(|(user, password)| Credentials::new(user, password.expose()));
        Relay::new(&relay.host, relay.port, tls, credentials)
    });
    let relay = relay.transpose().map_err(|error| AppError::Sending(error.to_string()))?;
    let reuse = Reuse { transactions: sending.messages_per_connection, age: sending.connection_age, idle: IDLE };
    let (hello, timeouts, pool) = (config.server.hostname.clone(), Timeouts::default(), Pool::new(reuse));
    let terms = Terms { hello, timeouts, tls, pool };
    let count = |setting: u32| usize::try_from(setting).unwrap_or(1);
    let destinations = Destinations::new(count(sending.connections_per_destination));
    let (workers, per_minute) = (count(sending.workers), sending.messages_per_minute);
    let settings = SendSettings { workers, terms, relay, destinations, per_minute };
    Ok(Some((router, settings)))
}

/// How long a connection waits for the next message. Servers wait for minutes, but not all, and each holds a place there.
const IDLE: Duration = Duration::from_secs(10);

fn own_names(config: &Config) -> Vec<Domain> {
    let others = config.acme.iter().flat_map(|acme| &acme.domains);
    std::iter::once(&config.server.hostname).chain(others).cloned().collect()
}
