//! Every bound of a session and of the listener, with its default.
//!
//! Nothing in this module decides anything; the machine, the socket loop and the listener each read their own lines.

use std::time::Duration;

/// Bounds of one listener and its sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a command line, CRLF included. RFC 5321 §4.5.3.1.4 asks for 512; parameters of extensions add to it.
    pub command_line: usize,
    /// Octets of a message, where its recipients do not say otherwise.
    pub message: u64,
    /// Octets of a message that any recipient takes; below [`Limits::message`] it counts for nothing.
    pub copy: u64,
    /// Accepted recipients of one transaction; RFC 5321 §4.5.3.1.8 asks for at least 100.
    pub recipients: usize,
    /// Messages that one connection may hand over before it is asked to come back.
    pub messages: u32,
    /// Commands answered 5xx before the connection is closed.
    pub errors: u32,
    /// Commands without a message (NOOP, RSET, VRFY, HELP, EHLO, HELO) that are free from one message to the next; each
    /// further one counts as an error.
    pub idle_commands: u32,
    /// Refused commands of one connection after which the replies to further ones are held back.
    pub tarpit_after: u32,
    /// How long the first such reply is held back; each further one by as much more. Zero: none is.
    pub tarpit: Duration,
    /// Wait for one whole command (RFC 5321 §4.5.3.2.7: at least 5 minutes).
    pub command_timeout: Duration,
    /// Wait for the peer to take a reply.
    pub reply_timeout: Duration,
    /// Wait for the next octets of a message, and how far they may be behind [`Limits::data_rate`].
    pub data_timeout: Duration,
    /// Octets a second in which a message must come at least, over its whole length; 0: at any rate.
    pub data_rate: u32,
    /// Time from the connection, or from a message that was taken, to the next MAIL, whatever is said meanwhile.
    pub idle_timeout: Duration,
    /// Time from the first MAIL to a message that is taken.
    pub transaction_timeout: Duration,
    /// Time for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Time that the greeting waits for a peer that talks first (RFC 5321 §3.1); zero: it is only looked whether one has.
    pub greeting_delay: Duration,
    /// Time that the answer to a refused AUTH waits.
    pub auth_failure_delay: Duration,
    /// Time in which the layers above must know a recipient.
    pub recipient_timeout: Duration,
    /// Time that sessions get to finish a message when the program stops.
    pub shutdown_grace: Duration,
    /// Connections from one address at the same time; IPv6 addresses count by their /64.
    pub connections_per_address: usize,
    /// Connections from one network at the same time: an IPv4 /24 or IPv6 /48.
    pub connections_per_network: usize,
    /// Connections from one address in one minute; 0: any number.
    pub connects_per_minute: u32,
    /// Transactions for one tenant at the same time.
    pub transactions_per_tenant: u32,
    /// Octets of memory for all bodies that are arriving.
    pub body_memory: u64,
    /// Connections in all at the same time.
    pub connections: usize,
}

impl Limits {
    /// Octets of the largest message that anybody here takes, announced with SIZE (RFC 1870 §4).
    #[must_use]
    pub const fn largest(&self) -> u64 {
        if self.copy > self.message { self.copy } else { self.message }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command_line: 2_048,
            message: 100 * 1024 * 1024,
            copy: 0,
            recipients: 1_000,
            messages: 100,
            errors: 20,
            idle_commands: 100,
            tarpit_after: 5,
            tarpit: Duration::from_millis(500),
            command_timeout: Duration::from_secs(5 * 60),
            reply_timeout: Duration::from_secs(60),
            data_timeout: Duration::from_secs(10 * 60),
            data_rate: 256,
            idle_timeout: Duration::from_secs(15 * 60),
            transaction_timeout: Duration::from_secs(60 * 60),
            handshake_timeout: Duration::from_secs(30),
            greeting_delay: Duration::ZERO,
            auth_failure_delay: Duration::from_secs(2),
            recipient_timeout: Duration::from_secs(20),
            shutdown_grace: Duration::from_secs(30),
            connections_per_address: 50,
            connections_per_network: 500,
            connects_per_minute: 1_200,
            transactions_per_tenant: 1_000,
            body_memory: 512 * 1024 * 1024,
            connections: 10_000,
        }
    }
}
