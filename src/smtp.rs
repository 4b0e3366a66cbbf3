//! The SMTP door: listener, sessions, and the question "is this recipient ours?".
//!
//! | file | what it holds |
//! |---|---|
//! | [`listener`] | accept loop, connection limits, shutdown |
//! | [`proxy`] | the header of a load balancer |
//! | [`session`] | socket loop: does what the machine says |
//! | [`state`] | the machine: bytes in, replies and effects out, no IO |
//! | `command`, `line`, `body` | grammar, command lines, end of data |
//! | [`reply`] | every code and text that a peer can read |
//! | [`limits`] | every bound, with its default |
//! | `pool`: `tenants`, `memory` | what all listeners have together: open transactions of each tenant; what bodies take while they arrive |
//!
//! It must never answer 250 to a message that is not a [`crate::spool::SpooledMessage`], never relay, and never answer
//! 5xx for trouble of our own. LMTP is another dialect of the same machine; behind a load balancer only the client's
//! address comes from elsewhere.
//!
//! Standards: RFC 5321 (SMTP), RFC 2920 (PIPELINING), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 3030 (CHUNKING,
//! BINARYMIME), RFC 6531 (SMTPUTF8), RFC 2034 and RFC 3463 (enhanced status codes), RFC 3207 (STARTTLS), RFC 8314
//! (implicit TLS), RFC 2033 (LMTP).
//!
//! # Security
//! Nothing but CRLF.CRLF ends DATA. What arrives before a TLS handshake is never looked at after it. Every buffer, count
//! and wait has a bound in [`limits::Limits`]. Texts name no version; logs name no local-part.

mod body;
mod command;
pub mod limits;
mod line;
pub mod listener;
mod memory;
pub mod pool;
pub mod proxy;
pub mod reply;
mod sasl;
pub mod session;
pub mod state;
mod tenants;

#[cfg(test)]
mod conversations;

pub use limits::Limits;
pub use listener::{Listener, ListenerOptions};
pub use pool::Pool;
