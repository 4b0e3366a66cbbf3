//! `[smtp]`: the mail listener and its limits.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::lmtp::networks;
use super::reader::Reader;
use crate::mail::address::Domain;

/// `[smtp]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// Addresses with STARTTLS.
    pub listen: Vec<SocketAddr>,
    /// Addresses with TLS from the first byte.
    pub listen_tls: Vec<SocketAddr>,
    /// Load balancers whose connections begin with a PROXY header.
    pub proxy_from: Vec<IpNet>,
    /// Domains on which this installation gives out addresses.
    pub platform_domains: Vec<Domain>,
    /// `[smtp.limits]`
    pub limits: SmtpLimits,
}

/// `[smtp.limits]`: everything that one peer could otherwise take without end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpLimits {
    /// Octets of a command line, CRLF included.
    pub command_line: u32,
    /// Octets of a message.
    pub message_size: u64,
    /// Forward-paths of one transaction.
    pub recipients: u32,
    /// Transactions of one connection.
    pub messages_per_connection: u32,
    /// Refused commands of one connection.
    pub errors_per_connection: u32,
    /// Commands without a message that are free from one message to the next.
    pub idle_commands: u32,
    /// Refused commands of one connection after which replies to further ones are held back.
    pub tarpit_after: u32,
    /// By how much more each of them is held back.
    pub tarpit: Duration,
    /// Sessions from one address.
    pub connections_per_address: u32,
    /// Sessions from one network.
    pub connections_per_network: u32,
    /// Connections from one address in a minute; 0: any number.
    pub connects_per_minute: u32,
    /// Transactions for one tenant at the same time.
    pub transactions_per_tenant: u32,
    /// Sessions in all.
    pub connections: u32,
    /// Octets of memory for all bodies that are arriving.
    pub body_memory: u64,
    /// Silence before a command.
    pub command_timeout: Duration,
    /// The peer takes no reply.
    pub reply_timeout: Duration,
    /// Silence within message data.
    pub data_timeout: Duration,
    /// Octets a second in which a message must come at least; 0: at any rate.
    pub data_rate: u32,
    /// Without MAIL.
    pub idle_timeout: Duration,
    /// From MAIL to a message that is taken.
    pub transaction_timeout: Duration,
    /// A TLS handshake.
    pub handshake_timeout: Duration,
    /// How long the greeting waits for a peer that talks first.
    pub greeting_delay: Duration,
    /// Refused AUTH of one network within the window.
    pub auth_failures: u32,
    /// How long they count.
    pub auth_failure_window: Duration,
    /// How long the answer to a refused AUTH waits.
    pub auth_failure_delay: Duration,
}

impl Smtp {
    pub(super) fn read(reader: &mut Reader<'_>, has_tls: bool) -> Self {
        let listen = reader.addresses("smtp.listen");
        let listen_tls = reader.addresses("smtp.listen_tls");
        if !listen_tls.is_empty() && !has_tls {
            reader
                .fault("smtp.listen_tls", "needs tls.cert_file and tls.key_file, or acme.directory, or must be empty");
        }
        let allowed = "a domain such as in.example.org";
        let platform_domains = reader.list("smtp.platform_domains", allowed, |text| Domain::parse(text).ok());
        if platform_domains.is_empty() && reader.has_no_fault("smtp.platform_domains") {
            reader.fault("smtp.platform_domains", "must name at least one domain");
        }
        let proxy_from = networks(reader, "smtp.proxy_from");
        Self { listen, listen_tls, proxy_from, platform_domains, limits: SmtpLimits::read(reader) }
    }
}

impl SmtpLimits {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            // RFC 5321 §4.5.3.1.4: at least 512 octets, CRLF included.
            command_line: reader.count("smtp.limits.command_line", 512..=65_536),
            message_size: reader.size("smtp.limits.message_size", LEAST_MESSAGE..=MOST_MESSAGE),
            // RFC 5321 §4.5.3.1.8: at least 100 recipients.
            recipients: reader.count("smtp.limits.recipients", 100..=100_000),
            messages_per_connection: reader.count("smtp.limits.messages_per_connection", 1..=1_000_000),
            errors_per_connection: reader.count("smtp.limits.errors_per_connection", 1..=10_000),
            idle_commands: reader.count("smtp.limits.idle_commands", 10..=1_000_000),
            tarpit_after: reader.count("smtp.limits.tarpit_after", 0..=10_000),
            tarpit: reader.duration("smtp.limits.tarpit", 0..=10_000),
            connections_per_address: reader.count("smtp.limits.connections_per_address", 1..=1_000_000),
            connections_per_network: reader.count("smtp.limits.connections_per_network", 1..=1_000_000),
            connects_per_minute: reader.count("smtp.limits.connects_per_minute", 0..=1_000_000),
            transactions_per_tenant: reader.count("smtp.limits.transactions_per_tenant", 1..=1_000_000),
            connections: reader.count("smtp.limits.connections", 1..=1_000_000),
            body_memory: reader.size("smtp.limits.body_memory", 1 << 20..=1 << 40),
            command_timeout: reader.duration("smtp.limits.command_timeout", 1_000..=3_600_000),
            data_timeout: reader.duration("smtp.limits.data_timeout", 1_000..=3_600_000),
            reply_timeout: reader.duration("smtp.limits.reply_timeout", 1_000..=3_600_000),
            data_rate: reader.count("smtp.limits.data_rate", 0..=1_000_000),
            idle_timeout: reader.duration("smtp.limits.idle_timeout", 1_000..=86_400_000),
            transaction_timeout: reader.duration("smtp.limits.transaction_timeout", 1_000..=86_400_000),
            handshake_timeout: reader.duration("smtp.limits.handshake_timeout", 1_000..=600_000),
            // RFC 5321 §4.5.3.2.1: a client waits five minutes for the greeting.
            greeting_delay: reader.duration("smtp.limits.greeting_delay", 0..=60_000),
            auth_failures: reader.count("smtp.limits.auth_failures", 1..=1_000),
            auth_failure_window: reader.duration("smtp.limits.auth_failure_window", 1_000..=86_400_000),
            auth_failure_delay: reader.duration("smtp.limits.auth_failure_delay", 0..=30_000),
        }
    }
}

/// RFC 5321 §4.5.3.1.7: at least 64K octets.
pub(super) const LEAST_MESSAGE: u64 = 64 << 10;
pub(super) const MOST_MESSAGE: u64 = 2 << 30;
