//! Binds the doors for mail as configured.

use std::net::SocketAddr;
use std::sync::Arc;

use super::AppError;
use crate::config::Config;
use crate::intake::Acceptor;
use crate::mail::envelope::Door;
use crate::pipeline::recipients::Recipients;
use crate::smtp::{Limits, Listener, ListenerOptions};
use crate::tls::ServerTls;

/// A door, where it is, and its listener.
pub(super) type BoundDoor = (Door, SocketAddr, Listener<Recipients>);

/// Binds every SMTP listener of the configuration.
///
/// # Errors
/// An address that cannot be bound.
pub(super) fn bind_smtp(
    config: &Config,
    recipients: &Arc<Recipients>,
    acceptor: &Acceptor,
    tls: Option<&Arc<ServerTls>>,
) -> Result<Vec<BoundDoor>, AppError> {
    let doors =
        [("smtp.listen", Door::Smtp, &config.smtp.listen), ("smtp.listen_tls", Door::Smtps, &config.smtp.listen_tls)];
    let mut bound = Vec::new();
    for (key, door, addresses) in doors {
        for &address in addresses {
            let options = ListenerOptions {
                door,
                hostname: config.server.hostname.clone(),
                limits: smtp_limits(config),
                tls: tls.cloned(),
            };
            let listener = Listener::bind(address, options, Arc::clone(recipients), acceptor.clone());
            let fail = |source| AppError::Listen { key, address, source };
            let listener = listener.map_err(fail)?;
            bound.push((door, listener.local_addr().map_err(fail)?, listener));
        }
    }
    Ok(bound)
}

fn smtp_limits(config: &Config) -> Limits {
    let own = &config.smtp.limits;
    let count = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
    Limits {
        command_line: count(own.command_line),
        message: own.message_size,
        recipients: count(own.recipients),
        messages: own.messages_per_connection,
        errors: own.errors_per_connection,
        command_timeout: own.command_timeout,
        data_timeout: own.data_timeout,
        handshake_timeout: own.handshake_timeout,
        connections_per_address: count(own.connections_per_address),
        connections: count(own.connections),
        shutdown_grace: config.server.shutdown_grace / 2,
        ..Limits::default()
    }
}
