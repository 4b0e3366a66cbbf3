//! The milter door: a mail server shows every message that passes through it, with its true envelope.
//!
//! | file | what it holds |
//! |---|---|
//! | [`packet`] | the protocol: what a mail server says, and what is answered; no IO |
//! | [`shown`] | one message as it is shown, piece by piece; no IO |
//! | `session` | socket loop |
//! | [`listener`] | accept loop, who may connect, shutdown |
//!
//! It only looks. It must never refuse, put off, change or hold up mail: it asks for no right to change anything, has
//! nothing to answer before the end of a message, and there always answers "go on". What it could not keep is counted by
//! reason, and reported, so that somebody can act; the mail goes on all the same.
//!
//! The protocol has no RFC; Sendmail's `libmilter` and `mfdef.h` describe it. Versions 2 to 6 are spoken.
//!
//! # Security
//! The protocol knows neither authentication nor encryption. Only listed networks, and who can open the socket file, are
//! listened to; put a tunnel in between where the way is not trusted. Everything is bounded: packets, fields, envelope,
//! size, time. Addresses and fields are never logged.

pub mod listener;
pub mod packet;
mod session;
pub mod shown;

use std::time::Duration;

pub use listener::{Listener, ListenerOptions};

/// Bounds of the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a message.
    pub message: u64,
    /// How long one message may hold its mail server up, all in all, before it goes on without us.
    pub patience: Duration,
    /// Connections in all.
    pub connections: usize,
    /// Silence between packets. Mail servers keep connections while their own clients are silent.
    pub silence: Duration,
    /// How long messages in flight may take at shutdown.
    pub shutdown_grace: Duration,
}

#[cfg(test)]
mod tests;
